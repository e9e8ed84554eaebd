"""The lease: one writer at a time, on the database's clock.

It lasts 10 s. Every writing transaction renews it, and a timer in between. A holder on this machine that no longer runs
is replaced at once, any other holder when its lease ends. A lease that ends later than 10 s from now is invalid.

A holder may be frozen in the middle of a transaction, which then blocks whoever takes the lease after it. PostgreSQL is
asked to end such a session.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Never

from sqlalchemy import Connection, TextClause, Update, bindparam, delete, insert, select, text, update

from aggregator.errors import LeaseLostError, StoreBlockedError, StoreError, StoreHeldError
from aggregator.store.schema import lease

LEASE_MS = 10_000
RENEW_S = 3.0
BLOCKED_MS = 1000
"""How long whoever takes the lease waits for the transactions of the holder before."""
_CLOCK = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}
_END_WRITERS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'lease'::regclass AND mode <> 'AccessShareLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
"""
_log = logging.getLogger(__name__)


class Lease:
    """The right to write, held from `acquire` to `release`, unless another process takes it."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self.token = ""  # of the last time that it was acquired
        self.is_held = False  # as far as this process knows
        self.on_loss: Callable[[], None] = lambda: None  # called from any thread
        self.was_left = False  # the holder before did not release it: its process was killed, or the machine stopped
        self._stopped = threading.Event()
        self._timer: threading.Thread | None = None

    def acquire(
        self,
        wait_s: float,
        *,
        stopped: Callable[[], bool] = lambda: False,
        waiting: Callable[[str], None] = lambda _holder: None,
    ) -> None:
        """Takes the lease, also after it was lost.

        Tries for up to `wait_s`, then raises StoreHeldError, which names the holder. Calls `waiting` with the holder,
        once, if there is one.
        """
        deadline = time.monotonic() + wait_s
        has_waited = False
        while True:
            try:
                self._take_over()
                break
            except StoreHeldError as held:
                if time.monotonic() >= deadline or stopped():
                    raise
                if not has_waited:
                    waiting(held.holder)
                    has_waited = True
                self._stopped.wait(0.2)
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Thread(target=self._renew_forever, name="lease", daemon=True)
            self._timer.start()

    def check(self, connection: Connection) -> None:
        """Raises LeaseLostError if another process has the lease. Writes nothing."""
        token = self.token
        if read_token(connection) != token:
            self._lose(token)

    def assert_held(self, connection: Connection) -> None:
        """Renews the lease in the transaction of `connection`; raises LeaseLostError if another process has it."""
        token = self.token
        renewed = connection.execute(_renewal(connection.dialect.name), {"of_token": token})
        if renewed.rowcount != 1:
            self._lose(token)

    def _lose(self, token: str) -> Never:
        if self.is_held and token == self.token:  # else this process has taken the lease again meanwhile
            self.is_held = False
            self.on_loss()
        raise LeaseLostError("another process has taken over the store")

    def stop_renewing(self) -> None:
        """Stops renewing the lease, so that it ends by itself. May be called twice."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.join(timeout=RENEW_S)

    def release(self) -> None:
        """Gives the lease back for good. May be called twice."""
        self.stop_renewing()
        self.give_back()

    def give_back(self) -> None:
        """Gives the lease back; it can be acquired again."""
        if not self.is_held:
            return
        self.is_held = False
        try:
            with self._begin() as connection:
                connection.execute(delete(lease).where(lease.c.token == self.token))
        except StoreError:
            pass  # it ends by itself

    def _take_over(self) -> None:
        """Takes the lease if nobody holds it, else raises StoreHeldError."""
        token = uuid.uuid4().hex  # a new one each time: what this process began under an old one is refused, too
        try:
            with self._begin() as connection:
                self._take(connection, token)
        except StoreBlockedError:
            self._end_writers()
            with self._begin() as connection:
                self._take(connection, token)
        self.token, self.is_held = token, True

    def _take(self, connection: Connection, token: str) -> None:
        self._check_free(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = {BLOCKED_MS:d}"))
            connection.execute(text("LOCK TABLE lease IN EXCLUSIVE MODE"))
            self._check_free(connection)
        self.was_left = connection.execute(delete(lease)).rowcount > 0
        until = _clock(connection.dialect.name, LEASE_MS)
        connection.execute(insert(lease).values(id=1, token=token, holder=json.dumps(_this_process()), until_ms=until))

    def _check_free(self, connection: Connection) -> None:
        if (holder := read_holder(connection)) is not None:
            raise StoreHeldError(holder)

    def _end_writers(self) -> None:
        """Ends the sessions whose transactions outlive their lease. What they wrote is rolled back."""
        with self._begin() as connection:
            self._check_free(connection)
            number = connection.scalar(text(_END_WRITERS))
        _log.warning("PostgreSQL ended %d unfinished transactions of the process that had the lease", number)

    def _renew_forever(self) -> None:
        while not self._stopped.wait(RENEW_S):
            if not self.is_held:
                continue
            try:
                with self._begin() as connection:
                    self.assert_held(connection)
            except Exception:  # noqa: BLE001, S112 - another process has it, or the database is down; a cycle reports that
                continue


def read_holder(connection: Connection) -> str | None:
    """Who holds the lease now, for people; None if nobody does.

    A lease that ends later than a lease taken now was taken while the clock was wrong. It is invalid, because it could
    last for years."""
    dialect = connection.dialect.name
    now, latest = _clock(dialect, 0), _clock(dialect, LEASE_MS)
    holder = connection.scalar(select(lease.c.holder).where(lease.c.until_ms.between(now, latest)).limit(1))
    facts = None if holder is None else json.loads(holder)
    if facts is None or _has_ended(facts):
        return None
    return f"process {facts['pid']} on {facts['host']} ({facts['command']})"


def read_token(connection: Connection) -> str | None:
    """The fencing token of the lease that was taken last."""
    return connection.scalar(select(lease.c.token))


@cache
def _renewal(dialect: str) -> Update:
    """Renews the lease with the token `of_token`."""
    return update(lease).where(lease.c.token == bindparam("of_token")).values(until_ms=_clock(dialect, LEASE_MS))


def _clock(dialect: str, ahead_ms: int) -> TextClause:
    """The database's time in ms since 1970, `ahead_ms` from now."""
    return text(f"{_CLOCK[dialect]} + {ahead_ms:d}")


def _this_process() -> dict[str, str | int]:
    return {
        "boot": _machine_boot(),
        "host": platform.node(),
        "pid": os.getpid(),
        "started": _process_start(os.getpid()),
        "command": " ".join(["aggregator", *sys.argv[1:2]]),
    }


def _has_ended(holder: dict[str, str | int]) -> bool:
    """Whether the holder ran on this machine since it was started, and has ended; False if that is unknown."""
    boot = _machine_boot()
    if not boot or boot != holder["boot"]:
        return False
    started = _process_start(int(holder["pid"]))
    return started != holder["started"] if started else not is_running(int(holder["pid"]))


def is_running(pid: int) -> bool:
    """Whether there is such a process on this machine, also one that we may not signal."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _machine_boot() -> str:
    """Identifies the boot of this machine and the namespace of process ids; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """When a process started, in ticks since boot (proc(5), field 22 of stat); "ended" if it ended and its parent does
    not know yet; empty if there is none."""
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "ended" if state in "ZX" else facts[18]
    except (OSError, IndexError):
        return ""
