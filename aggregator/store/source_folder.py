"""The folder of a source: is it the one of the last scan? Where a disk is not mounted there is another, empty one."""

from __future__ import annotations

import json

from sqlalchemy import Connection

from aggregator.paths import file_identity
from aggregator.settings import Source
from aggregator.store.files import has_files
from aggregator.store.session import Writer, read_meta, write_meta


class SourceFolder:
    """The folder of a source during a scan, beside the one of the last scan, which `meta` has. A store that does not
    know the last one takes it for the same."""

    def __init__(self, writer: Writer, source: Source) -> None:
        self._writer, self._source = writer, source
        self._key = _key(source)
        with writer.read() as connection:
            self._stored = read_meta(connection, self._key)
        self._last, self._were_missing = _last_folder(self._stored)
        self._found = _read_identity(self._source)
        self.is_other = self._last is not None and self._found != self._last
        self.was_replaced = False

    def look_again(self) -> None:
        """To be called after the scan: one of a folder that was replaced meanwhile decides nothing."""
        self.was_replaced = _read_identity(self._source) != self._found
        self.is_other = self.is_other or self.was_replaced

    def is_away(self, missing: int, known: int, seen: int) -> bool:
        """Whether this is another folder than the last one, with none of its files: of the `known` ones `missing` are
        not here, not even renamed, and it has `seen` files in all. `known` also has files that came while the folder
        was away, so from the second scan on the number that was missing at first counts."""
        if not self.is_other:
            return False
        if missing:
            return missing >= (self._were_missing or known)
        return not seen and has_files(self._writer, self._source)

    def store(self, missing: int, *, is_away: bool, has_files: bool) -> None:
        """Stores which folder the next scan compares with: the last one if this one `is_away`, else this one, or none
        without any files."""
        found = self._found if has_files else None
        text = json.dumps((self._last, self._were_missing or missing) if is_away else (found, 0))
        if text != self._stored:
            with self._writer.write() as connection:
                write_meta(connection, self._key, text)


def is_folder_away(connection: Connection, source: Source, missing: int, known: int) -> bool:
    """Whether the next full scan will find another folder with none of the files of the last one, as
    `SourceFolder.is_away` says; `missing` of the `known` files are."""
    last, were_missing = _last_folder(read_meta(connection, _key(source)))
    return last is not None and 0 < missing >= (were_missing or known) and _read_identity(source) != last


def _key(source: Source) -> str:
    return f"root:{source.name}"


def _last_folder(stored: str | None) -> tuple[list[int] | None, int]:
    """Device and inode of the last folder with files, and how many of these were missing when another one was found."""
    last, were_missing = json.loads(stored or "[null, 0]")
    return last, were_missing


def _read_identity(source: Source) -> list[int] | None:
    try:
        found = file_identity(source.root)
    except OSError:
        return None
    return None if found is None else list(found)
