"""The text of `explain` for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aggregator.cli.explain_feeds import NO_FEED
from aggregator.documents import ALL
from aggregator.parse.keys import FLAGS
from aggregator.problems import shown_time

MAX_SHOWN_VALUE = 300
"""Characters of a value on a terminal; JSON has all of them."""


def render_explanation(data: dict[str, Any], zone: tzinfo) -> RenderableType:
    """An explanation for a terminal."""
    parts: list[RenderableType] = [_table(_head_rows(data))]
    if data["fields"]:
        parts += [_heading("Fields"), _table(_field_rows(data["fields"]))]
    # the problem of a rejected record is its reason already
    problems = [text for text in data["problems"] if not data["published"]["reason"].endswith(text.partition(": ")[2])]
    parts += [_indented(problem, "yellow") for problem in problems]
    if data["unresolved_links"]:
        parts += [_heading("Links that lead to no published page"), *map(_indented, data["unresolved_links"])]
    feeds = (_feed_row(feed, data["published"]) for feed in data["feeds"])
    parts += [_heading("Feeds"), _table(feeds)]
    if data["history"]:
        parts += [_heading("History"), _table(_history_rows(data["history"], zone))]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _indented(text: str, style: str = "") -> RenderableType:
    return Padding(Text(text, style, overflow="fold"), (0, 0, 0, 2))


def _table(rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table in which all but the first column fold. Nothing in a text is markup."""
    table = Table.grid(padding=(0, 2))
    for row in rows:
        for index in range(len(table.columns), len(row)):
            table.add_column(no_wrap=not index, overflow="fold")
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table


def _head_rows(data: dict[str, Any]) -> Iterator[tuple[Text, str | Text]]:
    published = data["published"]
    answer = ("yes", "green") if published["value"] else ("no", "red")
    yield Text("Record", "bold"), data["path"]
    if data["similar_link"]:
        yield Text(), f"found by a similar link: {data['similar_link']}"
    if data["title"]:
        yield Text("Title", "bold"), data["title"]
    yield Text("Id", "bold"), data["id"] or "none yet"
    for form, entry_id in data["format_ids"].items():
        yield Text(), f"{entry_id} in {form.upper()}"
    yield Text("Published", "bold"), Text.assemble(answer, f", {published['reason']}")
    if place := _place(published):
        yield Text(), place
    for other in data["others"]:
        yield Text("Also", "bold yellow"), other


def _field_rows(traces: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str | Text, ...]]:
    """The line of each field in the record, or else its origin; its key; its value and its place in the config. Below
    it the note, if there is one."""
    for trace in traces:
        origin = str(trace["line"]) if trace["origin"] == "record" else trace["origin"]
        key = trace["field"] if trace["key"] in (None, trace["field"]) else f"{trace['field']} ← {trace['key']}"
        place = _place(trace) if trace["origin"] == "config" else ""
        yield f"{origin:>8}", key, Text.assemble(_value_text(trace["value"]), (place and f"  {place}", "dim"))
        if trace["note"]:
            yield "", "", Text(trace["note"], style="yellow")


def _feed_row(feed: Mapping[str, Any], published: Mapping[str, Any]) -> tuple[str | Text, ...]:
    """The place is omitted if it is the place of the record's own cause; `all` repeats a flag or a default."""
    words = [feed["clause"] or ("takes every entry" if feed["in"] else ""), *feed["also"], feed["note"]]
    if feed["slug"] == ALL and published["cause"] in (*FLAGS, "default_published"):
        words = [published["reason"].partition("; ")[0]]
    elif feed["slug"] == ALL or not published["value"]:
        words = ["published" if published["value"] else "not published"]
    if feed["page"] and not feed["shown"]:
        words.append(f"in the archive, page {feed['page']}")
    elif feed["in"] and not feed["shown"]:
        words.append("not in the window")
    if feed["pending"]:
        words.append("from the next cycle on")
    no = "  no feed" if feed["clause"] in NO_FEED else "  not in"
    answer = Text("  in", "green") if feed["in"] else Text(no, "red")
    place = _place(feed)
    return answer, feed["slug"], ", ".join(filter(None, words)), "" if place == _place(published) else place


def _history_rows(history: Sequence[Mapping[str, Any]], zone: tzinfo) -> Iterator[tuple[str, str]]:
    """One row for each event; the feeds of one moment share a row."""
    for (at, what, clause), group in groupby(history, key=lambda event: (event["at"], event["what"], event["clause"])):
        feeds = ", ".join(dict.fromkeys(filter(None, map(_feed_name, group))))
        because = f" ({clause})" if clause else ""
        yield f"  {shown_time(datetime.fromisoformat(at), zone)}", f"{what} {feeds}".rstrip() + because


def _feed_name(event: Mapping[str, Any]) -> str:
    """The feed of an event: its slug, or the topic of a feed that is not published; empty for other events."""
    if event["topic"]:
        return f"topic {event['topic']!r} (has no feed)"
    gone = "a feed that is gone" if event["what"] in ("joined", "left") else ""
    return event["feed"] or gone


def _place(data: Mapping[str, Any]) -> str:
    file, line = data["file"], data["line"]
    return "" if file is None else f"{file}:{line}" if line else str(file)


def _value_text(value: Any) -> str:
    if value is None:
        return "not usable"
    if isinstance(value, dict):
        value = [part for part in value.values() if part]
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= MAX_SHOWN_VALUE else text[: MAX_SHOWN_VALUE - 1] + "…"
