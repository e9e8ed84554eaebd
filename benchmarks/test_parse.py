"""The time to parse 500 records, with yaml-rs and with PyYAML only: python -m pytest benchmarks/test_parse.py.

The time per record is the time of a round divided by RECORDS.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aggregator.config.presets import PRESETS
from aggregator.model import SourceFile
from aggregator.parse.front_matter import fast_yaml
from aggregator.parse.record import parse_record
from aggregator.settings import Source
from benchmarks.corpus import make_records

RECORDS = 500
SOURCE = Source(
    name="",
    root="/nowhere",
    include=("*.md",),
    fields=tuple(PRESETS["smartable"].items()),
    default_published=True,
    max_bytes=1_000_000,
    max_depth=32,
    max_nodes=20_000,
    removal_grace=timedelta(0),
    topics=(),
    link_template=None,
    timezone=ZoneInfo("UTC"),
)


@pytest.fixture(scope="module")
def records() -> list[tuple[bytes, SourceFile]]:
    raws = [record.text.encode() for record in make_records(RECORDS)]
    return [(raw, SourceFile("", f"{number}.md", len(raw), 0)) for number, raw in enumerate(raws)]


def parse_all(records: list[tuple[bytes, SourceFile]]) -> None:
    for raw, file in records:
        parse_record(raw, file, SOURCE, b"")


def test_parse(benchmark: Any, records: list[tuple[bytes, SourceFile]]) -> None:
    benchmark(parse_all, records)


def test_parse_without_yaml_rs(
    benchmark: Any, records: list[tuple[bytes, SourceFile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_yaml, "loads", None)

    benchmark(parse_all, records)
