"""`aggregator feeds`: the list of feeds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_lines, print_message, print_table
from aggregator.cli.stores import reading_store
from aggregator.config import Config, can_pin, toml_text
from aggregator.feeds.registry import pinnable_slugs, summarise_feeds
from aggregator.problems import shown_time, stamp
from aggregator.settings import FILE_NAMES

if TYPE_CHECKING:
    from sqlalchemy import Connection

EPILOG = """\b
Examples:
  aggregator feeds
  aggregator feeds --pin     a table to paste into the config
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.option("--pin", is_flag=True, help="Print a [topics.slugs] table for the config instead.")
def feeds(config_path: Path | None, *, as_json: bool, pin: bool) -> None:
    """List all feeds: slug, title, number of entries, newest entry, URL.

    --pin prints the slugs of topics as a table for the config: then the URLs of feeds survive the loss of the store.
    """
    config = load_config(config_path)
    with reading_store(config) as store, store.read() as connection:
        if not pin:
            data = feeds_data(config, connection)
            print_data(data, lambda shown: print_table(_table(shown, config.site.timezone)), as_json=as_json)
            return
        slugs = dict(pinnable_slugs(connection, config.feed_policy()))
    pins = {name: slug for name, slug in slugs.items() if can_pin(name)}
    if unnamed := [slug for name, slug in slugs.items() if name not in pins]:
        print_message(f"left out, because TOML cannot hold their names: the topics with the slugs {', '.join(unnamed)}")
    lines = ["[topics.slugs]", *(f"{toml_text(name)} = {toml_text(slug)}" for name, slug in pins.items())]
    print_data(pins, lambda _: print_lines(lines), as_json=as_json)


def feeds_data(config: Config, connection: Connection) -> list[dict[str, Any]]:
    """All published feeds for --json, in order."""
    file_name = FILE_NAMES[config.output.formats[0]]
    return [
        {
            "slug": feed.slug,
            "title": feed.title,
            "entries": feed.entries,
            "newest": stamp(feed.newest),
            "updated": stamp(feed.updated),
            "url": f"{config.site.base_url}{feed.slug}/{file_name}",
        }
        for feed in summarise_feeds(connection, config.feed_policy(), config.site.title)
    ]


def feed_table(feeds: Sequence[dict[str, Any]], zone: tzinfo, last_column: Column, last_cells: Sequence[str]) -> Table:
    """A table of feeds with one more column."""
    table = Table(
        Column("slug", overflow="fold"),
        Column("title", overflow="fold"),
        Column("entries", justify="right", no_wrap=True),
        Column("newest entry", no_wrap=True),
        last_column,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for feed, last in zip(feeds, last_cells, strict=True):
        newest = shown_time(datetime.fromisoformat(feed["newest"]), zone) if feed["newest"] else "–"
        table.add_row(feed["slug"], escape(feed["title"]), str(feed["entries"]), newest, escape(last))
    return table


def _table(feeds: list[dict[str, Any]], zone: tzinfo) -> Table:
    return feed_table(feeds, zone, Column("URL", overflow="fold"), [feed["url"] for feed in feeds])
