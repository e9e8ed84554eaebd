"""`aggregator adopt`: takes over the ids that subscribers have from the feeds of another system.

saved feeds + the records as they are now -> ids in the store, by link -> `build` gives them to the records
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import WRONG, print_data, print_lines, print_message
from aggregator.cli.stores import writing_store
from aggregator.config import Config
from aggregator.errors import AggregatorError
from aggregator.files import FolderError
from aggregator.ids import FormatIds, IdMint, is_absolute_iri
from aggregator.links import page_key
from aggregator.model import Record
from aggregator.moving_in.records import read_records
from aggregator.moving_in.saved_feeds import MAX_FEED_BYTES, FeedFileError, SavedEntry, SavedFeed, read_saved_feed
from aggregator.parse.field_bounds import MAX_ID
from aggregator.problems import Problem, shown_path
from aggregator.settings import Format
from aggregator.store.adopted import Place, StoredId, add_adopted, give_id, read_adopted, read_ids, taken_ids
from aggregator.store.revision import begin_update

if TYPE_CHECKING:
    from sqlalchemy import Connection

EPILOG = """\b
Examples:
  curl -o old.xml https://blog.example.org/index.xml
  aggregator adopt old.xml
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
def adopt(config_path: Path | None, *, as_json: bool, files: tuple[Path, ...]) -> None:
    """Take over the ids that subscribers have, from saved feeds of the site that moves here: RSS, Atom or JSON.

    An entry and a record belong together if they have the same link. Run it before the first build: a record that was
    published keeps its id. It may be run again, also with more files.

    Waits up to 30 s while a service or a build holds the store. Exits with 1 if an entry has no record, or cannot keep
    its id.
    """
    config = load_config(config_path)
    feeds = [(str(file), _read_feed(file)) for file in files]
    found = _find_records(config)
    adoption = _Adoption(config, found)
    for path, feed in feeds:
        adoption.add(path, feed)
    with writing_store(config, threading.Event()) as (store, site_id), store.write() as connection:
        begin_update(connection)
        adoption.store(connection, IdMint(site_id))
    problems = [*found.problems, *adoption.problems()]
    data = {
        "entries": len(adoption.wanted),
        "adopted": adoption.adopted,
        "unmatched": adoption.unmatched,
        "problems": [problem.data() for problem in problems],
    }
    summary = "{adopted} of {entries} entries keep their ids, {unmatched} have no record".format_map(data)
    print_data(data, lambda _: print_lines([*map(str, problems), summary]), as_json=as_json)
    if adoption.unmatched == len(adoption.wanted) and not found.problems:
        print_message(found.advice())
    if problems:
        sys.exit(WRONG)


def _read_feed(file: Path) -> SavedFeed:
    """The feed in a file. Raises AggregatorError."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FEED_BYTES + 1)
    except OSError as error:
        raise AggregatorError(f"{file}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FEED_BYTES:
        raise AggregatorError(f"{file}: is over {MAX_FEED_BYTES:,} bytes (save a feed with fewer entries)")
    try:
        feed = read_saved_feed(raw)
    except FeedFileError as error:
        place = f"{file}:{error.line}:1" if error.line else str(file)
        raise AggregatorError(f"{place}: {error.what} (save the feed itself, not its page)") from None
    if not feed.entries:
        raise AggregatorError(f"{file}: has no entries")
    return feed


# the records


@dataclass(slots=True)
class _Records:
    """The records with a link, as their folders are now."""

    example: str = ""  # the link of the first record that has one
    places: dict[bytes, Place] = field(default_factory=dict)  # by link; the first with it
    explicit_ids: dict[Place, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, record: Record) -> None:
        link = record.content.link
        key, place = page_key(link), Place(record.file.source, record.file.path)
        self.example = self.example or link or ""
        if key is not None and self.places.setdefault(key, place) == place and record.explicit_id is not None:
            self.explicit_ids[place] = record.explicit_id

    def advice(self) -> str:
        """What may be wrong if no entry has a record."""
        if self.example:
            return f"records have other links, such as {self.example} (see link_template in [records])"
        return "no record has a link (see link_template in [records])"


def _find_records(config: Config) -> _Records:
    """Reads the records folders; stores nothing."""
    found = _Records()
    for source in config.sources:
        bare = replace(source, body_base=None)  # bodies take most of the time
        try:
            for record in read_records(bare, config.workers):
                found.add(record)
        except FolderError as error:
            found.problems.append(error.problem(source))
    return found


# the ids


@dataclass(slots=True)
class _Wanted:
    """An entry of a saved feed, and why its id is not kept."""

    file: str
    form: Format
    entry: SavedEntry
    keys: list[bytes]  # of its links
    problem: Problem | None = None

    def fail(self, what: str, value: str | None, hint: str = "") -> None:
        name = f"the entry {self.entry.title!r}" if self.entry.title else "an entry"
        line = self.entry.line
        self.problem = Problem.on_line(self.file, line, f"{name} {what}", value, hint)


class _Final(NamedTuple):
    """The ids that a record has or gets, and why these are not the ids of the saved feeds."""

    uid: str
    format_ids: FormatIds | None
    what: str = ""
    hint: str = ""

    def shown_in(self, form: Format) -> str:
        """The id in the documents of a format."""
        return (form != "atom" and self.format_ids and getattr(self.format_ids, form)) or self.uid


class _Adoption:
    """Which ids are stored for which links, and which cannot be."""

    def __init__(self, config: Config, records: _Records) -> None:
        self._roots = {source.name: source.root for source in config.sources}
        self._records = records
        self._ids: dict[bytes, dict[str, str]] = {}  # by link
        self.wanted: list[_Wanted] = []
        self.unmatched = 0  # entries without a record

    @property
    def adopted(self) -> int:
        """How many entries have records with their ids."""
        return sum(saved.problem is None for saved in self.wanted)

    def problems(self) -> Iterator[Problem]:
        return (saved.problem for saved in self.wanted if saved.problem is not None)

    def add(self, path: str, feed: SavedFeed) -> None:
        """Adds the entries of a saved feed."""
        for entry in feed.entries:
            keys = [key for key in map(page_key, entry.links) if key is not None]
            self.wanted.append(_Wanted(path, feed.format, entry, list(dict.fromkeys(keys))))

    def store(self, connection: Connection, mint: IdMint) -> None:
        """Stores what can be kept."""
        self._refuse_unusable()
        self._collect(connection)
        self._match(connection, mint)
        add_adopted(connection, self._ids)

    def _kept(self) -> Iterator[_Wanted]:
        return (saved for saved in self.wanted if saved.problem is None)

    def _refuse_unusable(self) -> None:
        for saved in self.wanted:
            text = saved.entry.id
            if not text:
                saved.fail("has no id and no link", None)
            elif not saved.keys:
                saved.fail("has no link, so its record cannot be found", text, "write the id into its record")
            elif len(text.encode(errors="replace")) > MAX_ID or not text.isprintable():
                saved.fail("has an id that cannot be kept", text, f"over {MAX_ID:,} bytes, or with control characters")
            elif saved.form == "atom" and not is_absolute_iri(text):
                saved.fail("has an id that is no IRI, so Atom does not allow it", text, "its subscribers get it again")

    def _collect(self, connection: Connection) -> None:
        """Collects ids by link. Stored ids stay, then the first entry with a link has it; its other links count where
        they are no other entry's first."""
        stored = read_adopted(connection, {key for saved in self.wanted for key in saved.keys})
        self._ids = {key: dict(ids) for key, ids in stored.items()}
        for saved in self._kept():
            first = self._ids.setdefault(saved.keys[0], {}).setdefault(saved.form, saved.entry.id)
            if first != saved.entry.id:
                saved.fail("has the link of another entry, whose id is kept", saved.entry.id, f"the kept id is {first}")
        for saved in self._kept():
            for key in saved.keys[1:]:
                self._ids.setdefault(key, {}).setdefault(saved.form, saved.entry.id)

    def _match(self, connection: Connection, mint: IdMint) -> None:
        """Finds out which records get their ids. An entry that was stored and never released gets its id at once."""
        places, of_record = self._records.places, dict[bytes, list[_Wanted]]()
        for saved in self._kept():
            keys = (key for key in saved.keys if key in places and self._ids[key].get(saved.form) == saved.entry.id)
            if (key := next(keys, None)) is not None:
                of_record.setdefault(key, []).append(saved)
            else:
                self.unmatched += 1
                hint = "a record that has it later gets the id"
                saved.fail("has no record with its link", saved.entry.links[0], hint)
        stored = read_ids(connection, [places[key] for key in of_record])
        wanted = {key: mint.adopted_entry_id(self._ids[key]) for key in of_record}
        holders = taken_ids(connection, {uid for uid, _ in wanted.values()})
        for key, group in of_record.items():
            uid, format_ids = wanted[key]
            holder = holders.setdefault(uid, places[key])
            final = self._decide(mint, places[key], _Final(uid, format_ids), stored.get(places[key]), holder)
            if final[:2] != (uid, format_ids):
                del self._ids[key]
            elif entry := stored.get(places[key]):
                give_id(connection, entry.key, uid, format_ids)
            for saved in group:
                if final.shown_in(saved.form) != saved.entry.id:
                    saved.fail(final.what, saved.entry.id, final.hint)

    def _decide(self, mint: IdMint, place: Place, wanted: _Final, entry: StoredId | None, holder: Place) -> _Final:
        """The ids of the record at `place`, where the first record with the id is at `holder`."""
        path, explicit_id = self._shown(place), self._records.explicit_ids.get(place)
        uid, format_ids = wanted[:2] if entry is None else (entry.uid, entry.format_ids)
        is_released = entry is not None and entry.is_released
        if explicit_id is not None and mint.explicit_entry_id(explicit_id) != wanted.uid:
            uid = uid if is_released else mint.explicit_entry_id(explicit_id)
            what = f"has a record that states another id, {path}"
            return _Final(
                uid, format_ids if is_released else None, what, "write this id there, or none, before a build"
            )
        if is_released:
            what = f"has a record that was published under another id, {path}"
            hint = "if nobody has read the new feeds yet, delete the store and run adopt before build"
            return _Final(uid, format_ids, what, hint)
        if holder != place:
            return _Final("", None, f"has an id that another record has, {self._shown(holder)}", f"not {path}")
        return wanted

    def _shown(self, place: Place) -> str:
        return shown_path(self._roots.get(place.source, ""), place.path)
