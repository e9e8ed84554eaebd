"""The real records, built by the command and read back as a reader would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import standards
from corpus import CORPUS, SHARED, needs_corpus
from documents import seen_in_json, seen_in_xml
from lxml import etree

pytestmark = needs_corpus

CONFIG = """\
[site]
base_url = "https://feeds.example.org/"
id = "feeds.example.org"
[records]
path = "{records}"
[output]
limit = {limit}
max_bytes = "20MB"
"""


def aggregator(*arguments: str | Path, cwd: Path) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "aggregator", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site over links to the four folders of real records and the seed record."""
    folder = tmp_path_factory.mktemp("corpus")
    records = folder / "incoming"
    for name in ("news", "learning", "samples", "communities"):
        for path in (CORPUS / name).rglob("*.md"):
            target = records / path.relative_to(CORPUS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (records / "seed-record.md").write_bytes((SHARED / "seed-record.md").read_bytes())
    (folder / "config").mkdir()
    (folder / "config" / "aggregator.toml").write_text(CONFIG.format(records=records, limit=1000))
    return folder


@pytest.fixture(scope="module")
def built(site: Path) -> dict[str, Any]:
    """What the build says it did."""
    facts: dict[str, Any] = json.loads(aggregator("build", "--json", cwd=site))
    return facts


def test_every_record_is_taken_and_the_published_ones_are_out(site: Path, built: dict[str, Any]) -> None:
    status = json.loads(aggregator("status", "--json", cwd=site))
    assert (built["scanned"], built["new"], built["rejected"]) == (625, 625, 0)
    assert status["entries"] == {"published": 599, "scheduled": 0, "hidden": 26, "withdrawn": 0}
    assert len(json.loads((site / "output/all/feed.json").read_text())["items"]) == 599


def test_a_second_build_writes_nothing(site: Path, built: dict[str, Any]) -> None:
    before = {path: (path.stat().st_ctime_ns, path.read_bytes()) for path in files_of(site)}
    again = json.loads(aggregator("build", "--json", cwd=site))
    assert (again["new"], again["changed"], again["files_written"]) == (0, 0, 0)
    assert {path: (path.stat().st_ctime_ns, path.read_bytes()) for path in files_of(site)} == before


def test_the_record_that_is_not_published_is_in_no_file(site: Path, built: dict[str, Any]) -> None:
    for path in files_of(site):
        assert "Tmall Genie" not in path.read_text()


def test_readers_take_every_feed_and_all_formats_say_the_same(site: Path, built: dict[str, Any]) -> None:
    for rss in sorted((site / "output").glob("*/rss.xml")):
        slug = rss.parent.name
        entries = seen_in_json(rss.with_name("feed.json").read_bytes())
        assert entries, slug
        for document in (rss, rss.with_name("atom.xml")):
            assert seen_in_xml(document.read_bytes()) == entries, slug


def test_every_document_keeps_to_its_standard(site: Path, built: dict[str, Any]) -> None:
    assert_good(site / "output")


def test_every_page_of_an_archive_keeps_to_its_standard(site: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "aggregator.toml").write_text(CONFIG.format(records=site / "incoming", limit=20))
    aggregator("build", cwd=tmp_path)
    assert len([*tmp_path.glob("output/*/archive/*.xml")]) > 20
    assert_good(tmp_path / "output")


def assert_good(output: Path) -> None:
    paths = {path.relative_to(output).as_posix(): path for path in sorted(output.rglob("*")) if path.is_file()}
    found = [
        complaint
        for path, file in paths.items()
        if standards.kind_of(path)
        for complaint in standards.complaints(path, file.read_bytes(), "https://feeds.example.org/")
    ]
    assert not found, "\n".join(found)


def test_every_feed_is_in_the_opml_and_on_the_page(site: Path, built: dict[str, Any]) -> None:
    slugs = {path.parent.name for path in (site / "output").glob("*/rss.xml")}
    opml = etree.parse(site / "output/opml.xml")
    addresses = {f"https://feeds.example.org/{slug}/rss.xml" for slug in slugs}
    assert set(opml.xpath("//outline/@xmlUrl")) == addresses
    page = (site / "output/index.html").read_text()
    assert all(f'href="{slug}/"' in page for slug in slugs)


def files_of(site: Path) -> list[Path]:
    return [path for path in (site / "output").rglob("*") if path.is_file() and path.name != "lock"]
