"""Reading functions for the workers of a cluster, which find them by the name of this module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import slow

from aggregator import ingest
from aggregator.config.presets import PRESETS
from aggregator.ingest import Batch, CheckStop, Outcome
from aggregator.model import SourceFile
from aggregator.settings import Source


def source(root: Path) -> Source:
    """A source as a config without keys makes it."""
    fields = tuple(PRESETS["smartable"].items())
    return Source("", str(root), ("*.md",), fields, True, 10**6, 32, 20_000, timedelta(0), (), None, ZoneInfo("UTC"))


def files(source: Source) -> Iterator[tuple[SourceFile, None]]:
    """The files of a source, by name."""
    return ((SourceFile("", name, 1, 1), None) for name in sorted(os.listdir(source.root)))


def read(source: Source, batch: Batch, check_stop: CheckStop | None = None) -> list[Outcome]:
    """A batch; a worker dies from a record that crashes the parser, the process of the test does not."""
    ingest._parse_file = slow.parse
    is_here = os.getpid() == int(os.environ["TEST_PROCESS"])
    return (ingest.read_carefully if is_here else ingest.ingest_batch)(source, batch, check_stop)
