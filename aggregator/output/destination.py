"""Where documents go, during one publish: what `Publication` asks of a folder or a bucket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, NamedTuple, TypeVar

from aggregator.output.journal import Journal
from aggregator.output.manifest import Manifest, ManifestEntry

Item = TypeVar("Item")
Result = TypeVar("Result")


class State(Enum):
    """What is at the path of a document."""

    ABSENT = auto()
    SAME = auto()  # the bytes of the document
    OURS = auto()  # other bytes that the program wrote, so they may be replaced
    FOREIGN = auto()  # anything else


class PlaceError(Exception):
    """A document cannot be written or deleted; the text says why. Others may succeed."""


class InTheWayError(PlaceError):
    """What the program did not write is at `path`, which a document needs."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def tried(work: Callable[[Item], Result], item: Item) -> Result | PlaceError:
    """What `work` returns for an item, or the PlaceError that it raises."""
    try:
        return work(item)
    except PlaceError as error:
        return error


class Staged(NamedTuple):
    """A document that waits for its place."""

    path: str
    entry: ManifestEntry
    name: str  # among the staged documents
    is_new: bool  # nothing was at the path


@dataclass(eq=False, slots=True)
class Destination(ABC):
    """A folder or a bucket that no other process writes meanwhile. `before` is its manifest.

    A method raises PlaceError where it is about one document, and another error if nothing can be published.
    """

    before: Manifest
    journal: Journal

    may_stop_anywhere: ClassVar[bool]
    """A publish may be stopped between two documents, because readers see them change one by one anyway."""

    @abstractmethod
    def mark(self, token: str) -> None:
        """Says that the process whose lease has this token publishes here."""

    @abstractmethod
    def has(self, path: str) -> bool:
        """True if a document is at the path, as far as can be told without its bytes."""

    @abstractmethod
    def compare(self, path: str, body: bytes, entry: ManifestEntry) -> tuple[State, ManifestEntry]:
        """What is at the path of a document, and its entry if it is the same."""

    @abstractmethod
    def staging(self) -> AbstractContextManager[None]:
        """Room for staged documents, empty."""

    @abstractmethod
    def stage(self, name: str, body: bytes) -> None:
        """Keeps a document until it is placed."""

    @abstractmethod
    def begin(self, staged: Sequence[Staged]) -> None:
        """Prepares for changes, and stores in the journal what is about to be written."""

    @abstractmethod
    def place(self, staged: Iterable[Staged]) -> Iterator[tuple[Staged, ManifestEntry | PlaceError]]:
        """Puts documents in place; for each, its entry in the manifest or why it failed. The iterable is not read much
        ahead, because it leaves out documents that depend on a failed one."""

    @abstractmethod
    def delete(self, paths: Iterable[str]) -> Iterator[tuple[str, PlaceError | None]]:
        """Deletes our documents at these paths."""

    @abstractmethod
    def replace_manifest(self, body: bytes) -> None:
        """Writes the manifest, at the end."""

    @abstractmethod
    def complete(self, files: Mapping[str, ManifestEntry]) -> None:
        """Tidies the journal once the manifest names `files`."""
