"""Slugs, topic keys, ids and the escape of file names."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.ids import IdMint
from aggregator.paths import escape_name, unescape_path
from aggregator.slugs import RESERVED_SLUGS, topic_key, topic_slug

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Power  Apps", "power apps"),
        (" AI\n", "ai"),
        ("Cafe\u0301", "café"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
    ],
)
def test_topic_key_is_nfc_collapsed_and_case_folded(name: str, key: str) -> None:
    assert topic_key(name) == key


@given(TEXT)
def test_topic_key_of_a_key_is_itself(name: str) -> None:
    key = topic_key(name)

    assert topic_key(key) == key


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Power Apps", "power-apps"),
        ("C#", "c"),
        ("C++", "c"),
        (".NET", "net"),
        ("A.I.", "a-i"),
        ("Café", "cafe"),
        ("R&D", "r-d"),
        ("a -- b", "a-b"),
        ("½ off", "1-2-off"),
        ("AI—news", "ai-news"),
        ("Bjørn", "bjrn"),
        ("日本語", "t-" + digest("日本語")[:8]),
        ("日本語 2", "2"),
        ("!!!", "t-" + digest("!!!")[:8]),
        ("", "t-" + digest("")[:8]),
        ("All", "all-" + digest("all")[:4]),
        ("Status", "status-" + digest("status")[:4]),
    ],
)
def test_slug_is_the_name_in_ascii(name: str, slug: str) -> None:
    assert topic_slug(topic_key(name)) == slug


def test_taken_slug_gets_a_suffix_of_the_names_digest() -> None:
    assert topic_slug("c#", {"c"}) == "c-" + digest("c#")[:4]
    assert topic_slug("c#", {"c", "c-" + digest("c#")[:4]}) == "c-" + digest("c#")[:8]
    assert (
        topic_slug("日本語", {"t-" + digest("日本語")[:8]}) == "t-" + digest("日本語")[:8] + "-" + digest("日本語")[:4]
    )


def test_very_long_name_has_a_slug_that_a_folder_can_have() -> None:
    assert topic_slug("x" * 5000) == "x" * 80
    assert topic_slug("x" * 79 + " yz") == "x" * 79
    assert len(topic_slug("x" * 5000, {"x" * 80})) == 85


SLUGS = st.sampled_from(["c", "a", "t", "all", "a-b", "x"])


@given(TEXT | st.sampled_from(sorted(RESERVED_SLUGS)), st.sets(SLUGS))
def test_slug_is_usable_free_and_not_reserved(name: str, taken: set[str]) -> None:
    key = topic_key(name)
    first = topic_slug(key, taken)

    for slug in (first, topic_slug(key, taken | {first})):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
        assert len(slug) <= 100
        assert slug not in RESERVED_SLUGS
        assert slug not in taken


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [(b"a.md", "a.md"), ("日本.md".encode(), "日本.md"), (b"a%b", "a%25b"), (b"\xff.md", "%FF.md"),
     (b"\xc3\xa9\xc3", "é%C3"), (b"\xed\xa0\x80", "%ED%A0%80"), (b"%FF", "%25FF"), (b"a\nb", "a\nb")],
)  # fmt: skip
def test_file_name_is_escaped_where_it_is_not_utf_8(raw: bytes, escaped: str) -> None:
    assert escape_name(os.fsdecode(raw)) == escaped
    assert os.fsencode(unescape_path(escaped)) == raw


@given(st.binary())
def test_escape_round_trips_any_bytes(raw: bytes) -> None:
    escaped = escape_name(os.fsdecode(raw))

    escaped.encode()
    assert os.fsencode(unescape_path(escaped)) == raw


def test_ids_are_minted_from_site_and_key_alone() -> None:
    mint = IdMint("feeds.example.org")
    site = uuid.uuid5(uuid.NAMESPACE_DNS, "feeds.example.org")

    assert mint.path_entry_id("", "a/b.md") == f"urn:uuid:{uuid.uuid5(site, 'path:/a/b.md')}"
    assert mint.path_entry_id("news", "a.md", 2) == f"urn:uuid:{uuid.uuid5(site, 'path:news/a.md~2')}"
    assert mint.explicit_entry_id("42") == f"urn:uuid:{uuid.uuid5(site, 'id:42')}"
    assert mint.feed_id("ai") == f"urn:uuid:{uuid.uuid5(site, 'feed:ai')}"
    assert IdMint("other.example").path_entry_id("", "a/b.md") != mint.path_entry_id("", "a/b.md")


def test_path_is_the_same_in_either_unicode_form() -> None:
    mint = IdMint("feeds.example.org")

    assert mint.path_entry_id("", "é.md") == mint.path_entry_id("", unicodedata.normalize("NFD", "é.md"))


@pytest.mark.parametrize(
    ("stated", "kept"),
    [("https://a.example/x", True), ("urn:uuid:1", True), ("tag:a.example,2020:é", True), ("a:b", True),
     ("12", False), ("a/b", False), ("a: b", False), ("https://a.example/<x>", False), (":x", False), ("1a:b", False),
     ("x:\u202e", False), ("https://a.example/\u2066x", False)],
)  # fmt: skip
def test_explicit_id_that_is_an_absolute_iri_is_used_unchanged(stated: str, kept: bool) -> None:
    assert (IdMint("feeds.example.org").explicit_entry_id(stated) == stated) is kept
