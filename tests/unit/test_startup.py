"""A command imports only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import Shop

POSTGRESQL = {"sqlalchemy.dialects.postgresql", "psycopg"}
SERVICE = {
    "prometheus_client",
    "apscheduler",
    "watchfiles",
    "uvicorn",
    "uvloop",
    "httptools",
    "aggregator.service",
    "aggregator.serve",
}
READING = {"yaml", "frontmatter", "markdown_it", "nh3", "aggregator.parse.record"}
RENDERING = {"feedgen", "lxml", "jinja2", "markupsafe", "aggregator.render"}
WRITING = {
    "aggregator.feeds.membership",
    "aggregator.feeds.window",
    "aggregator.store.entries",
    "aggregator.cycle.pipeline",
    "aggregator.cycle.update",
}
SELDOM = {"alembic", "sqlalchemy.orm", "rich", "re2", "multiprocessing"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.record("a.md", topics=["AI"], publishedDateTime="2024-05-01T12:00:00Z")
    return shop


def imported_by(shop: Shop, *arguments: str) -> set[str]:
    """The modules that a command imports, and the packages that they are in."""
    done = shop.run(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_a_build_with_nothing_to_do_neither_reads_nor_renders(shop: Shop) -> None:
    first = imported_by(shop, "build")
    assert {"feedgen", "yaml"} <= first
    assert "alembic" not in first
    imported = imported_by(shop, "build")
    assert "sqlalchemy.dialects.sqlite" in imported
    assert imported & (READING | RENDERING | SERVICE | POSTGRESQL | SELDOM) == set()


def test_a_check_opens_no_store(shop: Shop) -> None:
    imported = imported_by(shop, "check")
    assert "frontmatter" in imported
    assert (
        imported & (RENDERING | SERVICE | SELDOM | {"sqlalchemy", "aggregator.store", "aggregator.cycle.pipeline"})
        == set()
    )


def test_status_and_feeds_import_neither_parsers_nor_renderers_nor_what_writes(shop: Shop) -> None:
    shop.run("build")
    unneeded = READING | RENDERING | SERVICE | POSTGRESQL | WRITING | SELDOM - {"rich"}
    assert imported_by(shop, "status") & unneeded == set()
    assert imported_by(shop, "feeds") & unneeded == set()


def test_help_and_version_import_no_command(shop: Shop) -> None:
    for option in ("--help", "--version"):
        ours = {name for name in imported_by(shop, option) if name.startswith("aggregator.")}
        assert ours == {
            "aggregator.cli",
            "aggregator.errors",
            "aggregator.cli.printing",
            "aggregator.problems",
            "aggregator.paths",
        }


@pytest.mark.parametrize("main", ["aggregator.__main__", "aggregator.ingest"])
def test_a_process_that_reads_files_starts_without_the_rest_of_the_program(main: str) -> None:
    program = f"import sys, {main}; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert not {"click", "sqlalchemy", "pydantic", "aggregator.cli", "yaml"} & set(imported.split())
