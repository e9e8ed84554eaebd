"""Documents of archive pages that wait until they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from aggregator.model import Document
from aggregator.output import sealed
from aggregator.output.sealed import SealedDocuments

FIRST = (Document("all/archive/0001.xml", "application/atom+xml", b"first"),)
BOTH = (Document("all/archive/0002.xml", "application/atom+xml", b"second"), Document("x", "text/html", b""))


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
