"""Where the real records are, if they are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("AGGREGATOR_SHARED", CHECKOUT.parent / "shared"))
CORPUS = SHARED / "corpus"
FOLDERS = ("news", "learning", "samples", "communities")

needs_corpus = pytest.mark.skipif(
    not CORPUS.is_dir(), reason=f"the real records are not at {CORPUS} (AGGREGATOR_SHARED names the folder above)"
)
