"""Publish: documents -> an output folder, in passes, so that no reader ever meets half of anything.

    compare -> write all to temporary files -> sync -> rename all -> delete what no longer belongs -> manifest

What the folder holds is told by `.aggregator/manifest.json`, written last. Ours is what it names and any path that is
about to be written; all else is left alone. A process remembers what it read and wrote there, for as long as the file
is the same by its stat.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from aggregator.errors import PublishError
from aggregator.model import Document

FORMAT = 1
LOCK_WAIT_S = 30
SYNC_THREADS = 8
"""How many files are synced at a time: one waits for the disk, many share its turns."""
MAX_GONE = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """What the folder holds at one path: the feed ("" is the list of feeds), its version, the bytes' digest in hex."""

    feed: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the folder holds, made from which store and with which settings; `gone` are addresses of feeds no more."""

    store: str
    fingerprint: str
    files: Mapping[str, Line]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the folder is to hold of one feed."""

    version: str
    paths: tuple[str, ...]


@dataclass(slots=True)
class Published:
    """What a publication wrote and deleted: paths, the feeds that they belong to, and what stood in the way."""

    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    feeds: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


NOTHING = Manifest("", "", {}, ())
_MANIFEST = ".aggregator/manifest.json"
_Stamp = tuple[int, int, int]
"""What tells a file from another one at its path: inode, mtime in ns, size."""
_json = partial(json.dumps, ensure_ascii=False)
Render = Callable[[list[str]], Iterator[tuple[str, Iterable[Document]]]]


def read_manifest(folder: Path) -> Manifest:
    """What the folder says it holds; NOTHING if it says nothing that can be read."""
    try:
        told = json.loads((folder / _MANIFEST).read_bytes())
        if told["format"] != FORMAT:
            return NOTHING
        files = {
            path: Line(line["feed"], str(line["version"]), line["digest"])
            for path, line in told["files"].items()
            if _is_inside(path)
        }
        return Manifest(told["store"], told["fingerprint"], files, tuple(told["gone"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NOTHING


class OutputFolder:
    """The folder that feeds are published in, and what it is known to hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest = NOTHING
        self._stamp: _Stamp | None = None
        self._texts: dict[str, tuple[Line, str]] = {}

    def manifest(self) -> Manifest:
        """What the folder says it holds, read again only where the file is another."""
        if not self.is_as_left():
            self._stamp = self._read_stamp()
            self._manifest = read_manifest(self.path)
        return self._manifest

    def is_as_left(self) -> bool:
        """Whether nobody has written what the folder says it holds since it was read or written here."""
        return self._stamp is not None and self._stamp == self._read_stamp()

    def publish(
        self,
        store_id: str,
        fingerprint: str,
        wanted: Mapping[str, Wanted],
        render: Render,
        stopped: Callable[[], None],
        *,
        whole: bool,
    ) -> Published:
        """Brings the folder to what is `wanted`; `render` is asked for the documents of the feeds that differ.

        `wanted` is all that the folder is to hold if `whole`, which also looks for files that are missing or belong no
        more; else it is what differs, and all else is as it should be. A file whose bytes are right is not written
        again. Raises PublishError when the folder cannot be written, and what `stopped` raises, before the first
        visible change.
        """
        if not (whole or wanted):
            return Published()
        folder = self.path
        try:
            (folder / ".aggregator").mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".aggregator" / "lock", timeout=LOCK_WAIT_S):
                return _Publication(self, store_id, fingerprint, wanted, stopped, whole=whole).run(render)
        except Timeout:
            raise PublishError(f"another process is writing to {folder} for over {LOCK_WAIT_S} s") from None
        except OSError as error:
            raise PublishError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Says from now on that the folder holds this."""
        target = self.path / _MANIFEST
        waiting = target.with_name("manifest.new")
        waiting.write_bytes(self._encode(manifest))
        _sync(waiting)
        os.replace(waiting, target)
        self._manifest, self._stamp = manifest, self._read_stamp()

    def _encode(self, manifest: Manifest) -> bytes:
        """The manifest as JSON, of which most lines are as they were."""
        texts = {}
        for path, line in sorted(manifest.files.items()):
            known = self._texts.get(path)
            if known is None or known[0] is not line:
                told = {"feed": line.feed, "version": line.version, "digest": line.digest}
                known = line, f"{_json(path)}: {_json(told)}"
            texts[path] = known
        self._texts = texts
        files = ", ".join([text for _, text in texts.values()])
        heading = _json({"format": FORMAT, "store": manifest.store, "fingerprint": manifest.fingerprint})
        return f'{heading[:-1]}, "files": {{{files}}}, "gone": {_json(manifest.gone)}}}'.encode()

    def _read_stamp(self) -> _Stamp | None:
        try:
            status = os.stat(self.path / _MANIFEST)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


class _Publication:
    """One publication into a locked folder."""

    def __init__(
        self,
        output: OutputFolder,
        store_id: str,
        fingerprint: str,
        wanted: Mapping[str, Wanted],
        stopped: Callable[[], None],
        *,
        whole: bool,
    ) -> None:
        self.output, self.wanted, self.stopped, self.whole = output, wanted, stopped, whole
        self.store_id, self.fingerprint = store_id, fingerprint
        self.manifest = output.manifest()
        self.folder = output.path
        self.staging = self.folder / ".aggregator" / "staging"
        self.lines = dict(self.manifest.files)
        self.staged: list[tuple[Path, Path]] = []
        self.published = Published()

    def run(self, render: Render) -> Published:
        """Does it all; the order is the module's."""
        if self.manifest.store not in ("", self.store_id):
            self.published.problems.append(
                f"{self.folder} was last written from another store (if that is still in use, give it an output.path of"
                " its own)"
            )
        if dirty := self._dirty_feeds():
            shutil.rmtree(self.staging, ignore_errors=True)
            self.staging.mkdir()
            try:
                for feed, documents in render(dirty):
                    self.stopped()
                    self._stage_feed(feed, tuple(documents))
                self.stopped()
                self._put_in_place()
            finally:
                shutil.rmtree(self.staging, ignore_errors=True)
        if self.whole:
            self._delete_leftovers()
        self._write_manifest()
        return self.published

    def _dirty_feeds(self) -> list[str]:
        anew = (self.manifest.store, self.manifest.fingerprint) != (self.store_id, self.fingerprint)
        root = os.path.join(self.folder, "")
        return [feed for feed, want in self.wanted.items() if anew or self._is_dirty(feed, want, root)]

    def _is_dirty(self, feed: str, want: Wanted, root: str) -> bool:
        for path in want.paths:
            line = self.lines.get(path)
            if line is None or line.feed != feed or line.version != want.version:
                return True
            if self.whole and not os.path.isfile(root + path):
                return True
        return False

    def _stage_feed(self, feed: str, documents: tuple[Document, ...]) -> None:
        """Stages the documents of one feed, unless something of someone else's stands in the place of one."""
        for document in documents:
            if (hindrance := self._hindrance(document.path)) is not None:
                self.published.problems.append(f"{hindrance} is in the way of {document.path} (move it away)")
                return
        for document in documents:
            self._stage(feed, document)

    def _hindrance(self, path: str) -> Path | None:
        target = self.folder / path
        if target.is_dir():
            return target
        folders = [self.folder / parent for parent in list(Path(path).parents)[:-1]]
        return next((folder for folder in folders if folder.exists() and not folder.is_dir()), None)

    def _stage(self, feed: str, document: Document) -> None:
        """Writes a document beside the others that wait, unless the folder holds these bytes already."""
        digest = blake2b(document.body, digest_size=16).hexdigest()
        self.lines[document.path] = Line(feed, self.wanted[feed].version, digest)
        target = self.folder / document.path
        if _holds(target, document.body):
            return
        waiting = self.staging / str(len(self.staged))
        waiting.write_bytes(document.body)
        self.staged.append((waiting, target))
        self.published.written.append(document.path)
        self.published.feeds.add(feed)

    def _put_in_place(self) -> None:
        if not self.staged:
            return
        with ThreadPoolExecutor(min(SYNC_THREADS, len(self.staged))) as pool:
            list(pool.map(_sync, (waiting for waiting, _ in self.staged)))
        folders = {target.parent for _, target in self.staged}
        for folder in sorted(folders):
            folder.mkdir(parents=True, exist_ok=True)
        for waiting, target in self.staged:
            os.replace(waiting, target)

    def _delete_leftovers(self) -> None:
        """Deletes files of ours that no longer belong, and folders that are empty then."""
        kept = {path for want in self.wanted.values() for path in want.paths}
        for path in sorted(self.lines.keys() - kept):
            target = self.folder / path
            target.unlink(missing_ok=True)
            del self.lines[path]
            self.published.deleted.append(path)
            for parent in list(target.relative_to(self.folder).parents)[:-1]:
                try:
                    (self.folder / parent).rmdir()
                except OSError:
                    break

    def _write_manifest(self) -> None:
        gone = sorted({*self.manifest.gone, *self.published.deleted} - self.lines.keys())[:MAX_GONE]
        manifest = Manifest(self.store_id, self.fingerprint, self.lines, tuple(gone))
        if manifest != self.manifest:
            self.output.write_manifest(manifest)


def _is_inside(path: str) -> bool:
    """Whether a path of the manifest stays in the folder, whoever wrote it."""
    return not any(part in ("", ".", "..") or "\0" in part for part in path.split("/"))


def _holds(path: Path, body: bytes) -> bool:
    """Whether the file is there with exactly these bytes."""
    try:
        return path.stat().st_size == len(body) and path.read_bytes() == body
    except OSError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
