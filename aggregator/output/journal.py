"""The files that a publish has begun to write and the manifest does not name yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from aggregator.output.manifest import FORMAT, Digests, ManifestEntry, digest_of, dump, is_inside


class Journal:
    """The journal of a publish. `raw` is the stored journal of the one before, if there is one. `remembered` are files
    that this process wrote before the manifest was lost."""

    def __init__(self, raw: bytes | None, remembered: Mapping[str, Iterable[str]]) -> None:
        self._stored: Digests = _parse(raw) if raw else {}
        self._files = {path: set(digests) for path, digests in self._stored.items()}
        for path, digests in remembered.items():
            self._files.setdefault(path, set()).update(digests)

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def paths(self) -> Iterable[str]:
        """The paths of all begun files."""
        return self._files.keys()

    def has_begun(self, path: str, body: bytes) -> bool:
        """True if a publish may have written these bytes at a path."""
        return path in self._files and digest_of(body) in self._files[path]

    def begin(self, files: Iterable[tuple[str, ManifestEntry]]) -> None:
        """Adds the files that are about to be written."""
        for path, entry in files:
            self._files.setdefault(path, set()).add(entry.digest)

    def drop_complete(self, files: Mapping[str, ManifestEntry]) -> None:
        """Removes the files of which a publish began to write one digest only, and the manifest names that."""
        for path, digests in list(self._files.items()):
            if path in files and digests == {files[path].digest}:
                del self._files[path]

    def forget(self, paths: Iterable[str]) -> None:
        """Removes files that the manifest names now, or that were deleted."""
        for path in paths:
            self._files.pop(path, None)

    @property
    def is_stored(self) -> bool:
        """True if the stored journal says the same."""
        return self._files == self._stored

    def encode(self, **more: str) -> bytes:
        """The journal as JSON, which is stored then; `more` keys are for people."""
        self._stored = {path: set(digests) for path, digests in self._files.items()}
        listed = {path: sorted(digests) for path, digests in sorted(self._files.items())}
        return dump({"format": FORMAT, **more, "files": listed}).encode()


def _parse(raw: bytes) -> Digests:
    """The files of an unfinished publish; empty if the journal cannot be used."""
    try:
        data = json.loads(raw)
        if data["format"] == FORMAT:
            return {path: set(digests) for path, digests in data["files"].items() if is_inside(path)}
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return {}
