"""The files of a source: one interface over a folder (`files.folder`) and over a bucket (`files.bucket`).

Paths are those of the store: below the source, escaped as by `paths.escape_name`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from aggregator.model import SourceFile
from aggregator.problems import Problem, shown_path
from aggregator.settings import Source

LISTED_BATCH = 1000
"""Most files of a batch in a listing."""
MAX_PATH = 1500
"""Bytes of an escaped path. PostgreSQL cannot index keys over some 2,700."""

CheckStop = Callable[[], None]
"""Raises an error once a stop is requested. It is called several times a second while a server does not answer."""
ListedFile = tuple[str, int, int, int, int]
"""Escaped path, size, mtime and ctime in ns, inode; for an object the last three hold what tells its versions apart."""
FileBytes = tuple[bytes, SourceFile]
"""The first bytes of a file, and the file with the stat that belongs to them."""
Kind = Literal["file", "link", "folder"]
"""What is at a path. A link is not followed."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder or file inside the source that cannot be read. What is known at and below it stays as it is."""

    path: str  # ends with a slash if it is a folder
    reason: str
    hint: str = "check its rights"


Listed = Iterator[list[ListedFile] | Unreadable]
"""Record files in byte order of their paths, in batches that are never empty, and what cannot be read."""


class FolderError(Exception):
    """A source is missing or cannot be read. `is_missing`: it does not exist, so neither do its files; else nothing is
    known of them. Processes can send it to each other."""

    def __init__(
        self, reason: str, *, is_missing: bool = False, hint: str = "bring it back, or correct [records] path"
    ) -> None:
        super().__init__(reason)
        self.is_missing, self.hint = is_missing, hint

    def problem(self, source: Source) -> Problem:
        """The problem of the records folder, with a path from the working directory."""
        what = f"the records folder cannot be read: {self}"
        return Problem(shown_path(source.root, ""), 0, 0, what, None, self.hint)

    def message(self, source: Source) -> str:
        """The line that a cycle reports."""
        return f"{source.root}: the records folder cannot be read: {self} ({self.hint})"


class Files(Protocol):
    """The files of one source. Every method raises FolderError if the source as a whole cannot be read."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def check(self) -> None:
        """Raises FolderError if the source cannot be listed."""

    def list_all(self) -> Listed:
        """All record files. Names that begin with a dot are skipped. Raises FolderError before the first batch."""

    def list_at(self, path: str) -> Listed:
        """The record file at `path`, and all files below it."""

    def kind(self, path: str) -> Kind | None:
        """What is at `path`; None for nothing, and for what is behind a linked folder."""

    def index_names(self, folder: str) -> Iterable[str]:
        """The names, not escaped, of the index files in a folder ("" or with a slash at its end). Raises OSError."""

    def read(self, file: SourceFile, most: int) -> FileBytes:
        """The first `most` bytes of a file. Raises OSError, with an errno of `paths.ABSENT` if it is missing."""

    def read_ahead(self, files: Iterable[SourceFile], most: int) -> Iterator[FileBytes | OSError]:
        """What `read` would return or raise for each file, in order. It may read the next files already."""


def open_files(source: Source, check_stop: CheckStop | None = None) -> Files:
    """The files of a source. Raises FolderError."""
    if source.is_bucket:
        from aggregator.files.bucket import BucketFiles

        return BucketFiles(source, check_stop)
    from aggregator.files.folder import FolderFiles

    return FolderFiles(source)


def folder_problem(source: Source) -> str | None:
    """Why a source cannot be read, as a cycle reports it; None if it can."""
    try:
        with open_files(source) as files:
            files.check()
    except FolderError as error:
        return error.message(source)
    return None
