"""Whether records have keys that another preset reads, for `check`. Needs no store."""

from __future__ import annotations

from aggregator.config import Config
from aggregator.model import Record, Unread
from aggregator.problems import Problem


class PresetLint:
    """Collects records, then reports each folder that has some without a date whose keys only another preset reads.

    `is_new`: there is no store yet."""

    def __init__(self, config: Config, *, is_new: bool) -> None:
        self._config, self._is_new = config, is_new
        self._unread: dict[str, dict[tuple[str, ...], Unread]] = {}

    def add(self, record: Record) -> None:
        """Takes one record into account."""
        if record.unread:
            found, path = self._unread.setdefault(record.file.source, {}), record.file.path
            keys, number, first = found.get(record.unread, Unread(record.unread, 0, path))
            found[keys] = Unread(keys, number + 1, min(first, path))

    def problems(self) -> list[Problem]:
        """A warning for each folder that another preset fits better."""
        unread = {source: [*found.values()] for source, found in self._unread.items()}
        return self._config.unread_problems(unread, is_new=self._is_new)
