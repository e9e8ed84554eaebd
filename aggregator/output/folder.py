"""Publish: documents -> an output folder, in passes, so that no reader ever meets half of anything.

    compare -> write all to temporary files -> sync -> journal -> rename all -> delete what no longer belongs
    -> manifest

What the folder holds is told by `.aggregator/manifest.json`, written last. Before files are renamed, the journal beside
it names those that the manifest does not name yet, so that the next run knows them after a crash. Ours is what either
names; any other file is left alone, and is in the way where a document belongs. A process remembers what it read and
wrote there, for as long as the manifest is the same by its stat.

What concerns one file or folder is a problem and leaves out the feeds it belongs to; what concerns all is PublishError.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from aggregator.errors import PublishError
from aggregator.model import Document
from aggregator.output.tree import Tree

FORMAT = 1
LOCK_WAIT_S = 30
SYNC_THREADS = 8
"""How many files are synced at a time: one waits for the disk, many share its turns."""
MAX_GONE = 10_000
MAX_TOLD = 20
"""How many files or folders that are in the way, or cannot be written, are named one by one."""


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
    """What a publication wrote and deleted: paths, the feeds that they belong to, and what was wrong.

    `unwritten` are the feeds of which the folder does not hold all that it should.
    """

    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    feeds: set[str] = field(default_factory=set)
    unwritten: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class _Staged(NamedTuple):
    """A document that waits under a name in the staging folder; `is_new` if nothing was in its place."""

    path: str
    line: Line
    name: str
    is_new: bool


NOTHING = Manifest("", "", {}, ())
OWN = ".aggregator"
_MANIFEST, _JOURNAL = f"{OWN}/manifest.json", f"{OWN}/unfinished.json"
_Stamp = tuple[int, int, int]
"""What tells a file from another one at its path: inode, mtime in ns, size."""
_Digests = dict[str, set[str]]
"""The digests of what we may have written to paths that the manifest does not name."""
_HINTS = {
    errno.ENOSPC: "; make room",
    errno.EDQUOT: "; make room or raise the quota",
    errno.EROFS: "; mount the file system so that it can be written",
}
_json = partial(json.dumps, ensure_ascii=False)
Render = Callable[[list[str]], Iterator[tuple[str, Iterable[Document]]]]


class OutputFolder:
    """The folder that feeds are published in, and what it is known to hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = ""
        """Why the manifest that is there cannot be used; "" if it can, or if there is none."""
        self.remembered: _Digests = {}
        """What this process wrote before the manifest was lost."""
        self._manifest = NOTHING
        self._stamp: _Stamp | None = None
        self._texts: dict[str, tuple[Line, str]] = {}

    def manifest(self) -> Manifest:
        """What the folder says it holds, read again only where the file is another; NOTHING if it says nothing that
        can be used.

        Raises PublishError if the file cannot be read now: a folder that was taken for an empty one would be full of
        files in the way.
        """
        if not self.is_as_left():
            before, self._stamp = self._manifest, self._read_stamp()
            try:
                self._manifest, self.unreadable = _read_manifest(self.path)
            except OSError as error:
                self._stamp = None
                raise PublishError(f"{self.path / _MANIFEST} cannot be read: {error.strerror or error}") from error
            for path, line in before.files.items() if self._manifest is NOTHING else ():
                self.remembered.setdefault(path, set()).add(line.digest)
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
        again. Raises PublishError when the folder as a whole cannot be written, and what `stopped` raises, before the
        first visible change. A feed that `render` leaves out keeps its documents.
        """
        if not (whole or wanted):
            return Published()
        folder = self.path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                tree = stack.enter_context(Tree.open(folder))
                if tree.kind(OWN) not in (None, stat.S_IFDIR):
                    raise PublishError(f"{folder / OWN} must be a folder, and is a file or a link; move it away")
                tree.make_folder(OWN)
                stack.enter_context(FileLock(folder / OWN / "lock", timeout=LOCK_WAIT_S))
                return _Publication(self, tree, store_id, fingerprint, wanted, stopped, whole=whole).run(render)
        except Timeout:
            raise PublishError(f"another process is writing to {folder} for over {LOCK_WAIT_S} s") from None
        except OSError as error:
            # what is wrong with one document is a problem of its feed; relative names are those of our own files
            named = Path(error.filename) if os.path.isabs(error.filename or "") else folder / OWN
            raise PublishError(_reason(named, "written", error)) from error

    def write_manifest(self, manifest: Manifest, tree: Tree) -> None:
        """Says from now on that the folder holds this."""
        tree.replace(_MANIFEST, self._encode(manifest))
        self._manifest, self._stamp = manifest, self._read_stamp()
        self.unreadable = ""
        self.remembered.clear()

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
        tree: Tree,
        store_id: str,
        fingerprint: str,
        wanted: Mapping[str, Wanted],
        stopped: Callable[[], None],
        *,
        whole: bool,
    ) -> None:
        self.output, self.tree, self.wanted, self.stopped, self.whole = output, tree, wanted, stopped, whole
        self.store_id, self.fingerprint = store_id, fingerprint
        self.manifest = output.manifest()
        self.lines = dict(self.manifest.files)
        self.journal = _read_journal(tree)
        self.begun = {path: set(digests) for path, digests in self.journal.items()}
        for path, digests in output.remembered.items():
            self.begun.setdefault(path, set()).update(digests)
        self.staged: list[_Staged] = []
        self.published = Published()
        self.in_the_way: dict[str, str] = {}
        """A document for each file or folder that is in the way."""
        self.failed: dict[str, str] = {}
        """What the first document that could not be written or deleted met, for each file or folder at the top."""

    def run(self, render: Render) -> Published:
        """Does it all; the order is the module's."""
        if self.manifest.store not in ("", self.store_id):
            self.published.problems.append(
                f"{self.output.path} was last written from another store (if that is still in use, give it an"
                " output.path of its own)"
            )
        if self.output.unreadable:
            self.published.problems.append(
                f"{self.output.path / _MANIFEST} cannot be used: {self.output.unreadable} (it is written anew; files"
                " that differ from what belongs in their place are left alone from now on)"
            )
        if dirty := self._dirty_feeds():
            self._write_dirty(dirty, render)
        if self.whole:
            self._delete_leftovers()
        self._write_manifest()
        self._tell_problems()
        return self.published

    def _dirty_feeds(self) -> list[str]:
        anew = (self.manifest.store, self.manifest.fingerprint) != (self.store_id, self.fingerprint)
        return [feed for feed, want in self.wanted.items() if anew or self._is_dirty(feed, want)]

    def _is_dirty(self, feed: str, want: Wanted) -> bool:
        for path in want.paths:
            line = self.lines.get(path)
            if line is None or line.feed != feed or line.version != want.version:
                return True
            if self.whole and not self._is_file(path):
                return True
        return False

    def _is_file(self, path: str) -> bool:
        try:
            return self.tree.kind(path) == stat.S_IFREG
        except OSError:  # the folder is none, or may not be entered: that is said where its documents are written
            return False

    def _write_dirty(self, dirty: list[str], render: Render) -> None:
        staging = f"{OWN}/staging"
        self.tree.remove_all(staging)
        self.tree.make_folder(staging)
        try:
            with self.tree.subtree(staging) as waiting:
                missing = set(dirty)
                for feed, documents in render(dirty):
                    self.stopped()
                    missing.discard(feed)
                    for document in documents:
                        self._stage(feed, document, waiting)
                self.stopped()
                self._put_in_place(waiting)
                for feed in missing:
                    for path in self.wanted[feed].paths:
                        self._miss(feed, path)
        finally:
            self.tree.remove_all(staging)

    def _stage(self, feed: str, document: Document, waiting: Tree) -> None:
        """Writes a document beside the others that wait, unless the folder holds these bytes already or something of
        others is in its place."""
        path, body = document.path, document.body
        line = Line(feed, self.wanted[feed].version, _digest(body))
        try:
            kind = self.tree.kind(path)
            if kind == stat.S_IFREG and self._holds(path, body):
                self.lines[path] = line
                return
            if kind is not None and not self._is_ours(path, kind):
                self._leave_out(feed, path, path)
                return
        except OSError as error:
            self._fail(feed, path, "written", error)
            return
        name = str(len(self.staged))
        waiting.write(name, body)
        self.staged.append(_Staged(path, line, name, kind is None))

    def _holds(self, path: str, body: bytes) -> bool:
        """Whether the file is there with exactly these bytes."""
        try:
            return self.tree.read(path, size=len(body)) == body
        except PermissionError:
            return False

    def _is_ours(self, path: str, kind: int) -> bool:
        """Whether we may replace or delete what is at the path: the manifest names it, or it is what a publication
        wrote that did not come to its end."""
        if path in self.lines:
            return kind != stat.S_IFDIR
        if path not in self.begun or kind != stat.S_IFREG:
            return False
        body = self.tree.read(path)
        return body is not None and _digest(body) in self.begun[path]

    def _put_in_place(self, waiting: Tree) -> None:
        if not self.staged:
            return
        with ThreadPoolExecutor(min(SYNC_THREADS, len(self.staged))) as pool:
            list(pool.map(waiting.sync, (one.name for one in self.staged)))
        self._write_journal()
        for one in self.staged:
            self._place(one, waiting)

    def _write_journal(self) -> None:
        """Notes what is about to be written where the manifest names nothing."""
        for one in self.staged:
            if one.path not in self.manifest.files:
                self.begun.setdefault(one.path, set()).add(one.line.digest)
        self._keep_journal()

    def _keep_journal(self) -> None:
        if self.begun == self.journal:
            return
        if self.begun:
            files = {path: sorted(digests) for path, digests in sorted(self.begun.items())}
            self.tree.replace(_JOURNAL, _json({"format": FORMAT, "files": files}).encode())
        else:
            self.tree.remove(_JOURNAL)
        self.journal = {path: set(digests) for path, digests in self.begun.items()}

    def _place(self, one: _Staged, waiting: Tree) -> None:
        """Renames a document to its place. After one that cannot be written no other comes into its folder: what
        leaves a feed must be in its archive by then."""
        feed, path = one.line.feed, one.path
        if _top(path) in self.failed:
            self._miss(feed, path)
            return
        try:
            self.tree.make_folder(path.rpartition("/")[0])
            if one.is_new and self.tree.kind(path) is not None:  # it came since the look
                self._leave_out(feed, path, path)
                return
            self.tree.take(waiting, one.name, path)
        except OSError as error:
            self._fail(feed, path, "written", error)
            return
        self.lines[path] = one.line
        self.published.written.append(path)
        self.published.feeds.add(feed)

    def _leave_out(self, feed: str, path: str, hindrance: str) -> None:
        self.in_the_way.setdefault(hindrance, path)
        self._miss(feed, path)

    def _fail(self, feed: str, path: str, aim: str, error: OSError) -> None:
        """Leaves out a document for what is wrong with its place; raises the error again if it says nothing of that."""
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise error
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and (hindrance := self._find_hindrance(path)):
            self._leave_out(feed, path, hindrance)
            return
        self.failed.setdefault(_top(path), _reason(self.output.path / path, aim, error))
        self._miss(feed, path)

    def _miss(self, feed: str, path: str) -> None:
        """Has the document made again next time, also if its feed has the version that the folder holds by then."""
        self.published.unwritten.add(feed)
        if line := self.lines.get(path):
            self.lines[path] = replace(line, version="")

    def _find_hindrance(self, path: str) -> str | None:
        """What is no folder on the way to a path."""
        parts = path.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return next((folder for folder in folders if self.tree.kind(folder) not in (None, stat.S_IFDIR)), None)

    def _delete_leftovers(self) -> None:
        """Deletes files of ours that no longer belong, and folders that are empty then."""
        kept = {path for want in self.wanted.values() for path in want.paths}
        for path in sorted((self.lines.keys() | self.begun.keys()) - kept):
            feed = self.lines[path].feed if path in self.lines else path
            try:
                kind = self.tree.kind(path)
                if kind is not None and self._is_ours(path, kind):
                    self.tree.remove(path)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):  # else it is not there
                    self._fail(feed, path, "deleted", error)
                    continue
            self.begun.pop(path, None)
            if self.lines.pop(path, None) is not None:
                self.published.deleted.append(path)
            self._remove_empty_folders(path)

    def _remove_empty_folders(self, path: str) -> None:
        with suppress(OSError):
            while path := path.rpartition("/")[0]:
                self.tree.remove_folder(path)

    def _write_manifest(self) -> None:
        gone = sorted({*self.manifest.gone, *self.published.deleted} - self.lines.keys())[:MAX_GONE]
        manifest = Manifest(self.store_id, self.fingerprint, self.lines, tuple(gone))
        if manifest != self.manifest:
            self.output.write_manifest(manifest, self.tree)
        self.begun = {path: digests for path, digests in self.begun.items() if path not in self.lines}
        self._keep_journal()

    def _tell_problems(self) -> None:
        root = self.output.path
        told = [
            f"{root / hindrance} is in the way of {path}: the program did not write it (move it away)"
            for hindrance, path in self.in_the_way.items()
        ]
        self.published.problems += _some(told, "more files or folders are in the way of documents")
        told = [f"{reason} (until then its feed stays as it was; all others go on)" for reason in self.failed.values()]
        self.published.problems += _some(told, "more files or folders cannot be written or deleted")


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    """What the folder says it holds, and why that cannot be used; NOTHING without a reason if there is no manifest."""
    try:
        with Tree.open(folder) as tree:
            raw = tree.read(_MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING, ""
    try:
        told = json.loads(raw or b"")
        if told["format"] != FORMAT:
            return NOTHING, f"its format is {told['format']!r}, not {FORMAT}"
        files = {
            path: Line(line["feed"], str(line["version"]), line["digest"])
            for path, line in told["files"].items()
            if _is_inside(path)
        }
        return Manifest(told["store"], told["fingerprint"], files, tuple(told["gone"])), ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return NOTHING, "it is damaged"


def _read_journal(tree: Tree) -> _Digests:
    """What a publication that did not come to its end may have written; empty if the last one did."""
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        told = json.loads(tree.read(_JOURNAL) or b"")
        if told["format"] == FORMAT:
            return {path: set(digests) for path, digests in told["files"].items() if _is_inside(path)}
    return {}


def _is_inside(path: str) -> bool:
    """Whether a path of the manifest stays in the folder, whoever wrote it."""
    return not any(part in ("", ".", "..") or "\0" in part for part in path.split("/"))


def _top(path: str) -> str:
    return path.partition("/")[0]


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def _some(told: list[str], what: str) -> list[str]:
    """The first problems, and how many more there are."""
    return told if len(told) <= MAX_TOLD else [*told[:MAX_TOLD], f"{len(told) - MAX_TOLD} {what}"]


def _reason(path: Path, aim: str, error: OSError) -> str:
    """What could not be done, why, and what to do."""
    todo = _HINTS.get(error.errno or 0, "")
    if error.errno in (errno.EACCES, errno.EPERM):
        user = os.geteuid()
        todo = f"; user {user} must be able to write into its folder, as by: chown -R {user} {path.parent}"
    return f"{path} cannot be {aim}: {error.strerror or error}{todo}"
