"""What a service does while another one leads: brings its own output folder to what the store says."""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from aggregator.cycle.pipeline import Pipeline
from aggregator.errors import FolderTakenError
from aggregator.service.health import CONFIG, LEADER, Health
from aggregator.store.database import Store
from aggregator.store.service_requests import Leader, read_leader

FOLLOW_S = 0.5
"""Seconds between two polls of the store."""
FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0
"""Delay after a publish that had problems, if the store stays the same; it doubles with each."""
DIFFERS_S = 60.0
"""How long the config may differ from that of the leader before /healthz answers 503, as during a deployment."""
_log = logging.getLogger(__name__)


class Followed(NamedTuple):
    """What a poll of the store led to."""

    documents: int | None  # how many documents changed; None if nothing was new
    problems: tuple[str, ...]
    is_written: bool  # the output folder could be written; a feed that could not is among the problems
    is_active: bool  # the output folder is of the config of this service
    is_of_other: bool = False  # it is written by the service that leads, by another config


_WAITS = Followed(None, (), is_written=True, is_active=False)
_NOTHING_NEW = _WAITS._replace(is_active=True)
_OF_OTHER = _WAITS._replace(is_of_other=True)


class Follower:
    """Publishes each revision of the store, without writing to the store. Only the worker uses it."""

    def __init__(self, store: Store, health: Health) -> None:
        self._store, self._health = store, health
        self._revision: str | None = None  # of the last publish
        self._pipeline: Pipeline | None = None  # that published it
        self._last = _NOTHING_NEW  # what that publish led to
        self._retry_s, self._retry_at = 0.0, 0.0  # after problems; on the monotonic clock
        self._differs_since: float | None = None
        self._is_folder_taken = False

    def end(self) -> None:
        """Forgets what it followed, because this service leads now."""
        self._revision = self._pipeline = self._differs_since = None
        self._health.end(LEADER)
        self._health.end(CONFIG)

    def follow(self, pipeline: Pipeline) -> Followed:
        """Publishes what the store says now, if that is new or the folder lacks something. Raises StoreError."""
        with self._store.read(one_state=True) as connection:
            leader = read_leader(connection)
            self._report_leader(leader)
            # a shared store is a database; SQLite's file is on this machine, and so is the folder of its other users
            if not self._store.is_shared:
                return _NOTHING_NEW
            if self._note_folder(is_taken=pipeline.is_folder_taken(connection)):
                agrees = leader.revision is None or self._note_config(agrees=pipeline.agrees(connection))
                return _NOTHING_NEW if agrees else _OF_OTHER
            is_known = leader.revision == self._revision and pipeline is self._pipeline
            if is_known and (pipeline.is_published or time.monotonic() < self._retry_at):
                return self._last._replace(documents=None)
            if leader.revision is None or not self._note_config(agrees=pipeline.agrees(connection)):
                return _WAITS
            try:
                published, problems = pipeline.publish_stored(connection)
            except FolderTakenError:  # a moment ago
                self._note_folder(is_taken=True)
                return _NOTHING_NEW
        self._revision, self._pipeline = leader.revision, pipeline
        self._retry_s = min(MAX_RETRY_S, 2 * self._retry_s or FIRST_RETRY_S) if problems else 0.0
        self._retry_at = time.monotonic() + self._retry_s
        if published is None:
            self._last = Followed(None, problems, is_written=False, is_active=False)
        else:
            documents = len(published.written) + len(published.deleted)
            self._last = Followed(documents, problems, is_written=True, is_active=True)
        return self._last

    def _report_leader(self, leader: Leader) -> None:
        if leader.problem:
            reason = f"the service that leads, {leader.holder}, is not well: {leader.problem}"
            self._health.begin(LEADER, reason, fatal=True)
        else:
            self._health.end(LEADER)

    def _note_folder(self, *, is_taken: bool) -> bool:
        if is_taken and not self._is_folder_taken:
            _log.info("the service that leads writes the output folder; this one only serves it")
        self._is_folder_taken = is_taken
        return is_taken

    def _note_config(self, *, agrees: bool) -> bool:
        """Whether this service may publish: with another config than that of the leader, documents would be neither of
        one config nor of the other."""
        if agrees:
            self._differs_since = None
            self._health.end(CONFIG)
            return True
        self._differs_since = self._differs_since or time.monotonic()
        self._health.begin(
            CONFIG,
            "nothing new is published here, because the config, or the version of the program, is not that of the"
            " service that leads (give both the same; only [serve], [log], [ingest], store.url and output.path may"
            " differ)",
            fatal=time.monotonic() - self._differs_since > DIFFERS_S,
        )
        return False
