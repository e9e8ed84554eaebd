"""What is wrong with the service, for /healthz, the log and `status`; and whether cycles succeed on time."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aggregator import __version__
from aggregator.problems import stamp

CYCLE, HANG, LATE, STORE, WATCH, MONITOR, WEBSUB = "cycle", "hang", "late", "store", "watch", "monitor", "websub"
LEADER, CONFIG = "leader", "config"
"""The parts of the service that can have a problem."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Fault:
    """A problem that is not resolved yet."""

    reason: str
    is_logged: bool = field(compare=False)  # the log has it; not if it repeats the problem of another part
    fatal: bool  # feeds cannot be correct until it is resolved, so /healthz answers 503


class Health:
    """The state behind the probes; written by threads of the service, read by HTTP."""

    def __init__(self) -> None:
        self.has_documents = False
        # Whether the config file is active, is refused, or has keys that wait for the next start. Does not make
        # /healthz answer 503: feeds are correct, and a restart would fail on the refused file.
        self.config: Literal["ok", "refused", "restart"] = "ok"
        # Whether this service leads; None: it does not know yet. And who does, for people.
        self.role: Literal["leader", "follower"] | None = None
        self.leader: str | None = None
        # The key of the store, see `read_store_key`; None: it was not reached yet.
        self.store: str | None = None
        # What is worth attention although feeds are correct; the log has it from elsewhere.
        self.notes: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._faults: dict[str, _Fault] = {}
        self._last_success: datetime | None = None
        self._next_cycle: datetime | None = None
        self._late_after = math.inf

    def begin(self, part: str, reason: str, *, fatal: bool) -> bool:
        """Records and logs a problem of a part; False if it was known."""
        with self._lock:
            others = [fault.reason for of_part, fault in self._faults.items() if of_part != part]
            fault = _Fault(reason, not any(other in reason for other in others), fatal)
            if self._faults.get(part) == fault:
                return False
            if fault.is_logged:
                _log.log(logging.ERROR if fatal else logging.WARNING, "%s", reason)
            self._faults[part] = fault
        return True

    def end(self, part: str, *, is_resolved: bool = True) -> bool:
        """Records that the problem of a part is over, and logs it if it was resolved; False if it had none."""
        with self._lock:
            fault = self._faults.pop(part, None)
            if fault is None:
                return False
            if fault.is_logged and is_resolved:
                _log.info("resolved: %s", fault.reason)
        return True

    def succeed(self, at: datetime, scheduled: datetime | None, late_s: float) -> None:
        """A cycle that began at `at` succeeded. The next is late `late_s` after its `scheduled` time."""
        self._last_success, self._next_cycle = at, scheduled
        self._late_after = math.inf
        if scheduled is not None:  # on the monotonic clock
            self._late_after = time.monotonic() + (scheduled - datetime.now(UTC)).total_seconds() + late_s
        self.end(CYCLE)
        self.end(LATE)

    def lead(self) -> None:
        """Records that this service leads now. It has to show in a cycle that it is well."""
        self.role, self.leader, self._last_success = "leader", None, None
        self._late_after = math.inf

    def follow(self, leader: str) -> bool:
        """Records that this service follows `leader` now; False if that was known."""
        is_known = (self.role, self.leader) == ("follower", leader)
        self.role, self.leader = "follower", leader
        return not is_known

    def check_late(self) -> None:
        """Records a problem if the next cycle is late. To be called regularly."""
        if time.monotonic() > self._late_after:
            self.begin(LATE, f"no cycle has succeeded since {stamp(self._last_success)}", fatal=True)

    def problems(self) -> list[str]:
        """The problems, except failed cycles, which the store records."""
        return [fault.reason for part, fault in self._current() if part != CYCLE]

    def report(self) -> tuple[bool, dict[str, Any]]:
        """For /healthz: whether all is well, and the facts."""
        self.check_late()
        faults = self._current()
        fatal = _fatal(faults)
        if fatal:
            status = "late" if fatal.keys() == {LATE} else "failing"
        else:
            status = "starting" if self._last_success is None else "ok"
        facts: dict[str, Any] = {
            "status": status,
            "version": __version__,
            "last_success": stamp(self._last_success),
            "next_cycle": stamp(self._next_cycle),
            "config": self.config,
            "role": self.role,
            "store": self.store,
        }
        if self.leader is not None:
            facts["leader"] = self.leader
        if status != "ok":
            facts["reason"] = _joined(fatal) or "the first cycle is not complete yet"
        if warnings := [*(fault.reason for _, fault in faults if not fault.fatal), *self.notes]:
            facts["warnings"] = warnings
        return status == "ok", facts

    def fatal_problem(self) -> str:
        """Why /healthz answers 503; empty if it does not, or only because the first cycle is not complete."""
        return _joined(_fatal(self._current()))

    def line(self) -> str:
        """The report in one line."""
        _, facts = self.report()
        follows = f", follows {self.leader}" if self.role == "follower" else ""
        return f"{facts['status']}: {facts.get('reason') or 'last cycle ' + str(facts['last_success'])}{follows}"

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """For /readyz: whether there are documents to serve."""
        return self.has_documents, {"status": "ready" if self.has_documents else "starting"}

    def _current(self) -> list[tuple[str, _Fault]]:
        with self._lock:
            return list(self._faults.items())


def _fatal(faults: list[tuple[str, _Fault]]) -> dict[str, str]:
    return {part: fault.reason for part, fault in faults if fault.fatal}


def _joined(reasons: dict[str, str]) -> str:
    """The reasons, without those that repeat another one."""
    found = list(dict.fromkeys(reasons.values()))
    return "; ".join(reason for reason in found if not any(other in reason for other in found if other != reason))
