"""Whether scans succeed on time, for /healthz."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any, Literal


class Health:
    """What probes are told; written by the threads of the service, read by HTTP."""

    def __init__(self) -> None:
        self.has_documents = False
        self.config: Literal["ok", "refused", "restart"] = "ok"
        """Whether the config file is in force, is refused, or names something that waits for the next start. Says
        nothing of health: the last good config works, and a supervisor that ended the service for a slip in the file
        would find that it cannot start again."""
        self._last_success: datetime | None = None
        self._upcoming: datetime | None = None
        self._late_after = math.inf
        self._failing = False

    def succeed(self, at: datetime, upcoming: datetime | None, late_s: float) -> None:
        """A cycle that began at `at` succeeded; the next is `upcoming` and must have `late_s` after that."""
        self._last_success, self._upcoming, self._failing = at, upcoming, False
        if upcoming is not None:  # measured by no clock that can be set
            self._late_after = time.monotonic() + (upcoming - datetime.now(UTC)).total_seconds() + late_s

    def fail(self) -> None:
        """A cycle did not succeed."""
        self._failing = True

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and the facts."""
        late = time.monotonic() > self._late_after
        if self._failing:
            status = "failing"
        elif self._last_success is None:
            status = "starting"
        else:
            status = "late" if late else "ok"
        facts = {
            "status": status,
            "last_success": _text(self._last_success),
            "next_cycle": _text(self._upcoming),
            "config": self.config,
        }
        return status == "ok", facts

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether there is anything to serve."""
        return self.has_documents, {"status": "ready" if self.has_documents else "starting"}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
