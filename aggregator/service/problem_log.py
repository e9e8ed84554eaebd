"""What the log says about the problems of cycles: which are new, and which are resolved."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

_log = logging.getLogger(__name__)


class ProblemLog:
    """Compares the problems of each cycle with those of the one before."""

    def __init__(self) -> None:
        self.causes: frozenset[str] = frozenset()  # of a failure; health logs these
        self._logged: frozenset[str] = frozenset()
        self._held: frozenset[str] = frozenset()
        self._rejections: dict[tuple[str, str], str] = {}  # by source and path

    def note_held(self, held: Collection[str], *, is_over: bool) -> None:
        """Notes why removals are held. `is_over`: held entries were withdrawn, so what is gone is not resolved."""
        if is_over:
            self._logged -= self._held.difference(held)
        self._held = frozenset(held)

    def note_rejections(self, found: Mapping[tuple[str, str], str], total: int) -> None:
        """Notes the first rejected files. If there are more, those noted before that come after them stay noted: they
        were cut off, which does not resolve them."""
        last = max(found, default=("", ""))
        cut_off = self._rejections.items() if total > len(found) else ()
        self._rejections = {**found, **{place: problem for place, problem in cut_off if place > last}}

    def forget(self) -> None:
        """Forgets what belongs to the cycles of this service, because another one leads."""
        self.causes, self._rejections = frozenset(), {}

    def write(self, problems: Collection[str]) -> None:
        """Logs what is new among the problems and the rejections, and what is resolved."""
        current = frozenset((*problems, *self._rejections.values())) - self.causes
        for problem in sorted(current - self._logged):
            _log.warning("%s", problem)
        for problem in sorted(self._logged - current):
            _log.info("resolved: %s", problem)
        self._logged = current
