"""Explain: what was read, what is published, which feeds an entry is in, why, and what became of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import SiteFolder, at, record_text
from sqlalchemy import func, select

from aggregator import cli
from aggregator.cli.answers import explanation_facts
from aggregator.cli.explaining import explain_record
from aggregator.errors import NotFoundError
from aggregator.store import events as history
from aggregator.store.events import prune_events
from aggregator.store.schema import event
from aggregator.store.session import Writer

CORPUS = Path("/work/shared/corpus")
NOON, LATER, STILL = "2024-05-01 12:00", "2024-05-01 13:00", "2024-05-01 14:00"
DATE = "2024-05-01T08:00:00Z"
GOOD = '[[feed]]\nslug = "good"\nmin_quality = 60\ntopics.any = ["AI"]\n'


def explain(site: SiteFolder, asked: str, now: str = STILL) -> dict[str, Any]:
    """The facts of --json."""
    return explanation_facts(explain_record(site.load_config(), site.store, asked, at(now)))


def cause(site: SiteFolder, asked: str, now: str = STILL) -> tuple[bool, str, int | None]:
    told = explain(site, asked, now)["published"]
    return told["value"], told["cause"], told["line"]


def feeds(site: SiteFolder, asked: str, now: str = STILL) -> dict[str, tuple[bool, str | None]]:
    return {one["slug"]: (one["in"], one["clause"]) for one in explain(site, asked, now)["feeds"]}


def happened(site: SiteFolder, asked: str) -> list[tuple[str, str, str | None, str | None]]:
    """The history, less that the record was stored: hour, what, feed, clause."""
    told = explain(site, asked)["history"]
    assert told == sorted(told, key=lambda one: one["at"])
    return [(one["at"][11:16], one["what"], one["feed"], one["clause"]) for one in told if one["what"] != "stored"]


# what was read


def test_each_field_is_told_with_its_key_its_line_and_its_value_as_it_is_understood(site: SiteFolder) -> None:
    site.write(
        "a.md",
        "---\nname: A &amp; B\ntitle:\nexcerpt: Sum\npublishedDateTime: 2024-05-01T10:00:00+02:00\n"
        "topics:\n- AI\n- ai\nprovider: {name: P, secured: xyzzy}\nquality: 7\nheat: no number\nsecured: xyzzy\n---\n",
    )
    site.run(NOON)
    told = explain(site, "a.md")
    assert [tuple(one.values())[:4] for one in told["fields"] if one["origin"] == "record"] == [
        ("title", "name", "A & B", 2),
        ("summary", "excerpt", "Sum", 4),
        ("published_at", "publishedDateTime", "2024-05-01T08:00:00Z", 5),
        ("topics", "topics", ["AI"], 7),
        ("provider", "provider", {"name": "P", "domain": ""}, 9),
        ("quality", "quality", 7.0, 10),
        ("heat", "heat", None, 11),
    ]
    assert "xyzzy" not in json.dumps(told)
    assert any("'heat' is not a number" in problem for problem in told["problems"])


# is it published


def test_a_published_record_names_its_flag_or_the_default(site: SiteFolder) -> None:
    site.record("flag.md", published=True)
    site.record("none.md")
    site.run(NOON)
    assert cause(site, "flag.md") == (True, "published", 3)
    told = explain(site, "none.md")["published"]
    assert (told["value"], told["cause"]) == (True, "default_published")
    assert told["file"] == str(site.config_file)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"published": False}, ("published", 3)),
        ({"published": True, "draft": True}, ("draft", 4)),
        ({"deleted": True}, ("deleted", 3)),
        ({"removed": True}, ("removed", 3)),
        ({"publishedDateTime": "2024-06-01T00:00:00Z"}, ("future", 3)),
        ({"gone": "2024-04-01"}, ("expired", 3)),
        ({"published": "maybe"}, ("rejected", 3)),
        ({"publishedDateTime": "soon"}, ("rejected", 3)),
        ({"id": "x"}, ("duplicate", 3)),
    ],
)
def test_what_keeps_a_record_back_is_named_with_its_line(
    site: SiteFolder, fields: dict[str, Any], expected: tuple[str, int]
) -> None:
    site.configure('[records]\nfields.expires_at = "gone"\n' + GOOD)
    site.record("0.md", id="x")
    site.record("a.md", **fields)
    site.run(NOON)
    told = explain(site, "a.md")
    assert cause(site, "a.md") == (False, *expected)
    assert told["published"]["file"].endswith("incoming/a.md")
    assert {one["slug"]: (one["in"], one["clause"], one["line"]) for one in told["feeds"]} == {
        "all": (False, *expected),
        "good": (False, *expected),
    }


def test_a_config_that_hides_records_without_a_flag_is_named(site: SiteFolder) -> None:
    site.configure("[records]\ndefault_published = false\n")
    site.record("a.md")
    site.run(NOON)
    told = explain(site, "a.md")["published"]
    line = site.config_file.read_text().splitlines()[told["line"] - 1]
    assert (told["value"], told["cause"], line) == (False, "default_published", "default_published = false")


def test_files_that_are_new_changed_gone_or_not_looked_at_say_so(site: SiteFolder) -> None:
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
    assert cause(site, "gone.md") == (True, "vanished", None)
    site.run(LATER)
    assert cause(site, "gone.md") == (False, "vanished", None)
    assert cause(site, "a.md") == (False, "draft", 3)


def test_a_name_that_is_excluded_says_by_what(site: SiteFolder) -> None:
    site.record("a.md")
    site.record("b.sync-conflict-1.md")
    site.run(NOON)
    site.configure('[records]\nexclude = ["*.sync-conflict-*"]\n')
    told = explain(site, "b.sync-conflict-1.md")["published"]
    assert (told["value"], told["cause"]) == (True, "exclude")
    assert told["reason"] == "its name is excluded by '*.sync-conflict-*'; the next cycle withdraws it"
    assert site.config_file.read_text().splitlines()[told["line"] - 1].startswith("exclude")
    site.run(LATER)
    assert site.titles("all") == ["a.md"]
    told = explain(site, "b.sync-conflict-1.md")["published"]
    assert (told["value"], told["reason"]) == (False, "its name is excluded by '*.sync-conflict-*'")


def test_a_link_to_a_file_that_is_not_read_says_so(site: SiteFolder) -> None:
    site.record(".private/secret.md")
    (site.incoming / "x.md").symlink_to(".private/secret.md")
    site.run(NOON)
    assert site.titles("all") == []
    assert cause(site, "x.md") == (False, "link", None)


def test_an_entry_whose_file_became_unusable_is_out_as_before_and_says_why(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    site.record("a.md", publishedDateTime="never")
    site.run(LATER)
    told = explain(site, "a.md")["published"]
    assert (told["value"], told["cause"], told["line"]) == (True, "rejected", 3)
    assert "as it was before" in told["reason"]


def test_withdrawals_that_wait_for_a_mass_removal_are_named(site: SiteFolder) -> None:
    names = [f"{number}.md" for number in range(30)]
    for name in names:
        site.record(name)
    site.run(NOON)
    site.remove(*names[:25])
    site.run("2024-05-01 12:01")
    assert cause(site, "3.md", "2024-05-01 12:02") == (True, "held", None)


# which feeds, by which clause


@pytest.mark.both_databases
def test_every_feed_is_in_or_out_by_a_clause_at_a_line_of_the_config(site: SiteFolder) -> None:
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
    assert [(one["slug"], one["in"], one["clause"]) for one in found] == [
        ("all", True, "default_published"),
        ("ai", True, "topic"),
        ("maps", True, "topic"),
        ("good", False, "min_quality"),
        ("video", False, "type.any"),
        ("no-maps", False, "topics.none"),
        ("everything", True, None),
    ]
    assert [lines[one["line"]] for one in found[3:]] == [
        "min_quality = 60",
        'type = { any = ["video"] }',
        "topics = { none = [",
        'slug = "everything"',
    ]
    assert [one["shown"] for one in found] == [True, True, True, False, False, False, True]
    assert found[1]["file"].endswith("a.md")


def test_an_entry_that_takes_part_names_the_clause_that_takes_it_in(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=70)
    site.run(NOON)
    assert feeds(site, "a.md")["good"] == (True, "topics.any")


def test_a_rule_that_is_not_in_force_yet_is_tried_and_said_to_be_pending(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=70)
    site.run(NOON)
    site.configure(GOOD.replace("60", "80"))
    told = {one["slug"]: one for one in explain(site, "a.md")["feeds"]}["good"]
    assert (told["in"], told["clause"], told["pending"]) == (False, "min_quality", True)


def test_an_entry_beyond_the_window_is_in_a_page_of_the_archive(site: SiteFolder) -> None:
    site.configure('[output]\nlimit = 2\nmin_stay = "1s"\n')
    for number in range(7):
        site.record(f"{number}.md", publishedDateTime=f"2024-04-0{number + 1}T00:00:00Z")
    site.run(NOON)
    old, new = (explain(site, name)["feeds"][0] for name in ("0.md", "6.md"))
    assert (old["in"], old["shown"], old["page"]) == (True, False, 1)
    assert (new["in"], new["shown"], new["page"]) == (True, True, None)


# history


@pytest.mark.both_databases
def test_history_tells_releases_withdrawals_and_moves_with_their_clauses(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=50, publishedDateTime=DATE)
    site.run("2024-05-01 09:00")
    first = happened(site, "a.md")
    assert first[0] == ("08:00", "released", None, None)
    assert {one[1:] for one in first[1:]} == {("joined", "all", None), ("joined", "ai", None)}
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 10:00")
    site.record("a.md", topics=["Cars"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 11:00")
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 12:00")
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE, draft=True)
    site.run("2024-05-01 13:00")
    told = happened(site, "a.md")
    assert ("10:00", "joined", "good", "min_quality") in told
    assert {one for one in told if one[0] == "11:00"} == {
        ("11:00", "left", "good", "topics.any"),
        ("11:00", "left", "ai", "topic"),
        ("11:00", "joined", "cars", "topic"),
    }
    assert {one for one in told if one[0] == "12:00"} == {
        ("12:00", "joined", "good", "topics.any"),
        ("12:00", "joined", "ai", "topic"),
        ("12:00", "left", "cars", "topic"),
    }
    assert [one for one in told if one[0] == "13:00"] == [("13:00", "withdrawn", None, "flag")]
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 14:00")
    again = happened(site, "a.md")
    assert again[: len(told)] == told, "what was told stays told"
    assert ("14:00", "released", None, None) in again


def test_a_rule_of_the_config_that_changes_is_in_the_history(site: SiteFolder) -> None:
    site.configure(GOOD)
    site.record("a.md", topics=["AI"], quality=70, publishedDateTime=DATE)
    site.run("2024-05-01 09:00")
    site.configure(GOOD.replace("60", "80"))
    site.run("2024-05-01 10:00")
    site.configure(GOOD)
    site.run("2024-05-01 11:00")
    assert [one for one in happened(site, "a.md") if one[2] == "good"] == [
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


def test_history_names_the_old_path_of_a_record_that_moved_and_how_it_was_known(site: SiteFolder) -> None:
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
    assert [one for one in happened(site, "e.md") if one[1] == "renamed"] == [
        ("10:00", "renamed", None, "was a.md: the same bytes"),
        ("11:00", "renamed", None, "was b.md: the same content"),
        ("12:00", "renamed", None, "was c.md: much of its text"),
        ("13:00", "renamed", None, "was d.md: the same link"),
    ]


def test_first_releases_and_new_feeds_cost_no_rows_of_history(site: SiteFolder) -> None:
    def events() -> int:
        with site.store.read() as connection:
            return connection.scalar(select(func.count()).select_from(event)) or 0

    for number in range(20):
        site.record(f"{number}.md", topics=["AI", "Maps"], quality=70, publishedDateTime=DATE)
    site.run(NOON)
    site.configure(GOOD)
    site.run(LATER)
    assert site.titles("good")
    assert events() == 0
    assert [one for one in happened(site, "3.md") if one[2] == "good"] == [("13:00", "joined", "good", None)]
    site.remove("0.md")
    site.run(STILL)
    assert events() == 1


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
    assert ("13:00", "withdrawn", None, None) in happened(site, "1.md"), "the entry itself remembers the last one"


# finding


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
        told = explain(site, asked)
        assert told["title"] == "deep/a.md", asked
        assert told["others"] == []
    assert path.endswith("deep/a.md")


def test_of_several_records_with_one_link_the_first_is_told_and_the_others_are_named(site: SiteFolder) -> None:
    for name in ("a.md", "b.md", "c.md"):
        site.record(name, webUrl="https://example.org/same")
    site.run(NOON)
    told = explain(site, "https://example.org/same?utm_medium=rss")
    assert told["title"] == "a.md"
    assert [Path(one).name for one in told["others"]] == ["b.md", "c.md"]


def test_the_refused_twin_is_named_beside_the_holder_of_an_id(site: SiteFolder) -> None:
    site.record("a.md", id="same")
    site.record("b.md", id="same")
    site.run(NOON)
    told = explain(site, "same")
    assert (told["title"], [Path(one).name for one in told["others"]]) == ("a.md", ["b.md"])


def test_what_is_nowhere_is_an_error_that_says_where_it_was_looked_for(site: SiteFolder) -> None:
    site.record("a.md")
    site.run(NOON)
    for asked in ("nothing.md", "https://example.org/none", "../../../etc/passwd", ".", ""):
        with pytest.raises(NotFoundError, match="incoming"):
            explain(site, asked)


@pytest.mark.both_databases
def test_explaining_writes_nothing_and_needs_no_lease(site: SiteFolder) -> None:
    site.record("a.md", topics=["AI"])
    site.run(NOON)
    with site.store.read() as connection:
        before = [connection.execute(table.select()).all() for table in event.metadata.sorted_tables]
    site.store.lease.release()
    explain(site, "a.md")
    with site.store.read() as connection:
        after = [connection.execute(table.select()).all() for table in event.metadata.sorted_tables]
    assert [rows for rows, table in zip(after, event.metadata.sorted_tables, strict=True) if table.name != "lease"] == [
        rows for rows, table in zip(before, event.metadata.sorted_tables, strict=True) if table.name != "lease"
    ]


# on the corpus

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
    # what is done to a record of the corpus, the feed, the clause that keeps it out, the line that would let it in
    ({"published": "false"}, "all", "published", "published: true"),
    ({"draft": "true"}, "all", "draft", "draft: false"),
    ({"deleted": "true"}, "all", "deleted", "deleted: false"),
    ({"publishedDateTime": "2031-01-01T00:00:00Z"}, "all", "future", "publishedDateTime: 2021-01-01T00:00:00Z"),
    ({"publishedDateTime": "next week"}, "all", "rejected", "publishedDateTime: 2021-01-01T00:00:00Z"),
    ({"published": "certainly"}, "all", "rejected", "published: true"),
    ({"expires": "2022-01-01T00:00:00Z"}, "all", "expired", "expires: 2032-01-01T00:00:00Z"),
    ({"id": "taken"}, "all", "duplicate", "id: free"),
    ({"published": None}, "all", "default_published", "default_published = true"),
    ({"quality": "42"}, "best", "min_quality", "min_quality = 42"),
    ({}, "no-apps", "topics.none", 'topics.none = ["Cars"]'),
    ({}, "videos", "type.any", 'type = { any = ["article"] }'),
    ({}, "elsewhere", "provider.any", 'provider.any = ["microsoft.com"]'),
]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
@pytest.mark.parametrize(("edit", "slug", "clause", "line"), CAUSES)
def test_the_cause_that_is_named_is_the_one_to_change(
    site: SiteFolder,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit: dict[str, str | None],
    slug: str,
    clause: str,
    line: str,
) -> None:
    def ask() -> tuple[dict[str, Any], dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["aggregator", "explain", name, "--json", "--config", str(site.config_file)])
        cli.main()
        told = json.loads(capfd.readouterr().out)
        return told, next(one for one in told["feeds"] if one["slug"] == slug)

    site.configure(FEEDS)
    for path in sorted((CORPUS / "news").glob("*.md"))[:20]:
        shutil.copy(path, site.incoming)
    name, text = next(
        (path.name, path.read_text()) for path in sorted(site.incoming.glob("*.md"))
        if "\npublished: true\n" in path.read_text() and "\ntype: article\n" in path.read_text()
    )  # fmt: skip
    site.record("0.md", id="taken", published=True)
    site.write(name, _edited(text, edit))
    site.run("2026-01-01 00:00")
    told, verdict = ask()
    assert (verdict["in"], verdict["clause"]) == (False, clause)
    assert told["path"].endswith(f"incoming/{name}")
    named = Path(verdict["file"])
    lines = named.read_text().splitlines()
    lines[verdict["line"] - 1] = line
    changed = "\n".join(lines) + "\n"
    if named == site.config_file:
        site.close()
        named.write_text(changed)
    else:
        site.write(name, changed)
    site.run("2026-01-01 01:00")
    told, verdict = ask()
    assert (verdict["in"], told["published"]["value"]) == (True, True)
    assert told["id"] in site.ids(slug).values() or not verdict["shown"]


def _edited(text: str, edit: dict[str, str | None]) -> str:
    """The record with other values of some keys, or without them."""
    kept = [line for line in text.splitlines() if line.partition(":")[0] not in edit]
    stated = [f"{key}: {value}" for key, value in edit.items() if value is not None]
    return "\n".join([kept[0], *stated, *kept[1:]]) + "\n"


def test_all_clauses_that_keep_an_entry_out_are_told_and_the_feeds_of_topics_of_a_hidden_record(
    site: SiteFolder,
) -> None:
    site.configure(
        '[[feed]]\nslug = "gpu"\nprovider = { none = ["Gossip"] }\nmin_quality = 10\ntext = { any = ["GPU"] }\n'
    )
    site.record("a.md", topics=["AI"], provider="Gossip", title="Chips")
    site.record("draft.md", topics=["AI", "New"], draft=True)
    site.run(NOON)
    told = next(one for one in explain(site, "a.md")["feeds"] if one["slug"] == "gpu")
    assert [told["clause"], *told["also"]] == ["provider.none", "min_quality", "text.any"]
    assert feeds(site, "draft.md") == {"all": (False, "draft"), "ai": (False, "draft"), "gpu": (False, "draft")}


def test_what_one_cycle_did_is_told_in_its_order(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "one"\nduplicates = "merge"\n')
    for name in ("a.md", "b.md"):
        site.record(name, webUrl="https://e.example/same", publishedDateTime="2024-01-01T00:00:00Z")
    site.run(NOON)
    assert [(what, feed, clause) for _, what, feed, clause in happened(site, "b.md")][-3:] == [
        ("joined", "all", None),
        ("joined", "one", None),
        ("left", "one", "duplicates"),
    ]


def test_the_history_says_when_an_entry_became_too_old_for_a_feed(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "young"\nmax_age = "10d"\n')
    site.record("a.md", publishedDateTime="2024-05-01T00:00:00Z")
    site.run("2024-05-02 00:00")
    site.run("2024-05-12 00:00")
    told = explain(site, "a.md", "2024-05-12T00:00:00Z")
    assert [(one["at"], one["what"], one["feed"], one["clause"]) for one in told["history"]][-1] == (
        "2024-05-11T00:00:00Z",
        "left",
        "young",
        "max_age",
    )


def test_a_topic_of_the_source_is_told_where_the_config_says_it(site: SiteFolder) -> None:
    site.configure(f'[records]\npath = "{site.incoming}"\ntopics = ["Everywhere"]\n')
    site.record("a.md", topics=["AI"])
    site.run(NOON)
    told = {one["slug"]: one for one in explain(site, "a.md")["feeds"]}
    assert told["ai"]["file"].endswith("a.md")
    assert told["everywhere"]["file"].endswith("aggregator.toml")
    assert next(one for one in explain(site, "a.md")["fields"] if one["field"] == "topics")["value"] == ["AI"]


# where fields come from


def origins(site: SiteFolder, asked: str) -> set[tuple[str, str | None, str, str]]:
    """Of each field that front matter does not state: field, key, value, origin."""
    told = explain(site, asked)["fields"]
    assert all((one["file"] or "").endswith(".toml" if one["origin"] == "config" else ".md") for one in told)
    return {
        (one["field"], one["key"], json.dumps(one["value"]), one["origin"]) for one in told if one["origin"] != "record"
    }


def test_fields_that_no_key_states_are_told_with_where_they_come_from(site: SiteFolder) -> None:
    site.configure(
        '[records]\npreset = "jekyll"\ntopics = ["Everywhere"]\n'
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
        ("published", "default_published", "true", "config"),
    }
    told = explain(site, "tech/_posts/2024-04-30-a-title.md")["fields"]
    lines = {one["slug"]: one["line"] for one in explain(site, "tech/_posts/2024-04-30-a-title.md")["feeds"]}
    assert (lines["ai"], lines["tech"]) == (2, None)
    stated = {one["field"]: (one["value"], one["line"]) for one in told if one["origin"] == "record"}
    assert stated == {"topics": (["AI"], 2), "slug": ("short", 3)}
    lines = site.config_file.read_text().splitlines()
    placed = {one["key"]: lines[one["line"] - 1].partition(" ")[0] for one in told if one["origin"] == "config"}
    assert placed == {key: key for key in ("link_template", "topics", "default_published")}


def test_a_link_and_a_date_that_another_key_gives_are_told_with_that_key(site: SiteFolder) -> None:
    site.configure('[records]\npreset = "hugo"\n')
    site.write(
        "posts/name.de.md",
        "---\ntitle: T\nurl: https://example.org/2024/there/\nlastmod: 2024-04-02T00:00:00Z\n---\nText.\n",
    )
    site.run(NOON)
    told = {
        one["field"]: (one["key"], one["value"], one["line"]) for one in explain(site, "posts/name.de.md")["fields"]
    }
    assert told["link"] == ("url", "https://example.org/2024/there/", 3)
    assert told["path"] == ("url", "https://example.org/2024/there/", 3)
    assert told["published_at"] == ("lastmod", "2024-04-02T00:00:00Z", 4)
    assert told["language"] == (None, "de", None)


def test_a_flag_that_is_clear_is_a_flag(site: SiteFolder) -> None:
    site.record("a.md", draft=False)
    site.run(NOON)
    told = explain(site, "a.md")["published"]
    assert (told["value"], told["cause"], told["line"]) == (True, "draft", 3)
    assert told["reason"] == "'draft' is false, no 'published' is there, and default_published is true"
    site.configure("[records]\ndefault_published = false\n")
    site.run(LATER)
    told = explain(site, "a.md")["published"]
    assert (told["value"], told["cause"]) == (False, "default_published")
    assert told["reason"] == "'draft' is false, no 'published' is there, and default_published is false"


def test_the_feed_of_a_parent_is_told_with_the_line_that_makes_it_one(site: SiteFolder) -> None:
    site.configure('[topics.parent]\n"Canvas  Apps" = "Power Apps"\n"Power Apps" = "Microsoft"\n')
    site.record("a.md", topics=["Canvas apps"])
    site.record("b.md", topics=["Canvas apps", "Power Apps"])
    site.run(NOON)
    lines = ["", *site.config_file.read_text().splitlines()]
    told = {one["slug"]: one for one in explain(site, "a.md")["feeds"]}
    assert {slug: one["clause"] for slug, one in told.items()} == {
        "all": "default_published",
        "canvas-apps": "topic",
        "power-apps": "topics.parent",
        "microsoft": "topics.parent",
    }
    assert lines[told["power-apps"]["line"]] == '"Canvas  Apps" = "Power Apps"'
    assert lines[told["microsoft"]["line"]] == '"Power Apps" = "Microsoft"'
    assert told["microsoft"]["file"] == str(site.config_file)
    told = {one["slug"]: one for one in explain(site, "b.md")["feeds"]}
    assert (told["power-apps"]["clause"], told["power-apps"]["line"]) == ("topic", 3)


def test_each_feed_is_named_once(site: SiteFolder) -> None:
    site.record("a.md", topics=["AI"], quality=70)
    site.run(NOON)
    site.configure('[[feed]]\nslug = "ai"\nmin_quality = 60\n')
    told = explain(site, "a.md")["feeds"]
    assert [(one["slug"], one["clause"], one["pending"]) for one in told] == [
        ("all", "default_published", False),
        ("ai", "min_quality", True),
    ]
    site.run(LATER)
    assert [one["slug"] for one in explain(site, "a.md")["feeds"]] == ["all", "ai"]
