"""Rehearsals: previews of feeds, and what another config would change, without writing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest
from conftest import SiteFolder, at
from loopback import fine, running

from aggregator.cli.preview import preview_data
from aggregator.config import load_config
from aggregator.cycle import rehearsal as module
from aggregator.cycle.rehearsal import lost_urls, preview_feed, rehearse
from aggregator.errors import NotFoundError, StoppedError
from aggregator.feeds import registry
from aggregator.feeds.url_changes import lost_url_notices
from aggregator.service.serving import make_app
from aggregator.store.session import to_us

NOON, LATER = "2024-05-01 12:00", "2024-05-01 13:00"
AI = '[[feed]]\nslug = "picks"\ntopics.any = ["AI"]\n'


def preview(site: SiteFolder, slug: str, config: str | None = None, now: str = LATER) -> dict[str, Any]:
    """The facts of --json, under the config of the site or another one for the same store."""
    loaded = site.load_config()
    if config is not None:
        head = site.config_file.read_text().partition("\n\n")[0]
        other = site.config_file.with_name("new.toml")
        other.write_text(f"{head}\n\n{config}")
        loaded = load_config(other, env={})
    return preview_data(preview_feed(loaded, site.store, slug, at(now)))


def titles(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["title"] for entry in entries]


def fill(site: SiteFolder) -> None:
    """Six records, the newest last."""
    rows: list[dict[str, Any]] = [
        {"topics": ["AI"], "quality": 90},
        {"topics": ["AI", "Maps"], "quality": 50},
        {"topics": ["Maps"], "quality": 70, "provider": "P", "webUrl": "https://example.org/2"},
        {"topics": ["Cars"]},
        {"topics": ["AI", "Cars"], "quality": 80},
        {"topics": []},
    ]
    for number, fields in enumerate(rows):
        site.record(f"{number}.md", publishedDateTime=f"2024-05-01T0{number}:00:00Z", **fields)


@pytest.fixture
def built(site: SiteFolder) -> SiteFolder:
    """The site with a feed `picks`, after a cycle."""
    site.configure(AI)
    fill(site)
    site.run(NOON)
    return site


@pytest.mark.parametrize("slug", ["all", "maps", "picks"])
def test_a_preview_under_the_active_config_is_what_is_shown(site: SiteFolder, slug: str) -> None:
    site.configure(AI + "limit = 2\n")
    fill(site)
    site.run(NOON)
    facts = preview(site, slug)
    assert titles(facts["entries"]) == site.titles(slug)
    assert (facts["joins"], facts["leaves"]) == ([], [])


def test_a_previewed_entry_has_times_provider_link_and_topics(site: SiteFolder) -> None:
    fill(site)
    site.run(NOON)
    assert preview(site, "maps")["entries"][0] == {
        "id": site.ids()["2.md"],
        "title": "2.md",
        "released": "2024-05-01T02:00:00Z",
        "published": "2024-05-01T02:00:00Z",
        "provider": "P",
        "link": "https://example.org/2",
        "topics": ["Maps"],
    }


@pytest.mark.parametrize(
    ("config", "entries", "joins", "leaves"),
    [
        (AI, ["4.md", "1.md", "0.md"], [], []),
        (AI.replace("AI", "Maps"), ["2.md", "1.md"], ["2.md"], ["4.md", "0.md"]),
        (AI + "min_quality = 60\n", ["4.md", "0.md"], [], ["1.md"]),
        (AI + "limit = 1\n[output]\nmin_stay = '1s'\n", ["4.md"], [], ["1.md", "0.md"]),
        ('[[feed]]\nslug = "other"\n', [], [], ["4.md", "1.md", "0.md"]),
        ('[[feed]]\nslug = "picks"\n', ["5.md", "4.md", "3.md", "2.md", "1.md", "0.md"], ["5.md", "3.md", "2.md"], []),
    ],
)
def test_a_preview_of_another_config_has_the_entries_that_join_and_leave(
    built: SiteFolder, config: str, entries: list[str], joins: list[str], leaves: list[str]
) -> None:
    facts = preview(built, "picks", config)
    assert (titles(facts["entries"]), titles(facts["joins"]), titles(facts["leaves"])) == (entries, joins, leaves)


def test_the_present_window_is_cut_by_the_active_config_not_by_the_new_one(site: SiteFolder) -> None:
    site.configure(AI + "limit = 1\n[output]\nmin_stay = '1s'\n")
    fill(site)
    site.run(NOON)
    assert site.titles("picks") == ["4.md"]
    facts = preview(site, "picks", AI + "limit = 3\n[output]\nmin_stay = '1s'\n")
    assert (titles(facts["joins"]), titles(facts["leaves"])) == (["1.md", "0.md"], [])


def test_an_edited_config_can_be_previewed_before_it_is_active(built: SiteFolder) -> None:
    built.configure(AI.replace("AI", "Cars"))
    assert titles(preview(built, "picks")["joins"]) == ["3.md"]


def test_a_feed_that_is_new_or_replaces_a_topic_or_moves_can_be_previewed(built: SiteFolder) -> None:
    new = preview(built, "fresh", '[[feed]]\nslug = "fresh"\nmin_quality = 80\n')
    assert (titles(new["joins"]), new["leaves"]) == (["4.md", "0.md"], [])
    over = preview(built, "maps", '[[feed]]\nslug = "maps"\ntopics.all = ["Maps", "AI"]\n')
    assert (titles(over["entries"]), titles(over["leaves"])) == (["1.md"], ["2.md"])
    moved = preview(built, "moved", '[[feed]]\nslug = "moved"\ntopics.any = ["AI"]\nmoved_from = ["picks"]\n')
    assert (titles(moved["entries"]), moved["joins"], moved["leaves"]) == (["4.md", "1.md", "0.md"], [], [])


def test_a_feed_that_returns_to_its_topic_can_be_previewed(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "maps"\ntopics.all = ["Maps", "AI"]\n')
    fill(site)
    site.run(NOON)
    assert titles(preview(site, "maps", "")["joins"]) == ["2.md"]
    assert titles(preview(site, "maps", "[topics]\nauto = false\n")["leaves"]) == ["1.md"]


def test_the_message_about_an_unknown_feed_suggests_similar_slugs(built: SiteFolder) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'picks'"):
        preview(built, "pick")
    with pytest.raises(NotFoundError, match="aggregator feeds"):
        preview(built, "zzz")


def test_a_preview_writes_nothing_and_needs_no_lease(site: SiteFolder) -> None:
    site.configure(AI)
    fill(site)
    site.run(NOON)
    before, documents = site.stored(), site.snapshot()
    site.store.lease.release()
    preview(site, "picks", AI.replace("AI", "Maps"))
    assert site.stored() == before
    assert site.snapshot() == documents


@pytest.mark.parametrize("seed", range(4))
def test_a_preview_shows_what_the_next_cycle_does(site: SiteFolder, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BATCH", 7)
    chance = random.Random(seed)

    def a_config() -> str:
        topics = chance.sample(["AI", "Maps", "Cars", "News"], chance.randint(1, 3))
        lines = [f'topics.any = ["{topics[0]}"]', f"limit = {chance.randint(1, 12)}"]
        lines += [f'topics.none = ["{topics[1]}"]'] if len(topics) > 1 else []
        lines += [f"min_quality = {chance.randint(0, 90)}"] if chance.random() < 0.5 else []
        return "\n".join(['[output]\nmin_stay = "3h"\n[[feed]]\nslug = "picks"', *lines, ""])

    config = a_config()
    site.configure(config)
    for hour in range(3):
        for number in range(12 * hour // 2, 12 * hour // 2 + 12):  # half of them are there already, and may move
            topics = chance.sample(["AI", "Maps", "Cars", "News"], chance.randint(0, 3))
            date = f"2024-05-01T{number % 9:02}:00:00Z"
            site.record(f"{number}.md", publishedDateTime=date, topics=topics, quality=chance.randint(0, 100))
        site.run(f"2024-05-01 {10 + hour}:00")
        other = a_config()
        shown = site.titles("picks")
        moment = f"2024-05-01 {10 + hour}:30"
        facts = preview(site, "picks", other, moment)
        site.run_with(other, moment)
        after = site.titles("picks")
        assert titles(facts["entries"]) == after
        assert titles(facts["joins"]) == [title for title in after if title not in shown]
        assert titles(facts["leaves"]) == [title for title in shown if title not in after]


@pytest.mark.parametrize(
    "rules",
    [
        '[topics.parent]\n"Maps" = "Geography"\n',
        '[topics.alias]\n"Maps" = "Geography"\n',
        '[topics.alias]\n"Cars" = "Maps"\n',
        AI + 'max_age = "10h"\n',
        AI + 'order = "published"\nper_provider = 1\n',
        '[[feed]]\nslug = "picks"\nduplicates = "merge"\n',
        '[[feed]]\nslug = "picks"\ntext = { any = ["4.md", "re:[02]"] }\n',
    ],
)
def test_tables_words_windows_and_merging_are_previewed_as_the_next_cycle_makes_them(
    site: SiteFolder, rules: str
) -> None:
    fill(site)
    for number in (7, 8):
        site.record(f"{number}.md", webUrl="https://example.org/2?utm_source=x", topics=["Maps"])
    site.run(NOON)
    slug = "picks" if "picks" in rules else "geography" if "Geography" in rules else "maps"
    facts = preview(site, slug, rules)
    site.run_with(rules, LATER)
    assert titles(facts["entries"]) == site.titles(slug)
    assert titles(facts["entries"])


# feeds and URLs


def rehearsed(site: SiteFolder, now: str = LATER, *, scan: bool = True) -> tuple[dict[str, Any], dict[str, str | None]]:
    """A rehearsal of the next cycle: entries that join and leave by feed, and the target of each URL."""
    with rehearse(site.load_config(), at(now), scan=scan) as rehearsal:
        moves = {feed.slug: (titles([*feed.joins]), titles([*feed.leaves])) for feed in rehearsal.moves()}
        return moves, {change.url: change.target for change in rehearsal.urls()}


@pytest.mark.parametrize(
    ("before", "after", "moves", "urls"),
    [
        (AI + "limit = 3\n", AI + "limit = 1\n", {"picks": ([], ["1.md", "0.md"])}, {}),
        (AI + "limit = 1\n", AI + "limit = 3\n", {"picks": (["1.md", "0.md"], [])}, {}),
        (AI, AI.replace("AI", "Cars"), {"picks": (["3.md"], ["1.md", "0.md"])}, {}),
        (AI, AI + 'order = "published"\n', {}, {}),
        (AI, AI.replace("picks", "best"), None, {"picks/": None}),
        (AI, AI.replace("picks", "best") + 'moved_from = ["picks"]\n', {}, {"picks/": "best/"}),
        (AI, "", {"picks": ([], ["4.md", "1.md", "0.md"])}, {"picks/": None}),
        (AI, AI + '[topics.slugs]\nMaps = "geo"\n', {}, {"maps/": "geo/"}),
        (AI, AI + '[topics.alias]\nMaps = "Cars"\n', {"cars": (["2.md", "1.md"], [])}, {"maps/": "cars/"}),
        (AI, AI + "[topics]\nauto = false\n", None, {"ai/": None, "cars/": None, "maps/": None}),
        (AI, AI + '[output]\nmin_stay = "1s"\nformats = ["atom", "rss"]\n', {}, {"*/feed.json": None}),
        (AI + 'moved_from = ["old", "x/y.xml"]\n', AI, {}, {"old/": None, "x/y.xml": None}),
    ],
)
def test_a_rehearsal_shows_what_the_next_cycle_does_to_entries_and_urls(
    site: SiteFolder, before: str, after: str, moves: dict[str, Any] | None, urls: dict[str, str | None]
) -> None:
    head = '[output]\nmin_stay = "1s"\n'
    site.configure(before + head)
    fill(site)
    site.run(NOON)
    site.configure(after if head[:8] in after else after + head)
    shown = site.documents()
    changes = rehearsed(site)
    assert changes[1] == urls
    if moves is not None:
        assert changes[0] == moves
    site.run(LATER)
    with running(make_app(site.load_config(), fine, fine)) as client:
        for path in shown:
            status = client.get(f"/{path}").status_code
            target = urls.get(f"{path.partition('/')[0]}/", urls.get(f"*/{path.rpartition('/')[2]}", ""))
            if path.startswith(("old/", "x/")):
                target = None
            assert status == {"": 200, None: 410}.get(target, 301), path
    assert rehearsed(site, "2024-05-01 14:00") == ({}, {})


def test_a_rehearsal_under_the_active_config_shows_changed_records(built: SiteFolder) -> None:
    built.remove("4.md")
    built.record("7.md", topics=["New"], publishedDateTime="2024-05-01T11:00:00Z")
    moves, urls = rehearsed(built)
    assert moves["picks"] == moves["ai"] == ([], ["4.md"])
    assert (moves["new"], moves["all"]) == ((["7.md"], []), (["7.md"], ["4.md"]))
    assert urls == {}
    assert rehearsed(built, scan=False) == ({}, {})


def test_a_preview_of_a_feed_that_moves_shows_what_the_next_cycle_does(built: SiteFolder) -> None:
    moved = AI.replace("picks", "best") + 'moved_from = ["picks"]\n'
    for slug in ("best", "picks"):
        facts = preview(built, slug, moved)
        assert (facts["slug"], titles(facts["entries"])) == ("best", ["4.md", "1.md", "0.md"])
        assert (facts["joins"], facts["leaves"]) == ([], [])
    pinned = preview(built, "geo", AI + '[topics.slugs]\nMaps = "geo"\n')
    assert (titles(pinned["entries"]), pinned["joins"], pinned["leaves"]) == (["2.md", "1.md"], [], [])
    new = preview(built, "best", AI.replace("picks", "best"))
    assert titles(new["joins"]) == ["4.md", "1.md", "0.md"]


def test_a_preview_under_the_active_config_makes_no_copy(built: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "copy_store", lambda *_: pytest.fail("the store is copied"))
    assert titles(preview(built, "picks")["entries"]) == built.titles("picks")


@pytest.mark.parametrize("config", [None, AI + "[topics]\nmin_entries = 1\n[output]\nlimit = 20\n"])
def test_a_preview_has_what_the_next_cycle_releases(built: SiteFolder, config: str | None) -> None:
    built.record("due.md", topics=["AI"], publishedDateTime="2024-05-01T14:30:00Z")
    built.run(LATER)
    before = preview(built, "picks", config, "2024-05-01 14:00")
    assert (titles(before["entries"]), before["joins"]) == (["4.md", "1.md", "0.md"], [])
    after = preview(built, "picks", config, "2024-05-01 15:00")
    assert titles(after["entries"]) == ["due.md", "4.md", "1.md", "0.md"]
    assert titles(after["joins"]) == ["due.md"]


# URLs that a config removes


def test_a_url_that_the_config_removes_is_reported_before_and_after_until_it_works_again(built: SiteFolder) -> None:
    built.configure(AI.replace("picks", "best"))
    line = 'keep it with moved_from = ["picks"] in the [[feed]] "best"'
    (warning,) = lost_urls(built.load_config(), at(LATER))
    assert str(warning) == (f"{built.config_file}: subscribers of this URL would get 410: '/picks/' ({line})")
    assert warning.level == "warning"
    said = (f"/picks/ answers 410 since the config of 2024-05-01 13:00 UTC ({line})",)
    assert built.run(LATER).notices == said
    with built.store.read() as connection:
        in_zone = lost_url_notices(
            connection, built.pipeline.active_config, to_us(at(LATER)), ZoneInfo("America/New_York")
        )
        assert ["since the config of 2024-05-01 09:00 -04:00 (keep" in line for line in in_zone] == [True]
    assert lost_urls(built.load_config(), at(LATER)) == []
    built.close()
    assert built.run("2024-05-02 13:00").notices == said
    assert built.run("2024-06-01 13:00").notices == ()
    assert built.run_with(AI.replace("picks", "best") + 'moved_from = ["picks"]\n', "2024-06-01 14:00").notices == ()


@pytest.mark.parametrize("returns_later", [False, True])
def test_a_url_that_works_again_and_ends_by_another_cause_names_no_old_config(
    site: SiteFolder, returns_later: bool
) -> None:
    site.record("maps.md", topics=["Maps"], publishedDateTime="2024-05-01T08:00:00Z")
    site.run(NOON)
    assert site.run_with("[topics]\nauto = false\n", LATER).notices[0].startswith("/maps/ answers 410 since")
    automatic = '[topics]\nkeep_empty = "1h"\n'
    if returns_later:
        site.record("maps.md", topics=["Cars"], publishedDateTime="2024-05-01T08:00:00Z")
        site.run("2024-05-01 14:00")
        site.run_with(automatic, "2024-05-01 16:00")
        assert site.run("2024-05-01 16:30").notices[0].startswith("/maps/ answers 410 since")
        site.record("maps.md", topics=["Maps"], publishedDateTime="2024-05-01T08:00:00Z")
        assert site.run("2024-05-01 17:00").notices == ()
    else:
        assert site.run_with(automatic, "2024-05-01 17:00").notices == ()
    site.record("maps.md", topics=["AI"], publishedDateTime="2024-05-01T08:00:00Z")
    site.run("2024-05-01 18:00")
    assert site.run("2024-05-01 20:00").notices == ()
    assert not (site.output / "maps").exists()


def test_the_documents_of_a_removed_format_are_named_with_what_keeps_them(built: SiteFolder) -> None:
    built.configure(AI + '[output]\nformats = ["rss"]\npages = false\n')
    assert {str(problem.value): problem.hint for problem in lost_urls(built.load_config(), at(LATER))} == {
        "/*/atom.xml": 'keep it with "atom" in "formats" below [output]',
        "/*/feed.json": 'keep it with "json" in "formats" below [output]',
        "/*/index.html": 'keep it with "pages = true" below [output]',
    }


def test_the_line_that_keeps_a_url_is_accepted_as_written_and_keeps_what_the_feed_has(built: SiteFolder) -> None:
    first = AI + 'moved_from = ["old", "tags/ai/index.xml"]\n'
    built.run_with(first, "2024-05-01 12:30")
    built.run_with(AI.replace("picks", "best") + 'moved_from = ["picks"]\n', LATER)
    built.configure(first)
    (warning,) = lost_urls(built.load_config(), at(LATER))
    line = 'moved_from = ["best", "old", "tags/ai/index.xml"]'
    assert f'(keep it with {line} in the [[feed]] "picks")' in str(warning)
    built.configure(f"{AI}{line}\n")
    assert lost_urls(built.load_config(), at(LATER)) == []


def test_the_old_url_of_a_topic_is_kept_by_what_redirected_it(site: SiteFolder) -> None:
    for name, topic in (("a.md", "AI"), ("c.md", "C")):
        site.record(name, topics=[topic])
    site.run("2024-05-01 12:00")
    site.run_with('[topics.alias]\nC = "AI"\n', "2024-05-01 12:30")
    site.remove("c.md")
    site.run("2024-05-01 12:40")

    def kept() -> dict[str, str | None]:
        return {str(problem.value): problem.hint for problem in lost_urls(site.load_config(), at(LATER))}

    site.configure('[topics.alias]\nC = "Other"\n')
    assert kept() == {"/c/": "keep it with the line below [topics.alias] that leads it to /ai/"}
    site.configure('[topics]\nauto = false\n[topics.alias]\nC = "AI"\n')
    assert kept() == dict.fromkeys(("/ai/", "/c/"), 'keep it with "auto = true" below [topics]')


def test_a_stopped_cycle_does_not_hide_a_lost_url(built: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    built.configure()
    with monkeypatch.context() as patch:
        patch.setattr("aggregator.cycle.update.refresh_feeds", Mock(side_effect=StoppedError))
        with pytest.raises(StoppedError):
            built.run(LATER)
    (notice,) = built.run(LATER).notices
    assert notice.startswith("/picks/ answers 410")


def test_a_url_that_works_again_is_not_reported(built: SiteFolder) -> None:
    built.configure()
    (notice,) = built.run(LATER).notices
    assert 'moved_from = ["picks"] in the [[feed]] that follows it' in notice
    assert built.run_with(AI.replace("picks", "other") + 'moved_from = ["picks"]\n', "2024-05-01 14:00").notices == ()


def test_without_a_store_or_under_the_active_config_no_url_is_lost(built: SiteFolder, tmp_path: Path) -> None:
    assert lost_urls(built.load_config(), at(LATER)) == []
    built.configure(AI, url=f"sqlite:///{tmp_path / 'none.db'}")
    assert lost_urls(built.load_config(), at(LATER)) == []
    assert not (tmp_path / "none.db").exists()
