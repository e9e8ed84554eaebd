"""`aggregator explain`: the fields of a record, its cause, its feeds and its history."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from conftest import SiteFolder, at, record_text, too_deep
from rich.console import Console
from sites import write_files
from sqlalchemy import QueuePool, func, select

from aggregator import cli
from aggregator.cli import explain_feeds, explain_state
from aggregator.cli.explain import explain_record
from aggregator.cli.explain_text import render_explanation
from aggregator.errors import NotFoundError
from aggregator.files import Unreadable
from aggregator.store import events as history
from aggregator.store.events import prune_events
from aggregator.store.schema import event
from aggregator.store.session import Writer, write_meta

NOON, LATER, STILL = "2024-05-01 12:00", "2024-05-01 13:00", "2024-05-01 14:00"
DATE = "2024-05-01T08:00:00Z"
GOOD = '[[feed]]\nslug = "good"\nmin_quality = 60\ntopics.any = ["AI"]\n'


def explain(site: SiteFolder, asked: str, now: str = STILL) -> dict[str, Any]:
    """The facts of --json."""
    return explain_record(site.load_config(), site.store, asked, at(now))


def cause(site: SiteFolder, asked: str, now: str = STILL) -> tuple[bool, str, int | None]:
    answer = explain(site, asked, now)["published"]
    return answer["value"], answer["cause"], answer["line"]


def feeds(site: SiteFolder, asked: str, now: str = STILL) -> dict[str, tuple[bool, str | None]]:
    return {feed["slug"]: (feed["in"], feed["clause"]) for feed in explain(site, asked, now)["feeds"]}


def happened(site: SiteFolder, asked: str) -> list[tuple[str, str, str | None, str | None]]:
    """The history without `stored`: time, what, feed, clause."""
    answer = explain(site, asked)["history"]
    assert answer == sorted(answer, key=lambda event: event["at"])
    return [
        (event["at"][11:16], event["what"], event["feed"], event["clause"])
        for event in answer
        if event["what"] != "stored"
    ]


# fields


def test_each_field_has_its_key_its_line_and_the_value_that_was_understood(site: SiteFolder) -> None:
    site.write(
        "a.md",
        "---\nname: A &amp; B\ntitle:\nexcerpt: Sum\npublishedDateTime: 2024-05-01T10:00:00+02:00\n"
        "topics:\n- AI\n- ai\nprovider: {name: P, secured: xyzzy}\nquality: 7\nheat: no number\nsecured: xyzzy\n---\n",
    )
    site.run(NOON)
    answer = explain(site, "a.md")
    assert [tuple(trace.values())[:4] for trace in answer["fields"] if trace["origin"] == "record"] == [
        ("title", "name", "A & B", 2),
        ("summary", "excerpt", "Sum", 4),
        ("published_at", "publishedDateTime", "2024-05-01T08:00:00Z", 5),
        ("topics", "topics", ["AI"], 7),
        ("provider", "provider", {"name": "P", "domain": ""}, 9),
        ("quality", "quality", 7.0, 10),
        ("heat", "heat", None, 11),
    ]
    assert "xyzzy" not in json.dumps(answer)
    assert any("'heat' is not a number" in problem for problem in answer["problems"])


def test_a_field_that_the_entry_does_not_follow_says_what_readers_see(
    site: SiteFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.record("a.md", publishedDateTime=DATE, id="one")
    site.record("undated.md")
    site.record("draft.md", publishedDateTime=DATE, draft=True)
    site.record("taken.md")
    site.run(NOON)

    def notes(name: str) -> dict[str, tuple[str, str]]:
        fields = explain(site, name)["fields"]
        return {trace["field"]: (trace["origin"], trace["note"]) for trace in fields if trace["note"]}

    assert not any(map(notes, ("a.md", "undated.md", "draft.md")))
    for name in ("a.md", "undated.md", "draft.md"):
        site.record(name, publishedDateTime="2024-04-01T08:00:00Z", id="two", draft=name == "draft.md")
    site.record("taken.md", id="one")
    changed = "a date that changed has no effect"
    keeps = ("record", "has no effect, because the entry keeps the id that it was stored with")
    shown = ("record", f"readers see {DATE}, as at the release; {changed}")
    assert notes("a.md") == {"published_at": shown, "id": keeps}
    assert notes("undated.md")["published_at"] == ("record", f"readers see no date, as at the release; {changed}")
    assert notes("draft.md") == {"id": keeps}
    assert notes("taken.md") == {}
    monkeypatch.setattr("sys.argv", ["aggregator", "explain", "a.md", "--config", str(site.config_file)])
    cli.main()
    lines = capsys.readouterr().out.splitlines()
    row = next(number for number, line in enumerate(lines) if "publishedDateTime" in line)
    assert lines[row + 1].strip().startswith(f"readers see {DATE}")
    site.record("a.md", publishedDateTime="2024-06-01T08:00:00Z")
    early = f"{shown[1]}: the record is public in spite of its date (draft: true hides it)"
    assert notes("a.md") == {"published_at": ("record", early)}
    site.record("a.md")
    assert notes("a.md") == {"published_at": ("store", f"the date at the release; {changed}")}


def test_a_rejected_record_shows_what_was_read_and_its_problem_once(
    site: SiteFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(
        "a.md",
        '---\ntitle: Known\nwebUrl: https://example.org/a\npublished: true\nid: "two\\x7fwords"\n'
        "provider: {name: P}\nheat: hot\nquality: 3\n---\n",
    )
    site.write("b.md", "---\ntitle: Known\npublishedDateTime: soon\ncategory: News\n---\n")
    site.run(NOON)

    def values(name: str) -> dict[str, Any]:
        return {trace["field"]: trace["value"] for trace in explain(site, name)["fields"]}

    assert values("a.md") == {
        "title": "Known",
        "link": "https://example.org/a",
        "published": True,
        "id": None,
        "provider": {"name": "P", "domain": ""},
    }
    assert values("b.md") == {"title": "Known", "published_at": None}
    for name, problem in (("a.md", "'id' cannot be an id"), ("b.md", "'publishedDateTime' is not a date")):
        monkeypatch.setattr("sys.argv", ["aggregator", "explain", name, "--config", str(site.config_file)])
        cli.main()
        shown = capsys.readouterr().out
        assert (shown.count(problem), shown.count("not usable")) == (1, 1)


def test_a_marker_of_an_excerpt_and_a_date_under_a_flag_are_shown_as_they_are_read(site: SiteFolder) -> None:
    site.configure('[records]\npreset = "hugo"\n')
    site.write("posts/a.md", "---\ntitle: A\npublished: 2024-04-01\n---\nText.\n")
    site.run(NOON)
    stated = [trace for trace in explain(site, "posts/a.md")["fields"] if trace["origin"] == "record"]
    assert [(trace["field"], trace["key"], trace["value"]) for trace in stated] == [
        ("title", "title", "A"),
        ("published_at", "published", "2024-04-01T00:00:00Z"),
    ]
    site.configure('[records]\npreset = "jekyll"\n')
    site.write("_posts/2024-04-01-a.md", "---\ntitle: A\nexcerpt_separator: <!--more-->\n---\nText.\n")
    site.run(LATER)
    stated = [trace for trace in explain(site, "_posts/2024-04-01-a.md")["fields"] if trace["origin"] == "record"]
    assert [(trace["field"], trace["value"]) for trace in stated] == [
        ("title", "A"),
        ("excerpt_separator", "<!--more-->"),
    ]


def test_the_date_of_a_url_is_shown_in_its_zone_and_no_date_is_no_field(site: SiteFolder) -> None:
    site.configure('[records]\npreset = "hugo"\nlink_template = "https://e.example/{year}/{month}/{day}/{slug}/"\n')
    lines = {
        "zone": "date: 2024-03-20T01:30:00+05:00\npublishDate: 2024-03-22T10:00:00Z",
        "day": "date: 2024-03-20",
        "wrong": "date: 2024-03-20\nlastmod: nope",
        "flag": "published: true",
        "empty": 'date: ""\nexpiryDate: 0001-01-01T00:00:00Z',
    }
    for name, text in lines.items():
        site.write(f"posts/{name}.md", f"---\ntitle: T\n{text}\n---\nText.\n")
    site.run(NOON)

    def dates(name: str) -> dict[str, Any]:
        fields = explain(site, f"posts/{name}.md")["fields"]
        return {trace["field"]: trace["value"] for trace in fields if trace["field"].endswith(("_at", "_date"))}

    assert dates("zone") == {"link_date": "2024-03-20T01:30:00+05:00", "published_at": "2024-03-22T10:00:00Z"}
    assert dates("day") == {"link_date": "2024-03-20T00:00:00Z", "published_at": "2024-03-20T00:00:00Z"}
    assert dates("wrong") == {**dates("day"), "updated_at": None}
    assert dates("flag") == dates("empty") == {}


# causes


def test_a_published_record_names_its_flag_or_the_default(site: SiteFolder) -> None:
    site.record("flag.md", published=True)
    site.record("none.md")
    site.run(NOON)
    assert cause(site, "flag.md") == (True, "published", 3)
    answer = explain(site, "none.md")["published"]
    assert (answer["value"], answer["cause"]) == (True, "default_published")
    assert answer["file"] == str(site.config_file)


def test_a_config_that_hides_records_without_a_flag_is_named(site: SiteFolder) -> None:
    site.configure("[records]\ndefault_published = false\n")
    site.record("a.md")
    site.run(NOON)
    answer = explain(site, "a.md")["published"]
    line = site.config_file.read_text().splitlines()[answer["line"] - 1]
    assert (answer["value"], answer["cause"], line) == (False, "default_published", "default_published = false")


def test_what_a_generator_hides_is_named(site: SiteFolder) -> None:
    site.configure('[records]\npreset = "hugo"\n')
    site.write("posts/a.md", "---\ntitle: A\ndate: 2024-04-01\nbuild:\n  list: never\n---\nText\n")
    site.write("posts/_index.md", "---\ntitle: Posts\n---\n")
    site.run(NOON)
    assert cause(site, "posts/a.md") == (False, "visibility", 5)
    assert cause(site, "posts/_index.md") == (False, "hidden", None)


def test_new_changed_missing_and_excluded_files_have_their_own_causes(site: SiteFolder) -> None:
    site.record("a.md")
    site.record("gone.md")
    site.run(NOON)
    site.record("new.md")
    site.record("other.txt")
    site.record("a.md", draft=True)
    site.remove("gone.md")
    assert cause(site, "new.md") == (False, "new", None)
    assert cause(site, "other.txt")[1] == "include"
    assert cause(site, "a.md") == (True, "changed", None)
    assert cause(site, "gone.md") == (True, "missing", None)
    site.run(LATER)
    assert cause(site, "gone.md") == (False, "withdrawn", None)
    assert cause(site, "a.md") == (False, "draft", 3)


def test_an_excluded_name_is_explained_by_its_pattern(site: SiteFolder) -> None:
    site.record("a.md")
    site.record("b.sync-conflict-1.md")
    site.run(NOON)
    site.configure('[records]\nexclude = ["*.sync-conflict-*"]\n')
    answer = explain(site, "b.sync-conflict-1.md")["published"]
    assert (answer["value"], answer["cause"]) == (True, "exclude")
    assert answer["reason"] == "its name is excluded by '*.sync-conflict-*'; the next cycle withdraws it"
    assert site.config_file.read_text().splitlines()[answer["line"] - 1].startswith("exclude")
    site.run(LATER)
    assert site.titles("all") == ["a.md"]
    answer = explain(site, "b.sync-conflict-1.md")["published"]
    assert (answer["value"], answer["reason"]) == (False, "its name is excluded by '*.sync-conflict-*'")


def test_a_link_to_a_file_outside_the_scan_is_explained(site: SiteFolder) -> None:
    site.record(".private/secret.md")
    (site.incoming / "x.md").symlink_to(".private/secret.md")
    site.run(NOON)
    assert site.titles("all") == []
    assert cause(site, "x.md") == (False, "link", None)


def test_a_stale_entry_is_still_published_and_the_rejection_is_named(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    site.record("a.md", publishedDateTime="never")
    site.run(LATER)
    answer = explain(site, "a.md")["published"]
    assert (answer["value"], answer["cause"], answer["line"]) == (True, "rejected", 3)
    assert "as it was before" in answer["reason"]


def test_entries_that_a_mass_removal_keeps_are_explained(site: SiteFolder) -> None:
    names = [f"{number}.md" for number in range(30)]
    for name in names:
        site.record(name)
    site.run(NOON)
    site.remove(*names[:25])
    site.run("2024-05-01 12:01")
    assert cause(site, "3.md", "2024-05-01 12:02") == (True, "mass_removal", None)


def test_a_missing_file_that_may_be_where_nothing_can_be_read_is_said_to_stay(site: SiteFolder) -> None:
    site.configure(f'[records]\npath = "{site.incoming}"\n')
    site.record("a.md")
    site.record("b.md")
    site.run(NOON)
    place = too_deep(site.incoming)
    (site.incoming / "a.md").rename(place / "a.md")
    maybe = r"yes, its file is missing.*, and may be in d[^ ]+, which cannot be read, so "
    accept = re.escape("(if it is meant, run: aggregator build --accept-removals)")
    assert re.fullmatch(rf"{maybe}the next cycle keeps its entry for 10 min {accept}", reason(site, "a.md"))
    site.run(LATER)
    stays = rf"{maybe}its entry stays until 2024-05-01 13:10:00\+00:00 {accept}"
    assert re.fullmatch(stays, reason(site, "a.md", "2024-05-01 13:09"))
    assert cause(site, "a.md", "2024-05-01 13:09") == (True, "missing", None)


def reason(site: SiteFolder, asked: str, now: str = STILL) -> str:
    answer = explain(site, asked, now)["published"]
    return ("yes, " if answer["value"] else "no, ") + answer["reason"]


def test_what_is_said_of_removals_is_what_the_next_cycle_does(site: SiteFolder) -> None:
    site.configure(f'[records]\npath = "{site.incoming}"\n')
    for number in range(30):
        site.record(f"d/{number}.md")
    for name in ("a.md", "b.md"):
        site.record(name)
    site.run(NOON)
    accept = "(if it is meant, run: aggregator build --accept-removals)"
    keeps = f"so the next cycle keeps its entry for 10 min {accept}"
    stays = f"with many others, so its entry stays until 2024-05-01 13:10:00+00:00 {accept}"
    site.remove("a.md")
    once = "the next cycle withdraws it, unless a new file is the same record"
    assert reason(site, "a.md") == f"yes, its file is missing; {once}"
    site.configure(f'[records]\npath = "{site.incoming}"\nexclude = ["d/*"]\n')
    excluded = "its path is excluded by 'd/*'"
    assert reason(site, "d/1.md") == f"yes, {excluded}, with 31 of 32 files, {keeps}"
    assert reason(site, "a.md") == f"yes, its file is missing, with 31 of 32 files, {keeps}"
    assert site.run(LATER).removed == 0
    assert reason(site, "d/1.md", "2024-05-01 13:09") == f"yes, {excluded}, {stays}"
    assert reason(site, "a.md", "2024-05-01 13:09") == f"yes, its file is missing since {LATER}:00+00:00, {stays}"
    assert reason(site, "d/1.md", "2024-05-01 13:10") == f"yes, {excluded}; the next cycle withdraws it"
    assert site.run("2024-05-01 13:10").removed == 31
    assert reason(site, "d/1.md") == f"no, {excluded}"
    site.configure(f'[records]\npath = "{site.incoming}"\n')
    site.record("a.md")
    assert reason(site, "d/1.md") == "no, the config reads it again; the next cycle decides"
    assert reason(site, "a.md") == "no, its file is back; the next cycle decides"
    site.incoming.rename(site.root / "away")
    assert reason(site, "b.md") == f"yes, its file is missing, with 1 of 1 files, {keeps}"


def test_removals_that_are_few_again_are_not_held_any_longer(site: SiteFolder) -> None:
    for number in range(30):
        site.record(f"a{number}.md")
    site.run(NOON)
    site.configure('[records]\nexclude = ["a*"]\n')
    assert site.run(LATER).removed == 0
    site.configure('[records]\nexclude = ["a2.md"]\n')
    soon = "2024-05-01 13:01"
    assert reason(site, "a2.md", soon) == "yes, its name is excluded by 'a2.md'; the next cycle withdraws it"
    assert site.run(soon).removed == 1


def test_the_few_files_of_another_folder_stay_as_long_as_the_cycle_keeps_them(site: SiteFolder) -> None:
    site.record("a.md")
    site.record("b.md")
    site.run(NOON)
    site.incoming.rename(site.root / "disk")
    site.incoming.mkdir()
    accept = "(if it is meant, run: aggregator build --accept-removals)"
    assert reason(site, "a.md").endswith(f"with 2 of 2 files, so the next cycle keeps its entry for 10 min {accept}")
    assert site.run(LATER).removed == 0
    assert "so its entry stays until 2024-05-01 13:10:00" in reason(site, "a.md", "2024-05-01 13:09")


def test_a_file_that_cannot_be_read_stands_for_no_other(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a.md", "b/c.md", *(f"a.md{number}.md" for number in range(30))]
    for name in names:
        site.record(name)
    site.run(NOON)
    site.remove(*names)
    unread = [Unreadable("a.md", "it cannot be read"), Unreadable("b/", "it cannot be read")]
    monkeypatch.setattr(explain_state, "list_records", lambda _source: unread)
    assert "with 30 of 32 files" in reason(site, "a.md1.md")


def test_a_default_that_hides_what_is_published_says_that_the_next_cycle_withdraws_it(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    site.configure("[records]\ndefault_published = false\n")
    text = "no flag in the record, and default_published is false"
    assert reason(site, "a.md") == f"yes, {text}; the next cycle withdraws it"
    site.run(LATER)
    assert reason(site, "a.md") == f"no, {text}"


def test_a_record_of_a_source_that_the_config_no_longer_names_is_explained(site: SiteFolder) -> None:
    one = f'[[records]]\npath = "{site.incoming}"\n'
    site.configure(f'{one}[[records]]\nname = "two"\npath = "{site.root / "two"}"\n')
    site.record("a.md")
    write_files(site.root / "two", {"z.md": "---\ntitle: Z\ntopics: [AI]\nwebUrl: https://e.example/z\n---\n"})
    site.run(NOON)
    entry_id = site.ids()["Z"]
    site.configure(one)
    text = "its [[records]] 'two' is not in the config any more"
    accept = "(if it is meant, run: aggregator build --accept-removals)"
    for asked in ("two/z.md", str(site.root / "two/z.md"), entry_id, "https://e.example/z"):
        assert reason(site, asked) == f"yes, {text}, so the next cycle keeps its entry for 10 min {accept}"
    site.run(LATER)
    answer = explain(site, entry_id, LATER)
    assert (answer["path"], answer["title"], answer["published"]["cause"]) == ("two/z.md", "Z", "records")
    assert answer["published"]["reason"] == f"{text}, so its entry stays until 2024-05-01 13:10:00+00:00 {accept}"
    assert [(feed["slug"], feed["in"]) for feed in answer["feeds"]] == [("all", True), ("ai", True)]
    site.run("2024-05-01 13:10")
    assert reason(site, entry_id) == reason(site, "two/z.md") == f"no, {text}"


# feeds


@pytest.mark.both_databases
def test_every_feed_names_a_clause_and_its_line_in_the_config(site: SiteFolder) -> None:
    site.configure(
        GOOD
        + '[[feed]]\nslug = "video"\ntype = { any = ["video"] }\n'
        + '[[feed]]\nslug = "no-maps"\ntopics = { none = [\n  "Maps",\n] }\n'
        + '[[feed]]\nslug = "everything"\n'
    )
    site.record("a.md", topics=["AI", "Maps"], quality=50, type="article", publishedDateTime=DATE)
    site.run(NOON)
    found = explain(site, "a.md")["feeds"]
    lines = ["", *site.config_file.read_text().splitlines()]
    assert [(feed["slug"], feed["in"], feed["clause"]) for feed in found] == [
        ("all", True, "default_published"),
        ("ai", True, "topic"),
        ("maps", True, "topic"),
        ("good", False, "min_quality"),
        ("video", False, "type.any"),
        ("no-maps", False, "topics.none"),
        ("everything", True, None),
    ]
    assert [lines[feed["line"]] for feed in found[3:]] == [
        "min_quality = 60",
        'type = { any = ["video"] }',
        "topics = { none = [",
        'slug = "everything"',
    ]
    assert [feed["shown"] for feed in found] == [True, True, True, False, False, False, True]
    assert found[1]["file"].endswith("a.md")


def test_a_member_names_the_clause_that_takes_it_in(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=70)
    site.run(NOON)
    assert feeds(site, "a.md")["good"] == (True, "topics.any")


def test_only_another_config_is_rehearsed_and_no_transaction_is_open_meanwhile(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed, rehearse = list[int](), explain_feeds.rehearse

    def counted(*given: Any, **options: Any) -> Any:
        pool = site.store.engine.pool
        assert isinstance(pool, QueuePool)
        rehearsed.append(pool.checkedout())
        return rehearse(*given, **options)

    monkeypatch.setattr(explain_feeds, "rehearse", counted)
    site.record("a.md")
    site.run(NOON)
    with site.store.write() as connection:
        write_meta(connection, "shape", "of another version")
    assert feeds(site, "a.md")["all"][0]
    assert rehearsed == []
    site.configure(GOOD)
    assert feeds(site, "a.md")["all"][0]
    assert rehearsed == [0]


def test_a_rule_that_is_not_active_yet_is_evaluated_and_marked_pending(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=70)
    site.run(NOON)
    site.configure(GOOD.replace("60", "80"))
    answer = {feed["slug"]: feed for feed in explain(site, "a.md")["feeds"]}["good"]
    assert (answer["in"], answer["clause"], answer["pending"]) == (False, "min_quality", True)


def test_a_topic_without_a_feed_says_why(site: SiteFolder) -> None:
    site.configure('[topics]\nmin_entries = 2\nmax_feeds = 1\n[[feed]]\nslug = "taken"\n')
    site.record("a.md", topics=["AI", "New", "Zed", "Taken"], publishedDateTime=DATE)
    site.record("b.md", topics=["AI", "Zed"], publishedDateTime=DATE)
    site.run(NOON)
    found = {feed["slug"]: feed for feed in explain(site, "a.md")["feeds"]}
    lines = ["", *site.config_file.read_text().splitlines()]
    assert {slug: (feed["in"], feed["clause"], feed["note"]) for slug, feed in found.items()} == {
        "all": (True, "default_published", None),
        "ai": (True, "topic", None),
        "new": (False, "topics.min_entries", "the topic has 1 of 2 entries"),
        "zed": (False, "topics.max_feeds", "the limit of 1 is reached"),
        "taken": (True, None, None),
    }
    assert [lines[found[slug]["line"]] for slug in ("new", "zed")] == ["min_entries = 2", "max_feeds = 1"]
    site.configure("[topics]\nauto = false\n")
    for is_pending in (True, False):
        verdicts = {
            feed["slug"]: (feed["in"], feed["clause"], feed["pending"]) for feed in explain(site, "b.md")["feeds"]
        }
        ended = {"taken": (False, None, True)} if is_pending else {}
        assert verdicts == ended | {
            "all": (True, "default_published", False),
            "ai": (False, "topics.auto", is_pending),
            "zed": (False, "topics.auto", False),
        }
        site.run(LATER)


@pytest.mark.parametrize("table", ['[topics.alias]\n"A.I." = "AI"\n', '[topics.parent]\nOslo = "Norway"\n'])
def test_a_new_table_of_topics_is_tried_as_the_next_cycle_uses_it(site: SiteFolder, table: str) -> None:
    site.record("a.md", topics=["A.I.", "Oslo"], publishedDateTime=DATE)
    site.record("b.md", topics=["AI"], publishedDateTime=DATE)
    site.run(NOON)
    site.configure(table)

    def verdicts(*, pending: bool) -> dict[str, tuple[bool, str | None]]:
        found = explain(site, "a.md")["feeds"]
        assert any(feed["pending"] for feed in found) == pending
        return {feed["slug"]: (feed["in"], feed["note"]) for feed in found}

    tried = verdicts(pending=True)
    assert ("norway" in tried) == ("parent" in table)
    if "alias" in table:
        assert (tried["ai"], tried.pop("a-i")) == ((True, None), (False, "it redirects to ai"))
    site.run(LATER)
    assert verdicts(pending=False) == tried


def test_a_feed_names_the_entries_that_it_shows_instead(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "once"\nduplicates = "merge"\n[[feed]]\nslug = "prov"\nper_provider = 1\n')
    for name, hour in (("a.md", 8), ("b.md", 9)):
        date = f"2024-05-01T0{hour}:00:00Z"
        site.record(name, webUrl="https://e.example/same", provider="P", publishedDateTime=date)
    site.run(NOON)
    notes = {
        name: {feed["slug"]: (feed["in"], feed["note"]) for feed in explain(site, name)["feeds"]}
        for name in ("a.md", "b.md")
    }
    first, second = (str(site.incoming / name) for name in ("a.md", "b.md"))
    assert (notes["a.md"]["once"], notes["b.md"]["once"]) == ((True, None), (False, f"{first} represents it"))
    assert notes["a.md"]["prov"] == (False, f"of its provider are shown: {second}")


def test_the_rows_of_feeds_read_as_answers(
    site: SiteFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure('[topics]\nmin_entries = 2\n[[feed]]\nslug = "every"\n')
    site.record("a.md", published=True, topics=["New"])
    site.record("b.md", published=False)
    site.run(NOON)

    def rows(name: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["aggregator", "explain", name, "--config", str(site.config_file)])
        cli.main()
        below = capsys.readouterr().out.partition("Feeds\n")[2].partition("\n\n")[0]
        return [" ".join(line.split()).partition(f" {site.root}")[0] for line in below.splitlines()]

    assert rows("a.md")[0] == "in all 'published' is true"
    assert "no feed new topics.min_entries, the topic has 1 of 2 entries" in rows("a.md")
    assert "in every takes every entry" in rows("a.md")
    assert rows("b.md")[:2] == ["not in all 'published' is false", "not in every not published"]


def test_an_entry_that_left_the_window_names_its_archive_page(site: SiteFolder) -> None:
    site.configure('[output]\nlimit = 2\nmin_stay = "1s"\n')
    for number in range(7):
        site.record(f"{number}.md", publishedDateTime=f"2024-04-0{number + 1}T00:00:00Z")
    site.run(NOON)
    old, new = (explain(site, name)["feeds"][0] for name in ("0.md", "6.md"))
    assert (old["in"], old["shown"], old["page"]) == (True, False, 1)
    assert (new["in"], new["shown"], new["page"]) == (True, True, None)


# history


@pytest.mark.both_databases
def test_history_has_releases_withdrawals_joins_and_leaves_with_their_clauses(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=50, publishedDateTime=DATE)
    site.run("2024-05-01 09:00")
    first = happened(site, "a.md")
    assert first[0] == ("08:00", "released", None, None)
    assert {event[1:] for event in first[1:]} == {("joined", "all", None), ("joined", "ai", None)}
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 10:00")
    site.record("a.md", topics=["Cars"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 11:00")
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 12:00")
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE, draft=True)
    site.run("2024-05-01 13:00")
    answer = happened(site, "a.md")
    assert ("10:00", "joined", "good", "min_quality") in answer
    assert {event for event in answer if event[0] == "11:00"} == {
        ("11:00", "left", "good", "topics.any"),
        ("11:00", "left", "ai", "topic"),
        ("11:00", "joined", "cars", "topic"),
    }
    assert {event for event in answer if event[0] == "12:00"} == {
        ("12:00", "joined", "good", "topics.any"),
        ("12:00", "joined", "ai", "topic"),
        ("12:00", "left", "cars", "topic"),
    }
    assert [event for event in answer if event[0] == "13:00"] == [("13:00", "withdrawn", None, "flag")]
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 14:00")
    again = happened(site, "a.md")
    assert again[: len(answer)] == answer, "later cycles change no event"
    assert ("14:00", "released", None, None) in again


def test_history_has_the_effect_of_a_changed_rule(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 09:00")
    site.run_with(GOOD.replace("60", "80"), "2024-05-01 10:00")
    site.run_with(GOOD, "2024-05-01 11:00")
    assert [event for event in happened(site, "a.md") if event[2] == "good"] == [
        ("09:00", "joined", "good", None),
        ("10:00", "left", "good", "min_quality"),
        ("11:00", "joined", "good", "min_quality"),
    ]


@pytest.mark.parametrize("reason", ["expired", "missing", "rejected", "flag"])
def test_history_says_why_an_entry_was_withdrawn(site: SiteFolder, reason: str) -> None:
    site.configure('[records]\nfields.expires_at = "gone"\nremoval_grace = "1s"\n')
    site.record("a.md", publishedDateTime=DATE, gone="2024-05-01T12:30:00Z" if reason == "expired" else None)
    site.record("b.md")
    site.run(NOON)
    if reason == "missing":
        site.remove("a.md")
    elif reason != "expired":
        site.record("a.md", published="maybe" if reason == "rejected" else False)
    site.run(LATER)
    assert happened(site, "a.md")[-1] == ("13:00", "withdrawn", None, reason)


def test_history_says_that_the_config_left_out_a_record_and_the_cycle_what_it_leaves_out(site: SiteFolder) -> None:
    two = f'[[records]]\npath = "{site.incoming}"\n[[records]]\nname = "two"\npath = "{site.root / "two"}"\n'
    site.configure(two)
    for number in range(30):
        site.record(f"d/{number}.md")
    site.record("a.md")
    write_files(site.root / "two", {"z.md": "---\ntitle: Z\n---\n"})
    site.run(NOON)
    site.configure(two.replace('"\n[[', '"\nexclude = ["d/*"]\n[[', 1))
    end = "; their entries stay until 2024-05-01 13:10:00+00:00 (if it is meant, run: aggregator build"
    assert f"incoming: include and exclude leave out 30 of 31 files now{end}" in site.run(LATER).problems[0]
    site.remove("a.md")
    text = "31 of 31 files are missing at once, 30 of them because of include and exclude"
    assert f"{text}{end}" in site.run("2024-05-01 13:05").problems[0]
    site.configure(f'[[records]]\npath = "{site.incoming}"\nexclude = ["d/*"]\n')
    site.run("2024-05-01 13:15")
    assert happened(site, "d/7.md")[-1] == ("13:15", "withdrawn", None, "exclude")
    assert happened(site, "a.md")[-1] == ("13:15", "withdrawn", None, "missing")
    site.run("2024-05-01 13:30")
    site.configure(two)
    assert happened(site, "z.md")[-1] == ("13:30", "withdrawn", None, "records")


def test_history_names_the_old_path_of_a_renamed_record_and_how_it_was_recognised(site: SiteFolder) -> None:
    lines = [f"A line that no other record has, number {number}" for number in range(9)]

    def put(path: str, text: list[str], **fields: Any) -> None:
        site.write(path, record_text({"title": "Moves", "publishedDateTime": DATE, **fields}, "\n".join(text)))

    put("a.md", lines)
    site.run("2024-05-01 09:00")
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("b.md", lines, {}),
        ("c.md", lines, {"secured": "other"}),
        ("d.md", ["Another line", *lines], {"webUrl": "https://example.org/a"}),
        ("e.md", ["Everything was written anew"], {"webUrl": "https://example.org/a"}),
    ]
    before = "a.md"
    for hour, (path, text, fields) in enumerate(steps, 10):
        site.remove(before)
        put(path, text, **fields)
        site.run(f"2024-05-01 {hour}:00")
        before = path
    assert [event for event in happened(site, "e.md") if event[1] == "renamed"] == [
        ("10:00", "renamed", None, "was a.md: the same bytes"),
        ("11:00", "renamed", None, "was b.md: the same content"),
        ("12:00", "renamed", None, "was c.md: much of its text"),
        ("13:00", "renamed", None, "was d.md: the same link"),
    ]


def test_first_releases_and_new_feeds_cost_no_rows_of_history(site: SiteFolder) -> None:
    for number in range(20):
        site.record(f"{number}.md", topics=["AI", "Maps"], quality=70, publishedDateTime=DATE)
    site.run(NOON)
    site.run_with(GOOD, LATER)
    assert site.titles("good")
    assert site.rows(select(event)) == []
    assert [event for event in happened(site, "3.md") if event[2] == "good"] == [("13:00", "joined", "good", None)]
    site.remove("0.md")
    site.run(STILL)
    assert len(site.rows(select(event))) == 1


@pytest.mark.both_databases
def test_old_events_are_dropped_in_small_steps(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PRUNED_AT_ONCE", 2)
    for number in range(3):
        site.record(f"{number}.md")
    site.record("stays.md")
    site.run(NOON)
    site.remove("0.md", "1.md", "2.md")
    site.run(LATER)

    def left_at(moment: str) -> int:
        writer = Writer(site.store, at(moment), "feeds.example.org")
        with writer.write() as connection:
            prune_events(connection, writer)
            return connection.scalar(select(func.count()).select_from(event)) or 0

    assert [left_at("2025-06-01 12:00"), left_at("2025-06-06 12:00"), left_at("2025-06-06 12:00")] == [3, 1, 0]
    assert ("13:00", "withdrawn", None, None) in happened(site, "1.md"), "the entry itself remembers the last event"


def test_the_history_names_a_feed_without_a_slug_by_its_topic(site: SiteFolder) -> None:
    site.configure("[topics]\nmin_entries = 2\n")
    site.record("a.md", topics=["Big Data"])
    site.run(NOON)
    site.record("a.md", topics=[])
    site.run(LATER)
    answer = explain(site, "a.md")
    assert [(event["feed"], event["topic"]) for event in answer["history"] if event["what"] == "left"] == [
        (None, "big data")
    ]
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_explanation(answer, UTC))
    assert "left topic 'big data' (has no feed)" in capture.get()


def test_a_narrow_terminal_loses_no_value(site: SiteFolder) -> None:
    site.record("a.md", publishedDateTime=DATE, topics=["A name of some length"])
    site.run(NOON)
    console = Console(width=40)
    with console.capture() as capture:
        console.print(render_explanation(explain(site, "a.md"), UTC))
    shown = re.sub(r"\s", "", capture.get())
    for text in ("publishedDateTime", DATE[:10], "a-name-of-some-length", "Anameofsomelength"):
        assert text in shown, capture.get()


# finding the record


@pytest.mark.both_databases
def test_a_record_is_found_by_path_id_and_link(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    link = "https://example.org/a?page=2&x=1"
    site.record("deep/a.md", webUrl=link, originalUrl="https://other.example/a", id="seven")
    site.record("deep/b.md", webUrl="https://example.org/b")
    site.run(NOON)
    path = explain(site, "deep/a.md")["path"]
    monkeypatch.chdir(site.incoming / "deep")
    for asked in (
        "a.md", "./a.md", str(site.incoming / "deep" / "a.md"), site.ids()["deep/a.md"], "seven", link,
        "https://EXAMPLE.org/a?page=2&utm_source=x&x=1#top", "https://other.example/a",
    ):  # fmt: skip
        answer = explain(site, asked)
        assert answer["title"] == "deep/a.md", asked
        assert answer["others"] == []
    assert path.endswith("deep/a.md")


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "link", ["https://www.example.org/a-b/", "http://example.org/a-b", "https://example.org:443/a-b"]
)
def test_a_record_is_found_by_a_similar_link_if_none_has_the_link(site: SiteFolder, link: str) -> None:
    site.record("a.md", webUrl=link)
    site.record("b.md", webUrl="https://example.org/a-b/c")
    site.run(NOON)
    for asked in ("https://example.org/a-b", "http://www.example.org/a-b/", f"{link}?utm_source=x", f"{link}#top"):
        answer = explain(site, asked)
        assert (answer["title"], answer["similar_link"]) == ("a.md", None if asked == link else link), asked
    assert explain(site, link)["similar_link"] is None
    for asked in ("https://example.org/a-b?x=1", "https://other.example/a-b", "https://example.org/A-B"):
        with pytest.raises(NotFoundError):
            explain(site, asked)
    site.record("c.md", webUrl="http://www.example.org/a-b/")
    site.run(NOON)
    answer = explain(site, "http://www.example.org/a-b/")
    assert (answer["title"], answer["similar_link"]) == ("c.md", None)


@pytest.mark.parametrize(
    "link", ["https://www.example.org/", "https://example.org/?p=7", "https://example.org/%C3%BC/"]
)
def test_a_similar_link_may_have_no_plain_words(site: SiteFolder, link: str) -> None:
    site.record("a.md", webUrl=link)
    site.run(NOON)
    assert explain(site, link.replace("https", "http"))["similar_link"] == link


def test_of_several_records_with_one_link_the_first_is_explained_and_the_others_are_named(site: SiteFolder) -> None:
    for name in ("a.md", "b.md", "c.md"):
        site.record(name, webUrl="https://example.org/same")
    site.run(NOON)
    answer = explain(site, "https://example.org/same?utm_medium=rss")
    assert answer["title"] == "a.md"
    assert [Path(path).name for path in answer["others"]] == ["b.md", "c.md"]


def test_the_rejected_duplicate_of_an_id_is_named_beside_its_holder(site: SiteFolder) -> None:
    site.record("a.md", id="same")
    site.record("b.md", id="same")
    site.run(NOON)
    answer = explain(site, "same")
    assert (answer["title"], [Path(path).name for path in answer["others"]]) == ("a.md", ["b.md"])


def test_an_unknown_record_is_an_error_that_names_the_records_folders(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    for asked in ("nothing.md", "https://example.org/none", "../../../etc/passwd", ".", ""):
        with pytest.raises(NotFoundError, match="incoming"):
            explain(site, asked)


@pytest.mark.both_databases
def test_explaining_writes_nothing_and_needs_no_lease(site: SiteFolder) -> None:
    site.record("a.md", topics=["AI"])
    site.run(NOON)
    before = site.stored()
    site.store.lease.release()
    explain(site, "a.md")
    assert site.stored() == before


# what is to be changed

FEEDS = """
[records]
default_published = false
fields.expires_at = "expires"
[[feed]]
slug = "best"
min_quality = 90
[[feed]]
slug = "no-apps"
topics.none = ["Power Apps"]
[[feed]]
slug = "videos"
type = { any = ["video"] }
[[feed]]
slug = "elsewhere"
provider.any = ["example.org"]
"""

CAUSES = [
    # fields of a record, the feed, the clause that keeps it out, the line that would let it in
    ({"published": False}, "all", "published", "published: true"),
    ({"draft": True}, "all", "draft", "draft: false"),
    ({"deleted": True}, "all", "deleted", "deleted: false"),
    ({"removed": True}, "all", "removed", "removed: false"),
    ({"publishedDateTime": "2031-01-01T00:00:00Z"}, "all", "scheduled", "publishedDateTime: 2021-01-01T00:00:00Z"),
    ({"publishedDateTime": "next week"}, "all", "rejected", "publishedDateTime: 2021-01-01T00:00:00Z"),
    ({"published": "certainly"}, "all", "rejected", "published: true"),
    ({"expires": "2022-01-01T00:00:00Z"}, "all", "expired", "expires: 2032-01-01T00:00:00Z"),
    ({"id": "taken"}, "all", "duplicate", "id: free"),
    ({"published": None}, "all", "default_published", "default_published = true"),
    ({"published": False}, "best", "published", "published: true"),
    ({"quality": 42}, "best", "min_quality", "min_quality = 42"),
    ({}, "no-apps", "topics.none", 'topics.none = ["Cars"]'),
    ({}, "videos", "type.any", 'type = { any = ["article"] }'),
    ({}, "elsewhere", "provider.any", 'provider.any = ["microsoft.com"]'),
]


@pytest.mark.parametrize(("fields", "slug", "clause", "line"), CAUSES)
def test_the_cause_that_is_named_is_the_one_to_change(
    site: SiteFolder, fields: dict[str, Any], slug: str, clause: str, line: str
) -> None:
    def ask(now: str) -> tuple[dict[str, Any], dict[str, Any]]:
        answer = explain(site, "a.md", now)
        return answer, next(feed for feed in answer["feeds"] if feed["slug"] == slug)

    site.configure(FEEDS)
    site.record("0.md", id="taken", published=True)
    usual = {"published": True, "type": "article", "topics": ["Power Apps"], "quality": 95, "provider": "microsoft.com"}
    site.record("a.md", **{key: value for key, value in (usual | fields).items() if value is not None})
    site.run(NOON)
    answer, verdict = ask(NOON)
    assert (verdict["in"], verdict["clause"]) == (False, clause)
    assert slug != "all" or verdict.items() >= {key: answer["published"][key] for key in ("file", "line")}.items()
    named = Path(verdict["file"])
    lines = named.read_text().splitlines()
    lines[verdict["line"] - 1] = line
    site.close()
    named.write_text("\n".join(lines))
    site.run(LATER)
    answer, verdict = ask(LATER)
    assert (verdict["in"], answer["published"]["value"]) == (True, True)
    assert answer["id"] in site.ids(slug).values()


def test_all_clauses_that_keep_an_entry_out_are_named_and_a_hidden_record_lists_the_feeds_of_its_topics(
    site: SiteFolder,
) -> None:
    site.configure(
        '[[feed]]\nslug = "gpu"\nprovider = { none = ["Gossip"] }\nmin_quality = 10\ntext = { any = ["GPU"] }\n'
    )
    site.record("a.md", topics=["AI"], provider="Gossip", title="Chips")
    site.record("draft.md", topics=["AI", "New"], draft=True)
    site.run(NOON)
    answer = next(feed for feed in explain(site, "a.md")["feeds"] if feed["slug"] == "gpu")
    assert [answer["clause"], *answer["also"]] == ["provider.none", "min_quality", "text.any"]
    assert feeds(site, "draft.md") == {"all": (False, "draft"), "ai": (False, "draft"), "gpu": (False, "draft")}


def test_history_keeps_the_order_of_events_in_one_cycle(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "merged"\nduplicates = "merge"\n')
    for name in ("a.md", "b.md"):
        site.record(name, webUrl="https://e.example/same", publishedDateTime="2024-01-01T00:00:00Z")
    site.run(NOON)
    assert [(what, feed, clause) for _, what, feed, clause in happened(site, "b.md")][-3:] == [
        ("joined", "all", None),
        ("joined", "merged", None),
        ("left", "merged", "duplicates"),
    ]


def test_history_keeps_the_first_time_in_a_feed_that_merges(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "merged"\nduplicates = "merge"\n')
    for name, hour in (("a.md", 8), ("b.md", 9)):
        site.record(name, webUrl="https://e.example/same", publishedDateTime=f"2024-01-01T0{hour}:00:00Z")
    site.run(NOON)
    site.record("a.md", webUrl="https://e.example/other", publishedDateTime="2024-01-01T08:00:00Z")
    site.run(LATER)
    assert [event for event in happened(site, "b.md") if event[2] == "merged"] == [
        ("12:00", "joined", "merged", None),
        ("12:00", "left", "merged", "duplicates"),
        ("13:00", "joined", "merged", "duplicates"),
    ]


def test_history_has_the_time_at_which_an_entry_reached_max_age(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "young"\nmax_age = "10d"\n')
    site.record("a.md", publishedDateTime="2024-05-01T00:00:00Z")
    site.run("2024-05-02 00:00")
    site.run("2024-05-12 00:00")
    answer = explain(site, "a.md", "2024-05-12T00:00:00Z")
    assert [(event["at"], event["what"], event["feed"], event["clause"]) for event in answer["history"]][-1] == (
        "2024-05-11T00:00:00Z",
        "left",
        "young",
        "max_age",
    )


def test_a_topic_of_the_source_is_placed_in_the_config(site: SiteFolder) -> None:
    site.configure(f'[records]\npath = "{site.incoming}"\ntopics = ["Everywhere"]\n')
    site.record("a.md", topics=["AI"])
    site.run(NOON)
    answer = {feed["slug"]: feed for feed in explain(site, "a.md")["feeds"]}
    assert answer["ai"]["file"].endswith("a.md")
    assert answer["everywhere"]["file"].endswith("aggregator.toml")
    assert next(trace for trace in explain(site, "a.md")["fields"] if trace["field"] == "topics")["value"] == ["AI"]


# origins


def origins(site: SiteFolder, asked: str) -> set[tuple[str, str | None, str, str]]:
    """Field, key, value and origin of each field that the front matter does not state."""
    answer = explain(site, asked)["fields"]
    assert all((trace["file"] or "").endswith(".toml" if trace["origin"] == "config" else ".md") for trace in answer)
    return {
        (trace["field"], trace["key"], json.dumps(trace["value"]), trace["origin"])
        for trace in answer
        if trace["origin"] != "record"
    }


def test_fields_without_a_key_have_their_origin(site: SiteFolder) -> None:
    site.configure(
        '[records]\npreset = "jekyll"\ntopics = ["Everywhere"]\nlanguage = "de"\n'
        'link_template = "https://example.org/{year}/{slug}/"\ndefault_published = true\n'
    )
    site.write("tech/_posts/2024-04-30-a-title.md", "---\ntags: [AI]\nslug: short\n---\nThe *first* words.\n")
    site.run(NOON)
    assert origins(site, "tech/_posts/2024-04-30-a-title.md") == {
        ("title", None, '"A Title"', "path"),
        ("summary", None, '"The first words."', "body"),
        ("link", "link_template", '"https://example.org/2024/short/"', "config"),
        ("published_at", None, '"2024-04-30T00:00:00Z"', "path"),
        ("topics", None, '["tech"]', "path"),
        ("topics", "topics", '["Everywhere"]', "config"),
        ("language", "language", '"de"', "config"),
        ("published", "default_published", "true", "config"),
    }
    answer = explain(site, "tech/_posts/2024-04-30-a-title.md")["fields"]
    lines = {feed["slug"]: feed["line"] for feed in explain(site, "tech/_posts/2024-04-30-a-title.md")["feeds"]}
    assert (lines["ai"], lines["tech"]) == (2, None)
    stated = {trace["field"]: (trace["value"], trace["line"]) for trace in answer if trace["origin"] == "record"}
    assert stated == {"topics": (["AI"], 2), "slug": ("short", 3)}
    lines = site.config_file.read_text().splitlines()
    placed = {
        trace["key"]: lines[trace["line"] - 1].partition(" ")[0] for trace in answer if trace["origin"] == "config"
    }
    assert placed == {key: key for key in ("link_template", "language", "topics", "default_published")}


def test_a_link_and_a_date_from_the_key_of_another_field_name_that_key(site: SiteFolder) -> None:
    site.configure('[records]\npreset = "hugo"\nlanguages = ["de"]\n')
    site.write(
        "posts/name.de.md",
        "---\ntitle: T\nurl: https://example.org/2024/there/\nlastmod: 2024-04-02T00:00:00Z\n---\nText.\n",
    )
    site.run(NOON)
    answer = {
        trace["field"]: (trace["key"], trace["value"], trace["line"])
        for trace in explain(site, "posts/name.de.md")["fields"]
    }
    assert answer["link"] == ("url", "https://example.org/2024/there/", 3)
    assert answer["path"] == ("url", "https://example.org/2024/there/", 3)
    assert answer["published_at"] == ("lastmod", "2024-04-02T00:00:00Z", 4)
    assert answer["language"] == (None, "de", None)


def test_a_flag_that_is_false_is_a_cause(site: SiteFolder) -> None:
    site.record("a.md", draft=False)
    site.run(NOON)
    answer = explain(site, "a.md")["published"]
    assert (answer["value"], answer["cause"], answer["line"]) == (True, "draft", 3)
    assert answer["reason"] == "'draft' is false, no 'published' is there, and default_published is true"
    site.run_with("[records]\ndefault_published = false\n", LATER)
    answer = explain(site, "a.md")["published"]
    assert (answer["value"], answer["cause"]) == (False, "default_published")
    assert answer["reason"] == "'draft' is false, no 'published' is there, and default_published is false"


def test_the_feed_of_a_parent_names_the_line_of_topics_parent(site: SiteFolder) -> None:
    site.configure('[topics.parent]\n"Canvas  Apps" = "Power Apps"\n"Power Apps" = "Microsoft"\n')
    site.record("a.md", topics=["Canvas apps"])
    site.record("b.md", topics=["Canvas apps", "Power Apps"])
    site.run(NOON)
    lines = ["", *site.config_file.read_text().splitlines()]
    answer = {feed["slug"]: feed for feed in explain(site, "a.md")["feeds"]}
    assert {slug: feed["clause"] for slug, feed in answer.items()} == {
        "all": "default_published",
        "canvas-apps": "topic",
        "power-apps": "topics.parent",
        "microsoft": "topics.parent",
    }
    assert lines[answer["power-apps"]["line"]] == '"Canvas  Apps" = "Power Apps"'
    assert lines[answer["microsoft"]["line"]] == '"Power Apps" = "Microsoft"'
    assert answer["microsoft"]["file"] == str(site.config_file)
    answer = {feed["slug"]: feed for feed in explain(site, "b.md")["feeds"]}
    assert (answer["power-apps"]["clause"], answer["power-apps"]["line"]) == ("topic", 3)


def test_each_feed_is_listed_once(site: SiteFolder) -> None:
    site.record("a.md", topics=["AI"], quality=70)
    site.run(NOON)
    site.configure('[[feed]]\nslug = "ai"\nmin_quality = 60\n')
    answer = explain(site, "a.md")["feeds"]
    assert [(feed["slug"], feed["clause"], feed["pending"]) for feed in answer] == [
        ("all", "default_published", False),
        ("ai", "min_quality", True),
    ]
    site.run(LATER)
    assert [feed["slug"] for feed in explain(site, "a.md")["feeds"]] == ["all", "ai"]


def test_a_name_that_begins_with_a_dot_is_the_cause_that_is_named(site: SiteFolder) -> None:
    site.record(".drafts/a.md")
    site.run(STILL)
    answer = explain(site, ".drafts/a.md")["published"]
    assert (answer["cause"], answer["file"], answer["line"]) == ("hidden", str(site.incoming / ".drafts/a.md"), None)
    assert "begins with a dot" in answer["reason"]
