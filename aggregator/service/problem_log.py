"""Logs each problem of cycles once when it begins, and once when it ends."""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)


class ProblemLog:
    """The problems of the last cycle."""

    def __init__(self) -> None:
        self._problems: frozenset[str] = frozenset()

    def update(self, problems: frozenset[str]) -> None:
        """Logs what differs from the last cycle."""
        for problem in sorted(problems - self._problems):
            _log.warning("%s", problem)
        for problem in sorted(self._problems - problems):
            _log.info("resolved: %s", problem)
        self._problems = problems
