"""What publishes documents, whether into a folder or into a bucket: the manifest that is there, and publishing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from aggregator.output.destination import Destination
from aggregator.output.manifest import (
    EMPTY_MANIFEST,
    MANIFEST_PATH,
    Digests,
    Manifest,
    ManifestEncoder,
    ManifestEntry,
    parse_manifest,
)
from aggregator.output.publication import Check, Publication, Published, Render, Target


class Publisher(ABC):
    """Publishes in one place, `where`. Caches the manifest while it is unchanged."""

    compare_every_s: float
    """How long a document may be missing before it is noticed."""
    compares_with_scans: bool
    """Whether a scan of everything compares everything here too."""
    path: Path | None = None
    """The folder; None for a bucket."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.cast = ""  # what all documents depend on besides the settings
        self.had_other_store = False  # the last publish found documents of another store
        self._manifest = EMPTY_MANIFEST
        # Why the manifest cannot be used, if it cannot.
        self._damage = ""
        # What this process wrote before the manifest was lost.
        self._remembered: Digests = {}
        self._encoder = ManifestEncoder()

    def manifest(self) -> Manifest:
        """The manifest; EMPTY_MANIFEST if there is none or it cannot be used.

        Raises PublishError if it cannot be read now: with an empty manifest, all of our files would be foreign.
        """
        if not self.is_unchanged():
            before = self._manifest
            raw = self._read_manifest()
            try:
                self._manifest, self._damage = EMPTY_MANIFEST if raw is None else parse_manifest(raw), ""
            except ValueError as error:
                self._manifest, self._damage = EMPTY_MANIFEST, str(error)
            for path, entry in before.files.items() if self._manifest is EMPTY_MANIFEST else ():
                self._remembered.setdefault(path, set()).add(entry.digest)
        return self._manifest

    @property
    def known_files(self) -> Mapping[str, ManifestEntry]:
        """The documents of the manifest as this process last read or wrote it."""
        return self._manifest.files

    @abstractmethod
    def is_unchanged(self) -> bool:
        """True if the manifest is as this process last read or wrote it."""

    @abstractmethod
    def is_marked(self, token: str | None) -> bool:
        """Whether the process whose lease has this token publishes here."""

    def publish(
        self,
        store_id: str,
        fingerprint: str,
        targets: Mapping[str, Target],
        render: Render,
        check_stop: Callable[[], None],
        *,
        full: bool,
        check_writer: Check = lambda: None,
        mark: str = "",
        ended: Collection[str] = (),
    ) -> Published:
        """Updates the place to `targets`. Calls `render` with the names of dirty ones. Files with equal bytes are not
        written.

        With `full`, `targets` is everything that must be there: missing files are written, obsolete ones deleted.
        Otherwise `targets` is what changed. `mark` is the token of the lease of this process, if others may ask.
        `ended` are URLs below the place that answer 410 and may have had no file. Raises PublishError if nothing can be
        written, and what `check_writer` raises, under the lock and again before the first change; also what
        `check_stop` raises, in a folder before the first change.
        """
        self.had_other_store = False
        if not (full or targets):
            return Published()
        with self._opened(full=full) as destination:
            check_writer()
            if mark:
                destination.mark(mark)
            before, fingerprint = destination.before, f"{fingerprint}{self.cast}"
            publication = Publication(
                self.where, destination, targets, check_stop, check_writer, full=full, ended=ended
            )
            damage = (
                f"{self.where}/{MANIFEST_PATH} cannot be used: {self._damage} (it is written again; files with other"
                " bytes than the documents in their place are left alone from now on)"
            )
            problems = [damage] if self._damage else []
            self.had_other_store = before.store not in ("", store_id)
            is_other = (before.store, before.fingerprint) != (store_id, fingerprint)
            if dirty := publication.dirty_targets(all_dirty=is_other):
                publication.write(dirty, render)
            if full:
                publication.delete_obsolete()
            manifest = Manifest(store_id, fingerprint, publication.files, publication.removed_paths())
            if manifest != before:
                destination.replace_manifest(self._encoder.encode(manifest, **self._extra_keys()))
                self._manifest, self._damage = manifest, ""
                self._remembered.clear()
            destination.complete(publication.files)
            publication.published.problems = [*problems, *publication.obstacles.problems()]
            return publication.published

    @abstractmethod
    def _read_manifest(self) -> bytes | None:
        """The bytes of the manifest; None if there is none. Raises PublishError."""

    @abstractmethod
    def _opened(self, *, full: bool) -> AbstractContextManager[Destination]:
        """The place, locked; errors of the block become PublishError."""

    def _extra_keys(self) -> dict[str, str]:
        """Keys of the manifest that only people read."""
        return {}
