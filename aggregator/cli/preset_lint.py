"""Whether the preset of a records folder fits its records, for `check`. Needs no store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from aggregator.config import Config
from aggregator.config.presets import PRESETS
from aggregator.ingest import trace_file
from aggregator.model import Record
from aggregator.problems import Problem, shown_path
from aggregator.settings import Source

MAX_TRIED = 20
"""Most records of a folder that are read with other presets."""
_OTHERS: tuple[Literal["hugo", "jekyll"], ...] = ("hugo", "jekyll")


class PresetLint:
    """Collects all records, then reports each folder whose records have neither date nor topics with the preset
    `smartable`, if they have some with another one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._bare: dict[str, list[str]] = {source.name: [] for source in config.sources if source.layout == "plain"}

    def add(self, record: Record) -> None:
        """Takes one record into account."""
        name = record.file.source
        if record.published is not None or record.content.topics:
            self._bare.pop(name, None)
        elif name in self._bare and len(self._bare[name]) < MAX_TRIED:
            self._bare[name].append(record.file.path)

    def problems(self) -> Iterator[Problem]:
        """A warning for each folder that another preset fits better."""
        positions = self._config.positions
        for source in self._config.sources:
            paths = self._bare.get(source.name, ())
            if preset := next((name for name in _OTHERS if any(_fits(source, name, path) for path in paths)), None):
                line = positions.record_key(source.name, "preset") or 0
                path = positions.file or shown_path(source.root, "")
                what = "no record has a date or a topic with the preset"
                hint = f'with preset = "{preset}" they have; choose it before the first run, because entries keep dates'
                yield Problem(path, line, 1 if line else 0, what, "smartable", hint, "warning")


def _fits(source: Source, preset: Literal["hugo", "jekyll"], path: str) -> bool:
    """Whether a record has a date or a topic with this preset."""
    record, _ = trace_file(replace(source, fields=tuple(PRESETS[preset].items()), layout=preset), path)
    return isinstance(record, Record) and (record.published is not None or bool(record.content.topics))
