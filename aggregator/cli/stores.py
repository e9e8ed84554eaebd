"""What a config names: its store, opened to read or with its lease to write, and its records folders."""

from __future__ import annotations

import os
import posixpath
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aggregator.cli.printing import print_message
from aggregator.config import Config
from aggregator.errors import StoppedError, StoreDamagedError, StoreError, StoreHeldError, StoreMissingError
from aggregator.paths import escape_name, is_bucket_url
from aggregator.settings import Source

if TYPE_CHECKING:
    from aggregator.store.database import Store

LEASE_WAIT_S = 30.0


@contextmanager
def reading_store(config: Config) -> Iterator[Store]:
    """The store, to read."""
    from aggregator.store.database import open_store

    store = open_store(config.store.url, create=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def writing_store(config: Config, stop: threading.Event) -> Iterator[tuple[Store, str]]:
    """The store with its lease, and the site id. SIGTERM and SIGINT set `stop` inside."""
    from aggregator.site import open_configured
    from aggregator.store.database import open_store

    with stopped_by_signals(stop):
        store = open_store(config.store.url, create=True)
        try:
            _acquire_lease(store, stop)
            try:
                if store.lease.was_left:
                    store.check_undamaged()
                yield store, open_configured(config, store)
            finally:
                store.lease.release()
        finally:
            store.close()


def _acquire_lease(store: Store, stop: threading.Event) -> None:
    """Acquires the lease, waiting up to `LEASE_WAIT_S` for its holder. Raises StoreHeldError, or StoppedError."""

    def wait_for(holder: str) -> None:
        print_message(f"waiting for {holder}")

    try:
        store.lease.acquire(LEASE_WAIT_S, stopped=stop.is_set, waiting=wait_for)
    except StoreHeldError as held:
        if stop.is_set():
            raise StoppedError(f"interrupted while waiting for {held.holder}") from None
        raise


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`; the second signal ends the process at once."""

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, before[number])
        stop.set()

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_site(config: Config) -> dict[str, str]:
    """The site id and the path of the last config, as far as the store has them and can be read."""
    if not config.may_have_store:
        return {}  # without importing the store
    from aggregator.site import CONFIG_KEY
    from aggregator.store.session import read_meta

    try:
        with reading_store(config) as store, store.read() as connection:
            values = {key: read_meta(connection, key) for key in ("site_id", CONFIG_KEY)}
    except StoreMissingError:
        return {}
    except StoreError as error:
        print_message(f"the config was not compared with the store: {error}")
        return {}
    return {key: value for key, value in values.items() if value is not None}


def store_damage(config: Config) -> str | None:
    """What is damaged in the store, as a message; None if nothing is, or there is no store."""
    if not config.may_have_store:
        return None
    try:
        with reading_store(config) as store:
            store.check_undamaged()
    except StoreDamagedError as error:
        return str(error)
    except StoreError:
        pass  # `read_site` says so
    return None


def candidate_places(sources: Sequence[Source], path: str) -> Iterator[tuple[Source, str]]:
    """Where a record or folder with this path could be: its source, and its escaped path below the folder of the
    source, empty for that folder. `path` is relative to each records folder, then to the working directory; or it is
    the URL of an object."""
    for base in (None, os.getcwd()):
        for source in sources:
            if not source.is_bucket:
                below = _below_folder(source, path, base)
            else:
                below = _below_bucket(source, path) if base is None else None
            if below is not None:
                yield source, "" if below == "." else escape_name(below)


def _below_folder(source: Source, path: str, base: str | None) -> str | None:
    root = os.path.abspath(source.root)
    below = os.path.relpath(os.path.join(base or root, path), root)
    is_below = not below.startswith("..") and (base or not os.path.isabs(path))
    return below.replace(os.sep, "/") if is_below else None


def _below_bucket(source: Source, path: str) -> str | None:
    if is_bucket_url(path):
        start = f"{source.root}/"
        return path.rstrip("/").removeprefix(start) if path.startswith(start) else "." if path == source.root else None
    below = posixpath.normpath(path)
    return None if below.startswith(("..", "/")) or "://" in path else below
