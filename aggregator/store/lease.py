"""The lease: one writer at a time, on the database's clock.

It lasts 10 s and is renewed by every transaction and, between them, by a timer. A holder that is gone from this very
machine is replaced at once, any other when its lease ends; a lease that ends later than 10 s from now is not valid.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection, TextClause, delete, insert, select, text, update

from aggregator.errors import LeaseLostError, StoreError, StoreHeldError
from aggregator.store.schema import lease

LEASE_MS = 10_000
RENEW_S = 3.0
_CLOCK = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}


class Lease:
    """The right to write, held from `acquire` to `release`."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self.token = uuid.uuid4().hex
        self._stopped = threading.Event()
        self._timer: threading.Thread | None = None

    def acquire(
        self,
        wait_s: float,
        *,
        stopped: Callable[[], bool] = lambda: False,
        waiting: Callable[[str], None] = lambda _holder: None,
    ) -> None:
        """Takes the lease, trying for up to `wait_s`; raises StoreHeldError naming the holder. One that was lost may be
        taken again. `waiting` is told the holder when there is one."""
        deadline = time.monotonic() + wait_s
        told = False
        while True:
            try:
                with self._begin() as connection:
                    self._take(connection)
                break
            except StoreHeldError as held:
                if time.monotonic() >= deadline or stopped():
                    raise
                if not told:
                    waiting(held.holder)
                    told = True
                self._stopped.wait(0.2)
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Thread(target=self._renew_forever, name="lease", daemon=True)
            self._timer.start()

    def assert_held(self, connection: Connection) -> None:
        """Renews the lease in the transaction of `connection`; raises LeaseLostError if it is another's."""
        renewed = connection.execute(
            update(lease).where(lease.c.token == self.token).values(until_ms=_clock(connection, LEASE_MS))
        )
        if renewed.rowcount != 1:
            raise LeaseLostError("another process has taken over the store")

    def release(self) -> None:
        """Gives the lease back; to do so twice does no harm."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.join(timeout=RENEW_S)
        try:
            with self._begin() as connection:
                connection.execute(delete(lease).where(lease.c.token == self.token))
        except StoreError:
            pass  # it ends by itself

    def _take(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE lease IN EXCLUSIVE MODE"))
        holder = _holder(connection)
        if holder is not None:
            raise StoreHeldError(describe_holder(holder))
        connection.execute(delete(lease))
        connection.execute(
            insert(lease).values(
                id=1, token=self.token, holder=json.dumps(_this_process()), until_ms=_clock(connection, LEASE_MS)
            )
        )

    def _renew_forever(self) -> None:
        while not self._stopped.wait(RENEW_S):
            try:
                with self._begin() as connection:
                    self.assert_held(connection)
            except Exception:  # noqa: BLE001, S112 - another process has it, or the database is away: a cycle says so
                continue


def read_holder(connection: Connection) -> str | None:
    """Who holds the lease now, for people; None if nobody does."""
    holder = _holder(connection)
    return None if holder is None else describe_holder(holder)


def read_token(connection: Connection) -> str | None:
    """The fencing token of the lease that was taken last."""
    return connection.scalar(select(lease.c.token))


def _holder(connection: Connection) -> str | None:
    """Who holds the lease now, as the store has it. A lease that ends later than one taken now would was taken while
    the clock was wrong, and counts as over: it could last for years."""
    now, latest = _clock(connection, 0), _clock(connection, LEASE_MS)
    row = connection.execute(select(lease.c.holder).where(lease.c.until_ms.between(now, latest)).limit(1)).first()
    return None if row is None or _is_gone(json.loads(row.holder)) else str(row.holder)


def describe_holder(holder: str) -> str:
    """Who holds the lease, for people."""
    facts = json.loads(holder)
    return f"process {facts['pid']} on {facts['host']} ({facts['command']})"


def _clock(connection: Connection, ahead_ms: int) -> TextClause:
    """The database's time in ms since 1970, `ahead_ms` from now."""
    return text(f"{_CLOCK[connection.dialect.name]} + {ahead_ms:d}")


def _this_process() -> dict[str, str | int]:
    return {
        "boot": _machine_boot(),
        "host": platform.node(),
        "pid": os.getpid(),
        "started": _process_start(os.getpid()),
        "command": " ".join(["aggregator", *sys.argv[1:2]]),
    }


def _is_gone(holder: dict[str, str | int]) -> bool:
    """Whether the holder ran on this machine, since its last start, and does no more; False when one cannot tell."""
    boot = _machine_boot()
    if not boot or boot != holder["boot"]:
        return False
    started = _process_start(int(holder["pid"]))
    return started != holder["started"] if started else _is_no_process(int(holder["pid"]))


def _is_no_process(pid: int) -> bool:
    """Whether there is none, which a process that may not be looked at is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine_boot() -> str:
    """What sets this run of this machine, and this space of process ids, apart; empty where one cannot tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """When a process started, in ticks since boot (proc(5), field 22 of stat); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
