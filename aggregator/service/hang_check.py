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


def end_hanging_cycle(worker: Worker, health: Health, stop: threading.Event) -> None:
    """Reports a cycle that hangs, and ends the process in the end: a supervisor starts it again. Runs until the stop.

    Counts from the last sign of progress, such as a file that was read, so a cycle may be as long as its work. Checks
    are counted, not time: neither a process nor a machine that was stopped hangs.
    """
    seen, silent = None, 0
    while not stop.wait(HANG_S / CHECKS):
        progress = worker.progress()
        silent = silent + 1 if progress is not None and progress == seen else 0
        seen = progress
        what = f"the cycle hangs in the stage {worker.stage!r}: no progress for"
        if silent >= 2 * CHECKS:
            end_process(f"{what} {2 * HANG_S / 60:g} minutes")
        if silent >= CHECKS:
            health.begin(HANG, f"{what} {HANG_S / 60:g} minutes", fatal=True)
        else:
            health.end(HANG)
