"""Real records: each is read as the field map counts them, and no damage to one raises."""

from __future__ import annotations

from collections import Counter

import pytest
from corpus import CORPUS, FOLDERS, SHARED, needs_corpus, read_records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsing import as_record, damaged, parse_bytes, source

from aggregator.model import Provider, Record, Rejection

pytestmark = needs_corpus


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [record for folder in FOLDERS for record in read_records(source(CORPUS / folder, ("*.md", "*.markdown")))]


def test_no_real_record_is_rejected_or_warned_of(records: list[Record]) -> None:
    assert len(records) == 624
    assert Counter(problem.what for record in records for problem in record.warnings) == {}


def test_real_records_have_the_expected_counts(records: list[Record]) -> None:
    assert sum(record.published is None for record in records) == 122
    assert sum(record.public and record.content.link is None for record in records) == 33
    assert sum(record.public for record in records) == 599
    assert all(record.content.title for record in records)


def test_no_secured_text_of_a_real_record_is_in_its_outcome(records: list[Record]) -> None:
    shown = repr(records)
    secrets = [
        line.split(b":", 1)[1].strip(b" \"'\r\n").decode()
        for folder in FOLDERS
        for path in (CORPUS / folder).rglob("*.md")
        for line in path.read_bytes().splitlines()
        if line.startswith(b"secured:")
    ]

    assert secrets
    assert [secret for secret in secrets if len(secret) > 20 and secret in shown] == []


def test_seed_record_is_read_in_full() -> None:
    raw = (SHARED / "seed-record.md").read_bytes()

    record = as_record(parse_bytes(raw, path="seed-record.md"))

    assert record.public is False
    assert (record.quality, record.heat) == (19, -1)
    assert record.content.topics == ("Facebook AI", "AI")
    assert record.content.provider == Provider("WSAY", "wsau.com")
    assert len(record.content.related) == 1
    assert record.warnings == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_real_record_raises(data: st.DataObject) -> None:
    signs = [b"\n", b"---\n", b": ", b"- ", b"!x ", b"!!int ", b"&a ", b"*a ", b"[", b"{", b"'", b'"', b"? "]
    raw = damaged((SHARED / "seed-record.md").read_bytes(), signs, data)

    assert isinstance(parse_bytes(raw), Record | Rejection)
