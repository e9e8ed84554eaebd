"""What `explain` and `preview` answer: facts for --json and drawings for a terminal. Prints nothing itself."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, tzinfo
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aggregator.cli.explaining import Explanation, FeedVerdict
from aggregator.display import shown_time, stamp
from aggregator.model import Entry
from aggregator.rehearsal import FeedPreview
from aggregator.store.session import from_us

SHOWN_VALUE = 300
"""Characters of a value on a terminal; JSON has all of them."""


def preview_facts(preview: FeedPreview) -> dict[str, Any]:
    """A preview for --json."""
    old, new = _by_id(preview.before), _by_id(preview.after)
    return {
        "slug": preview.slug,
        "title": preview.title,
        "size": preview.size,
        "in": [_named(one) for key, one in new.items() if key not in old],
        "out": [_named(one) for key, one in old.items() if key not in new],
        "entries": [
            _named(one)
            | {
                "released": stamp(from_us(released)),
                "published": stamp(one.published),
                "provider": one.content.provider.name if one.content.provider else None,
                "link": one.content.link,
                "topics": [topic.name for topic in one.topics],
            }
            for one, released in zip(preview.after, preview.released, strict=True)
        ],
    }


def draw_preview(facts: dict[str, Any], zone: tzinfo) -> RenderableType:
    """A preview for a terminal: the entries, those that go in marked, then those that go out."""
    joins = {one["id"] for one in facts["in"]}
    table = _grid()
    for one in facts["entries"]:
        mark = "[green]+[/]" if one["id"] in joins else ""
        table.add_row(mark, _time(one["released"], zone), _titled(one["title"], one["provider"]))
    for one in facts["out"]:
        table.add_row("[red]-[/]", "", _titled(one["title"], None))
    counts = f"{len(facts['entries'])} of {facts['size']} entries shown, {len(joins)} in, {len(facts['out'])} out"
    return Group(Text.assemble((facts["slug"], "bold"), f"  {facts['title']}: {counts}", overflow="fold"), table)


def explanation_facts(found: Explanation) -> dict[str, Any]:
    """An explanation for --json."""
    return {
        "id": found.id,
        "path": found.path,
        "title": found.title,
        "published": asdict(found.published),
        "fields": [asdict(one) for one in found.fields],
        "problems": list(found.problems),
        "feeds": [_feed_facts(one) for one in found.feeds],
        "history": [asdict(one) | {"at": stamp(one.at)} for one in found.history],
        "others": list(found.others),
    }


def draw_explanation(facts: dict[str, Any], zone: tzinfo) -> RenderableType:
    """An explanation for a terminal."""
    parts: list[RenderableType] = [_draw_head(facts)]
    if facts["fields"]:
        parts += [_heading("Read"), _draw_fields(facts["fields"])]
    for problem in facts["problems"]:
        parts.append(Padding(Text(problem, style="yellow", overflow="fold"), (0, 0, 0, 2)))
    parts += [_heading("Feeds"), _draw_feeds(facts)]
    if facts["history"]:
        parts += [_heading("History"), _draw_history(facts["history"], zone)]
    return Group(*parts)


def _draw_head(facts: dict[str, Any]) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold", no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row("Record", escape(facts["path"]))
    if facts["title"]:
        head.add_row("Title", escape(facts["title"]))
    head.add_row("Id", escape(facts["id"]) if facts["id"] else "none yet")
    verdict = facts["published"]
    answer = "[green]yes[/]" if verdict["value"] else "[red]no[/]"
    head.add_row("Published", f"{answer}, {escape(verdict['reason'])}")
    if place := _place(verdict):
        head.add_row("", escape(place))
    for other in facts["others"]:
        head.add_row("[yellow]Also[/]", escape(other))
    return head


def _draw_fields(traces: list[dict[str, Any]]) -> RenderableType:
    """Each field: its line in the record or else where it comes from, the key that gave it, its value."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for one in traces:
        in_record = one["origin"] == "record"
        key = one["field"] if one["key"] in (None, one["field"]) else f"{one['field']} ← {one['key']}"
        where = str(one["line"]) if in_record else one["origin"]
        place = _place(one) if one["origin"] == "config" else ""
        table.add_row(where, escape(key), Text(_shown(one["value"]), overflow="fold"), escape(place))
    return Padding(table, (0, 0, 0, 2))


def _draw_feeds(facts: dict[str, Any]) -> RenderableType:
    """Each feed, with the place of the clause unless that is the one of the whole record."""
    known = _place(facts["published"])
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for one in facts["feeds"]:
        answer = "[green]in[/]" if one["in"] else "[red]out[/]"
        words, place = [one["clause"] or "no clause", *one["also"]], _place(one)
        if one["pending"]:
            words.append("from the next cycle on")
        elif one["page"] and not one["shown"] and (one["in"] or one["clause"] in ("max_age", "per_provider")):
            words.append(f"in the archive, page {one['page']}")
        elif one["in"] and not one["shown"]:
            words.append("beyond what the feed shows")
        table.add_row(answer, one["slug"], ", ".join(words), "" if place == known else escape(place))
    return Padding(table, (0, 0, 0, 2))


def _draw_history(history: list[dict[str, Any]], zone: tzinfo) -> RenderableType:
    """What happened, the feeds of one moment in one line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for (at, what, clause), group in groupby(history, key=lambda one: (one["at"], one["what"], one["clause"])):
        feeds = ", ".join(dict.fromkeys(one["feed"] for one in group if one["feed"]))
        because = f" ({clause})" if clause else ""
        table.add_row(_time(at, zone), escape(f"{what} {feeds}".rstrip() + because))
    return Padding(table, (0, 0, 0, 2))


def _feed_facts(one: FeedVerdict) -> dict[str, Any]:
    facts = asdict(one)
    return {"slug": facts.pop("slug"), "in": facts.pop("inside")} | facts


def _by_id(entries: tuple[Entry, ...]) -> dict[str, Entry]:
    return {one.id: one for one in entries}


def _named(one: Entry) -> dict[str, Any]:
    return {"id": one.id, "title": one.content.title}


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _titled(title: str, provider: str | None) -> Text:
    return Text.assemble(title, (f"  {provider}", "dim") if provider else "", overflow="fold")


def _place(facts: dict[str, Any]) -> str:
    file, line = facts["file"], facts["line"]
    return "" if file is None else f"{file}:{line}" if line else str(file)


def _shown(value: Any) -> str:
    """A value on a terminal."""
    if value is None:
        return "not used"
    if isinstance(value, dict):
        value = [part for part in value.values() if part]
    if isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= SHOWN_VALUE else text[: SHOWN_VALUE - 1] + "…"


def _time(moment: str, zone: tzinfo) -> str:
    return shown_time(datetime.fromisoformat(moment), zone)
