"""A store of an older schema continues under the present program."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import SITE_ID, SiteFolder, at
from documents import archive_ids, feed_updated, pages
from sqlalchemy import LargeBinary, MetaData, create_engine, text

from aggregator.cycle.rehearsal import rehearse
from aggregator.errors import StoreError
from aggregator.ids import IdMint
from aggregator.store import migrations
from aggregator.store.database import migrate, open_store
from aggregator.store.session import to_us

pytestmark = pytest.mark.both_databases

FIRST = Path(__file__).parents[1] / "data" / "store-0001.json"
"""The rows that commit fad80ac stored when it ran `live` over `CONFIG`, by table; hashes are in hex."""
RELEASED = FIRST.with_name("store-0006.json")
"""The rows of version 0.1 after the same life, and a cycle more."""
CONFIG = '[output]\nlimit = 5\nmin_stay = "0s"\n'
DROPPED = {"fits", "gone_at", "touched"}
"""Columns that a later schema does not have, or has by another name."""
LAST_BUT_ONE = sorted(path.name[:4] for path in (Path(migrations.__path__[0]) / "versions").glob("0*.py"))[-2]
BEGINS = ("0001", "0006", LAST_BUT_ONE)
"""Schemas to begin with: the two whose rows are kept, which take all migrations, and the last but one."""
NOON = at("2026-03-01 12:00")
HOUR = timedelta(hours=1)


def live(site: SiteFolder) -> list[Callable[[], Any]]:
    """What a newsroom does hour by hour: an import, an edit and a draft, a withdrawal, a topic that is left."""

    def put(number: int, **fields: Any) -> None:
        date = (NOON - timedelta(days=number)).isoformat()
        site.record(
            f"{number:02}.md", **{"publishedDateTime": date, "topics": ["AI", "Maps"][: 1 + number % 2]} | fields
        )

    return [
        lambda: [put(number) for number in range(18)],
        lambda: (put(4, excerpt="More"), put(18, published=False), put(19, publishedDateTime="2026-04-01T00:00:00Z")),
        lambda: (site.remove("07.md"), put(2, published=False), put(20, id="mine", quality=7)),
        lambda: (put(1, topics=["AI"]), put(2, published=True), site.write("broken.md", "---\ntitle: [\n---\n")),
    ]


def restore(url: str, kept: str, tables: dict[str, list[dict[str, Any]]], *, revision: str = "") -> None:
    """Makes a database with the schema and the rows of an earlier version, perhaps migrated to a later one."""
    engine = create_engine(url)
    with engine.begin() as connection:
        migrate(connection, kept)
        metadata = MetaData()
        metadata.reflect(connection)
        for name, rows in tables.items():
            table = metadata.tables[name]
            hashes = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
            connection.execute(
                table.insert(),
                [
                    {key: bytes.fromhex(value) if value and key in hashes else value for key, value in row.items()}
                    for row in rows
                ],
            )
        if revision:
            migrate(connection, revision)
    engine.dispose()


MakeOld = Callable[..., SiteFolder]


@pytest.fixture
def make_old(make_site: Callable[..., SiteFolder], store_url: str) -> MakeOld:
    """Makes a site over a store of an earlier version, with the files that it knows."""

    def make(kept: str, tables: dict[str, list[dict[str, Any]]], *, revision: str = "") -> SiteFolder:
        restore(store_url, kept, tables, revision=revision)
        site = make_site(store_url, CONFIG)
        for happen in live(site):
            happen()
        return site

    return make


@pytest.fixture
def upgraded(make_old: MakeOld) -> SiteFolder:
    """A site over a store of the first schema, each kind of database in turn."""
    return make_old("0001", json.loads(FIRST.read_bytes()))


STATES = ["hidden", "scheduled", "published"]


def first(table: str) -> list[dict[str, Any]]:
    """The rows of a table as the first program left them, the states of entries by their names of today."""
    rows = list(json.loads(FIRST.read_bytes())[table])
    for row in rows if table == "entry" else ():
        row["state"] = STATES[row["state"]]
        if row["state"] == "hidden" and row["released_at"] is not None:
            row["state"] = "withdrawn"
    return rows


def now(site: SiteFolder, table: str) -> list[dict[str, Any]]:
    """The same columns of a table as they are now."""
    columns = ", ".join(name for name in first(table)[0] if name not in DROPPED)
    with site.store.read() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM {table} ORDER BY 1, 2")).mappings().all()
    return [{key: one.hex() if isinstance(one, bytes) else one for key, one in row.items()} for row in rows]


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in columns} for row in rows]


def test_an_upgraded_store_keeps_ids_and_times_and_publishes_everything(upgraded: SiteFolder) -> None:
    result = upgraded.run(NOON + 4 * HOUR)
    assert (result.published, result.new, result.changed, result.removed) == (True, 0, 0, 0)
    assert now(upgraded, "entry") == first("entry")
    assert without(now(upgraded, "feed_entry"), "page") == without(first("feed_entry"), "page")
    assert upgraded.rows("SELECT path FROM file WHERE missing_since IS NULL AND inode IS NULL") == []
    uids = {row["id"]: row["uid"] for row in first("entry")}
    documents = upgraded.documents()
    for feed in first("feed"):
        inside = [row for row in first("feed_entry") if row["feed_id"] == feed["id"] and row["left_at"] is None]
        assert archive_ids(documents, f"{feed['slug']}/atom.xml") == {uids[row["entry_id"]] for row in inside}
        assert pages(upgraded, feed["slug"])
        assert len(upgraded.titles(feed["slug"])) == 5


def test_the_second_cycle_over_an_upgraded_store_writes_nothing(upgraded: SiteFolder) -> None:
    def rows() -> list[list[dict[str, Any]]]:
        # files that were written just before the cycle are read once more
        tables = ("entry", "feed", "feed_entry", "file")
        return [without(now(upgraded, table), "recheck") for table in tables]

    upgraded.run(NOON + 4 * HOUR)
    before, stored = upgraded.snapshot(), rows()
    upgraded.close()
    assert upgraded.run(NOON + 5 * HOUR).files_written == 0
    assert upgraded.snapshot() == before
    assert rows() == stored


def test_an_upgrade_of_version_0_1_gives_no_feed_a_new_version(make_old: MakeOld) -> None:
    tables = json.loads(RELEASED.read_bytes())
    site = make_old("0006", tables)
    result = site.run(NOON + 5 * HOUR)
    assert (result.new, result.changed, result.removed) == (0, 0, 0)
    for table, key in (("feed", "id"), ("archive_page", "feed_id")):
        rows = site.rows(f"SELECT {key}, version, shown_hash, updated_at FROM {table} ORDER BY 1, 3")
        names = (key, "version", "shown_hash", "updated_at")
        stored = [tuple(row[name] for name in names) for row in tables[table]]
        assert [(one, version, digest.hex(), at) for one, version, digest, at in rows] == sorted(
            stored, key=lambda row: (row[0], row[2])
        )
    states, files = (
        dict(site.rows(f"SELECT state, count(*) FROM {table} GROUP BY state")) for table in ("entry", "file")
    )
    assert states == {"published": 18, "scheduled": 1, "hidden": 1, "withdrawn": 1}
    assert files == {"read": 20, "rejected": 1, "removed": 1}


def released() -> dict[str, list[dict[str, Any]]]:
    """The rows of version 0.1, for cycles that add events: their keys are free, which PostgreSQL has not counted."""
    tables: dict[str, list[dict[str, Any]]] = json.loads(RELEASED.read_bytes())
    for row in tables["event"]:
        del row["id"]
    return tables


FAR = "2062-03-02T00:00:00Z"


@pytest.fixture
def believing(make_old: MakeOld) -> SiteFolder:
    """A site over a store of version 0.1 that believed three records which state an update in the future."""
    tables = json.loads(RELEASED.read_bytes())
    far = to_us(datetime.fromisoformat(FAR))
    for row in tables["event"]:
        del row["id"]  # PostgreSQL's sequence has not counted them
    for row in tables["feed"]:
        del row["left_out"], row["unused_since"]
        row["updated_at"] = far
    for row in tables["entry"]:
        if row["path"] < "03":
            row |= {"stated_update_at": far, "updated_at": far}
    for row in tables["archive_page"]:
        if row["number"] == 1:
            row["updated_at"] = far
    site = make_old("0005", tables)
    for path in site.incoming.glob("0[012].md"):
        path.write_text(path.read_text().replace("---\n", f"---\nupdatedDateTime: {FAR}\n", 1))
    return site


@pytest.mark.parametrize("gone", [(), ("00.md", "01.md", "02.md")])
def test_an_upgrade_forgets_updates_in_the_future(believing: SiteFolder, gone: tuple[str, ...]) -> None:
    believing.remove(*gone)
    now = datetime.now(UTC)
    believing.run(now)

    assert "2062" not in "".join(
        body.decode() for path, body in believing.documents().items() if Path(path).suffix in (".xml", ".json")
    )
    upgraded_at = datetime.fromisoformat(feed_updated(believing, "all"))
    assert abs(upgraded_at - now) < HOUR
    with believing.untouched():
        assert believing.run(now + HOUR).files_written == 0


def test_no_update_decreases_after_such_an_upgrade_when_the_clock_steps_back(believing: SiteFolder) -> None:
    now = datetime.now(UTC)
    believing.run(now)
    before = feed_updated(believing, "all")
    believing.configure(CONFIG.replace("limit = 5", "limit = 6"))
    believing.record("99.md", publishedDateTime="2026-02-28T00:00:00Z")
    believing.run(now - HOUR)

    assert feed_updated(believing, "all") == before


@pytest.mark.parametrize("revision", BEGINS)
def test_a_store_of_an_older_schema_is_upgraded_and_publishes_what_it_published(
    make_old: MakeOld, revision: str
) -> None:
    kept = "0006" if revision >= "0006" else "0001"
    tables = json.loads((RELEASED if kept == "0006" else FIRST).read_bytes())
    site = make_old(kept, tables, revision=revision)
    result = site.run(NOON + 5 * HOUR)
    assert (result.published, result.new, result.changed, result.removed) == (True, 0, 0, 0)
    uids = [uid for (uid,) in site.rows("SELECT uid FROM entry ORDER BY id")]
    assert uids == [row["uid"] for row in sorted(tables["entry"], key=lambda row: row["id"])]
    site.close()
    assert site.run(NOON + 6 * HOUR).files_written == 0


def test_after_an_upgrade_a_feed_sees_that_its_archive_continues_elsewhere(make_old: MakeOld) -> None:
    def all_feed() -> tuple[int, str, str]:
        ((version, older),) = site.rows("SELECT version, older FROM feed WHERE slug = 'all'")
        ((path,),) = site.rows(f"SELECT path FROM entry WHERE uid = '{json.loads(older)[1]}'")
        return version, older, path

    site = make_old("0006", released())
    site.run(NOON + 5 * HOUR)
    version, older, path = all_feed()
    with site.store.write() as connection:
        connection.execute(text("ALTER TABLE feed DROP COLUMN older"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0017'"))
    site.close()

    assert site.run(NOON + 6 * HOUR).files_written == 0
    assert all_feed() == (version, older, path)
    site.remove(path)
    site.run(NOON + 7 * HOUR)
    changed, continued, _ = all_feed()
    assert changed == version + 1
    assert continued != older


@pytest.mark.parametrize("revision", BEGINS)
def test_an_upgrade_can_be_rehearsed_before(make_old: MakeOld, revision: str) -> None:
    kept, tables = ("0006", released()) if revision >= "0006" else ("0001", json.loads(FIRST.read_bytes()))
    site = make_old(kept, tables, revision=revision)
    site.record("21.md", title="New", publishedDateTime=NOON.isoformat())
    site.remove("16.md")
    with site.untouched(), rehearse(site.load_config(), NOON + 5 * HOUR, scan=True) as rehearsal:
        moves = {feed.slug: feed for feed in rehearsal.moves()}
    with pytest.raises(StoreError, match=f"older version .* .schema {revision}, .* --dry-run"):
        open_store(site.url, create=False)
    assert [entry["title"] for entry in moves["all"].joins] == ["New"]
    result = site.run(NOON + 5 * HOUR)
    assert (result.new, result.removed) == (1, 1)


def test_an_upgrade_keeps_what_was_granted_on_views_and_the_views_above_them(
    make_store_url: Callable[[str], str],
) -> None:
    store = open_store(make_store_url("postgresql"), create=True)
    role = f"reports_{uuid.uuid4().hex}"
    with store.engine.begin() as connection:
        for statement in (
            f"CREATE ROLE {role}",
            f"GRANT SELECT ON feed_entries TO {role}",
            "CREATE VIEW mine AS SELECT slug, title FROM feed_entries JOIN published_entries ON id = entry_id",
            "ALTER TABLE feed DROP COLUMN older",
            "UPDATE alembic_version SET version_num = '0017'",
        ):
            connection.execute(text(statement))
    store.prepare(create=True)
    with store.engine.begin() as connection:
        assert connection.scalar(text(f"SELECT has_table_privilege('{role}', 'feed_entries', 'SELECT')"))
        assert connection.execute(text("SELECT * FROM mine")).all() == []
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))
    store.close()


def test_an_upgraded_store_has_the_views_and_files_are_rejected_since_their_last_change(
    make_site: Callable[..., SiteFolder], store_url: str
) -> None:
    tables = json.loads(RELEASED.read_bytes())
    restore(store_url, "0006", tables)
    site = make_site(store_url, CONFIG)
    (rejected,) = [row for row in tables["file"] if row["state"] == 1]
    changed_at = datetime.fromtimestamp((rejected["ctime_ns"] or rejected["mtime_ns"]) // 10**9, UTC)
    assert site.rows("SELECT path, since FROM rejected_records") == [
        (rejected["path"], f"{changed_at:%Y-%m-%dT%H:%M:%SZ}")
    ]
    assert site.rows("SELECT count(*) FROM published_entries") == [(18,)]


@pytest.mark.parametrize(
    ("columns", "id_made_from", "topic_name"),
    [
        ({"slug": "ai", "topic": "ai", "title": "AI"}, "ai", "AI"),
        ({"slug": "ai", "topic": "ai", "title": "All of it", "topic_title": "Ai"}, "ai", "Ai"),
        ({"slug": "new", "born_slug": "old", "title": "New"}, "old", None),
        ({"slug": "c", "topic": "maps", "title": "Maps", "minted_from": "maps"}, "maps", "Maps"),
        ({"slug": "x", "born_slug": "y", "minted_from": "y~2", "title": "X"}, "y~2", None),
        ({"topic": "rare", "title": "Rare"}, None, "Rare"),
        ({"topic": "left", "title": "Left", "minted_from": "left"}, "left", "Left"),
    ],
)
def test_feeds_keep_their_ids_and_topics_their_names(
    store_url: str, columns: dict[str, str], id_made_from: str | None, topic_name: str | None
) -> None:
    engine = create_engine(store_url)
    row = columns | {"id": 2, "size": 0, "touched": False, "version": 1, "shown_hash": b"", "changed_at": 0}
    row |= {"updated_at": 0, "pages": 0}
    with engine.begin() as connection:
        migrate(connection, "0006")
        metadata = MetaData()
        metadata.reflect(connection)
        connection.execute(metadata.tables["meta"].insert(), [{"key": "site_id", "value": SITE_ID}])
        connection.execute(metadata.tables["feed"].insert(), [row])
        migrate(connection, "0007")
        (stored,) = connection.execute(text("SELECT uid, topic_name FROM feed"))
    engine.dispose()
    assert stored.uid == (None if id_made_from is None else IdMint(SITE_ID).feed_id(id_made_from))
    assert stored.topic_name == topic_name


def test_an_upgrade_drops_what_workers_of_a_cluster_left_and_no_other_table(
    make_store_url: Callable[[str], str],
) -> None:
    left, busy = f"staged_{'0' * 32}", f"staged_{'1' * 32}"
    others = ["staged_files", "staged_0123456789abcdef", f"staged_{'0' * 33}", f"staged_{'F' * 32}"]
    engine = create_engine(make_store_url("postgresql"))
    with engine.begin() as connection:
        migrate(connection, "0013")
        for name in (left, busy, *others):
            connection.execute(text(f'CREATE UNLOGGED TABLE "{name}" (path TEXT)'))
        connection.execute(text(f"CREATE TABLE staged_{'2' * 32} (path TEXT)"))  # workers wrote into unlogged ones
    with engine.begin() as worker, engine.begin() as connection:
        worker.execute(text(f"INSERT INTO {busy} VALUES ('a.md')"))
        migrate(connection, "head")
    names = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'staged%'"
    with engine.begin() as connection:
        assert set(connection.scalars(text(names))) == {busy, *others, f"staged_{'2' * 32}"}
    engine.dispose()
