"""Where the real records are, if they are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from parsing import as_record

from aggregator.ingest import ingest_files
from aggregator.model import Record
from aggregator.scan import Differs, scan_source
from aggregator.settings import Source

CHECKOUT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("AGGREGATOR_SHARED", CHECKOUT.parent / "shared"))
CORPUS = SHARED / "corpus"
FOLDERS = ("news", "learning", "samples", "communities")

needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason=f"the real records are not at {CORPUS} (AGGREGATOR_SHARED names the folder above)"
)


def read_records(source: Source) -> list[Record]:
    """The records of a source, all of whose files are records."""
    found = scan_source(source, iter(()), lambda _files: None)
    files = [(item.file, None) for item in found if isinstance(item, Differs)]
    return [as_record(outcome) for batch in ingest_files(source, files, workers=0) for outcome in batch]
