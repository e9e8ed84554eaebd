"""What the bytes of one file, or a front matter alone, give."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from aggregator.config.presets import PRESETS, Preset
from aggregator.model import Record, Rejection, SourceFile
from aggregator.parse.record import parse_record
from aggregator.settings import Source

UTC_ZONE = ZoneInfo("UTC")
SOURCE = Source(
    name="",
    root="/nowhere",
    include=("*.md",),
    fields=tuple(PRESETS["smartable"].items()),
    default_published=True,
    max_bytes=1_000_000,
    max_depth=32,
    max_nodes=20_000,
    removal_grace=timedelta(minutes=10),
    topics=(),
    link_template=None,
    timezone=UTC_ZONE,
)


def source_of(preset: Preset = "smartable", **changes: Any) -> Source:
    """The source of a preset, with its options changed."""
    layout = "plain" if preset == "smartable" else preset
    return replace(SOURCE, **{"fields": tuple(PRESETS[preset].items()), "layout": layout} | changes)


def parse_bytes(raw: bytes, source: Source = SOURCE, path: str = "a.md", **changes: Any) -> Record | Rejection:
    """What `raw` gives, with the options of the source changed."""
    return parse_record(raw, SourceFile("", path, len(raw), 0), replace(source, **changes), b"digest")


def parse(front: str, body: str = "", **changes: Any) -> Record | Rejection:
    """What a file with this front matter gives."""
    return parse_bytes(f"---\n{textwrap.dedent(front)}\n---\n{body}".encode(), **changes)


def damaged(raw: bytes, signs: Sequence[bytes], data: st.DataObject) -> bytes:
    """The bytes with one to four of their pieces replaced, mostly by `signs`."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 40)))
        raw = raw[:start] + data.draw(st.binary(max_size=8) | st.sampled_from(signs)) + raw[end:]
    return raw


@contextmanager
def processor_time(most_s: float) -> Iterator[None]:
    """Inside, no more processor time is spent. A tenth of it is usual; what is not linear takes minutes, or hours."""
    began = process_time()
    yield
    assert process_time() - began < most_s


def as_record(outcome: object) -> Record:
    """The outcome, which is a record."""
    assert isinstance(outcome, Record), outcome
    return outcome


def as_rejection(outcome: object) -> Rejection:
    """The outcome, which is a rejection."""
    assert isinstance(outcome, Rejection), outcome
    return outcome


def record(front: str, body: str = "", **changes: Any) -> Record:
    """The record of a front matter with a title added."""
    return as_record(parse(f"title: T\n{textwrap.dedent(front)}", body, **changes))


def rejection(front: str, **changes: Any) -> Rejection:
    """The refusal of a front matter with a title added."""
    return as_rejection(parse(f"title: T\n{textwrap.dedent(front)}", **changes))


def lines(outcome: Record | Rejection) -> list[str]:
    """Every line that people read about an outcome."""
    return [str(one) for one in (outcome.warnings if isinstance(outcome, Record) else (outcome.problem,))]


def source(root: Path | str, include: tuple[str, ...] = ("*.md",), **changes: Any) -> Source:
    """A folder of plain records."""
    return replace(SOURCE, root=str(root), include=include, **changes)
