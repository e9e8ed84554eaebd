"""Compares all records with their entries, which keep a date and an id whatever their records say. For `check`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from aggregator.cli.stores import reading_store
from aggregator.config import Config
from aggregator.config.presets import TAKE_BACK
from aggregator.errors import StoreError
from aggregator.ingest import trace_file
from aggregator.model import Record, early_release
from aggregator.problems import Problem, local_time, shown_path
from aggregator.settings import Source

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from aggregator.store.schema import AnyRow

MAX_NAMED = 5
"""Records with one kind of problem that have a line each; of more, the first has a line with their number."""
READ_AT_ONCE = 500


class _Stated(NamedTuple):
    path: str
    is_public: bool
    published: datetime | None
    explicit_id: str | None


class KeptLint:
    """Collects records, then reports those whose date or id is not what readers see. With `all_records` of each source,
    it also reports that many are hidden."""

    def __init__(self, config: Config, now: datetime, *, all_records: bool) -> None:
        self._config, self._now, self._has_all = config, now, all_records
        self._records: dict[str, list[_Stated]] = {source.name: [] for source in config.sources}

    def add(self, record: Record) -> None:
        """Takes one record into account."""
        stated = _Stated(record.file.path, record.public, record.published, record.explicit_id)
        self._records[record.file.source].append(stated)

    def problems(self) -> list[Problem]:
        """Warnings, a few of each kind; none without a store that can be read."""
        if not self._config.may_have_store:
            return []
        with suppress(StoreError), reading_store(self._config) as store, store.read() as connection:
            return [problem for source in self._config.sources for problem in self._problems_of(source, connection)]
        return []

    def _problems_of(self, source: Source, connection: Connection) -> Iterator[Problem]:
        from aggregator.store.queries import entries_at
        from aggregator.store.schema import EntryState
        from aggregator.store.withdrawals import is_mass_removal

        kinds: dict[str, list[Problem]] = defaultdict(list)  # with paths in the source
        hidden, published, records = list[str](), 0, self._records[source.name]
        for start in range(0, len(records), READ_AT_ONCE):
            batch = records[start : start + READ_AT_ONCE]
            rows = entries_at(connection, source.name, [stated.path for stated in batch])
            kinds["id"] += _other_ids(connection, batch, rows)
            for stated in batch:
                row = rows.get(stated.path)
                if row is None:
                    continue
                is_published = row.state == EntryState.PUBLISHED
                published += is_published
                if not stated.is_public:
                    hidden += [stated.path] * is_published
                elif is_published and stated.published is not None and stated.published > self._now:
                    kinds["future"].append(early_release(source, stated.path, stated.published))
                elif found := _other_date(source, stated, row):
                    kinds["no date" if row.published_at is None else "date"].append(found)
        for kind, same in kinds.items():
            field = "id" if kind == "id" else "published_at"
            yield from _few(source, field, same, f"; {TAKE_BACK}" if kind == "no date" else "")
        if self._has_all and is_mass_removal(len(hidden), published):
            what = f"a flag or default_published hides the record, and {len(hidden) - 1} more of {published} published"
            hint = "the next cycle withdraws their entries"
            yield Problem(shown_path(source.root, hidden[0]), 0, 0, f"{what} ones", None, hint, "warning")


def _other_date(source: Source, stated: _Stated, row: AnyRow) -> Problem | None:
    from aggregator.store.session import from_us

    if stated.published is None or row.released_at is None:
        return None
    date, seen = local_time(stated.published, source.timezone), None
    if row.published_at is not None:
        seen = local_time(from_us(row.published_at), source.timezone)
        # a date without a time is another time after a change of the time zone
        is_shifted = not any(date.timetuple()[3:6]) and abs(date - seen) < timedelta(days=1)
        if date.date() == seen.date() or is_shifted:
            return None
    what = f"readers see {'no date' if seen is None else f'{seen:%Y-%m-%d}'}, as at the release"
    return Problem(stated.path, 0, 0, what, f"{date:%Y-%m-%d}", "a date that changed has no effect")


def _other_ids(connection: Connection, batch: Sequence[_Stated], rows: dict[str, AnyRow]) -> Iterator[Problem]:
    """That entries keep other ids than their records state, and no other entry has these ids."""
    from aggregator.store.queries import unused_ids

    ids = {
        stated.path: stated.explicit_id for stated in batch if stated.explicit_id is not None and stated.path in rows
    }
    unused = unused_ids(connection, ids.values())
    for path, stated_id in ids.items():
        if stated_id in unused:
            what = "'id' has no effect, because the entry keeps the id that it was stored with"
            yield Problem(path, 0, 0, what, stated_id, "only a new record gets its id from it")


def _few(source: Source, field: str, found: Sequence[Problem], hint_for_many: str) -> Iterator[Problem]:
    """A warning for each; if they are many, for the first with the number of the others and a hint for all of them."""
    is_many = len(found) > MAX_NAMED
    for problem in found[:1] if is_many else found:
        more = f"; so it is with {len(found) - 1} more records" if is_many else ""
        hint = problem.hint + hint_for_many if is_many else problem.hint
        line = next((trace.line for trace in trace_file(source, problem.path)[1] if trace.field == field), None)
        path = shown_path(source.root, problem.path)
        yield Problem.on_line(path, line, f"{problem.what}{more}", problem.value, hint, "warning")
