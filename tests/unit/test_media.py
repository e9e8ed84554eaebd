"""Media files of records (docs/spec.md#fields), such as the episodes of a podcast."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import SOURCE, lines, record

from aggregator.config.presets import PRESETS
from aggregator.model import Enclosure
from aggregator.parse.field_bounds import MAX_ENCLOSURES
from aggregator.parse.media import MEDIA_TYPES, media_type, read_media_type

MP3 = "https://a.example/1.mp3"
EPISODE = Enclosure(MP3, 0, "audio/mpeg")
JEKYLL: dict[str, Any] = {
    "layout": "jekyll",
    "fields": tuple(PRESETS["jekyll"].items()),
    "link_template": "https://a.example/{slug}/",
}
HUGO: dict[str, Any] = JEKYLL | {"layout": "hugo", "fields": tuple(PRESETS["hugo"].items())}


def media(front: str, **options: Any) -> tuple[tuple[Enclosure, ...], list[str]]:
    made = record(front, **options)
    return made.content.enclosures, lines(made)


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        (f"enclosure: {MP3}", EPISODE),
        (f"enclosure: {{url: '{MP3}'}}", EPISODE),
        (f"enclosure: [{{url: '{MP3}'}}]", EPISODE),
        (f"enclosure: {{url: '{MP3}', length: 12345, type: audio/mp3}}", Enclosure(MP3, 12345, "audio/mp3")),
        (f"enclosure: {{URL: '{MP3}', Length: '12345'}}", Enclosure(MP3, 12345, "audio/mpeg")),
        (f"enclosure: {{url: '{MP3}', length: 012, type: ''}}", Enclosure(MP3, 12, "audio/mpeg")),
        (f"enclosure: {{url: '{MP3}', length: 0, type: null}}", EPISODE),
        (f"enclosure: {{url: '{MP3}', length: ''}}", EPISODE),
        (f"enclosure: {{url: '{MP3}', type: 'AUDIO/ogg; codecs=opus'}}", Enclosure(MP3, 0, "audio/ogg")),
        (f"enclosure: '{MP3} 12345 audio/mpeg'", Enclosure(MP3, 12345, "audio/mpeg")),
        (f'enclosure: "{MP3}\\n12345\\naudio/mp3\\na:1:{{}}"', Enclosure(MP3, 12345, "audio/mp3")),
        (
            "enclosure: https://a.example/a%20b.M4A?x=1.png",
            Enclosure("https://a.example/a%20b.M4A?x=1.png", 0, "audio/x-m4a"),
        ),
        ("enclosure: https://a.example/notes", Enclosure("https://a.example/notes", 0, "")),
    ],
)
def test_a_media_file_has_url_length_and_type(front: str, expected: Enclosure) -> None:
    assert media(front) == ((expected,), [])


@pytest.mark.parametrize(
    "front", ["enclosure: null", "enclosure: ''", "enclosure: []", "audio: x.mp3", "podcast: {url: x}"]
)
def test_no_media_file_and_no_warning(front: str) -> None:
    assert media(front) == ((), [])


NO_URL = "a.md:3:12: 'enclosure' has an item that is not an http(s) URL of a media file (write url: in full)"
NO_LENGTH = "a.md:3:12: 'enclosure' has a length that is not a number of bytes (write length: 12345, or leave it out)"
NO_TYPE = "a.md:3:12: 'enclosure' has a type that is not a media type (write type: audio/mpeg, or leave it out)"


@pytest.mark.parametrize(
    ("front", "expected", "warning"),
    [
        ("enclosure: /1.mp3", (), NO_URL),
        ("enclosure: //a.example/1.mp3", (), NO_URL),
        ("enclosure: ftp://a.example/1.mp3", (), NO_URL),
        ("enclosure: 5", (), NO_URL),
        ("enclosure: true", (), NO_URL),
        ("enclosure: {length: 5}", (), NO_URL),
        ("enclosure: [[x]]", (), NO_URL),
        (f"enclosure: [{MP3}, x]", (EPISODE,), NO_URL),
        (f"enclosure: {{url: '{MP3}', length: '32:16'}}", (EPISODE,), NO_LENGTH),
        (f"enclosure: {{url: '{MP3}', length: 32:16}}", (EPISODE,), NO_LENGTH),
        (f"enclosure: {{url: '{MP3}', length: -1}}", (EPISODE,), NO_LENGTH),
        (f"enclosure: {{url: '{MP3}', length: 1.5}}", (EPISODE,), NO_LENGTH),
        (f"enclosure: {{url: '{MP3}', length: [1]}}", (EPISODE,), NO_LENGTH),
        (f"enclosure: {{url: '{MP3}', length: {'9' * 40}}}", (EPISODE,), NO_LENGTH),
        (f"enclosure: {{url: '{MP3}', type: mp3}}", (EPISODE,), NO_TYPE),
        (f"enclosure: {{url: '{MP3}', type: 5}}", (EPISODE,), NO_TYPE),
    ],
)
def test_what_cannot_be_used_is_a_warning(front: str, expected: tuple[Enclosure, ...], warning: str) -> None:
    assert media(front) == (expected, [warning])


def test_each_url_counts_once_and_the_order_stays() -> None:
    found, _ = media(f"enclosure: ['https://a.example/2.ogg', {MP3}, {{url: '{MP3}', length: 5}}]")
    assert found == (Enclosure("https://a.example/2.ogg", 0, "audio/ogg"), EPISODE)


def test_their_number_is_bounded() -> None:
    found, warnings = media(f"enclosure: {json.dumps([f'https://a.example/{n}.mp3' for n in range(2000)])}")
    assert len(found) == MAX_ENCLOSURES
    assert warnings == [f"a.md:3:12: 'enclosure' has more than {MAX_ENCLOSURES} media files (name fewer)"]


@pytest.mark.parametrize("options", [JEKYLL, HUGO], ids=["jekyll", "hugo"])
@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("audio: /x/1.mp3", Enclosure("https://a.example/x/1.mp3", 0, "audio/mpeg")),
        ("audio: 1.mp3", Enclosure("https://a.example/page/1.mp3", 0, "audio/mpeg")),
        ("audio: //cdn.example/1.mp3", Enclosure("https://cdn.example/1.mp3", 0, "audio/mpeg")),
        ("audio: [https://cdn.example/redirect/1]", Enclosure("https://cdn.example/redirect/1", 0, "audio/mpeg")),
        (
            "podcast: {file: /x/1.m4a, length: 5, duration: '32:16'}",
            Enclosure("https://a.example/x/1.m4a", 5, "audio/x-m4a"),
        ),
        ("podcast: {url: 'https://cdn.example/1', size: 7}", Enclosure("https://cdn.example/1", 7, "audio/mpeg")),
        ("enclosure: /x/1.mp4\naudio: /x/2.mp3", Enclosure("https://a.example/x/1.mp4", 0, "video/mp4")),
        ("enclosure: ''\naudio: /x/2.mp3", Enclosure("https://a.example/x/2.mp3", 0, "audio/mpeg")),
        ("enclosure: '/x/1.mp3 99 audio/mpeg'", Enclosure("https://a.example/x/1.mp3", 99, "audio/mpeg")),
    ],
)
def test_posts_name_media_files_relative_to_their_link(
    front: str, expected: Enclosure, options: dict[str, Any]
) -> None:
    assert media(front, path="page.md", **options) == ((expected,), [])


@pytest.mark.parametrize("front", ["params:\n  podcast: {mp3: /x/1.mp3}", "extra:\n  audio: /x/1.mp3"])
def test_hugo_and_zola_have_them_below_params_and_extra(front: str) -> None:
    assert media(front, path="page.md", **HUGO)[0] == (Enclosure("https://a.example/x/1.mp3", 0, "audio/mpeg"),)


@pytest.mark.parametrize("front", ["podcast: The workshop show", "podcast: workshop", "audio: true"])
def test_the_name_of_a_show_is_no_media_file(front: str) -> None:
    found, [warning] = media(front, path="page.md", **JEKYLL)
    assert found == ()
    assert "is not an http(s) URL of a media file" in warning


def test_without_a_link_a_relative_one_is_a_warning() -> None:
    found, [warning] = media("audio: /x/1.mp3", **JEKYLL | {"link_template": None})
    assert found == ()
    assert "is not an http(s) URL of a media file" in warning


def test_records_fields_names_other_keys() -> None:
    fields = tuple((dict(SOURCE.fields) | {"enclosures": ("podcast_file", "meta.sound")}).items())
    assert media("podcast_file: https://a.example/1.mp3", fields=fields) == ((EPISODE,), [])
    assert media("meta: {sound: 'https://a.example/1.mp3'}", fields=fields) == ((EPISODE,), [])


def test_a_media_file_is_visible_and_no_text() -> None:
    bare, with_media, other = (record(front) for front in ("x: 1", f"enclosure: {MP3}", f"enclosure: {MP3}?a"))
    assert len({one.visible_hash for one in (bare, with_media, other)}) == 3
    assert len({one.text_hash for one in (bare, with_media, other)}) == 1
    assert len({one.selection_hash for one in (bare, with_media, other)}) == 1


def test_an_unresolved_name_is_part_of_no_content_hash() -> None:
    """A rename of a post changes its link, and with it the URLs of its media files."""
    one, other = (record("audio: 1.mp3", path=path, **JEKYLL) for path in ("a.md", "b.md"))
    assert one.content_hash == other.content_hash
    assert one.visible_hash != other.visible_hash


@given(st.text(max_size=60))
def test_types_are_media_types_whatever_the_text(text: str) -> None:
    assert media_type(text) in {"", *MEDIA_TYPES.values()}
    kind = read_media_type(text)
    assert kind in ("", read_media_type(kind))


WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just(MP3)
ITEMS = st.dictionaries(st.sampled_from(["url", "length", "type", "URL", "x"]), SCALARS, max_size=4)


@given(st.lists(SCALARS | ITEMS | st.lists(SCALARS, max_size=2), max_size=4) | SCALARS | ITEMS)
def test_any_value_gives_a_record_with_usable_files(value: Any) -> None:
    for options in ({}, JEKYLL):
        made = record(f"enclosure: {json.dumps(value, ensure_ascii=False)}", **options)
        for one in made.content.enclosures:
            assert one.url.startswith(("http://", "https://"))
            assert one.length >= 0
            assert read_media_type(one.type) == one.type
