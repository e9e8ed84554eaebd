"""What the service knows to be wrong, for /healthz, the log and `status`; and whether cycles succeed on time."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aggregator import __version__

CYCLE, LATE, STORE, WATCH, FOLLOW = "cycle", "late", "store", "watch", "follow"
"""What something can be wrong with."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Something that is wrong now; `grave` when the feeds cannot be right until it is over."""

    reason: str
    grave: bool


class Health:
    """What probes are told; written by the threads of the service, read by HTTP."""

    def __init__(self) -> None:
        self.has_documents = False
        self.config: Literal["ok", "refused", "restart"] = "ok"
        """Whether the config file is in force, is refused, or names something that waits for the next start. Says
        nothing of health: the last good config works, and a supervisor that ended the service for a slip in the file
        would find that it cannot start again."""
        self._lock = threading.Lock()
        self._troubles: dict[str, _Trouble] = {}
        self._last_success: datetime | None = None
        self._upcoming: datetime | None = None
        self._late_after = math.inf

    def begin(self, subject: str, reason: str, *, grave: bool) -> bool:
        """Notes what is wrong with a subject, and logs it; False if that was known."""
        trouble = _Trouble(reason, grave)
        with self._lock:
            before = self._troubles.get(subject)
            if before == trouble:
                return False
            if before is not None:
                _log.info("no longer so: %s", before.reason)
            _log.log(logging.ERROR if grave else logging.WARNING, "%s", reason)
            self._troubles[subject] = trouble
        return True

    def end(self, subject: str) -> bool:
        """Notes that nothing is wrong with a subject, and logs it; False if that was known."""
        with self._lock:
            trouble = self._troubles.get(subject)
            if trouble is None:
                return False
            _log.info("no longer so: %s", trouble.reason)
            del self._troubles[subject]
        return True

    def succeed(self, at: datetime, upcoming: datetime | None, late_s: float) -> None:
        """A cycle that began at `at` succeeded; the next is `upcoming` and must have `late_s` after that."""
        self._last_success, self._upcoming = at, upcoming
        self._late_after = math.inf
        if upcoming is not None:  # measured by no clock that can be set
            self._late_after = time.monotonic() + (upcoming - datetime.now(UTC)).total_seconds() + late_s
        self.end(CYCLE)
        self.end(LATE)

    def look(self) -> None:
        """Notes when the next cycle is late. To be called now and then."""
        if time.monotonic() > self._late_after:
            self.begin(LATE, f"no cycle has succeeded since {_text(self._last_success)}", grave=True)

    def problems(self) -> list[str]:
        """What is wrong, cycles that fail aside, which the store keeps by itself."""
        return [trouble.reason for subject, trouble in self._listed() if subject != CYCLE]

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and the facts."""
        self.look()
        troubles = self._listed()
        grave = [(subject, one.reason) for subject, one in troubles if one.grave]
        if grave:
            status = "late" if [subject for subject, _ in grave] == [LATE] else "failing"
        else:
            status = "starting" if self._last_success is None else "ok"
        facts: dict[str, Any] = {
            "status": status,
            "version": __version__,
            "last_success": _text(self._last_success),
            "next_cycle": _text(self._upcoming),
            "config": self.config,
        }
        if grave or status == "starting":
            facts["reason"] = "; ".join(reason for _, reason in grave) or "the first cycle is not done yet"
        if warnings := [one.reason for _, one in troubles if not one.grave]:
            facts["warnings"] = warnings
        return status == "ok", facts

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether there is anything to serve."""
        return self.has_documents, {"status": "ready" if self.has_documents else "starting"}

    def _listed(self) -> list[tuple[str, _Trouble]]:
        with self._lock:
            return list(self._troubles.items())


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
