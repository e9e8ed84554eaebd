"""The manifest and the journal in `.aggregator/` of an output folder or bucket (docs/spec.md, "Output folder"). Pure.

The manifest lists the files and is written last. While files are put in place, the journal lists those that the
manifest does not name yet, so that the next publish knows them as ours after a crash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

FORMAT = 1
OWN_FOLDER = ".aggregator"
MANIFEST_PATH = f"{OWN_FOLDER}/manifest.json"
JOURNAL_PATH = f"{OWN_FOLDER}/unfinished.json"
MARK_PATH = f"{OWN_FOLDER}/leader"
"""Says which process that has a lease publishes there: the token of the lease."""
Digests = dict[str, set[str]]
"""Paths -> the digests of what may have been written there."""
dump = partial(json.dumps, ensure_ascii=False)
"""Writes JSON for people."""


class ManifestEntry(NamedTuple):
    """One file of the folder, or one object of the bucket."""

    # The target that the file belongs to: the slug of a feed, the path of an archive page, or "" for the list of feeds.
    feed: str
    version: str  # of the target
    digest: str  # of the bytes, in hex
    # In seconds since 1970, rounded up: `Last-Modified` on every server, and the mtime in a folder. Later than that of
    # the version before; 0 if a version of the program wrote it that did not say.
    modified: int = 0
    # Of an object: its ETag and its bytes. A folder says the size of a file itself.
    etag: str = ""
    size: int = 0

    def data(self) -> dict[str, str | int]:
        """The entry for JSON."""
        data = self._asdict()
        if not self.etag:
            del data["etag"], data["size"]
        return data


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of an output folder, and the store and settings that it comes from."""

    store: str
    fingerprint: str
    files: Mapping[str, ManifestEntry]
    removed: tuple[str, ...]  # paths that answer 410


EMPTY_MANIFEST = Manifest("", "", {}, ())


def digest_of(body: bytes) -> str:
    """The digest of a file, in hex."""
    return blake2b(body, digest_size=16).hexdigest()


class _Latest:
    """The manifest that this process wrote or read last: what it publishes is not parsed again to be served."""

    known: tuple[bytes | None, Manifest] = (None, EMPTY_MANIFEST)


def parse_manifest(raw: bytes) -> Manifest:
    """The manifest, without paths that lead out of the folder. Raises ValueError if it cannot be used."""
    known_raw, known = _Latest.known
    if raw == known_raw:
        return known
    manifest = _parse_manifest(raw)
    _Latest.known = raw, manifest
    return manifest


def _parse_manifest(raw: bytes) -> Manifest:
    try:
        data = json.loads(raw)
        if data["format"] == FORMAT:
            files = {path: _parse_entry(entry) for path, entry in data["files"].items() if is_inside(path)}
            return Manifest(data["store"], data["fingerprint"], files, tuple(data["gone"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is damaged") from error
    raise ValueError(f"its format is {data['format']!r}, not {FORMAT}")


def _parse_entry(data: Mapping[str, Any]) -> ManifestEntry:
    return ManifestEntry(
        data["feed"], str(data["version"]), data["digest"], int(data.get("modified", 0)),
        etag=str(data.get("etag", "")), size=int(data.get("size", 0)),
    )  # fmt: skip


class ManifestEncoder:
    """Writes manifests as JSON. Keeps the text of each entry, because few of them change from one to the next."""

    def __init__(self) -> None:
        self._entries: dict[str, ManifestEntry] = {}
        self._texts: dict[str, str] = {}  # in order of path

    def encode(self, manifest: Manifest, **more: str) -> bytes:
        """The manifest as JSON, with more keys, which only people read."""
        known, files = self._entries, manifest.files
        self._texts |= {
            path: f"{dump(path)}: {dump(entry.data())}" for path, entry in files.items() if known.get(path) is not entry
        }
        if files.keys() != known.keys():
            self._texts = {path: self._texts[path] for path in sorted(files)}
        self._entries = dict(files)
        head = dump({"format": FORMAT, "store": manifest.store, "fingerprint": manifest.fingerprint, **more})
        listed = ", ".join(self._texts.values())
        raw = f'{head[:-1]}, "files": {{{listed}}}, "gone": {dump(manifest.removed)}}}'.encode()
        _Latest.known = raw, manifest
        return raw


def is_inside(path: str) -> bool:
    """Whether a path leads to a file of the folder."""
    return not any(part in ("", ".", "..") or "\0" in part for part in path.split("/"))
