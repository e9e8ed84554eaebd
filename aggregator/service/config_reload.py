"""Reloads the config while the service runs. A valid file becomes active; an invalid one is refused, and the last good
config stays active."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from aggregator.config import Config, load_config
from aggregator.errors import ConfigError, ShortageError, StoreError, StoreMismatchError
from aggregator.paths import ABSENT
from aggregator.problems import Problem
from aggregator.site import mismatch_problem

MISSING_S = 3.0
"""How long the file may be missing, as during a deployment, before it is reported."""
_RESTART_TABLES = ("store", "serve", "log")
"""Tables that need a restart. Another store would be another history under the same URLs. Another socket would cut off
readers, and its port may need privileges that the service has given up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConfigState:
    """How the file differs from the active config."""

    refused: tuple[Problem, ...] = ()  # why the file is refused
    waiting: tuple[str, ...] = ()  # keys that become active with the next start

    def facts(self) -> dict[str, Any]:
        """The state for JSON."""
        return {"refused": [problem.data() for problem in self.refused], "restart": list(self.waiting)}


class LiveConfig:
    """The active config and the `state` of its file. `check` raises StoreMismatchError if the store contradicts a
    config, and another StoreError if it cannot be read now. `leads` says whether this service leads: otherwise a config
    becomes active only once the service that leads has the same.

    Changes are detected by stat, which also works for renames, swapped links and network folders, and is cheaper than
    a watch.
    """

    def __init__(
        self,
        config: Config,
        path: Path,
        env: Mapping[str, str],
        check: Callable[[Config], None],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self.config = config
        self._leads = leads
        self.state = ConfigState()
        self._started_with = config
        self._path, self._env, self._check = path, dict(env), check
        # Stamps of the file: at the last poll, and when it was last loaded.
        self._polled: tuple[int, ...] | None = None
        self._loaded: tuple[int, ...] | None = None
        self._missing_since: float | None = None
        self._absence = "", ""  # what is wrong with a missing file, and what to do

    def poll(self, *, reload: bool = False) -> Config | None:
        """The config that becomes active now, or None. To be called a few times a second.

        A file is loaded once its stat is the same at two polls, because one that is still being written may be valid.
        `reload` loads it at once, also if it is unchanged.
        """
        stamp = self._stamp()
        stable, self._polled = stamp == self._polled or reload, stamp
        if stamp is None:
            self._report_missing()
            return None
        self._missing_since = None
        if not stable or (stamp == self._loaded and not reload):
            return None
        try:
            config = self._load()
        except ConfigError as error:
            if self._stamp() == stamp:  # otherwise it changed during the load; a later poll loads it
                self._loaded = stamp
                self._refuse(error.problems)
            return None
        except (StoreError, ShortageError) as error:
            _log.debug("the config waits: %s", error)
            self._loaded = None  # a later poll loads it, also after a `reload` of an unchanged file
            return None
        self._loaded = stamp
        return self._activate(config, reload=reload)

    def _stamp(self) -> tuple[int, ...] | None:
        """Changes when the file is edited or replaced; None if it is missing or nobody can tell."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            self._absence = ("the file is missing", "restore it")
            if error.errno not in ABSENT:
                self._absence = (f"cannot be read: {error.strerror}", "check the disk, and the rights of its folder")
            return None
        return status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns

    def _load(self) -> Config:
        config = load_config(self._path, env=self._env)
        try:
            self._check(config)
        except StoreMismatchError as error:
            raise ConfigError((mismatch_problem(config, error),)) from error
        return config

    def _activate(self, config: Config, *, reload: bool) -> Config | None:
        start = self._started_with
        tables = [(name, getattr(config, name), getattr(start, name)) for name in _RESTART_TABLES]
        waiting = [f"{name}.{key}" for name, new, old in tables for key, value in new if value != getattr(old, key)]
        if self.state.refused:
            _log.info("%s can be used again", self._path)
        for key in waiting:
            if key not in self.state.waiting:
                _log.warning("%s: %s becomes active with the next start", self._path, key)
        self.state = ConfigState(waiting=tuple(waiting))
        usable = replace(config, store=start.store, serve=start.serve, log=start.log)
        if _is_same(usable, self.config):
            if reload:
                _log.info("%s was reloaded: nothing changed", self._path)
            return None
        when = "becomes active" if self._leads() else "becomes active once the service that leads has the same"
        _log.info("%s %s: %s", self._path, when, ", ".join(_changed_parts(usable, self.config)))
        for warning in config.warnings:
            _log.warning("%s", warning)
        self.config = usable
        return usable

    def _refuse(self, problems: tuple[Problem, ...]) -> None:
        if problems == self.state.refused:
            return
        for problem in problems:
            _log.error("%s", problem)
        _log.error("%s is refused; the last good config stays active", self._path)
        self.state = replace(self.state, refused=problems)

    def _report_missing(self) -> None:
        if self.config.path is None:  # the service started without a file
            return
        self._missing_since = self._missing_since or time.monotonic()
        if time.monotonic() - self._missing_since >= MISSING_S:
            self._loaded = None
            what, hint = self._absence
            self._refuse((Problem(str(self._path), 0, 0, what, hint=hint),))


def _is_same(new: Config, old: Config) -> bool:
    """Compares without warnings, because these have line numbers, which comments change."""
    return replace(new, warnings=()) == replace(old, warnings=())


def _changed_parts(new: Config, old: Config) -> list[str]:
    left_out = ("path", "warnings", "tables")  # `tables` is what the keys of `topics` say
    names = [field.name for field in fields(Config) if field.compare and field.name not in left_out]
    changed = [name for name in names if getattr(new, name) != getattr(old, name)]
    if "topics" in changed:
        keys = [f"topics.{key}" for key, value in new.topics if value != getattr(old.topics, key)]
        changed[changed.index("topics") : changed.index("topics") + 1] = keys
    return [{"sources": "records", "feeds": "feed"}.get(name, name) for name in changed] or ["its path"]
