"""The output bucket: publishing into object storage. docs/spec.md#output-bucket.

    manifest, journal (and, to compare everything, a listing) -> journal -> documents -> manifest

The journal is the lock. A publish replaces journal and manifest only if they are still as it read them, and a document
only if the object is still as the manifest says, or missing. If a condition fails, the object is read: it is replaced
if the program wrote it and the journal is still that of this publish, else left alone.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from hashlib import md5
from itertools import islice
from pathlib import Path

from aggregator.buckets import Bucket, BucketUrl, ObjectFacts, open_bucket, open_quick_bucket
from aggregator.concurrency.processes import PROGRESS
from aggregator.documents import content_type
from aggregator.errors import BucketAwayError, BucketError, ObjectChangedError, PublishError
from aggregator.output.destination import Destination, InTheWayError, Item, PlaceError, Result, Staged, State, tried
from aggregator.output.journal import Journal
from aggregator.output.manifest import JOURNAL_PATH, MANIFEST_PATH, MARK_PATH, OWN_FOLDER, ManifestEntry
from aggregator.output.publisher import Publisher

PARALLEL = 16
"""Requests at a time."""
MARK_S = 5.0
"""How long a service that follows does not ask again whether the one that leads publishes here."""
_PROBE_PATH = f"{OWN_FOLDER}/probe"
_OWN_HEADERS = {"content_type": "application/json", "cache_control": "no-store"}
"""Of objects that are not for readers."""
_logger = logging.getLogger(__name__)


class OutputBucket(Publisher):
    """The bucket that feeds are published in. `cache_control` goes with every document; `location` is the URL that a
    website of the bucket redirects the object at a path to, or empty."""

    # a listing costs a request for every 1,000 objects
    compare_every_s = 900.0
    compares_with_scans = False

    def __init__(self, url: BucketUrl, *, cache_control: str, location: Callable[[str], str]) -> None:
        super().__init__(str(url))
        self._url, self._cache_control, self._location = url, cache_control, location
        self.cast = f"; {cache_control}"  # header fields are stored with objects: other ones are written to all of them
        self._etag = ""  # of the manifest
        self._has_conditions: bool | None = None  # None: not tried yet
        self._marked_until: dict[str, float] = {}  # by token, on the monotonic clock

    def is_unchanged(self) -> bool:
        if not self._etag:
            return False
        try:
            facts = self._bucket.head(MANIFEST_PATH)
        except BucketError:  # reading it reports that
            return False
        return facts is not None and facts.etag == self._etag

    def is_marked(self, token: str | None) -> bool:
        if token is None:
            return False
        if time.monotonic() < self._marked_until.get(token, -math.inf):
            return True
        try:
            found = self._bucket.get(MARK_PATH)
        except BucketError:  # publishing reports that
            return token in self._marked_until
        is_marked = found is not None and found.body == token.encode()
        # only a mark that is there is remembered: who leads must not find others publishing
        self._marked_until = {token: time.monotonic() + MARK_S} if is_marked else {}
        return is_marked

    def _read_manifest(self) -> bytes | None:
        self._etag = ""
        try:
            found = self._bucket.get(MANIFEST_PATH)
        except BucketError as error:
            raise PublishError(str(error)) from error
        self._etag = found.etag if found else ""
        return found.body if found else None

    @contextmanager
    def _opened(self, *, full: bool) -> Iterator[Destination]:
        try:
            bucket = self._bucket
            before = self.manifest()
            found = bucket.get(JOURNAL_PATH)
            journal = Journal(found.body if found else None, self._remembered)
            journal.drop_complete(before.files)
            if self._has_conditions is None:
                self._has_conditions = _has_conditions(bucket)
            with ThreadPoolExecutor(PARALLEL, "bucket") as pool:
                opened = _OpenBucket(
                    before, journal, bucket, pool,
                    manifest_etag=self._etag, journal_etag=found.etag if found else "",
                    was_cut_off=bool(journal.paths()),
                    listing=_listed(bucket) if full else None,
                    has_conditions=self._has_conditions,
                    is_recast=before.fingerprint != "" and not before.fingerprint.endswith(self.cast),
                    cache_control=self._cache_control, location=self._location,
                )  # fmt: skip
                yield opened
            self._etag = opened.manifest_etag
        except ObjectChangedError as error:
            raise PublishError(
                f"another process publishes into {self.where} (give each site its own prefix)"
            ) from error
        except BucketError as error:
            raise PublishError(str(error)) from error

    @cached_property
    def _bucket(self) -> Bucket:
        return open_bucket(self._url)

    def _extra_keys(self) -> dict[str, str]:
        return {"publish": uuid.uuid4().hex}


def bucket_problem(place: Path | BucketUrl) -> str:
    """Why an output bucket cannot be used now; empty if it can be, and for a folder."""
    if isinstance(place, Path):
        return ""
    try:
        open_quick_bucket(place).page(limit=1)
    except BucketError as error:
        return str(error)
    return ""


def has_manifest(place: Path | BucketUrl) -> bool:
    """Whether something was published in a folder or bucket; False if it cannot be asked."""
    if isinstance(place, Path):
        return (place / MANIFEST_PATH).exists()
    try:
        return open_quick_bucket(place).head(MANIFEST_PATH) is not None
    except BucketError:
        return False


def _listed(bucket: Bucket) -> dict[str, ObjectFacts]:
    """All objects of a bucket, by path."""
    listing: dict[str, ObjectFacts] = {}
    for page in bucket.pages():
        PROGRESS.show()
        listing.update((facts.path, facts) for facts in page)
    return listing


def _has_conditions(bucket: Bucket) -> bool:
    """Whether the server keeps the conditions of writes, by trying."""
    try:
        for _ in range(2):  # the first one may be the first ever
            bucket.put(_PROBE_PATH, b"{}", **_OWN_HEADERS, is_new=True)
    except ObjectChangedError:
        return True
    except BucketError as error:
        if error.code != "NotImplemented":
            raise
    _logger.warning(
        "%s does not keep the conditions of writes, so only one service at a time may publish there, and an object of"
        " others is safe only if it is there before (use a server with conditional writes)",
        bucket.url,
    )
    return False


@contextmanager
def _explained() -> Iterator[None]:
    """Turns a refusal of one object into PlaceError. A server that does not answer concerns all of them."""
    try:
        yield
    except (BucketAwayError, ObjectChangedError):
        raise
    except BucketError as error:
        raise PlaceError(str(error)) from error


@dataclass(eq=False, slots=True)
class _OpenBucket(Destination):
    """The bucket during one publish. `listing` has every object, if everything is compared. With `is_recast`, objects
    have other header fields than they must have."""

    may_stop_anywhere = True

    _bucket: Bucket
    _pool: ThreadPoolExecutor
    _: KW_ONLY
    manifest_etag: str
    journal_etag: str
    was_cut_off: bool  # the publish before
    listing: Mapping[str, ObjectFacts] | None
    has_conditions: bool
    is_recast: bool
    cache_control: str
    location: Callable[[str], str]
    _folder: Path = field(init=False)

    def mark(self, token: str) -> None:
        found = self._bucket.get(MARK_PATH)
        if found is None or found.body != token.encode():
            self._put_own(MARK_PATH, token.encode(), found.etag if found else "")

    # compare

    def has(self, path: str) -> bool:
        """Of a listing, also whether it is still what the manifest names."""
        entry = self.before.files.get(path)
        if path in self.journal:
            return False
        if self.listing is None:
            return entry is not None or self._facts(path) is not None
        facts = self.listing.get(path)
        return facts is not None and (entry is None or facts.etag == entry.etag)

    def compare(self, path: str, body: bytes, entry: ManifestEntry) -> tuple[State, ManifestEntry]:
        known = self.before.files.get(path)
        if known is not None and known.digest == entry.digest and not self.is_recast and self.has(path):
            return State.SAME, known._replace(feed=entry.feed, version=entry.version)
        if path not in self.journal and (self.listing is None or (known is not None and self.has(path))):
            # a condition tells when it is written
            return (State.ABSENT if known is None else State.OURS), entry
        with _explained():
            facts = self._facts(path)
            if facts is None:
                return State.ABSENT, entry
            if not (self.is_recast and known is not None) and self._has_bytes(facts, body):
                return State.SAME, entry._replace(etag=facts.etag, size=facts.size)
            is_ours = known is not None or self._has_begun(path)
        return (State.OURS if is_ours else State.FOREIGN), entry

    def _facts(self, path: str) -> ObjectFacts | None:
        return self._bucket.head(path) if self.listing is None else self.listing.get(path)

    def _has_bytes(self, facts: ObjectFacts, body: bytes) -> bool:
        """Most servers give the MD5 of the bytes as the ETag; if it is not, the bytes themselves tell."""
        if facts.size != len(body):
            return False
        if facts.etag.strip('"') == md5(body, usedforsecurity=False).hexdigest():
            return True
        found = self._bucket.get(facts.path)
        return found is not None and found.body == body

    def _has_begun(self, path: str) -> bool:
        found = self._bucket.get(path) if path in self.journal else None
        return found is not None and self.journal.has_begun(path, found.body)

    # write

    @contextmanager
    def staging(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="aggregator-") as folder:
            self._folder = Path(folder)
            yield

    def stage(self, name: str, body: bytes) -> None:
        (self._folder / name).write_bytes(body)

    def begin(self, staged: Sequence[Staged]) -> None:
        """Takes the lock."""
        self.journal.begin((document.path, document.entry) for document in staged)
        self._store_journal()

    def place(self, staged: Iterable[Staged]) -> Iterator[tuple[Staged, ManifestEntry | PlaceError]]:
        yield from self._in_parallel(self._put, staged)

    def delete(self, paths: Iterable[str]) -> Iterator[tuple[str, PlaceError | None]]:
        rest = iter(paths)
        while batch := tuple(islice(rest, PARALLEL)):
            self._check_lock()  # once for all of them, because they are sent at the same time
            yield from self._in_parallel(self._delete, batch)

    def replace_manifest(self, body: bytes) -> None:
        self.manifest_etag = self._put_own(MANIFEST_PATH, body, self.manifest_etag)

    def complete(self, files: Mapping[str, ManifestEntry]) -> None:
        """Leaves the journal as it is, because entries that the manifest names too are ignored. It is rewritten only
        after a publish that was cut off."""
        self.journal.forget(files)
        if self.was_cut_off and not self.journal.is_stored:
            self._store_journal()

    def _store_journal(self) -> None:
        # an id of its own, so that no two journals have the same ETag
        body = self.journal.encode(publish=uuid.uuid4().hex)
        self.journal_etag = self._put_own(JOURNAL_PATH, body, self.journal_etag)

    def _put_own(self, path: str, body: bytes, etag: str) -> str:
        """Writes the manifest or the journal, if nobody else has since. Returns its ETag."""
        try:
            return self._replace(path, body, etag, **_OWN_HEADERS)
        except ObjectChangedError:
            # the request may have been made again because its first answer was lost
            found = self._bucket.get(path)
            if found is None or found.body != body:
                raise
            return found.etag

    @_explained()
    def _put(self, staged: Staged) -> ManifestEntry:
        """Writes a document. Returns its entry."""
        path, body = staged.path, (self._folder / staged.name).read_bytes()
        headers = {
            "content_type": content_type(path), "cache_control": self.cache_control, "location": self.location(path)
        }  # fmt: skip
        etag = self._expected(path)
        for attempts_left in (2, 1, 0):
            try:
                etag = self._replace(path, body, etag, **headers)
                break
            except ObjectChangedError:
                if not attempts_left:
                    raise
                etag = self._settle(path, body)
        return staged.entry._replace(etag=etag, size=len(body))

    def _replace(self, path: str, body: bytes, etag: str, **headers: str) -> str:
        """Writes an object in place of the one with an ETag, or of none (""), and returns its ETag. Raises
        ObjectChangedError if something else is there."""
        is_asked = self.has_conditions  # the server, else we look
        if not is_asked:
            facts = self._bucket.head(path)
            if (facts.etag if facts else "") != etag:
                raise _changed(f"{self._bucket.url}/{path}")
        return self._bucket.put(path, body, **headers, if_match=etag if is_asked else "", is_new=is_asked and not etag)

    def _expected(self, path: str) -> str:
        """The ETag of the object that a document replaces; "" for none."""
        if self.listing is not None:
            return self.listing[path].etag if path in self.listing else ""
        return self.before.files[path].etag if path in self.before.files else ""

    def _settle(self, path: str, body: bytes) -> str:
        """The ETag of what is at a path, where something else was expected, if it may be replaced; "" for nothing."""
        found = self._bucket.get(path)
        if found is None:
            return ""
        if not (path in self.before.files or found.body == body or self.journal.has_begun(path, found.body)):
            raise InTheWayError(path)
        self._check_lock()
        return found.etag

    def _check_lock(self) -> None:
        """Raises ObjectChangedError if another publish has begun."""
        facts = self._bucket.head(JOURNAL_PATH)
        if facts is None or facts.etag != self.journal_etag:
            raise _changed(f"{self._bucket.url}/{JOURNAL_PATH}")

    @_explained()
    def _delete(self, path: str) -> None:
        if path not in self.before.files:
            if not self._has_begun(path):
                return
            self._check_lock()  # again, because that took a request
        self._bucket.delete(path)

    def _in_parallel(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result | PlaceError]]:
        """The items with their results, in order, while the next ones are worked on."""
        waiting: deque[tuple[Item, Future[Result | PlaceError]]] = deque()
        try:
            for item in items:
                waiting.append((item, self._pool.submit(tried, work, item)))
                if len(waiting) >= 2 * PARALLEL:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _changed(where: str) -> ObjectChangedError:
    return ObjectChangedError(
        f"{where} cannot be replaced", "another process has changed it", "see which one publishes"
    )
