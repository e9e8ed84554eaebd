"""The deadline of cycles: one that hangs is reported, and in the end ends the process."""

from __future__ import annotations

import threading

from aggregator.service.health import HANG, Health
from aggregator.service.process import end_process
from aggregator.service.worker import Worker

HANG_S = 300.0
"""How long a cycle may make no progress before that is a problem. After twice as long the process ends."""
CHECKS = 20
"""How often progress is looked for in that time."""


class Deadline:
    """Counts from the last sign of progress, such as a file that was read, so a cycle may be as long as its work.

    Checks are counted, not time: neither a process nor a machine that was stopped hangs.
    """

    def __init__(self, worker: Worker, health: Health, stop: threading.Event) -> None:
        self._worker, self._health, self._stop = worker, health, stop

    def run(self) -> None:
        """Checks until the stop. A supervisor starts a process again that ended with an error."""
        seen, silent = None, 0
        while not self._stop.wait(HANG_S / CHECKS):
            progress = self._worker.progress()
            silent = silent + 1 if progress is not None and progress == seen else 0
            seen = progress
            what = f"the cycle hangs in the stage {self._worker.stage!r}: no progress for"
            if silent >= 2 * CHECKS:
                end_process(f"{what} {2 * HANG_S / 60:g} minutes")
            if silent >= CHECKS:
                self._health.begin(HANG, f"{what} {HANG_S / 60:g} minutes", fatal=True)
            else:
                self._health.end(HANG)
