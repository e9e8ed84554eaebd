"""How long each stage of a cycle takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

SCAN, INGEST, STORE, FEEDS, RENDER, OUTPUT = STAGES = ("scan", "ingest", "store", "feeds", "render", "output")
"""The stages, in the order of the pipeline."""

Item = TypeVar("Item")


class StageClock:
    """Divides the time of one cycle among its stages. Stages are interleaved: folders are scanned while files are read,
    and documents are rendered while they are written. What is no other stage's counts as `store`."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._current, self._since = STORE, time.perf_counter()

    @property
    def current(self) -> str:
        """The stage that runs now."""
        return self._current

    def enter(self, stage: str) -> str:
        """Begins a stage, and returns the stage that it interrupts."""
        now = time.perf_counter()
        self._seconds[self._current] += now - self._since
        before, self._current, self._since = self._current, stage, now
        return before

    def during(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items. Making each of them is part of the stage; what is done with an item is not."""
        before = self.enter(stage)
        try:
            for item in items:
                self.enter(before)
                yield item
                before = self.enter(stage)
        finally:
            self.enter(before)

    def seconds(self) -> tuple[tuple[str, float], ...]:
        """The seconds of each stage until now."""
        self.enter(self._current)
        return tuple(self._seconds.items())
