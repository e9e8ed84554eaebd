"""Windows: max_age, per_provider, order, and merged duplicates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from commands import Shop, eventually
from conftest import SiteFolder, at
from documents import archive_ids, pages
from sqlalchemy import select

from aggregator.links import canonical_link, link_key
from aggregator.store.schema import entry

NOON = at("2024-05-01 12:00")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHORT = '[output]\nlimit = 50\nmin_stay = "0s"\n'


def table(*lines: str, slug: str = "picks") -> str:
    """A [[feed]] of the config."""
    return "\n".join(["[[feed]]", f'slug = "{slug}"', *lines, ""])


def add(site: SiteFolder, name: str, date: datetime | None = None, /, **fields: Any) -> None:
    """A record; a provider is given by its name."""
    if date is not None:
        fields["publishedDateTime"] = date.isoformat()
    if isinstance(fields.get("provider"), str):
        fields["provider"] = {"name": fields["provider"]}
    site.record(name, **fields)


def inside(site: SiteFolder, slug: str = "picks") -> set[str]:
    """The paths of the entries that are in a feed."""
    return {path for path, left_by in site.members(slug).items() if left_by is None}


def related(site: SiteFolder, slug: str = "picks") -> dict[str, list[str]]:
    """The related links of a feed's entries, by title."""
    return {
        item["title"]: [link["url"] for link in item.get("_aggregator", {}).get("related", [])]
        for item in site.feed(slug)["items"]
    }


# max_age


@pytest.mark.parametrize(("age", "shown"), [("1d", []), ("2d", ["a"]), ("4d", ["b", "a"]), ("60d", ["c", "b", "a"])])
def test_entries_are_shown_until_they_reach_max_age(site: SiteFolder, age: str, shown: list[str]) -> None:
    site.configure(SHORT + table(f'max_age = "{age}"'))
    for name, days in (("a", 1), ("b", 3), ("c", 50)):
        add(site, name + ".md", NOON - days * DAY, title=name)
    site.run(NOON)
    assert sorted(site.titles("picks"), reverse=True) == shown
    assert set(archive_ids(site.documents(), "picks/atom.xml")) == set(site.ids().values())


def test_the_home_page_agrees_with_the_page_of_a_feed_whose_entries_are_all_too_old(site: SiteFolder) -> None:
    site.configure(SHORT + table('max_age = "2d"'))
    add(site, "a.md", NOON - DAY)
    add(site, "b.md", None)
    site.run(NOON)
    assert facts_of(site, "picks") == facts_of(site, "all") == "2 stories"
    site.run(NOON + 3 * DAY)
    assert site.titles("picks") == []
    assert facts_of(site, "picks") == "no stories now"
    assert facts_of(site, "all") == "2 stories"
    add(site, "c.md", None)
    site.run(NOON + 4 * DAY)
    assert facts_of(site, "picks") == "3 stories"


def facts_of(site: SiteFolder, slug: str) -> str:
    """How many stories a feed has, on the home page."""
    line = (site.output / "index.html").read_text().partition(f'<a class="feed" href="{slug}/">')[2]
    return line.partition("</a>")[0].rpartition('<span class="meta"><span>')[2].partition("</span>")[0]


@pytest.mark.both_databases
def test_an_entry_leaves_at_max_age_to_the_second_and_a_cycle_is_due_then(site: SiteFolder) -> None:
    site.configure(SHORT + table('max_age = "2d"'))
    add(site, "a.md", NOON - DAY)
    add(site, "b.md", NOON - HOUR)
    assert site.run(NOON).due == NOON + DAY
    before = site.documents()
    assert site.run(NOON + DAY - timedelta(seconds=1)).files_written == 0
    result = site.run(NOON + DAY, paths={})
    assert result.due == NOON + 2 * DAY - HOUR
    assert site.titles("picks") == ["b.md"]
    assert site.titles() == ["b.md", "a.md"]
    after = site.documents()
    # index.html says how many entries a feed has and when its newest came: neither changes
    assert {path for path, body in after.items() if before.get(path) != body} == {
        "picks/atom.xml", "picks/feed.json", "picks/index.html", "picks/rss.xml", "picks/archive/0001.xml",
        "picks/archive/0001.html", "picks/archive/index.html",
    }  # fmt: skip
    assert len(archive_ids(after, "picks/atom.xml")) == 2
    assert site.run(NOON + 2 * DAY - HOUR, paths={}).due is None
    assert site.titles("picks") == []
    assert inside(site) == {"a.md", "b.md"}
    assert site.run(NOON + 9 * DAY).files_written == 0


def test_an_undated_entry_ages_from_its_release_and_a_late_one_from_its_date(site: SiteFolder) -> None:
    site.run_with(SHORT + table('max_age = "2d"'), NOON)
    add(site, "undated.md")
    add(site, "late.md", NOON - DAY)
    add(site, "old.md", NOON - 3 * DAY)
    site.run(NOON + HOUR)
    assert sorted(site.titles("picks")) == ["late.md", "undated.md"]
    site.run(NOON + DAY)
    assert site.titles("picks") == ["undated.md"]
    site.run(NOON + 2 * DAY + HOUR)
    assert site.titles("picks") == []


def test_the_entry_that_moves_up_for_an_old_one_is_no_new_entry(site: SiteFolder) -> None:
    site.run_with(SHORT + table('max_age = "3d"', "limit = 2"), NOON)
    add(site, "first.md", NOON)
    site.run(NOON + HOUR)
    add(site, "second.md", NOON + HOUR)
    site.run(NOON + 2 * HOUR)
    add(site, "late.md", NOON - 2 * DAY)
    site.run(NOON + 3 * HOUR)
    assert site.titles("picks") == ["late.md", "second.md"]
    sealed = pages(site, "picks")
    site.run(NOON + DAY)
    assert site.titles("picks") == ["second.md", "first.md"]
    after = pages(site, "picks")
    assert {path: after[path] for path in sealed} == sealed
    assert len(archive_ids(site.documents(), "picks/atom.xml")) == 3


def test_a_shorter_max_age_applies_now_in_a_feed_that_has_not_changed_for_long(site: SiteFolder) -> None:
    site.configure(SHORT + table('max_age = "90d"'))
    add(site, "a.md", NOON)
    add(site, "b.md", NOON - 5 * DAY)
    site.run(NOON)
    assert site.run_with(SHORT + table('max_age = "10d"'), NOON + 7 * DAY).due == NOON + 10 * DAY
    assert site.titles("picks") == ["a.md"]
    assert site.run_with(SHORT + table('max_age = "20d"'), NOON + 8 * DAY).due == NOON + 15 * DAY
    assert site.titles("picks") == ["a.md", "b.md"]
    assert site.run_with(SHORT + table(), NOON + 30 * DAY).due is None
    assert site.titles("picks") == ["a.md", "b.md"]


def test_a_removed_feed_makes_no_cycle_due(site: SiteFolder) -> None:
    site.configure(SHORT + table('max_age = "2d"'))
    add(site, "a.md", NOON)
    assert site.run(NOON).due == NOON + 2 * DAY
    assert site.run_with(SHORT, NOON + HOUR).due is None


def test_a_running_service_drops_an_entry_by_itself_at_max_age(shop: Shop) -> None:
    shop.configure(output='min_stay = "0s"\n' + table('max_age = "1h"'))
    leaves = datetime.now(UTC) + timedelta(seconds=4)
    shop.record("a.md", "Old", publishedDateTime=(leaves - HOUR).isoformat())
    shop.record("b.md", "Young", publishedDateTime=(leaves - HOUR / 2).isoformat())
    service = shop.start("run").wait_until_done()
    assert service.titles("picks") == ["Young", "Old"] or datetime.now(UTC) > leaves
    eventually(lambda: service.titles("picks") == ["Young"])
    assert datetime.now(UTC) >= leaves
    assert service.titles() == ["Young", "Old"]


# per_provider


def providers(site: SiteFolder, *names: str | None, start: datetime = NOON) -> None:
    """A record of each provider, an hour apart, the newest last; titles are their positions."""
    for number, name in enumerate(names):
        more: dict[str, Any] = {} if name is None else {"provider": name}
        add(site, f"{start:%d}-{number}.md", start + number * HOUR, title=str(number), **more)


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("most", "names", "shown"),
    [
        (1, "a a b a b", "4 3"),
        (2, "a a b a b", "4 3 2 1"),
        (2, "a a a a b", "4 3 2"),
        (1, "a A b", "2 1"),
        (1, "- - a -", "3 2 1 0"),
        (3, "a a a", "2 1 0"),
    ],
)
def test_the_newest_entries_of_each_provider_are_shown_up_to_per_provider(
    site: SiteFolder, most: int, names: str, shown: str
) -> None:
    site.configure(SHORT + table(f"per_provider = {most}"))
    providers(site, *(None if name == "-" else name for name in names.split()))
    site.run(NOON + DAY)
    assert site.titles("picks") == shown.split()
    assert len(archive_ids(site.documents(), "picks/atom.xml")) == len(names.split())


def test_providers_without_a_name_are_distinguished_by_domain(site: SiteFolder) -> None:
    site.configure(SHORT + table("per_provider = 1"))
    for number, domain in enumerate(("one.example", "one.example", "two.example")):
        add(site, f"{number}.md", NOON + number * HOUR, provider={"domain": domain})
    site.run(NOON + DAY)
    assert site.titles("picks") == ["2.md", "1.md"]


def test_twenty_times_the_limit_are_considered_for_other_providers(site: SiteFolder) -> None:
    site.configure(SHORT + table("per_provider = 1", "limit = 2"))
    providers(site, "c", "b", *["a"] * 39)
    site.run(NOON + 9 * DAY)
    assert site.titles("picks") == ["40", "1"]
    providers(site, "a", start=NOON + 5 * DAY)
    site.run(NOON + 9 * DAY)
    assert site.titles("picks") == ["0"]
    assert len(archive_ids(site.documents(), "picks/atom.xml")) == 42


def test_per_provider_applies_to_new_entries_too(site: SiteFolder) -> None:
    site.run_with(table("per_provider = 2", "limit = 3"), NOON)
    providers(site, *"aaabcdef")
    site.run(NOON + 9 * HOUR)
    assert site.titles("picks") == ["7", "6", "5", "4", "3", "2", "1"]


def test_a_full_provider_pushes_its_oldest_entry_into_a_page_and_no_page_is_rewritten(site: SiteFolder) -> None:
    site.configure(SHORT + table("per_provider = 2", "limit = 5"))
    providers(site, *"abab")
    site.run(NOON + DAY)
    sealed: dict[str, bytes] = {}
    for number in range(6):
        providers(site, "a", start=NOON + (number + 2) * DAY)
        site.run(NOON + (number + 2) * DAY)
        documents = site.documents()
        assert len(site.titles("picks")) == 4
        assert len(archive_ids(documents, "picks/atom.xml")) == 5 + number
        assert {path: documents[path] for path in sealed} == sealed
        sealed = pages(site, "picks")
    site.run_with(SHORT + table("limit = 5"), NOON + 9 * DAY)
    assert len(site.titles("picks")) == 5
    assert {path: body for path, body in pages(site, "picks").items() if path in sealed} == sealed


# order


def test_entries_are_ordered_and_chosen_by_published_date(site: SiteFolder) -> None:
    site.run_with(SHORT + table('order = "published"', "limit = 3"), NOON)
    for name, days in (("a", 3), ("b", 1), ("c", 9), ("d", 2)):
        add(site, f"{name}.md", NOON - days * DAY, title=name)
        site.run(NOON + HOUR)
    add(site, "e.md", title="e")
    site.run(NOON + 2 * HOUR)
    assert site.titles("picks") == ["e", "b", "d"]
    assert site.titles() == ["e", "b", "d", "a", "c"]
    assert len(archive_ids(site.documents(), "picks/atom.xml")) == 5


@pytest.mark.both_databases
def test_many_entries_at_once_are_ordered_anew_and_leave_and_return(site: SiteFolder) -> None:
    names = [f"{number:02}.md" for number in range(12)]

    def run(now: datetime, order: str = "released", **fields: Any) -> list[str]:
        site.configure(SHORT + table(f'order = "{order}"', 'type.any = ["news"]'))
        for number, name in enumerate(names):
            add(site, name, NOON - number * HOUR, **{"type": "news"} | fields)
        site.run(now)
        return site.titles("picks")

    site.run(NOON - DAY)
    assert sorted(run(NOON)) == names
    assert run(NOON + HOUR, order="published") == names
    assert run(NOON + 2 * HOUR, order="published", type="video") == []
    assert run(NOON + 3 * HOUR, order="published") == names
    assert run(NOON + 4 * HOUR, order="published", draft=True) == []
    assert run(NOON + 5 * HOUR, order="published") == names


def test_a_changed_order_applies_to_all_entries_and_can_be_undone(site: SiteFolder) -> None:
    site.run(NOON)
    for number, days in enumerate((1, 9, 4)):
        add(site, f"{number}.md", NOON - days * DAY)
        site.run(NOON + number * HOUR)
    released = [f"{number}.md" for number in (2, 1, 0)]
    site.run_with(SHORT + table(), NOON + 4 * HOUR)
    assert site.titles("picks") == released
    add(site, "2.md", NOON - 4 * DAY, published=False)
    site.run(NOON + 5 * HOUR)
    site.run_with(SHORT + table('order = "published"'), NOON + 6 * HOUR)
    add(site, "2.md", NOON - 4 * DAY)
    site.run(NOON + 7 * HOUR)
    assert site.titles("picks") == ["0.md", "2.md", "1.md"]
    add(site, "1.md", NOON - 9 * DAY, published=False)
    site.run(NOON + 8 * HOUR)
    site.run_with(SHORT + table(), NOON + 9 * HOUR)
    add(site, "1.md", NOON - 9 * DAY)
    site.run(NOON + 10 * HOUR)
    assert site.titles("picks") == released


def test_a_new_entry_is_shown_below_the_limit_for_min_stay(site: SiteFolder) -> None:
    site.configure(table('order = "published"', "limit = 2"))
    for number in range(7):
        add(site, f"{number}.md", NOON - (10 - number) * DAY)
    site.run(NOON)
    assert site.titles("picks") == ["6.md", "5.md"]
    add(site, "late.md", NOON - 6.5 * DAY)
    add(site, "later.md", NOON - 20 * DAY)
    site.run(NOON + HOUR)
    assert site.titles("picks") == ["6.md", "5.md", "late.md"]
    add(site, "new.md", NOON + 2 * DAY)
    site.run(NOON + 2 * DAY)
    assert site.titles("picks") == ["new.md", "6.md"]
    assert len(archive_ids(site.documents(), "picks/atom.xml")) == 10


# duplicates

VARIANTS = (
    "https://www.example.org/story?id=7",
    "http://example.org/story/?id=7#comments",
    "https://Example.org:443/story?utm_source=x&id=7&fbclid=1",
)
OTHER = "https://example.org/story?id=8"


@pytest.mark.parametrize(
    "url",
    [
        *VARIANTS,
        "https://example.org/story?id=7&UTM_Medium=mail",
        "https://example.org/st%6Fry?&id=7",
        "https://example.org./story/?id=7&mc_cid=3&gclid=",
    ],
)
def test_links_with_the_same_canonical_link_are_duplicates(url: str) -> None:
    assert canonical_link(url) == "example.org/story?id=7"
    assert link_key(url) == link_key(VARIANTS[0])


@pytest.mark.parametrize(
    "url",
    [
        OTHER,
        "https://example.org/Story?id=7",
        "https://news.example.org/story?id=7",
        "https://example.org:8443/story?id=7",
        "https://example.org/story?id=7&page=2",
        "https://example.org/story?page=2&id=7",
        "https://example.org/story#!/7",
        "https://example.org/story%2F?id=7",
        "https://[bad/story?id=7",
    ],
)
def test_links_that_may_name_different_pages_are_no_duplicates(url: str) -> None:
    assert link_key(url) != link_key(VARIANTS[0])
    assert canonical_link("https://e.example/?a=1&b=2") != canonical_link("https://e.example/?b=2&a=1")
    assert link_key(None) is None


MERGE = SHORT + table('duplicates = "merge"')


@pytest.mark.both_databases
def test_the_first_released_entry_represents_the_others_and_shows_their_links(site: SiteFolder) -> None:
    site.run_with(MERGE, NOON)
    for number, link in enumerate((*VARIANTS, VARIANTS[0], OTHER)):
        add(site, f"{number}.md", NOON + number * HOUR, webUrl=link)
        site.run(NOON + number * HOUR)
        assert len(related(site)["0.md"]) == min(number, 2)
    add(site, "5.md")
    add(site, "6.md")
    site.run(NOON + 9 * HOUR)
    assert site.titles("picks") == ["6.md", "5.md", "4.md", "0.md"]
    assert related(site)["0.md"] == [link.replace("Example", "example") for link in VARIANTS[1:]]
    assert len(site.titles()) == 7
    assert not any(related(site, "all").values())
    assert site.members("picks")["1.md"] == "duplicates"
    assert site.run(NOON + DAY).files_written == 0


@pytest.mark.both_databases
def test_the_next_entry_represents_the_others_when_the_first_leaves(site: SiteFolder) -> None:
    site.run_with(SHORT + table('duplicates = "merge"', 'topics.any = ["AI"]'), NOON)
    for number, link in enumerate(VARIANTS):
        add(site, f"{number}.md", NOON + number * HOUR, webUrl=link, topics=["AI"])
        site.run(NOON + number * HOUR)
    assert inside(site) == {"0.md"}
    add(site, "0.md", NOON, webUrl=VARIANTS[0], topics=["AI"], published=False)
    site.run(NOON + 4 * HOUR)
    assert inside(site) == {"1.md"}
    assert len(related(site)["1.md"]) == 1
    add(site, "1.md", NOON + HOUR, webUrl=VARIANTS[1], topics=["Maps"])
    site.run(NOON + 5 * HOUR)
    assert inside(site) == {"2.md"}
    assert related(site) == {"2.md": []}
    assert site.members("picks") == {"0.md": "withdrawn", "1.md": "topics.any", "2.md": None}
    add(site, "0.md", NOON, webUrl=VARIANTS[0], topics=["AI"])
    add(site, "1.md", NOON + HOUR, webUrl=OTHER, topics=["AI"])
    site.run(NOON + 6 * HOUR)
    assert inside(site) == {"0.md", "1.md"}
    add(site, "0.md", NOON, webUrl=OTHER, topics=["AI"])
    site.run(NOON + 7 * HOUR)
    assert inside(site) == {"0.md", "2.md"}
    site.remove("0.md")
    site.run(NOON + 8 * HOUR)
    assert inside(site) == {"1.md", "2.md"}


def test_an_edit_of_a_duplicate_shows_in_the_entry_that_represents_it_and_in_its_page(site: SiteFolder) -> None:
    site.configure(SHORT + table('duplicates = "merge"', "limit = 2"))
    add(site, "a.md", NOON, webUrl=VARIANTS[0])
    for number in range(3):
        add(site, f"{number}.md", NOON + (1 + number) * HOUR, webUrl=f"https://e.example/{number}")
    site.run(NOON + DAY)
    assert site.titles("picks") == ["2.md", "1.md"]
    before = site.documents()
    add(site, "b.md", NOON + 4 * HOUR, webUrl=VARIANTS[1])
    site.run(NOON + DAY)
    after = site.documents()
    changed = {path for path, body in after.items() if path.startswith("picks/") and before.get(path) != body}
    assert changed == {"picks/archive/0001.xml"}
    assert b'rel="related"' in after["picks/archive/0001.xml"]
    add(site, "b.md", NOON + 4 * HOUR, webUrl=VARIANTS[1], title="Told anew")
    site.run(NOON + DAY)
    assert b"Told anew" in site.documents()["picks/archive/0001.xml"]
    add(site, "b.md", NOON + 4 * HOUR, webUrl=VARIANTS[1], title="Told anew", quality=3)
    assert site.run(NOON + DAY).files_written == 0
    site.remove("b.md")
    site.run(NOON + DAY)
    assert site.documents()["picks/archive/0001.xml"] == before["picks/archive/0001.xml"]


@pytest.mark.both_databases
def test_merging_can_be_switched_on_and_off(site: SiteFolder) -> None:
    for number, link in enumerate((*VARIANTS, OTHER)):
        add(site, f"{number}.md", NOON + number * HOUR, webUrl=link)
    site.run_with(SHORT + table(), NOON + DAY)
    assert len(inside(site)) == 4
    before = site.documents()
    site.run_with(MERGE, NOON + DAY)
    assert inside(site) == {"0.md", "3.md"}
    assert site.documents()["all/atom.xml"] == before["all/atom.xml"]
    site.run_with(SHORT + table(), NOON + DAY)
    after = site.documents()
    assert [site.titles("picks"), related(site)["0.md"]] == [["3.md", "2.md", "1.md", "0.md"], []]
    assert after["all/atom.xml"] == before["all/atom.xml"]


def test_without_merging_no_links_are_stored(site: SiteFolder) -> None:
    add(site, "a.md", NOON, webUrl=OTHER)
    site.run_with(SHORT + table(), NOON)
    assert site.rows(select(entry.c.link_key)) == [(None,)]


def test_a_changed_limit_max_age_or_per_provider_rewrites_no_page(site: SiteFolder) -> None:
    site.configure(SHORT + table("limit = 3"))
    for number in range(20):
        add(site, f"{number}.md", NOON + number * HOUR, provider="aabbc"[number % 5])
    site.run(NOON + DAY)
    sealed = pages(site, "picks")
    for number, lines in enumerate(
        (("limit = 5", 'max_age = "1d"'), ("limit = 5", "per_provider = 1"), ("limit = 2",))
    ):
        site.run_with(SHORT + table(*lines), NOON + DAY + number * HOUR)
        now = pages(site, "picks")
        assert {path: now[path] for path in sealed} == sealed
        assert len(archive_ids(site.documents(), "picks/atom.xml")) == 20
        sealed = now
