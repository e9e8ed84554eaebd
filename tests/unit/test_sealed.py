"""Documents of archive pages that wait until they are published."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.model import Document
from aggregator.output import sealed
from aggregator.output.sealed import SealedDocuments

FIRST = (Document("all/archive/0001.xml", b"first"),)
BOTH = (Document("all/archive/0002.xml", b"second"), Document("x", b""))


def test_the_documents_of_a_page_are_kept_for_its_version_only(tmp_path: Path) -> None:
    with SealedDocuments(tmp_path / "output") as documents:
        documents.add("one", "1-a", FIRST)
        documents.add("two", "1-b", BOTH)
        assert documents.get("two", "1-b") == BOTH
        assert documents.get("one", "1-a") == FIRST
        assert documents.get("one", "2-a") is None
        assert documents.get("three", "1-a") is None


def test_no_file_is_left_or_made_without_need(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with SealedDocuments(output) as documents:
        assert documents.get("one", "1-a") is None
    assert not output.exists()
    with SealedDocuments(output) as documents:
        documents.add("one", "1-a", FIRST)
    assert list(output.iterdir()) == []


def test_what_has_no_room_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MAX_BYTES", 10)
    with SealedDocuments(tmp_path) as documents:
        documents.add("one", "1-a", FIRST)
        documents.add("two", "1-b", BOTH)
        assert (documents.get("one", "1-a"), documents.get("two", "1-b")) == (FIRST, None)


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file")
    with SealedDocuments(tmp_path / "output") as documents:
        documents.add("one", "1-a", FIRST)
        assert documents.get("one", "1-a") is None


@pytest.mark.parametrize("size", [900, 3_000, 30_000, 100_000])
def test_a_full_disk_costs_only_what_was_kept(tmp_path: Path, size: int) -> None:
    program = f"""
import resource, signal, sys
from pathlib import Path
from aggregator.model import Document
from aggregator.output.sealed import SealedDocuments
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with SealedDocuments(Path({str(tmp_path)!r})) as sealed:
    for number in range(50):
        sealed.add(str(number), "1", (Document("a", bytes({size})),))
    assert sealed.get("0", "1") is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert list(tmp_path.iterdir()) == []
