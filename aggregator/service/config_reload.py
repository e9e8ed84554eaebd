"""The config file while the service runs: what it says now takes effect if it can be used, else it is refused and the
last good one stays in force."""

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
from aggregator.problems import Problem

AWAY_S = 3.0
"""How long the file may be gone, as between the two steps of a deployment, before it is said."""
_OPENED_ONCE = ("store", "serve")
"""Tables of what is opened once. Another store would be another history under the same addresses, and a socket cannot
move without cutting its readers off; its port may be one that only the start of the service was allowed to take."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConfigState:
    """How the file differs from what is in force: `refused` is what is wrong with it, `waiting` are the keys that take
    effect with the next start."""

    refused: tuple[Problem, ...] = ()
    waiting: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """The state as JSON has it."""
        return {"refused": [problem.data() for problem in self.refused], "restart": list(self.waiting)}


class LiveConfig:
    """The config in force and the `state` of its file. `accept` raises StoreMismatchError for a config that the store
    contradicts, another StoreError when it cannot tell now.

    The file is found by its stat, not by notifications: that holds for a file replaced by rename, for any link on the
    way to it, and on a network, and one stat costs less than a watch.
    """

    def __init__(self, config: Config, path: Path, env: Mapping[str, str], accept: Callable[[Config], None]) -> None:
        self.config = config
        self.state = ConfigState()
        self._started_with = config
        self._path, self._env, self._accept = path, dict(env), accept
        self._seen: tuple[int, ...] | None = None
        self._read: tuple[int, ...] | None = None
        self._gone_at: float | None = None

    def look(self, *, again: bool = False) -> Config | None:
        """The config that takes effect now, or None when nothing does. To be called a few times a second.

        A file is read when it looks as it did at the last call: what is still being written may be valid half-way.
        `again` reads it also if it looks the same as when it was read.
        """
        stamp = self._stamp()
        settled, self._seen = stamp == self._seen or again, stamp
        if stamp is None:
            self._note_gone()
            return None
        self._gone_at = None
        if not settled or (stamp == self._read and not again):
            return None
        try:
            config = self._load(stamp)
        except ConfigError as error:
            if self._stamp() == stamp:  # else it changed meanwhile, and the next call sees what it is then
                self._read = stamp
                self._refuse(error.problems)
            return None
        except (StoreError, ShortageError) as error:
            _log.debug("the config waits: %s", error)
            return None
        self._read = stamp
        return self._take(config, again=again)

    def _stamp(self) -> tuple[int, ...] | None:
        """What changes when another file is there or another text in it; None without a file."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns

    def _load(self, stamp: tuple[int, ...]) -> Config:
        config = load_config(self._path, env=self._env)
        if not stamp[0] and not _is_same(config, self.config):
            # valid at a start; here rather what a full disk or a script leaves, and every [[feed]] would be withdrawn
            todo = "write it again, or a comment into it if nothing but defaults is meant"
            raise ConfigError((Problem(str(self._path), 0, 0, "the file is empty", hint=todo),))
        try:
            self._accept(config)
        except StoreMismatchError as error:
            raise ConfigError((Problem(str(self._path), 0, 0, str(error)),)) from error
        return config

    def _take(self, config: Config, *, again: bool) -> Config | None:
        start = self._started_with
        tables = [(name, getattr(config, name), getattr(start, name)) for name in _OPENED_ONCE]
        waiting = [f"{name}.{key}" for name, new, old in tables for key, value in new if value != getattr(old, key)]
        if self.state.refused:
            _log.info("%s can be used again", self._path)
        for key in waiting:
            if key not in self.state.waiting:
                _log.warning("%s: %s takes effect with the next start", self._path, key)
        self.state = ConfigState(waiting=tuple(waiting))
        usable = replace(config, store=start.store, serve=start.serve)
        if _is_same(usable, self.config):
            if again:
                _log.info("%s was read again: what is in force stays as it is", self._path)
            return None
        _log.info("%s takes effect: %s", self._path, ", ".join(_differing(usable, self.config)))
        for warning in config.warnings:
            _log.warning("%s", warning)
        self.config = usable
        return usable

    def _refuse(self, problems: tuple[Problem, ...]) -> None:
        if problems == self.state.refused:
            return
        for problem in problems:
            _log.error("%s", problem)
        _log.error("%s is refused, the last good config stays in force", self._path)
        self.state = replace(self.state, refused=problems)

    def _note_gone(self) -> None:
        if self.config.path is None:  # there was none at the start
            return
        self._gone_at = self._gone_at or time.monotonic()
        if time.monotonic() - self._gone_at >= AWAY_S:
            self._read = None
            self._refuse((Problem(str(self._path), 0, 0, "the file is gone", hint="bring it back"),))


def _is_same(one: Config, other: Config) -> bool:
    """Whether two configs mean the same; warnings name lines, which comments move."""
    return replace(one, warnings=()) == replace(other, warnings=())


def _differing(one: Config, other: Config) -> list[str]:
    """The parts of two configs that differ."""
    names = [field.name for field in fields(Config) if field.name not in ("path", "warnings")]
    found = [name for name in names if getattr(one, name) != getattr(other, name)]
    return [{"sources": "records", "feeds": "feed"}.get(name, name) for name in found] or ["its place"]
