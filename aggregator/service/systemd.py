"""Tells a supervisor such as systemd how the service is: sd_notify(3). Without one, does nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from aggregator.problems import visible

_STATUS_S = 30.0
"""How often the status is sent to a supervisor without a watchdog."""
_PINGS = 4
"""Pings in the time that the watchdog waits for one."""


def notify(*assignments: str) -> None:
    """Sends assignments such as `READY=1` to the supervisor. Never blocks and never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto("\n".join(assignments).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)


def watchdog_s() -> float | None:
    """How many seconds the watchdog of the supervisor waits for a ping; None without a watchdog for this process."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not limit.isdecimal():
        return None
    return int(limit) / 1_000_000 or None


async def report(status: Callable[[], str]) -> None:
    """Says that the service is ready, then pings the watchdog until it is cancelled.

    Runs in the event loop of the servers, so a ping proves that it works. A cycle that hangs is the matter of
    `end_hanging_cycle`.
    """
    limit_s = watchdog_s()
    notify("READY=1", f"STATUS={visible(status())}")
    while "NOTIFY_SOCKET" in os.environ:
        await asyncio.sleep(_STATUS_S if limit_s is None else limit_s / _PINGS)
        notify(*([] if limit_s is None else ["WATCHDOG=1"]), f"STATUS={visible(status())}")
