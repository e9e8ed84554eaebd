"""The files that a publish has begun to write and the manifest does not name yet."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from aggregator.output.manifest import (
    JOURNAL_PATH,
    Digests,
    ManifestEntry,
    digest_of,
    encode_journal,
    parse_journal,
)
from aggregator.output.tree import Tree


class Journal:
    """The journal of an output folder. `remembered` are files that this process wrote before the manifest was lost."""

    def __init__(self, tree: Tree, remembered: Mapping[str, Iterable[str]]) -> None:
        self._tree = tree
        self._stored: Digests = {}
        with suppress(FileNotFoundError):
            self._stored = parse_journal(tree.read(JOURNAL_PATH) or b"")
        self._files = {path: set(digests) for path, digests in self._stored.items()}
        for path, digests in remembered.items():
            self._files.setdefault(path, set()).update(digests)

    def paths(self) -> Iterable[str]:
        """The paths of all begun files."""
        return self._files.keys()

    def is_ours(self, path: str, kind: int) -> bool:
        """True if the file at a path, of this kind (`stat.S_IFMT`), has bytes that a publish wrote there."""
        if path not in self._files or kind != stat.S_IFREG:
            return False
        body = self._tree.read(path)
        return body is not None and digest_of(body) in self._files[path]

    def begin(self, files: Iterable[tuple[str, ManifestEntry]]) -> None:
        """Stores the files that are about to be written."""
        for path, entry in files:
            self._files.setdefault(path, set()).add(entry.digest)
        self._store()

    def forget(self, path: str) -> None:
        """Removes a file that was deleted."""
        self._files.pop(path, None)

    def complete(self, manifest_paths: Iterable[str]) -> None:
        """Removes and stores what the manifest names now."""
        for path in manifest_paths:
            self._files.pop(path, None)
        self._store()

    def _store(self) -> None:
        if self._files == self._stored:
            return
        if self._files:
            self._tree.replace(JOURNAL_PATH, encode_journal(self._files))
        else:
            self._tree.remove(JOURNAL_PATH)
        self._stored = {path: set(digests) for path, digests in self._files.items()}
