"""`aggregator feeds`: the list of feeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_lines, print_message, print_table
from aggregator.cli.stores import reading_store
from aggregator.config import can_pin, toml_text
from aggregator.feeds.feed_list import pinnable_slugs
from aggregator.problems import shown_time
from aggregator.status import feeds_data

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

    In a narrow terminal each feed has two lines, and only its URL has the slug. No URL is broken into lines.

    --pin prints the slugs of topics as a table for the config: then the URLs of feeds survive the loss of the store.
    """
    config = load_config(config_path)
    with reading_store(config) as store, store.read() as connection:
        if not pin:
            print_data(feeds_data(config, connection), partial(_show, zone=config.site.timezone), as_json=as_json)
            return
        slugs = dict(pinnable_slugs(connection, config.feed_policy()))
    pins = {name: slug for name, slug in slugs.items() if can_pin(name)}
    if unnamed := [slug for name, slug in slugs.items() if name not in pins]:
        print_message(f"left out, because TOML cannot hold their names: the topics with the slugs {', '.join(unnamed)}")
    lines = ["[topics.slugs]", *(f"{toml_text(name)} = {toml_text(slug)}" for name, slug in pins.items())]
    print_data(pins, lambda _: print_lines(lines), as_json=as_json)


class FeedTable:
    """The feeds with one more fact each, named `fact`: a row for each feed. If that does not fit into the terminal, two
    lines for each feed, the second of them from `below`."""

    def __init__(
        self, feeds: Sequence[dict[str, Any]], zone: tzinfo, fact: str, facts: Sequence[str], below: Sequence[Text]
    ) -> None:
        newest = [feed["newest"] for feed in feeds]
        self._dates = [shown_time(datetime.fromisoformat(date), zone) if date else "–" for date in newest]
        self._feeds, self._fact, self._facts, self._below = feeds, fact, facts, below

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = self._table()
        width = Measurement.get(console, options.update(max_width=sys.maxsize), table).maximum
        if width <= options.max_width or not console.is_terminal:
            table.width = width
            yield table
        else:
            for feed, date, below in zip(self._feeds, self._dates, self._below, strict=True):
                yield _title_line(feed["title"], f"{feed['entries']:,}, newest {date}", options.max_width)
                yield below

    def _table(self) -> Table:
        columns = [
            Column(name, no_wrap=True, overflow="ignore")
            for name in ("slug", "title", "entries", "newest entry", self._fact)
        ]
        columns[2].justify = "right"
        table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
        for feed, date, fact in zip(self._feeds, self._dates, self._facts, strict=True):
            table.add_row(feed["slug"], escape(feed["title"]), str(feed["entries"]), date, escape(fact))
        return table


def _title_line(title: str, right: str, width: int) -> Text:
    """The title, and `right` at the end of its line, or of the next one if the title is long."""
    room = width - cell_len(right)
    gap = " " * (room - cell_len(title)) if cell_len(title) + 2 <= room else f"\n{' ' * room}"
    return Text.assemble((title, "bold"), gap, right, overflow="fold")


def _show(feeds: list[dict[str, Any]], zone: tzinfo) -> None:
    urls = [feed["url"] for feed in feeds]
    below = [Text(f"  {url}", "dim", no_wrap=True, overflow="ignore") for url in urls]
    print_table(FeedTable(feeds, zone, "URL", urls, below))
