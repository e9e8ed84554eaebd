"""The folder of a source: is it the one of the last scan? Where a disk is not mounted there is another, empty one."""

from __future__ import annotations

import json
import os

from aggregator.settings import Source
from aggregator.store.files import has_files
from aggregator.store.session import Writer, read_meta, write_meta


class Root:
    """The folder of a source during a scan, beside the one of the last scan, which `meta` has. A store that does not
    know the last one takes it for the same."""

    def __init__(self, writer: Writer, source: Source) -> None:
        self._writer, self._source = writer, source
        self._key = f"root:{source.name}"
        with writer.read() as connection:
            self._stored = read_meta(connection, self._key)
        # Device and inode of the last folder; and whether the scans since found another one without its files.
        last, was_away = json.loads(self._stored or "[null, false]")
        self._last: list[int] | None = last
        self._was_away: bool = was_away
        self._found = self._read()
        self.is_other = self._last is not None and self._found != self._last

    def look_again(self) -> None:
        """To be called after the scan, because the folder may have been replaced meanwhile."""
        self.is_other = self.is_other or self._read() != self._found

    def is_away(self, missing: int, known: int, seen: int) -> bool:
        """Whether this is another folder than the last one, with none of its files: `missing` of the `known` ones, of
        which none is a renamed one, and `seen` files in all."""
        if not self.is_other:
            return False
        if missing:
            return self._was_away or missing >= known
        return not seen and has_files(self._writer, self._source)

    def store(self, *, is_away: bool) -> None:
        """Stores which folder the next scan compares with: this one, or the last one if this one `is_away`."""
        text = json.dumps((self._last if is_away else self._found, is_away))
        if text != self._stored:
            with self._writer.write() as connection:
                write_meta(connection, self._key, text)

    def _read(self) -> list[int] | None:
        try:
            status = os.stat(self._source.root)
        except OSError:
            return None
        return [status.st_dev, status.st_ino]
