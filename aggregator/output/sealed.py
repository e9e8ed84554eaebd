"""The documents of archive pages from the moment a page is sealed until it is published."""

from __future__ import annotations

import pickle
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from aggregator.model import Document

MAX_BYTES = 2_000_000_000
"""Most bytes that wait on the disk."""


class SealedDocuments:
    """Documents by the name and version of their page, rendered while its entries were in memory.

    They wait in a file without a name, because a first build seals every record several times over. It is in the output
    folder: one for temporary files may be in memory. Only for a bucket there is no other. What has no room is rendered
    when it is published.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._places: dict[tuple[str, str], int] = {}
        self._has_room = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, name: str, version: str, documents: tuple[Document, ...]) -> None:
        """Keeps the documents of a page, if there is room."""
        if not self._has_room:
            return
        try:
            file = self._file or self._open()
            place = file.tell()
            pickle.dump(documents, file)
            file.flush()
        except OSError:  # no room: what was kept gives its room back, and is rendered when it is published
            self._close()
            return
        self._places[name, version] = place
        self._has_room = file.tell() < MAX_BYTES

    def get(self, name: str, version: str) -> tuple[Document, ...] | None:
        """The documents of a page, if they were kept; after this, none can be added."""
        place = self._places.get((name, version))
        if place is None or self._file is None:
            return None
        self._file.seek(place)
        documents: tuple[Document, ...] = pickle.load(self._file)  # noqa: S301 - only `add` wrote there
        return documents

    def _close(self) -> None:
        file, self._file, self._has_room = self._file, None, False
        self._places.clear()
        if file is not None:
            with suppress(OSError):  # closing writes what is left in the buffer
                file.close()

    def _open(self) -> IO[bytes]:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".aggregator-")  # noqa: SIM115 - `_close` does it
        return self._file
