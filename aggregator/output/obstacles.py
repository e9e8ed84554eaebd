"""What keeps single documents from being published, and the problems that tell the operator."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from shlex import quote

from aggregator.documents import is_archive_page

MAX_LISTED = 20
"""How many files or folders are named in problems of one kind."""
_HINTS = {
    errno.ENOSPC: "; make room",
    errno.EDQUOT: "; make room or raise the quota",
    errno.EROFS: "; mount the file system so that it can be written",
}


class Obstacles:
    """Files and folders of others in place of documents, and places that cannot be written. `where` is all of it."""

    def __init__(self, where: str) -> None:
        self._where = where
        # Foreign file or folder -> the first document that it keeps out.
        self._foreign: dict[str, str] = {}
        # Folder at the top -> why its first document could not be written or deleted.
        self._failed: dict[str, str] = {}
        # Folders at the top whose archive lacks a page.
        self._incomplete: set[str] = set()

    def add_foreign(self, path: str, document: str) -> None:
        """A foreign file or folder is at `path`, which `document` needs."""
        self._foreign.setdefault(path, document)
        self.note_missing(document)

    def add_failure(self, document: str, why: str) -> None:
        """A document could not be written or deleted."""
        self._failed.setdefault(_top(document), why)

    def note_missing(self, document: str) -> None:
        """A document cannot be put in its place. If it is an archive page, the others of its feed wait for it, because
        its entries would be in none of them."""
        if is_archive_page(document):
            self._incomplete.add(_top(document))

    def must_wait(self, document: str) -> bool:
        """True if another document in the same folder at the top could not be written or deleted, or an archive page
        there is missing."""
        return _top(document) in self._failed or _top(document) in self._incomplete

    def problems(self) -> list[str]:
        """The problems, a limited number of each kind."""
        foreign = [
            f"{self._where}/{path} is in the way of {document}: the program did not write it (move it away"
            f"{'; until then its feed stays as it was' if is_archive_page(document) else ''})"
            for path, document in self._foreign.items()
        ]
        failed = [
            f"{text} (until then its feed stays as it was; other feeds are published)" for text in self._failed.values()
        ]
        return [
            *_shortened(foreign, "more files or folders are in the way of documents"),
            *_shortened(failed, "more files or folders cannot be written or deleted"),
        ]


def reason(path: Path, action: str, error: OSError, root: Path) -> str:
    """What could not be done, why, and a hint. `root` is the output folder: nothing above it is ours to give away."""
    hint = _HINTS.get(error.errno or 0, "")
    if error.errno in (errno.EACCES, errno.EPERM):
        user = os.geteuid()
        if path.is_relative_to(root) and path != root:
            hint = f"; user {user} must be able to write into its folder, as by: {_giving(path.parent, user)}"
        elif os.path.isdir(root):
            hint = f"; user {user} must be able to write into it, as by: {_giving(root, user)}"
        else:
            hint = f"; make the output folder: sudo install -d -o {user} {quote(str(root))}"
    return f"{path} cannot be {action}: {error.strerror or error}{hint}"


def _giving(folder: Path, user: int) -> str:
    return f"chown -R {user} {quote(str(folder))}"


def _top(path: str) -> str:
    return path.partition("/")[0]


def _shortened(problems: list[str], rest: str) -> list[str]:
    count = len(problems) - MAX_LISTED
    return [*problems[:MAX_LISTED], f"{count} {rest}"] if count > 0 else problems
