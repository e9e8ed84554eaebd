"""`aggregator preview`: the entries of one feed, as the current or another config would publish them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_table
from aggregator.cli.stores import reading_store
from aggregator.cycle.rehearsal import FeedPreview, preview_feed
from aggregator.problems import shown_time, stamp
from aggregator.store.session import from_us

EPILOG = """\b
Examples:
  aggregator preview ai
  aggregator preview ai --config config/new.toml   what it would change
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.argument("slug")
def preview(config_path: Path | None, *, as_json: bool, slug: str) -> None:
    """Show the entries that the feed SLUG would hold now, and which would join (+) and leave (-).

    With --config NEW, compare with what the feed shows today. Put NEW into the folder of the current config, because
    relative paths start there.

    Reads only. For records that changed since the last cycle, use: aggregator build --dry-run
    """
    config = load_config(config_path)
    with reading_store(config) as store:
        data = preview_data(preview_feed(config, store, slug, datetime.now(UTC)))
    print_data(data, lambda shown: print_table(_render(shown, config.site.timezone)), as_json=as_json)


def preview_data(preview: FeedPreview) -> dict[str, Any]:
    """A preview for --json."""
    return {
        "slug": preview.slug,
        "title": preview.title,
        "size": preview.size,
        "joins": [*preview.moves.joins],
        "leaves": [*preview.moves.leaves],
        "entries": [
            {
                "id": entry.id,
                "title": entry.content.title,
                "released": stamp(from_us(released)),
                "published": stamp(entry.published),
                "provider": entry.content.provider.name if entry.content.provider else None,
                "link": entry.content.link,
                "topics": [topic.name for topic in entry.topics],
            }
            for entry, released in zip(preview.after, preview.released, strict=True)
        ],
    }


def _render(data: dict[str, Any], zone: tzinfo) -> RenderableType:
    """A preview for a terminal: the entries, new ones marked, then the entries that would leave."""
    joins = {entry["id"] for entry in data["joins"]}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for entry in data["entries"]:
        mark = "[green]+[/]" if entry["id"] in joins else ""
        provider = (f"  {entry['provider']}", "dim") if entry["provider"] else ""
        released = shown_time(datetime.fromisoformat(entry["released"]), zone)
        table.add_row(mark, released, Text.assemble(entry["title"], provider, overflow="fold"))
    for entry in data["leaves"]:
        table.add_row("[red]-[/]", "", Text(entry["title"], overflow="fold"))
    counts = (
        f"{len(data['entries'])} of {data['size']} entries shown, {len(joins)} would join,"
        f" {len(data['leaves'])} would leave"
    )
    return Group(Text.assemble((data["slug"], "bold"), f"  {data['title']}: {counts}", overflow="fold"), table)
