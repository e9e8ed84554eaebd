"""What counts as a change of a file, and what is never read whatever changes places with a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SiteFolder, exchanging

pytestmark = pytest.mark.both_databases

NOON, LATER = "2024-05-01 12:00", "2024-05-01 13:00"
OLD = {"publishedDateTime": "2024-01-01T00:00:00Z"}
OUTSIDE = "Zq7outsideZq7"


@pytest.fixture
def site(make_site: Callable[..., SiteFolder], tmp_path: Path) -> SiteFolder:
    """A site with three entries that are out, two of them in a folder."""
    made = make_site(f"sqlite:///{tmp_path / 'store.db'}")
    for name in ("a.md", "d/b.md", "d/c.md"):
        made.record(name, **OLD)
    made.run(NOON)
    return made


@pytest.mark.parametrize("way", ["written", "replaced"])
@pytest.mark.parametrize("told", [True, False])
def test_a_change_with_the_same_size_and_mtime_is_noticed(site: SiteFolder, way: str, told: bool) -> None:
    site.record("e.md", **OLD, excerpt="x" * 40)
    site.run(NOON)
    file = site.incoming / "e.md"
    before, text = file.stat(), file.read_text()
    flagged = text.replace("x" * 40, "x" * 23).replace("---\n", "---\npublished: false\n", 1)
    assert len(flagged) == len(text)
    if way == "replaced":
        file.rename(file.with_suffix(".old"))
    file.write_text(flagged)
    os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    site.run(LATER, paths={"": ["e.md"]} if told else None)

    assert "e.md" not in site.titles()


@pytest.mark.parametrize("way", ["restored", "moved", "chmod"])
def test_files_that_were_only_copied_or_moved_are_not_parsed_and_nothing_is_written(
    site: SiteFolder, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.store.entries.TICK_NS", 0)  # in a test, everything happens at the same time
    before = site.snapshot()
    if way == "chmod":
        for file in site.incoming.rglob("*.md"):
            file.chmod(0o600)
    else:
        shutil.copytree(site.incoming, site.root / "copy")
        shutil.rmtree(site.incoming)
        (site.root / "copy").rename(site.incoming)
    monkeypatch.setattr("aggregator.ingest._parse_file", None)

    result = site.run(LATER)

    assert (result.scanned, result.new, result.changed, result.files_written) == (3, 0, 0, 0)
    assert site.snapshot() == before
    monkeypatch.setattr("aggregator.files.folder.FolderFiles.read", None)
    site.run("2024-05-01 14:00")  # the second time their stats are known


@pytest.mark.parametrize("exchanged", ["a.md", "d"])
def test_a_file_that_is_replaced_by_a_link_during_a_scan_is_never_published(site: SiteFolder, exchanged: str) -> None:
    outside = site.root / "outside"
    outside.mkdir()
    for name in ("a.md", "b.md", "c.md"):
        (outside / name).write_text(f"---\ntitle: {OUTSIDE}\n---\n{OUTSIDE}\n")
    link, place, kept = site.root / "link", site.incoming / exchanged, site.root / "kept"
    link.symlink_to(outside / exchanged if exchanged.endswith(".md") else outside)
    with exchanging(place, link, kept):
        for number in range(40):
            site.run(f"2024-05-02 12:{number:02}", paths={"": ["a.md", "d"]} if number % 2 else None)

    shown = b"".join(content for content, _ in site.snapshot().values())
    assert OUTSIDE.encode() not in shown
    site.close()
    assert OUTSIDE.encode() not in b"".join(path.read_bytes() for path in site.root.glob("store.db*"))
