"""What a config names: its store, opened to read or with its lease to write, and its records folders."""

from __future__ import annotations

import os
import posixpath
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from aggregator.cli.printing import print_message
from aggregator.config import Config
from aggregator.config.values import sqlite_file
from aggregator.errors import (
    SourceRenamedError,
    StoppedError,
    StoreDamagedError,
    StoreError,
    StoreForeignError,
    StoreHeldError,
    StoreMissingError,
    StoreUnreachableError,
)
from aggregator.output.bucket import has_manifest
from aggregator.output.manifest import MANIFEST_PATH
from aggregator.paths import escape_name, is_bucket_url
from aggregator.settings import Source

if TYPE_CHECKING:
    from aggregator.store.database import Store

LEASE_WAIT_S = 30.0


@contextmanager
def reading_store(config: Config) -> Iterator[Store]:
    """The store, to read."""
    from aggregator.store.database import open_store

    with naming_loss(config):
        store = open_store(config.store.url, create=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def naming_loss(config: Config) -> Iterator[None]:
    """Inside, a StoreMissingError says so if there was a store before."""
    try:
        yield
    except StoreMissingError:
        if message := lost_store(config):
            raise StoreMissingError(message) from None
        raise


def lost_store(config: Config) -> str | None:
    """The message that there was a store, for a store that is missing; None if nothing was published from one."""
    if not has_manifest(config.output.path):
        return None
    from aggregator.store.lost_store import lost_store_message

    manifest = f"{config.output.path}/{MANIFEST_PATH}"
    return lost_store_message(manifest, sqlite_file(config.store.url), is_replaced=False)


@contextmanager
def writing_store(config: Config, stop: threading.Event) -> Iterator[tuple[Store, str]]:
    """The store with its lease, and the site id. SIGTERM and SIGINT set `stop` inside."""
    from aggregator.site import open_configured
    from aggregator.store.database import open_store

    with stopped_by_signals(stop):
        store = open_store(config.store.url, create=True)
        try:
            _acquire_lease(store, stop, LEASE_WAIT_S)
            try:
                if store.lease.was_left:
                    store.check_undamaged()
                yield store, open_configured(config, store)
            finally:
                store.lease.release()
        finally:
            store.close()


@contextmanager
def service_store(config: Config, stop: threading.Event) -> Iterator[tuple[Store, str | None]]:
    """The store for a service, and the site id, or None while the database cannot be reached or no other service has
    stored the id yet. The service has the lease, or over PostgreSQL follows the process that has it. SIGTERM and SIGINT
    set `stop` inside."""
    from aggregator.site import open_for_service
    from aggregator.store.database import name_store

    with stopped_by_signals(stop):
        store = name_store(config.store.url, create=True)
        try:
            site_id = None
            try:
                # over a shared store a service does not wait, because it can follow the holder
                wait_s = 0 if store.is_shared else LEASE_WAIT_S
                site_id = open_for_service(config, store, partial(_acquire_lease, store, stop, wait_s))
            except StoreUnreachableError as error:
                print_message(f"waiting for the database: {error}")
            yield store, site_id
        finally:
            store.lease.release()
            store.close()


def _acquire_lease(store: Store, stop: threading.Event, wait_s: float) -> None:
    """Acquires the lease, waiting up to `wait_s` for its holder. Raises StoreHeldError, or StoppedError."""
    try:
        store.lease.acquire(wait_s, stopped=stop.is_set, waiting=lambda holder: print_message(f"waiting for {holder}"))
    except StoreHeldError as held:
        if stop.is_set():
            raise StoppedError(f"interrupted while waiting for {held.holder}") from None
        raise StoreHeldError(held.holder, hint="stop it, or leave the work to it") from None


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


@dataclass(frozen=True, slots=True)
class StoredSite:
    """What the store knows of the site, to compare with the config."""

    facts: Mapping[str, str] = field(default_factory=dict)  # see `stored_site`
    topic_slugs: Mapping[str, str] = field(default_factory=dict)  # of each topic that has a feed
    renamed: SourceRenamedError | None = None  # why the store refuses the names of the sources
    dropped: Mapping[str, int] = field(default_factory=dict)  # published entries of sources not in the config


def read_site(config: Config) -> StoredSite:
    """What the store knows of the site, as far as it can be read."""
    if not config.may_have_store:
        return StoredSite()  # without importing the store
    from aggregator.feeds.feed_list import topic_slugs
    from aggregator.site import stored_site
    from aggregator.store.files import dropped_sources
    from aggregator.store.queries import count_published

    try:
        with reading_store(config) as store, store.read() as connection:
            facts, slugs = stored_site(connection), topic_slugs(connection, config.feed_policy())
            try:
                dropped = dropped_sources(connection, config.sources)
            except SourceRenamedError as error:
                return StoredSite(facts, slugs, renamed=error)
            counts = {name: count_published(connection, name) for name in dropped}
            return StoredSite(facts, slugs, dropped={name: count for name, count in counts.items() if count})
    except StoreMissingError:
        pass
    except StoreError as error:
        print_message(f"the config was not compared with the store: {error}")
    return StoredSite()


def store_problem(config: Config) -> str | None:
    """What is wrong with the store, as a message: it is damaged, is no store, or was lost. None if it is fine, or there
    was none."""
    if not config.may_have_store:
        return lost_store(config)
    try:
        with reading_store(config) as store:
            store.check_undamaged()
    except StoreMissingError:
        return lost_store(config)
    except (StoreDamagedError, StoreForeignError) as error:
        return str(error)
    except StoreError:
        pass  # `read_site` says so
    return None


def has_published(config: Config, source: Source) -> bool:
    """Whether the store has published entries of a source, as far as it can be read."""
    if not config.may_have_store:
        return False
    from aggregator.store.queries import count_published

    with suppress(StoreError), reading_store(config) as store, store.read() as connection:
        return count_published(connection, source.name) > 0
    return False


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
        folder, start = f"{path.rstrip('/')}/", f"{source.root}/"
        return folder.removeprefix(start).rstrip("/") if folder.startswith(start) else None
    below = posixpath.normpath(path)
    return None if below.startswith(("..", "/")) or "://" in path else below
