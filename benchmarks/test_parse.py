"""How long a record takes to parse: read quickly, and as PyYAML reads it (pytest-benchmark).

    python -m pytest benchmarks/test_parse.py

The records are those of `bench/gen_corpus.py` in the shared folder, which AGGREGATOR_SHARED names. Each round parses
all of them, so the time of a record is that of a round divided by RECORDS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aggregator.config.schema import PRESETS
from aggregator.model import SourceFile
from aggregator.parse.front_matter import fast_yaml
from aggregator.parse.record import parse_record
from aggregator.settings import Source

RECORDS = 500
SHARED = Path(os.environ.get("AGGREGATOR_SHARED") or Path(__file__).parents[1] / "../shared")
GENERATOR = SHARED / "bench/gen_corpus.py"
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

pytestmark = pytest.mark.skipif(not GENERATOR.is_file(), reason="bench/gen_corpus.py is not in AGGREGATOR_SHARED")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, SourceFile]]:
    folder = tmp_path_factory.mktemp("records")
    subprocess.run([sys.executable, GENERATOR, str(RECORDS), folder], check=True)
    raws = [path.read_bytes() for path in sorted(folder.rglob("*.md"))]
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
