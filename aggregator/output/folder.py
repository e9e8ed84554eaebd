"""The output folder: the manifest that it has, and publishing into it.

Our files are those that the manifest or the journal names. Any other file is left alone; where a document belongs, it
is an obstacle. A problem of one file or folder costs its feed; a problem of the whole folder is a PublishError.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from aggregator.errors import PublishError
from aggregator.output.journal import Journal
from aggregator.output.manifest import (
    EMPTY_MANIFEST,
    MANIFEST_PATH,
    MARK_PATH,
    OWN_FOLDER,
    Digests,
    Manifest,
    ManifestEncoder,
    parse_manifest,
)
from aggregator.output.obstacles import reason
from aggregator.output.publication import Publication, Published, Render, Target
from aggregator.output.tree import Tree

LOCK_WAIT_S = 30
_Stamp = tuple[int, int, int]
"""Inode, mtime_ns and size of the manifest; a replaced file has another one."""


class OutputFolder:
    """The folder that feeds are published in. Caches the manifest while its stat is unchanged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest = EMPTY_MANIFEST
        self._stamp: _Stamp | None = None
        # Why the manifest file cannot be used, if it cannot.
        self._damage = ""
        # What this process wrote before the manifest was lost.
        self._remembered: Digests = {}
        self._encoder = ManifestEncoder()

    def manifest(self) -> Manifest:
        """The manifest; EMPTY_MANIFEST if there is none or it cannot be used.

        Raises PublishError if the file cannot be read now: with an empty manifest, all of our files would be foreign.
        """
        if not self.is_unchanged():
            before, self._stamp = self._manifest, self._read_stamp()
            try:
                self._manifest, self._damage = _read_manifest(self.path)
            except OSError as error:
                self._stamp = None
                raise PublishError(f"{self.path / MANIFEST_PATH} cannot be read: {error.strerror or error}") from error
            for path, entry in before.files.items() if self._manifest is EMPTY_MANIFEST else ():
                self._remembered.setdefault(path, set()).add(entry.digest)
        return self._manifest

    def is_unchanged(self) -> bool:
        """True if the manifest file is as this process last read or wrote it."""
        return self._stamp is not None and self._stamp == self._read_stamp()

    def is_marked(self, token: str | None) -> bool:
        """Whether the process whose lease has this token writes this folder."""
        try:
            with Tree.open(self.path) as tree:
                return token is not None and tree.read(MARK_PATH) == _mark(tree, token)
        except OSError:
            return False

    def publish(
        self,
        store_id: str,
        fingerprint: str,
        targets: Mapping[str, Target],
        render: Render,
        check_stop: Callable[[], None],
        *,
        full: bool,
        check_writer: Callable[[], None] = lambda: None,
        mark: str = "",
    ) -> Published:
        """Updates the folder to `targets`. Calls `render` with the dirty feeds. Files with equal bytes are not written.

        With `full`, `targets` is everything that the folder must have: missing files are written, obsolete ones
        deleted. Otherwise `targets` is what changed. `mark` is the token of the lease of this process, if others may
        ask. Raises PublishError if the folder as a whole cannot be written, and what `check_stop` and `check_writer`
        raise, before the first rename; `check_writer` is called under the lock, and again when all is rendered.
        """
        if not (full or targets):
            return Published()
        folder = self.path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                tree = stack.enter_context(Tree.open(folder))
                if tree.kind(OWN_FOLDER) not in (None, stat.S_IFDIR):
                    raise PublishError(f"{folder / OWN_FOLDER} must be a folder, and is a file or a link; move it away")
                tree.make_folder(OWN_FOLDER)
                stack.enter_context(FileLock(folder / OWN_FOLDER / "lock", timeout=LOCK_WAIT_S))
                check_writer()
                if mark and not self.is_marked(mark):
                    tree.replace(MARK_PATH, _mark(tree, mark))
                before = self.manifest()
                journal = Journal(tree, self._remembered)
                publication = Publication(folder, tree, before, journal, targets, check_stop, check_writer, full=full)
                problems = self._manifest_problems(store_id)
                is_other = (before.store, before.fingerprint) != (store_id, fingerprint)
                if dirty := publication.dirty_feeds(all_dirty=is_other):
                    publication.write(dirty, render)
                if full:
                    publication.delete_obsolete()
                manifest = Manifest(store_id, fingerprint, publication.files, publication.removed_paths())
                if manifest != before:
                    self._write_manifest(manifest, tree)
                journal.complete(publication.files)
                publication.published.problems = [*problems, *publication.obstacles.problems()]
                return publication.published
        except Timeout:
            raise PublishError(f"another process has been writing to {folder} for more than {LOCK_WAIT_S} s") from None
        except OSError as error:
            # an error of a single document is a problem of its feed; relative names are our own files
            path = Path(error.filename) if os.path.isabs(error.filename or "") else folder / OWN_FOLDER
            raise PublishError(reason(path, "written", error)) from error

    def _manifest_problems(self, store_id: str) -> list[str]:
        problems = []
        if self._manifest.store not in ("", store_id):
            problems.append(
                f"{self.path} was last written from another store (if two sites write there, give each its own"
                " output.path)"
            )
        if self._damage:
            problems.append(
                f"{self.path / MANIFEST_PATH} cannot be used: {self._damage} (it is written again; files with other"
                " bytes than the documents in their place are left alone from now on)"
            )
        return problems

    def _write_manifest(self, manifest: Manifest, tree: Tree) -> None:
        tree.replace(MANIFEST_PATH, self._encoder.encode(manifest))
        self._manifest, self._stamp = manifest, self._read_stamp()
        self._damage = ""
        self._remembered.clear()

    def _read_stamp(self) -> _Stamp | None:
        try:
            status = os.stat(self.path / MANIFEST_PATH)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _mark(tree: Tree, token: str) -> bytes:
    return f"{token} {tree.inode(OWN_FOLDER)}".encode()


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest, and why its file cannot be used, if it cannot."""
    try:
        with Tree.open(folder) as tree:
            raw = tree.read(MANIFEST_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return EMPTY_MANIFEST, ""
    try:
        return parse_manifest(raw or b""), ""
    except ValueError as error:
        return EMPTY_MANIFEST, str(error)
