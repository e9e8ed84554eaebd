"""The time to render a feed of 50 entries, part by part: python -m pytest benchmarks/test_render.py.

Compare only figures of one run, with `test_text_templates` and `test_plain_feedgen` as references.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aggregator.model import Entry, Feed
from aggregator.render import fit_entries, render_feed
from aggregator.settings import Format, OutputOptions
from benchmarks.bench_feed import ENTRIES, SITE, floor, fresh, make_entry, make_feed, plain_feedgen

LEAN = OutputOptions(("rss", "atom"), pages=False, max_bytes=1_000_000)
ALL_FORMATS = replace(LEAN, formats=("rss", "atom", "json"))
ROUNDS = 100


def measure(benchmark: BenchmarkFixture, render: Callable[[list[Entry]], object], *, new: int = ENTRIES) -> None:
    """Measures the rendering of 50 entries. The first `new` of them were never rendered before."""

    def setup() -> tuple[tuple[list[Entry]], dict[str, object]]:
        entries = [make_entry() for _ in range(ENTRIES)]
        if new < ENTRIES:
            render(entries[new:])
        # A cycle reads entries from the store again, but shares their content.
        return ([entry._replace() for entry in entries],), {}

    benchmark.pedantic(render, setup=setup, rounds=ROUNDS)


def product(options: OutputOptions) -> Callable[[list[Entry]], object]:
    return lambda entries: render_feed(make_feed(entries), SITE, options, linked=frozenset(["ai"]))


def test_plain_feedgen(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, plain_feedgen)


def test_text_templates(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, floor)


@pytest.mark.parametrize("form", ["rss", "atom", "json"])
def test_one_format_all_new(benchmark: BenchmarkFixture, form: Format) -> None:
    measure(benchmark, product(replace(LEAN, formats=(form,))))


def test_rss_and_atom_all_new(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, product(LEAN))


def test_all_formats_one_new(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, product(ALL_FORMATS), new=1)


def test_all_formats_none_new(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, product(ALL_FORMATS), new=0)


def test_all_formats_and_page_all_new(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, product(replace(ALL_FORMATS, pages=True)))


@pytest.mark.parametrize("new", [0, 1, ENTRIES])
def test_counting_what_fits(benchmark: BenchmarkFixture, new: int) -> None:
    measure(benchmark, lambda entries: fit_entries(make_feed(entries), SITE, LEAN), new=new)


def test_first_frames_of_a_feed(benchmark: BenchmarkFixture) -> None:
    def setup() -> tuple[tuple[Feed], dict[str, object]]:
        number = next(fresh)
        feed = replace(make_feed([]), slug=f"topic-{number}", title=f"Topic {number}", id=f"urn:uuid:{number:032}")
        return (feed,), {}

    benchmark.pedantic(lambda feed: render_feed(feed, SITE, LEAN), setup=setup, rounds=ROUNDS)
