"""What the bytes of one file become: every field by its rule, every refusal with its exact line."""

from __future__ import annotations

import json
import pickle
import re
import string
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import as_record, as_rejection, lines, parse, parse_bytes, processor_time, record, rejection, source_of

from aggregator.config.presets import PRESETS, Preset, other_keys
from aggregator.links import host_name, http_url
from aggregator.model import (
    Image,
    Provider,
    Record,
    Rejection,
    Related,
    StoryTimes,
    hide_stories,
    next_story_time,
    read_content,
)
from aggregator.parse.dates import parse_time
from aggregator.parse.front_matter.yaml import yaml_lines
from aggregator.parse.page_links import MARK
from aggregator.parse.texts import plain_text
from aggregator.problems import Problem
from aggregator.unicode import xml_text

at = partial(datetime, tzinfo=UTC)
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# Keys of other presets


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: A\nDate: 2026-05-20\ntags: [Bread]\nseries: []\n---\n",
        "---\ntitle: &a A\nDate: 2026-05-20\ntags: [Bread]\nseries: ~\n---\n",
        '+++\ntitle = "A"\nDate = 2026-05-20\ntags = ["Bread"]\nseries = ""\n+++\n',
        '{"title": "A", "Date": "2026-05-20", "tags": ["Bread"], "series": null}',
    ],
)
def test_a_record_without_a_date_names_the_keys_that_another_preset_reads(text: str) -> None:
    source = source_of(other_keys=other_keys(PRESETS["smartable"]))
    assert as_record(parse_bytes(text.encode(), source)).unread == ("date", "tags")


# Title


@pytest.mark.parametrize(
    ("front", "title"),
    [
        ("title: A story", "A story"),
        ("name: A name", "A name"),
        ("title: ''\nname: A name", "A name"),
        ("title: null\nname: A name", "A name"),
        ("title: A\nname: B", "A"),
        ("title: NO", "NO"),
        ("title: 012", "012"),
        ("title: 12:30:45", "12:30:45"),
        ("title: 2024", "2024"),
        ("title: 1.50", "1.50"),
        ("title: yes", "yes"),
        ("title: 2020-05-20", "2020-05-20"),
        ("title: 2020-02-30", "2020-02-30"),
        ("title: =", "="),
        ("title: <<", "<<"),
        ("title: " + "9" * 900, "9" * 900),
        ("TITLE: T", "T"),
        ("title: !!str 012", "012"),
        ("title: !!bool maybe", "maybe"),
        ("title: !!timestamp soon", "soon"),
        ("title: !!int x", "x"),
        ("title: !!float ''\nname: B", "B"),
        ("title: <b>Bold</b> &amp; bright", "Bold & bright"),
        ("title: '&amp;lt;b&amp;gt;'", "&lt;b&gt;"),
        ('title: "a\\x0bb"', "ab"),
        ('title: "a\\0b"', "ab"),
        ('title: "a\\nb\\u2028c"', "a b c"),
        ("title: |\n  one\n  ---\n  two", "one --- two"),
        ("title: >-\n  one\n  two", "one two"),
        ("? title\n: T", "T"),
        ("? [complex, key]\n: 1\ntitle: T", "T"),
        ("1: one\n2.5: x\ntrue: y\nnull: z\ntitle: T", "T"),
        ("content: c\nhandler: h\ntitle: T", "T"),
        ("x: !unknown {a: 1}\ntitle: T", "T"),
        ("x: &a [*a]\ntitle: T", "T"),
        ("x: &t T\ntitle: *t", "T"),
        ("base: &b {title: T}\n<<: *b", "T"),
        ("base: &b {title: Other}\n<<: *b\ntitle: T", "T"),
        ("title: T # comment", "T"),
        ("'title': \"T\"", "T"),
    ],
)
def test_title_is_plain_text_as_the_file_spells_it(front: str, title: str) -> None:
    outcome = as_record(parse(front))

    assert outcome.content.title == title
    assert outcome.warnings == ()


@pytest.mark.parametrize(
    ("front", "line"),
    [
        ("excerpt: x", "a.md:1:1: no title (add 'title: …')"),
        ("# nothing", "a.md:1:1: no title (add 'title: …')"),
        ("title: ''", "a.md:2:8: no title (add 'title: …')"),
        ("title: '<p></p> &nbsp;'", "a.md:2:8: no title (add 'title: …')"),
        ('title: "\\x0b"', "a.md:2:8: no title (add 'title: …')"),
        ('title: "\\u200b \\u00ad\\u2800\\u3164\\ufe0f"', "a.md:2:8: no title (add 'title: …')"),
        ("title: [a]", "a.md:2:8: no title (add 'title: …')"),
        ("title: {a: b}", "a.md:2:8: no title (add 'title: …')"),
        ("title: !foo a", "a.md:2:8: no title (add 'title: …')"),
        ("title: !!binary aGVsbG8=", "a.md:2:8: no title (add 'title: …')"),
        ("title: !!int {=: 5, a: b}", "a.md:2:8: no title (add 'title: …')"),
        ("title: &a [*a]", "a.md:2:8: no title (add 'title: …')"),
    ],
)
def test_record_without_a_title_is_rejected(front: str, line: str) -> None:
    assert lines(parse(front)) == [line]


def test_the_key_that_a_title_is_read_from_is_the_one_to_add() -> None:
    fields = tuple((PRESETS["smartable"] | {"title": ("headline", "name")}).items())
    assert lines(parse("title: Not read", fields=fields)) == ["a.md:1:1: no title (add 'headline: …')"]


# Fields


@pytest.mark.parametrize(
    ("front", "field", "value"),
    [
        ("excerpt: Short &amp; sweet", "summary", "Short & sweet"),
        ("excerpt: ''", "summary", ""),
        ("excerpt: null", "summary", ""),
        ("excerpt: '<p>a</p><p>b</p>'", "summary", "a b"),
        ("excerpt: NO", "summary", "NO"),
        ("webUrl: https://a.example/x", "link", "https://a.example/x"),
        ("originalUrl: https://a.example/x", "link", "https://a.example/x"),
        ("webUrl: https://a.example/x\noriginalUrl: https://a.example/x", "original_link", None),
        ("webUrl: https://a.example/x\noriginalUrl: https://b.example/y", "original_link", "https://b.example/y"),
        ("originalUrl: https://b.example/y", "original_link", None),
        ("webUrl: ''", "link", None),
        ("webUrl: null\noriginalUrl: https://b.example/y", "link", "https://b.example/y"),
        ("category: news", "category", "news"),
        ("category: 012", "category", "012"),
        ("type: <i>video</i>", "type", "video"),
        ("locale: NO", "language", "NO"),
        ("locale: pt_BR", "language", "pt-BR"),
        ("provider: {name: ZDNet, domain: ZDNet.com}", "provider", Provider("ZDNet", "zdnet.com")),
        ("provider: {name: ZDNet}", "provider", Provider("ZDNet", "")),
        ("provider: {domain: zdnet.com}", "provider", Provider("zdnet.com", "zdnet.com")),
        ("provider: {name: Z, domain: 'https://zdnet.com/'}", "provider", Provider("Z", "zdnet.com")),
        ("provider: {name: Z, domain: zdnet.com/x}", "provider", Provider("Z", "")),
        ("provider: {name: Z, domain: münchen.example}", "provider", Provider("Z", "xn--mnchen-3ya.example")),
        ("provider: {name: 20, domain: null}", "provider", Provider("20", "")),
        ("provider: ZDNet", "provider", Provider("ZDNet", "")),
        ("provider: 20", "provider", Provider("20", "")),
        ("topics: [AI, Edge AI]", "topics", ("AI", "Edge AI")),
        ("topics: AI", "topics", ("AI",)),
        ("topics: []", "topics", ()),
        ("topics: null", "topics", ()),
        ("topics: [NO, 012, 2024, true]", "topics", ("NO", "012", "2024", "true")),
        ("topics: ['R&amp;D', '<b>x</b>', '']", "topics", ("R&D", "x")),
        ("topics: [AI, Edge, ai, 'A  I', Canvas]", "topics", ("AI", "Edge", "A I", "Canvas")),
        ("topics: [Café, 'Cafe\u0301']", "topics", ("Café",)),
        ("images: [{url: 'https://a.example/i.png', width: 3, height: 4}]", "images",
         (Image("https://a.example/i.png", 3, 4),)),
        ("images: [{url: 'https://a.example/i.png', width: 0, height: -1}]", "images",
         (Image("https://a.example/i.png", 0, 0),)),
        ("images: [{url: 'https://a.example/i.png', width: 0100, height: true}]", "images",
         (Image("https://a.example/i.png", 100, 0),)),
        ("images: [{url: 'https://a.example/i.png', width: 1.5, height: 99999999}]", "images",
         (Image("https://a.example/i.png", 0, 0),)),
        ("images: 'https://a.example/i.png'", "images", (Image("https://a.example/i.png", 0, 0),)),
        ("images: {url: 'https://a.example/i.png'}", "images", (Image("https://a.example/i.png", 0, 0),)),
        ("images: ['https://a.example/i.png', 'https://a.example/i.png']", "images",
         (Image("https://a.example/i.png", 0, 0),)),
        ("featuredContent: '<iframe width=\"1\" src=\"https://www.youtube.com/embed/x?a=1&amp;b=2\"></iframe>'",
         "video_url", "https://www.youtube.com/embed/x?a=1&b=2"),
        ("featuredContent: '<iframe src=//player.vimeo.com/video/1>'", "video_url", "https://player.vimeo.com/video/1"),
        ("featuredContent: null", "video_url", None),
        ("related: [{title: A, webUrl: 'https://a.example/'}]", "related", (Related("https://a.example/", "A"),)),
        ("related: [{name: A, originalUrl: 'https://a.example/'}]", "related", (Related("https://a.example/", "A"),)),
        ("related: [{title: A, webUrl: 'https://a.example/', published: false}]", "related", ()),
        ("related: [{title: A, webUrl: 'https://a.example/', deleted: true}]", "related", ()),
        ("related: [{title: A, webUrl: nope, deleted: true}]", "related", ()),
        ("related: [{title: A, webUrl: 'https://a.example/', published: maybe}]", "related", ()),
        ("related: null", "related", ()),
    ],
)  # fmt: skip
def test_field_follows_its_rule(front: str, field: str, value: object) -> None:
    outcome = record(front)

    assert getattr(outcome.content, field) == value
    assert outcome.warnings == ()


@pytest.mark.parametrize(
    ("front", "field", "value", "line"),
    [
        ("excerpt: [a]", "summary", "", "a.md:3:10: 'excerpt' is not a text: 'a list' (write one text)"),
        ("excerpt: {a: b}", "summary", "", "a.md:3:10: 'excerpt' is not a text: 'a map' (write one text)"),
        ("excerpt: !x a", "summary", "",
         "a.md:3:10: 'excerpt' is not a text: 'an unsupported tag or alias' (write one text)"),
        ("excerpt: {<<: 5}", "summary", "",
         "a.md:3:10: 'excerpt' is not a text: 'an unsupported tag or alias' (write one text)"),
        ("webUrl: /x", "link", None,
         "a.md:3:9: 'webUrl' is not an http(s) URL: '/x' (write it in full, with https://)"),
        ("webUrl: javascript:alert(1)", "link", None,
         "a.md:3:9: 'webUrl' is not an http(s) URL: 'javascript:alert(1)' (write it in full, with https://)"),
        ("webUrl: 012", "link", None,
         "a.md:3:9: 'webUrl' is not an http(s) URL: '012' (write it in full, with https://)"),
        ("updatedDateTime: soon", "updated", None,
         "a.md:3:18: 'updatedDateTime' is not a date: 'soon' (write it as 2026-05-20T07:10:00Z)"),
        ("updatedDateTime: 2020-02-30", "updated", None,
         "a.md:3:18: 'updatedDateTime' is not a date: '2020-02-30' (write it as 2026-05-20T07:10:00Z)"),
        ("quality: high", "quality", -1.0, "a.md:3:10: 'quality' is not a number: 'high' (write a number)"),
        ("quality: '80'", "quality", -1.0, "a.md:3:10: 'quality' is not a number: '80' (write a number)"),
        ("quality: true", "quality", -1.0, "a.md:3:10: 'quality' is not a number: 'true' (write a number)"),
        ("quality: 1:30", "quality", -1.0, "a.md:3:10: 'quality' is not a number: '1:30' (write a number)"),
        ("quality: .nan", "quality", -1.0, "a.md:3:10: 'quality' is not a number: '.nan' (write a number)"),
        ("heat: .inf", "heat", -1.0, "a.md:3:7: 'heat' is not a number: '.inf' (write a number)"),
        ("heat: [1]", "heat", -1.0, "a.md:3:7: 'heat' is not a number: 'a list' (write a number)"),
        ("heat: 1" + "0" * 400, "heat", -1.0,
         "a.md:3:7: 'heat' is not a number: '1" + "0" * 78 + "…' (write a number)"),
        ("locale: English!", "language", "",
         "a.md:3:9: 'locale' is not a language tag: 'English!' (write a tag such as en or pt-BR)"),
        ("provider: [a]", "provider", None, "a.md:3:11: 'provider' has no name (write name: and domain: below it)"),
        ("provider: {name: [a]}", "provider", None,
         "a.md:3:11: 'provider' has no name (write name: and domain: below it)"),
        ("topics: [AI, null, [x], {a: b}]", "topics", ("AI",),
         "a.md:3:9: 'topics' has an item that is not text (write a list of texts)"),
        ("topics: {a: b}", "topics", (), "a.md:3:9: 'topics' has an item that is not text (write a list of texts)"),
        ("images: [/i.png]", "images", (), "a.md:3:9: 'images' has an item that is not an http(s) URL (write url: in full)"),
        ("images: 5", "images", (), "a.md:3:9: 'images' has an item that is not an http(s) URL (write url: in full)"),
        ("related: x", "related", (), "a.md:3:10: 'related' has an item that is not a map (write a list of maps)"),
        ("related: [{title: A}, {webUrl: 'https://a.example/'}]", "related", (),
         "a.md:3:10: 'related' has an item without a title and an http(s) URL (write both, or remove the item)"),
        ("related: [{title: A, webUrl: 'https://a.example/'}, {title: B, webUrl: nope}]", "related",
         (Related("https://a.example/", "A"),),
         "a.md:3:10: 'related' has an item without a title and an http(s) URL (write both, or remove the item)"),
        ("related: [{title: A, webUrl: 'javascript:x'}, {published: false}]", "related", (),
         "a.md:3:10: 'related' has an item without a title and an http(s) URL (write both, or remove the item)"),
        ("featuredContent: 'https://www.youtube.com/embed/x'", "video_url", None,
         "a.md:3:18: 'featuredContent' is not an iframe of a known player (leave it out)"),
        ("featuredContent: '<iframe src=\"https://evil.example/\"></iframe>'", "video_url", None,
         "a.md:3:18: 'featuredContent' is not an iframe of a known player (leave it out)"),
        ("featuredContent: '<iframe src=\"javascript:x\"></iframe>'", "video_url", None,
         "a.md:3:18: 'featuredContent' is not an iframe of a known player (leave it out)"),
        ("featuredContent: '<iframe src=\"https://www.youtube.com@evil.example/\"></iframe>'", "video_url", None,
         "a.md:3:18: 'featuredContent' is not an iframe of a known player (leave it out)"),
        ("featuredContent: '<iframe srcdoc=\"https://www.youtube.com/\"></iframe>'", "video_url", None,
         "a.md:3:18: 'featuredContent' is not an iframe of a known player (leave it out)"),
    ],
)  # fmt: skip
def test_wrong_field_is_left_out_with_a_warning(front: str, field: str, value: object, line: str) -> None:
    outcome = record(front)

    found = getattr(outcome, field) if field in Record._fields else getattr(outcome.content, field)
    assert found == value
    assert lines(outcome) == [line]
    assert outcome.warnings[0].level == "warning"


@pytest.mark.parametrize(
    ("front", "quality"),
    [("", -1), ("quality: null", -1), ("quality: 19", 19), ("quality: -1", -1), ("quality: 0.5", 0.5),
     ("quality: 012", 12), ("quality: 1e2", -1), ("quality: 1.5e+2", 150)],
)  # fmt: skip
def test_score_is_the_decimal_number_that_is_written(front: str, quality: float) -> None:
    assert record(front).quality == quality


def test_parsed_record_states_its_file_digest_and_dates() -> None:
    outcome = record(
        "publishedDateTime: 2020-05-20T07:10:00Z\nupdatedDateTime: 2020-05-21T09:10:00+02:00", path="b/c.md"
    )

    assert outcome.file.path == "b/c.md"
    assert outcome.digest == b"digest"
    assert outcome.published == datetime(2020, 5, 20, 7, 10, tzinfo=UTC)
    assert outcome.updated == datetime(2020, 5, 21, 7, 10, tzinfo=UTC)
    assert outcome.expires is None
    assert outcome.explicit_id is None


def test_own_fields_of_a_source_read_other_keys_and_dotted_paths() -> None:
    fields = dict(PRESETS["smartable"]) | {
        "title": ("meta.headline", "a.b"),
        "expires_at": ("until",),
        "published": ("status.public",),
    }
    changes: dict[str, Any] = {"fields": tuple(fields.items())}
    front = "meta: {headline: H}\nuntil: 2030-01-01T00:00:00Z\nstatus: {public: false}"

    outcome = as_record(parse(front, **changes))

    assert (outcome.content.title, outcome.public) == ("H", False)
    assert outcome.expires == datetime(2030, 1, 1, tzinfo=UTC)
    assert isinstance(literal := parse("a.b: L", **changes), Record)
    assert literal.content.title == "L"
    assert lines(parse("a.b: L\nuntil: never", **changes)) == [
        "a.md:3:8: 'until' is not a date: 'never' (write it as 2026-05-20T07:10:00Z)"
    ]


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029"])
def test_lines_end_at_line_feeds_alone(sign: str) -> None:
    def places(text: str, body: str = "") -> list[str]:
        outcome = parse_bytes(text.encode(), source_of("jekyll"), "_posts/2026-01-02-a.md")
        return [line.partition(": ")[0].removeprefix("_posts/2026-01-02-a.md") for line in lines(outcome)]

    signs = f"'x{sign}{sign}y'"
    assert places(f"---\ntitle: {signs}\nexcerpt: {signs}\nlast_modified_at: never\n---\n") == [":4:19"]
    assert places(f"---\ntitle: {signs}\nkey: {signs}\n  - [\n---\n") == [":4:3"]
    assert places(f"---\ntitle: {signs}\ntitle: B\n---\n") == [":3:1"]
    assert places(f"---\ntitle: {signs}\n---\n{sign}\f\v\x1c\n{{% nothing %}}\n") == [":5:1"]
    assert places(f'+++\ntitle = "x{sign}"\nlast_modified_at = "never"\n+++\n') == [":3:20"]
    assert places(f'{{"title": "x{sign}",\n"last_modified_at": "never"}}\n') == [":2:21"]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ('{"title": "A",}', "1:14", "a ',' too much (remove it)"),
        ('{"title": "A",\n\n}', "1:14", "a ',' too much (remove it)"),
        ('{"title": "A",, "x": 1}', "1:15", "a ',' too much (remove it)"),
        ('{"topics": ["a",]}', "1:16", "a ',' too much (remove it)"),
        ('{"topics": [,"a"]}', "1:13", "a ',' too much (remove it)"),
        ('{,"title": "A"}', "1:2", "a ',' too much (remove it)"),
        ('{"title":,}', "1:10", "a value is missing, or is no JSON (put texts in double quotes)"),
        ('{"topics": ["a",}', "1:12", "a bracket is not closed (close the bracket)"),
    ],
)
def test_a_comma_too_much_in_json_is_named(text: str, place: str, what: str) -> None:
    assert lines(parse_bytes(text.encode())) == [f"a.md:{place}: front matter is not valid JSON: {what}"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_that_is_not_utf_8_is_rejected_with_its_line_whatever_ends_lines(end: str) -> None:
    (line,) = lines(parse_bytes(f"---{end}title: A\x0c{end}x: ".encode() + b"\xff" + f"{end}---{end}".encode()))
    assert line == "a.md:3:4: the file is not UTF-8 (save it as UTF-8)"


@pytest.mark.parametrize(
    ("front", "preset", "topics"),
    [
        ("summary: S", "smartable", ("Usual",)),
        ("topics: [Own]", "smartable", ("Own",)),
        ("topics:", "smartable", ("Usual",)),
        ("topics: []", "smartable", ()),
        ("tags: [Own]", "jekyll", ("Own",)),
        ("tag: Own", "jekyll", ("Own",)),
        ("tags: []", "jekyll", ()),
        ("tags:", "jekyll", ("Usual",)),
        ("categories: [Own]", "jekyll", ("Own", "Usual")),
        ("category: Own\ntags: Other", "jekyll", ("Own", "Other")),
        ("categories: [Own]", "hugo", ("Own",)),
    ],
)
def test_default_topics_are_those_of_a_record_that_states_none(
    front: str, preset: Preset, topics: tuple[str, ...]
) -> None:
    source = source_of(preset, default_topics=("Usual",))
    assert record(front, source=source, path="_posts/2026-01-02-a.md").content.topics == topics


def test_source_adds_topics_and_makes_links_from_the_path() -> None:
    changes: dict[str, Any] = {"topics": ("Always", "ai"), "link_template": "https://x.example/{path}"}

    assert record("topics: [AI, B]", **changes).content.topics == ("AI", "B", "Always")
    assert record("", path="v1.2/a b%25", **changes).content.link == "https://x.example/v1.2/a%20b%25"
    assert record("", path="v1.2/é.x.md", **changes).content.link == "https://x.example/v1.2/%C3%A9.x"
    assert record("webUrl: https://y.example/", **changes).content.link == "https://y.example/"


def test_source_adds_its_language_to_records_that_state_none() -> None:
    for preset in ("smartable", "jekyll", "hugo"):
        german = source_of(preset, language="de", site_language="en")
        assert record("", source=german, path="posts/a.md").content.language == "de"
        assert record("lang: fr\nlocale: fr", source=german, path="posts/a.md").content.language == "fr"


def test_a_link_that_a_template_makes_is_a_url_as_any_other() -> None:
    template = "https://bücher.example/é/{path}/"

    assert record("", path="a b.md", link_template=template).content.link == (
        "https://xn--bcher-kva.example/%C3%A9/a%20b/"
    )
    assert record("", path="50% off.md", link_template=template).content.link == (
        "https://xn--bcher-kva.example/%C3%A9/50%25%20off/"
    )
    assert record("", path="/".join(["日本" * 20] * 6), link_template=template).content.link is None


def test_rename_hash_leaves_out_what_the_source_adds() -> None:
    first = record("", path="a.md", link_template="https://x.example/{path}")
    second = record("", path="b.md", link_template="https://x.example/{path}")

    assert first.content_hash == second.content_hash
    assert first.visible_hash != second.visible_hash


def test_each_hash_changes_only_with_its_own_fields() -> None:
    plain = record("excerpt: E", "body")

    unseen = record("excerpt: E\nsecured: abc\nunknown: 1\nampWebUrl: https://a.example/", "body")
    scored = record("excerpt: E\nquality: 5", "body")
    body = record("excerpt: E", "other")

    def hashes(made: Record) -> tuple[bytes, ...]:
        return made.content_hash, made.visible_hash, made.selection_hash, made.text_hash

    assert hashes(unseen) == hashes(plain)
    assert scored.visible_hash == plain.visible_hash
    assert scored.selection_hash != plain.selection_hash
    assert (body.visible_hash == plain.visible_hash, body.text_hash == plain.text_hash) == (True, False)
    assert body.selection_hash == plain.selection_hash


# Flags


@pytest.mark.parametrize(
    ("front", "public"),
    [
        ("", True),
        ("published: true", True),
        ("published: yes", True),
        ("published: False", False),
        ("published: NO", False),
        ("published: off", False),
        ("published:\tfalse", False),
        ("published : false", False),
        ("published: !!bool 'false'", False),
        ("draft: true", False),
        ("draft: false", True),
        ("deleted: true", False),
        ("removed: true", False),
        ("published: true\ndraft: true", False),
        ("published: true\ndeleted: true", False),
        ("published: true\nremoved: true", False),
        ("published: false\ndraft: false", False),
        ("a: &x {published: false}\n<<: *x", False),
        ("a: &x {published: true}\n<<: *x\npublished: false", False),
    ],
)
def test_flags_say_whether_a_record_is_public(front: str, public: bool) -> None:
    assert record(front).public is public


def test_missing_flag_takes_the_default_of_the_source() -> None:
    assert record("", default_published=False).public is False
    assert record("published: true", default_published=False).public is True
    assert record("draft: false", default_published=False).public is False


BAD_FLAGS = {
    "null": "",
    "~": "~",
    "''": "",
    "'true'": "true",
    "yes please": "yes please",
    "y": "y",
    "tRuE": "tRuE",
    "1": "1",
    "0": "0",
    "1.0": "1.0",
    "2020-05-20": "2020-05-20",
    "[true]": "a list",
    "{a: true}": "a map",
    "!x true": "an unsupported tag or alias",
    "!!str true": "true",
    "!!bool x": "x",
}


@pytest.mark.parametrize("flag", ["published", "draft", "deleted", "removed"])
@pytest.mark.parametrize("spelling", BAD_FLAGS)
def test_flag_that_is_neither_true_nor_false_is_rejected_and_hides(flag: str, spelling: str) -> None:
    outcome = rejection(f"{flag}: {spelling}")
    shown = BAD_FLAGS[spelling] if spelling != "null" else "null"
    quoted = spelling.strip("'\"!s ").removeprefix("tr ").lower() in ("true", "yes", "no", "false")
    hint = ", or remove the line" if spelling in ("null", "~") else ", without quotes" if quoted else ""

    assert outcome.hides
    assert str(outcome.problem) == (
        f"a.md:3:{len(flag) + 3}: '{flag}' is not true or false: {shown!r} (write true or false{hint})"
    )


def test_empty_flag_is_rejected_and_hides() -> None:
    assert rejection("published:").hides
    assert rejection("published: true\ndraft:").hides


@pytest.mark.parametrize("flag", ["published", "draft", "deleted", "removed"])
def test_flag_given_twice_is_rejected_and_hides(flag: str) -> None:
    outcome = rejection(f"{flag}: false\nx: 1\n'{flag}': true")

    assert outcome.hides
    assert str(outcome.problem) == f"a.md:5:1: the key '{flag}' is given twice (keep one of them)"


def test_record_hidden_by_its_flag_hides_though_another_field_is_unusable() -> None:
    assert rejection("published: false\npublishedDateTime: soon").hides
    assert not rejection("publishedDateTime: soon").hides


# Dates


@pytest.mark.parametrize(
    ("spelling", "moment", "warned"),
    [
        ("2020-05-20T07:10:00Z", at(2020, 5, 20, 7, 10), False),
        ("'2020-05-20T07:10:00Z'", at(2020, 5, 20, 7, 10), False),
        ("2020-05-20 07:10:00Z", at(2020, 5, 20, 7, 10), False),
        ("2020-05-20t09:10:00.123456+02:00", at(2020, 5, 20, 7, 10, 0, 123456), False),
        ("2020-05-20 09:10:00 +2", at(2020, 5, 20, 7, 10), False),
        ("'2020-05-20T09:10:00+0200'", at(2020, 5, 20, 7, 10), False),
        ("2020-05-20 07:10", at(2020, 5, 20, 5, 10), True),
        ("2020-05-20 07:10 UTC", at(2020, 5, 20, 7, 10), False),
        ("2020-05-20 07:10:00 GMT", at(2020, 5, 20, 7, 10), False),
        ("'2020-05-20T07:10:00,5Z'", at(2020, 5, 20, 7, 10, 0, 500000), False),
        ("2020-05-20T07:10:00", at(2020, 5, 20, 5, 10), True),
        ("2020-05-20", at(2020, 5, 19, 22, 0), True),
        ("'2020-05-20'", at(2020, 5, 19, 22, 0), True),
        ("2020-1-2 7:10:00", at(2020, 1, 2, 6, 10), True),
        ("Wed, 20 May 2020 07:10:00 GMT", at(2020, 5, 20, 7, 10), False),
        ("20 May 2020 09:10:00 +0200", at(2020, 5, 20, 7, 10), False),
    ],
)
def test_date_is_an_aware_utc_time_in_every_spelling(spelling: str, moment: datetime, warned: bool) -> None:
    outcome = record(f"publishedDateTime: {spelling}", timezone=ZoneInfo("Europe/Berlin"))

    assert outcome.published == moment
    expected = "'publishedDateTime' has no time zone; Europe/Berlin is used"
    assert [problem.what for problem in outcome.warnings] == [expected] * warned


def test_null_date_is_no_date() -> None:
    assert record("publishedDateTime: null").published is None
    assert record("publishedDateTime:").published is None


@pytest.mark.parametrize("preset", ["smartable", "hugo", "jekyll"])
@pytest.mark.parametrize(
    ("date", "zone", "link"),
    [
        ("9999-12-31T23:59:59Z", "Asia/Tokyo", "https://e.org/9999/"),
        ("0002-01-01T00:00:00Z", "America/New_York", "https://e.org/0001/"),
        ("0001-12-31T23:59:59Z", "Asia/Tokyo", None),
    ],
)
def test_the_calendar_has_ends_in_every_zone(preset: Any, date: str, zone: str, link: str | None) -> None:
    source = source_of(
        preset, link_template="https://e.org/{year}/", timezone=ZoneInfo(zone), body_base="https://e.org/"
    )
    key = "publishedDateTime" if preset == "smartable" else "date"
    outcome = parse_bytes(f"---\ntitle: T\n{key}: {date}\n---\n{{{{ page.date }}}}".encode(), source)

    if link is None:
        assert isinstance(outcome, Rejection)
        assert outcome.problem.what == f"'{key}' is not a date"
    else:
        if preset == "hugo":  # whose links have the date in its own zone
            link = f"https://e.org/{date[:4]}/"
        assert isinstance(outcome, Record)
        assert (outcome.content.link, outcome.published) == (link, datetime.fromisoformat(date))


@pytest.mark.parametrize(
    ("spelling", "shown"),
    [
        ("soon", "soon"), ("''", ""), ("2020-02-30", "2020-02-30"), ("2020-13-01T00:00:00Z", "2020-13-01T00:00:00Z"),
        ("2020-05-20T25:00:00Z", "2020-05-20T25:00:00Z"), ("2020-05-20T07:10:00+99:00", "2020-05-20T07:10:00+99:00"),
        ("20200520", "20200520"), ("1589958600", "1589958600"), ("12:30:45", "12:30:45"), ("true", "true"),
        ("NO", "NO"), ("[2020-05-20]", "a list"), ("0000-01-01", "0000-01-01"),
        ("'20 Foo 2020 07:10:00 GMT'", "20 Foo 2020 07:10:00 GMT"),
        ("'２０２０-05-20'", "２０２０-05-20"), ("!x 2020-05-20", "an unsupported tag or alias"),
        ("2020-05-20T07:10:00Z or later", "2020-05-20T07:10:00Z or later"),
    ],
)  # fmt: skip
def test_date_of_publication_that_is_no_date_is_rejected(spelling: str, shown: str) -> None:
    assert lines(rejection(f"publishedDateTime: {spelling}")) == [
        f"a.md:3:20: 'publishedDateTime' is not a date: {shown!r} (write it as 2026-05-20T07:10:00Z)"
    ]


def test_a_date_that_stands_for_none_is_to_be_removed() -> None:
    for spelling in ("0001-01-01", "0001-01-01T00:00:00Z"):
        (line,) = lines(rejection(f"publishedDateTime: {spelling}"))
        assert line.startswith("a.md:3:20: 'publishedDateTime' is before the year 2: ")
        assert line.endswith(" (remove it if there is no date)")


@given(st.one_of(st.text(), st.datetimes(), st.dates(), st.integers(), st.none(), st.booleans(), st.floats()))
def test_parse_time_never_raises(value: object) -> None:
    found = parse_time(value, ZoneInfo("America/New_York"))

    assert found is None or found[0].tzinfo is UTC


# Ids


@pytest.mark.parametrize(
    ("spelling", "stated"),
    [("abc", "abc"), ("012", "012"), ("12:30", "12:30"), ("42", "42"), ("a b", "a b"), ("é", "é"), ("null", None),
     ("https://a.example/x", "https://a.example/x"), ("urn:uuid:1", "urn:uuid:1"), ("x" * 1000, "x" * 1000)],
)  # fmt: skip
def test_explicit_id_keeps_its_spelling(spelling: str, stated: str | None) -> None:
    assert record(f"id: {spelling}").explicit_id == stated


@pytest.mark.parametrize(
    "spelling",
    ["''", "1.5", "true", "2020-05-20", "[a]", "{a: b}", "' a'", "'a '", '"a\\nb"', '"a\\x00"', '"a\\uFFFE"',
     "x" * 1001, "!x a", "!!int {=: 1}"],
)  # fmt: skip
def test_unusable_id_is_rejected(spelling: str) -> None:
    outcome = rejection(f"id: {spelling}")

    assert outcome.problem.what == "'id' cannot be an id"
    assert outcome.problem.line == 3


# The file as a whole


@pytest.mark.parametrize(
    ("raw", "line", "unfinished"),
    [
        (b"", "a.md:1:1: no front matter (begin the file with a line '---')", True),
        (b"--", "a.md:1:1: no front matter (begin the file with a line '---')", True),
        (b"---", "a.md:1:1: front matter without an end (close it with a line '---')", True),
        (b"---\ntitle: T", "a.md:1:1: front matter without an end (close it with a line '---')", True),
        (b"---\ntitle: T\n --- \n", "a.md:1:1: front matter without an end (close it with a line '---')", True),
        (b"---\ntitle: T\n----\n", "a.md:1:1: front matter without an end (close it with a line '---')", True),
        (b"\n\n---\ntitle: T", "a.md:3:1: front matter without an end (close it with a line '---')", True),
        (b"text\n---\ntitle: T\n---\n", "a.md:1:1: no front matter (begin the file with a line '---')", False),
        (b"# heading", "a.md:1:1: no front matter (begin the file with a line '---')", False),
        (b"{% include x %}", "a.md:1:1: no front matter (begin the file with a line '---')", False),
        (b"++", "a.md:1:1: no front matter (begin the file with a line '---')", True),
        (b"---title: T\n---\n", "a.md:1:1: no front matter (begin the file with a line '---')", False),
        (b"\0" * 100, "a.md:1:1: no front matter (begin the file with a line '---')", False),
        (b"---\n- a\n- b\n---\n", "a.md:2:1: front matter is not a map of keys (write 'key: value' lines)", False),
        (b"---\ntext\n---\n", "a.md:2:1: front matter is not a map of keys (write 'key: value' lines)", False),
        (b"---\ntitle: T\nx: \xff\n---\n", "a.md:3:4: the file is not UTF-8 (save it as UTF-8)", False),
        ("---\ntitle: T\n---\n".encode("utf-16"), "a.md:1:1: the file is not UTF-8 (save it as UTF-8)", False),
        ("---\ntitle: é".encode()[:-1], "a.md:2:8: the file is not UTF-8 (save it as UTF-8)", True),
        (b"---\ntitle: T\ntitle: U\n---\n", "a.md:3:1: the key 'title' is given twice (keep one of them)", False),
        (b"---\ntitle: T\nx: 1\nx: 2\n---\n", "a.md:4:1: a key is given twice (keep one of them)", False),
        (b"---\ntitle: T\n&a published: false\nb: *a\n*a : true\n---\n",
         "a.md:3:1: the key 'published' is given twice (keep one of them)", False),
        (b"---\ntitle: a: b\n---\n", ("a.md:2:9: front matter is not valid YAML: unexpected ':'"
         " (quote the value, or correct the indentation)"), False),
        (b"---\ntitle: T\npublished:false\n---\n", ("a.md:4:1: front matter is not valid YAML: a key without ':'"
         " (write 'key: value')"), False),
        (b"---\ntitle: 'T\n---\n", ("a.md:2:8: front matter is not valid YAML: a quote is not closed"
         " (close the quote)"), False),
        (b'---\ntitle: "T\nsummary: "S"\n---\n', ("a.md:2:8: front matter is not valid YAML: a quote is not closed"
         " (close the quote)"), False),
        (b"---\ntitle: T\nx: ['a', 'b]\ny: 1\n---\n", ("a.md:3:10: front matter is not valid YAML: a quote is not"
         " closed (close the quote)"), False),
        (b"---\ntitle: [a\n---\n", ("a.md:2:8: front matter is not valid YAML: a bracket is not closed"
         " (close the bracket)"), False),
        (b"---\ntitle: T\nx: {a: 1, b: [2}\ny: 3\n---\n", ("a.md:3:14: front matter is not valid YAML: a bracket is not"
         " closed (close the bracket)"), False),
        (b"---\ntitle: T\nx: [\n- a\n---\n", ("a.md:3:4: front matter is not valid YAML: a bracket is not closed"
         " (close the bracket)"), False),
        (b"---\ntitle: T\nx: [\n a\n b: c: d\n]\n---\n", ("a.md:5:3: front matter is not valid YAML: a bracket, a comma or"
         " a dash is missing (check brackets and indentation)"), False),
        (b"---\ntitle: @x\n---\n", ("a.md:2:8: front matter is not valid YAML: a value begins with a tab or a special character"
         " (use spaces; quote it)"), False),
        (b"---\ntitle: T\n\tx: y\n---\n", ("a.md:3:1: front matter is not valid YAML: a tab indents a line"
         " (indent it with spaces)"), False),
        (b"---\ntitle: *x\n---\n", ("a.md:2:8: front matter is not valid YAML: an alias without an anchor"
         " (quote the value)"), False),
        (b'---\ntitle: "a\\qb"\n---\n', ("a.md:2:10: front matter is not valid YAML: an unknown escape in"
         " double quotes (use single quotes)"), False),
        ("---\nx: 日本\ntitle: a\x00b\n---\n".encode(), ("a.md:3:1: front matter is not valid YAML: a control character"
         " (remove it)"), False),
        (b"---\ntitle: a\x1bb\n---\n", ("a.md:2:1: front matter is not valid YAML: a control character"
         " (remove it)"), False),
        (b"---\ntitle: T\n...\npublished: false\n---\n", ("a.md:4:1: front matter is not valid YAML: text before or"
         " after the keys (indent it or quote it)"), False),
        (b'---\ntitle: "a\\uD800b"\n---\n', ("a.md:2:12: front matter is not valid YAML: an escape of no character"
         " (write the character itself)"), False),
        (b"---\ntitle: T\n<<: 5\n---\n", ("a.md:3:5: front matter is not valid YAML: it cannot be read"
         " (check it with a YAML linter)"), False),
    ],
)  # fmt: skip
def test_unusable_file_is_rejected_with_its_position(raw: bytes, line: str, unfinished: bool) -> None:
    outcome = as_rejection(parse_bytes(raw))

    assert str(outcome.problem) == line
    assert outcome.unfinished is unfinished


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf---\ntitle: T\n---\n",
        b"---\r\ntitle: T\r\n---\r\nbody\r\n",
        b"---\rtitle: T\r---\rbody",
        b"---\ntitle: T\n---",
        b"---  \ntitle: T\n---\t \nbody",
        b"\n\n  ---\ntitle: T\n---\n",
        b"---\ntitle: T\n---\nbody\n---\npublished: false\n---\n",
        b"---\ntitle: T\nexcerpt: |\n  a\n  ---\n  b\n---\n",
        "---\ntitle: T\u2028type: x\n---\n".encode(),
        b"---\ntitle: T\n---\n" + b"x" * 600_000,
        b"---\ntitle: T\nsecured: " + b"x" * 600_000 + b"\n---\n",
    ],
)
def test_usable_file_gives_its_title(raw: bytes) -> None:
    outcome = as_record(parse_bytes(raw))

    assert outcome.content.title == "T"
    assert outcome.public


def test_line_ends_and_outer_space_change_no_hash() -> None:
    first = as_record(parse_bytes(b"---\ntitle: T\nexcerpt: |\n  a\n  b\n---\n\nbody\nmore\n"))
    second = as_record(
        parse_bytes(b"\xef\xbb\xbf\r\n---\r\ntitle: T\r\nexcerpt: |\r\n  a\r\n  b\r\n---\r\nbody\r\nmore")
    )

    assert first.visible_hash == second.visible_hash


def test_the_lines_of_many_keys_are_found_in_linear_time() -> None:
    text = "".join(f"k{number}: {'x' * 400}\n" for number in range(20_000))

    with processor_time(4):
        found = yaml_lines(text)

    assert list(found.values()) == list(range(1, 20_001))


def test_separators_that_yaml_takes_for_line_ends_part_keys() -> None:
    assert record("a: 1\u2028published: false").public is False


# Limits


def nested(kind: str, levels: int) -> str:
    """An unknown key whose value nests so deep that `levels` nodes, the root and the value among them, are open."""
    inner = levels - 1
    if kind == "brackets":
        return "x: " + "[" * inner + "]" * inner
    if kind == "pairs":  # a pair inside brackets is a map of its own
        return "x: " + "[a: " * (inner // 2) + ("[]" if inner % 2 else "") + "]" * (inner // 2)
    if kind == "block":
        return "x:\n" + "\n".join(" " * level + "a:" for level in range(1, inner + 1))
    if kind == "dashes":
        return "x:\n" + "- " * inner + "a"
    return "x:\u2028" + "\u2028".join(" " * level + "a:" for level in range(1, inner + 1))


@pytest.mark.parametrize("kind", ["brackets", "pairs", "block", "dashes", "separators"])
@pytest.mark.parametrize("limit", [4, 7, 32])
def test_depth_is_limited_exactly(kind: str, limit: int) -> None:
    assert isinstance(parse("title: T\n" + nested(kind, limit), max_depth=limit), Record)

    outcome = as_rejection(parse("title: T\n" + nested(kind, limit + 1), max_depth=limit))

    assert outcome.problem.what == "front matter is nested too deeply"
    assert outcome.problem.hint == "flatten it or raise max_depth"


@pytest.mark.parametrize(
    ("value", "nodes"),
    [("[" + "a," * 44 + "]", 49), ("{" + ",".join(f"k{i}" for i in range(44)) + "}", 93),
     ("\n" + "- \n" * 44, 49), ("\n" + "".join(f" k{i}:\n" for i in range(44)), 93),
     ("&a [a, b, c]\ny: [*a, *a, *a]", 22), ("&a x\ny: [*a, *a, *a]", 10)],
)  # fmt: skip
def test_nodes_are_limited_exactly_with_aliases_written_out(value: str, nodes: int) -> None:
    front = f"title: T\nx: {value}"

    assert isinstance(parse(front, max_nodes=nodes), Record)
    outcome = as_rejection(parse(front, max_nodes=nodes - 1))

    assert outcome.problem.what == "front matter has too many values"


@pytest.mark.parametrize(
    ("front", "what"),
    [
        ("x: " + "[" * 200_000, "front matter is nested too deeply"),
        ("x: " + "{a: " * 100_000, "front matter is nested too deeply"),
        ("x: " + "- " * 200_000, "front matter is not valid YAML: unexpected '-'"),
        ("x:\n" + "- " * 200_000, "front matter is nested too deeply"),
        ("? " * 200_000, "front matter is nested too deeply"),
        (nested("block", 1200), "front matter is nested too deeply"),
        (nested("separators", 1000), "front matter is nested too deeply"),
        ("a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
         + "\n".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)), "front matter has too many values"),
        ("m0: &m0 {k: 1}\n" + "\n".join(f"m{i}: &m{i} {{<<: [{','.join([f'*m{i - 1}'] * 9)}]}}" for i in range(1, 9)),
         "front matter has too many values"),
        ("x: [" + "a," * 20_000 + "]", "front matter has too many values"),
    ],
)  # fmt: skip
def test_bomb_is_rejected(front: str, what: str) -> None:
    assert rejection(front).problem.what == what


@pytest.mark.parametrize(
    "excerpt",
    [
        "".join(f"<font id={number}>" for number in range(10_000)),
        "".join(f"<b id={number}><p>" for number in range(10_000)),
        "<div>" * 40_000,
        "<iframe " * 40_000,
        "<a =" * 40_000,
        "<a ='" * 40_000,
        "<!--" * 40_000,
        "<script " * 40_000,
        "<script>" * 40_000,
        "<" * 200_000,
        "&#" * 100_000,
        "&#" + "9" * 200_000 + ";",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_markup_takes_linear_time(excerpt: str) -> None:
    """Each took minutes or an exception in a parser that builds a tree; here the suite would hang."""
    quoted = excerpt.replace("'", "''")

    assert isinstance(parse(f"title: T\nexcerpt: '{quoted}'\nfeaturedContent: '{quoted}'"), Record)


# Text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  a \t\n b\u2028c\xa0d  ", "a b c d"),
        ("a\u3000b", "a\u3000b"),
        ("a &amp;amp; b", "a &amp; b"),
        ("AT&T", "AT&T"),
        ("&lt;b&gt; is bold", "<b> is bold"),
        ("a<br>b<br/>c", "a b c"),
        ("<p>a</p><p>b</p>", "a b"),
        ("a<b>b</b>c", "abc"),
        ("List<T> and Map<K, V>", "List<T> and Map<K, V>"),
        ("a < b > c", "a < b > c"),
        ("I <3 it", "I <3 it"),
        ("<a href=\"x>y\" title='>'>z</a>", "z"),
        ("<b don't>x</b>", "x"),
        ("<script>alert('<b>')</script>x", "x"),
        ("<SCRIPT a=1>y</script >x", "x"),
        ("<style>p {}</style>x", "x"),
        ("a<!-- b --- c -->d<!-->e", "ade"),
        ("a<!-- never", "a"),
        ("a <b never", "a"),
        ("עברית العربية", "עברית العربية"),
        ("👩‍👩‍👧 ok", "👩‍👩‍👧 ok"),
        ("a\x00b\x0bc\x7fd\x9be\ufffef\uffffg", "abcdefg"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("&#x1F;&#0;&#xD800;", "\ufffd\ufffd"),
        ("&#128512;", "😀"),
    ],
)
def test_plain_text_is_what_a_reader_would_see(text: str, clean: str) -> None:
    assert plain_text(text) == clean


ANY_TEXT = st.text(alphabet=st.characters())
MARKUP = st.lists(
    st.sampled_from(["<b>", "</p>", "<", ">", "&", "&amp;", "&#", "9", ";", "<!--", "-->", "<script>", "</script>", '"',
                     "'", "=", " ", "a", "\ud800", "\x0b", "\u3000", "é"])
).map("".join)  # fmt: skip


@given(st.one_of(ANY_TEXT, MARKUP))
def test_plain_text_gives_xml_characters_only_and_is_idempotent_without_markup(text: str) -> None:
    clean = plain_text(text)

    assert not NOT_XML.search(clean)
    assert not re.search(r"[ \t\n\r]{2}|^\s|\s$", clean)
    if "<" not in clean and "&" not in clean:
        assert plain_text(clean) == clean


@given(ANY_TEXT)
def test_xml_text_gives_xml_characters_only(text: str) -> None:
    assert not NOT_XML.search(xml_text(text))


NASTY_TEXT = st.lists(
    st.sampled_from(
        ["\0", "\x0b", "\ud800", "\udfff", "\ufffe", "\uffff", "&#0;", "https://a.example/", "<b>", "x", "2024"]
    ),
    min_size=1,
    max_size=4,
).map("".join)
NASTY_VALUE = st.recursive(
    NASTY_TEXT,
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "title", "url", "webUrl", "src", "type", "domain", "html"]), values, max_size=4
        )
    ),
    max_leaves=8,
)
NASTY_NAME = st.lists(st.sampled_from(["%00", "%0B", "%EF%BF%BE", "%ED%A0%80", "x", "2024-05-01-"]), min_size=1).map(
    "".join
)


def texts_in(value: Any) -> Iterator[str]:
    """All texts of a value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_in(part)


@pytest.mark.parametrize("preset", PRESETS)
@given(data=st.data(), name=NASTY_NAME, body=NASTY_TEXT)
def test_all_texts_of_a_record_have_xml_characters_only(
    preset: Preset, data: st.DataObject, name: str, body: str
) -> None:
    keys = sorted({key for keys in PRESETS[preset].values() for key in keys if re.fullmatch(r"\w+", key)})
    stated = data.draw(st.dictionaries(st.sampled_from(keys), NASTY_VALUE))
    raw = f"{json.dumps(stated)}\n\n{body}".encode(errors="replace")
    source = replace(source_of(preset), link_template="https://a.example/:title/:filename")
    outcome = parse_bytes(raw, source, f"{name}.md")
    if isinstance(outcome, Record):
        content = read_content(outcome.content_json)
        texts = [*texts_in(content), outcome.explicit_id or "", *outcome.topics, outcome.body_html.replace(MARK, "")]
        assert not [text for text in texts if NOT_XML.search(text)]


# Addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://a.example", "https://a.example"),
        (" https://a.example/x?y=1#z ", "https://a.example/x?y=1#z"),
        ("HTTPS://A.Example/X", "https://a.example/X"),
        ("https://a.example/a b", "https://a.example/a%20b"),
        ("https://a.example/é?q=ü", "https://a.example/%C3%A9?q=%C3%BC"),
        ("https://a.example/100%", "https://a.example/100%25"),
        ("https://a.example/%41%zz", "https://a.example/%41%25zz"),
        ('https://a.example/"<>', "https://a.example/%22%3C%3E"),
        ("https://münchen.example:81/x", "https://xn--mnchen-3ya.example:81/x"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
        ("http:\n//a.example/\tx", "http://a.example/x"),
        ("ht\ntp://a.example/", "http://a.example/"),
        ("https://a.example:/x", "https://a.example/x"),
        ("https://a.example?x", "https://a.example?x"),
        ("", None),
        ("a.example", None),
        ("//a.example/", None),
        ("/x", None),
        ("http:", None),
        ("http://", None),
        ("http:///x", None),
        ("http:a.example", None),
        ("ftp://a.example/", None),
        ("javascript:alert(1)//http://a.example/", None),
        ("data:text/html,x", None),
        ("https://user:word@a.example/", None),
        ("https://@a.example/", None),
        ("https://a.example:99999/", None),
        ("https://a.example:x/", None),
        ("https://a example/", None),
        ("https://a\\b.example/", None),
        ("https://a.example\\@b.example/", None),
        ("https://a..example/é", None),
        ("https://[::1", None),
        ('https://[v1.a:b<"]/', None),
        ("https://[fe80::1%25eth0]/", None),
        ("https://é" + "a" * 300 + ".example/", None),
        ("https://a℀b.example/", None),
    ],
)
def test_http_url_is_an_absolute_uri_or_none(text: str, url: str | None) -> None:
    assert http_url(text) == url


ADDRESSES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(
            ["http://", "https://", "HTTP://", "http:\t//", "http:/", " http://", "https://[", "http://a@"]
        ),
        st.one_of(st.sampled_from(["a.example", "é.example", "[::1]", "a.example:80"]), ANY_TEXT),
        st.sampled_from(["", "/", "?", "#", "\\", ":80/", "]/"]),
        ANY_TEXT,
    ),
)


@given(st.one_of(ANY_TEXT, ADDRESSES))
def test_http_url_is_ascii_has_a_host_and_is_idempotent(text: str) -> None:
    url = http_url(text)

    if url is not None:
        assert url.isascii()
        assert url.isprintable()
        assert not set(' "<>\\^`{|}') & set(url)
        parts = urlsplit(url)
        assert parts.scheme in {"http", "https"}
        assert parts.hostname
        assert http_url(url) == url


@given(st.one_of(ANY_TEXT, st.text(alphabet=string.ascii_letters + ".-é/:")))
def test_host_name_is_bare_lower_case_ascii_or_empty(text: str) -> None:
    name = host_name(text)

    assert re.fullmatch(r"[a-z0-9_.-]{0,253}", name)
    assert host_name(name) == name


def test_outcomes_can_go_to_another_process() -> None:
    """YAML's `yes`, 012 and dates keep their spelling while they are parsed, in a type that stays in the parser."""
    for front in ("quality: yes\nwebUrl: 012\nlocale: 2020-05-20\nupdatedDateTime: 12", "published: 012", "id: 1.5",
                  "type: 012\ncategory: yes\ntopics: [012]\nprovider: {name: 1, domain: 2}\nid: 5\nexcerpt: 1.0"):  # fmt: skip
        outcome = parse(f"title: 1\n{front}")
        assert isinstance(outcome, Record | Rejection)
        problems = outcome.warnings if isinstance(outcome, Record) else (outcome.problem,)

        assert pickle.loads(pickle.dumps(outcome)) == outcome
        assert {type(problem.value) for problem in problems} <= {str}


def test_value_of_a_problem_is_never_long() -> None:
    assert len(record("webUrl: " + "x" * 5000).warnings[0].value or "") == 200


# Anything at all

KEYS = st.sampled_from([key for keys in PRESETS["smartable"].values() for key in keys] + ["secured", "x", "<<"])
SCALARS = st.sampled_from(
    ["T", "'a'", "true", "NO", "012", "12:30:45", "2020-05-20", "2020-02-30T99:00:00Z", "null", "", "~", ".nan", "-1",
     "https://a.example/", "'http:\\n//x'", '"http:\\n//x"', '"\\uD800"', "!x y", "!!int z", "!!bool z", "!!timestamp z",
     "!!float ''", "!!null z", "!!binary z", "!!set {a}", "!!omap [a: 1]", "=", "<<", "*a", "&a b", "@", "|", "[a, {b: c}]",
     "{name: n, domain: [d]}", "[{url: 1, width: 0x1}]", "{[a]: b}", "{? {a: b} : c}", "- a", "&#" + "9" * 5000,
     "'<iframe src=\"//[\">'", "'<a href=>'"]
)  # fmt: skip


@given(st.lists(st.tuples(KEYS, SCALARS), max_size=6), st.binary(max_size=30))
def test_any_front_matter_gives_a_record_or_a_rejection(pairs: list[tuple[str, str]], body: bytes) -> None:
    front = "".join(f"{key}: {value}\n" for key, value in pairs)

    outcome = parse_bytes(b"---\ntitle: T\n" + front.encode() + b"---\n" + body)

    assert isinstance(outcome, Record | Rejection)
    if isinstance(outcome, Record):
        assert not NOT_XML.search("".join(map(str, lines(outcome))))
        assert not NOT_XML.search(outcome.content.title + outcome.content.summary + "".join(outcome.content.topics))


@given(st.binary())
def test_any_bytes_give_a_record_or_a_rejection(raw: bytes) -> None:
    for whole in (raw, b"---\n" + raw, b"---\n" + raw + b"\n---\n", b"---\ntitle: T\n" + raw + b"\n---\n" + raw):
        assert isinstance(parse_bytes(whole), Record | Rejection)


def test_problem_line_shows_a_long_value_cut() -> None:
    problem = Problem("a.md", 3, 0, "what", "x" * 100, "todo")

    assert str(problem) == f"a.md:3:1: what: '{'x' * 79}…' (todo)"


# Keys that nothing reads but that were probably meant


@pytest.mark.parametrize(
    ("front", "meant"),
    [
        ("publishedDateTimes: soon", "publishedDateTime"),
        ("drafts: 3", "draft"),
        ("topic: [AI]", "topics"),
        ("exerpt: x", "excerpt"),
    ],
)
def test_misspelled_key_is_a_warning_with_the_mapped_key(front: str, meant: str) -> None:
    (warning,) = record(front).warnings
    assert str(warning) == f"a.md:3:1: unknown key; did you mean '{meant}'? (correct its spelling)"


@pytest.mark.parametrize(
    "front", ["secured: x", "items: [a]", "ampWebUrl: x", "topics: [AI]\ntopic: [AI]", "levels: [a]"]
)
def test_unrelated_key_or_typo_beside_the_right_key_is_no_warning(front: str) -> None:
    assert record(front).warnings == ()


# Keys in any case, and keys that are almost right

_FORMATS = {
    "yaml": "---\ntitle: T\n{key}: {value}\n{more}\n---\n",
    "toml": "+++\ntitle = 'T'\n{key} = {value}\n{more}\n+++\n",
    "json": '{{"title": "T",\n"{key}": {value}{more}}}\n',
    "exact yaml": "---\nanchor: &a 1\ntitle: T\n{key}: {value}\n{more}\n---\n",
}
formats = pytest.mark.parametrize("form", _FORMATS)


def parse_key(
    form: str, key: str, value: str, other: str = "", of_other: str = "", **changes: Any
) -> Record | Rejection:
    """What a file in a format gives that has one or two keys beside a title."""
    pair = {"toml": "{} = {}", "json": ',\n"{}": {}'}.get(form, "{}: {}")
    front = _FORMATS[form].format(key=key, value=value, more=pair.format(other, of_other) if other else "")
    return parse_bytes(front.encode(), **changes)


@formats
@pytest.mark.parametrize(
    ("key", "value"),
    [("Draft", "true"), ("DELETED", "true"), ("Published", "false"), ("REMOVED", "true")],
)
def test_a_flag_in_any_case_hides(form: str, key: str, value: str) -> None:
    outcome = as_record(parse_key(form, key, value))

    assert (outcome.public, outcome.warnings) == (False, ())


@formats
def test_a_date_in_any_case_is_the_date(form: str) -> None:
    outcome = as_record(parse_key(form, "publishedDatetime", '"2099-01-01T00:00:00Z"'))

    assert (outcome.published, outcome.warnings) == (at(2099, 1, 1), ())


@formats
@pytest.mark.parametrize("other", ["Published", "published", "PUBLISHED"])
def test_a_flag_given_twice_hides(form: str, other: str) -> None:
    outcome = as_rejection(parse_key(form, "Published", "true", other, "true"))

    assert (outcome.problem.what, outcome.hides) == ("the key 'published' is given twice", True)


def test_toml_tables_in_two_cases_are_a_key_given_twice() -> None:
    outcome = parse_bytes(b"+++\ntitle = 'T'\n[provider]\nname = 'A'\n[Provider]\nname = 'B'\n+++\n")

    assert lines(outcome) == ["a.md:5:2: the key 'provider' is given twice (keep one of them)"]


@formats
@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("publishd", "false", "published"),
        ("pubilshed", "false", "published"),
        ("Publishe", "true", "published"),
        ("drafts", "true", "draft"),
        ("darft", "true", "draft"),
        ("draf-t", "true", "draft"),
        ("delete", "true", "deleted"),
        ("delete", '"yes"', "deleted"),
        ("removes", "true", "removed"),
        ("publishedDateTimes", '"2099-01-01T00:00:00Z"', "publishedDateTime"),
        ("published_date_time", '"2099-01-01T00:00:00Z"', "publishedDateTime"),
    ],
)
def test_a_misspelled_flag_rejects_and_the_message_has_its_right_spelling(
    form: str, key: str, value: str, meant: str
) -> None:
    outcome = as_rejection(parse_key(form, key, value))

    assert outcome.hides == (meant != "publishedDateTime")
    assert outcome.problem.hint == f"write '{meant}', or give the key another name"
    assert outcome.problem.line == {"json": 2, "exact yaml": 4}.get(form, 3)
    assert f"'{key}'" not in str(outcome.problem)
    assert value.strip('"') not in str(outcome.problem)


@formats
def test_a_flag_misspelled_by_two_letters_is_a_warning_as_any_other_key(form: str) -> None:
    assert len(as_record(parse_key(form, "publishDateTime", '"2099-01-01"')).warnings) == 1


@formats
@pytest.mark.parametrize(
    ("key", "value", "right", "stated"),
    [
        ("drafts", "3", "", ""),
        ("delete", '"later"', "", ""),
        ("drafts", "true", "draft", "false"),
        ("publishedDateTimes", '"soon"', "", ""),
        ("publishedDateTimes", '"2099-01-01T00:00:00Z"', "publishedDateTime", '"2020-01-01T00:00:00Z"'),
    ],
)
def test_a_misspelled_flag_is_ignored_with_another_kind_of_value_or_beside_the_right_key(
    form: str, key: str, value: str, right: str, stated: str
) -> None:
    outcome = as_record(parse_key(form, key, value, right, stated))

    assert outcome.public


@pytest.mark.parametrize(
    ("preset", "key", "meant"),
    [("hugo", "expiryDat", "expiryDate"), ("hugo", "unpublishDates", "unpublishDate"), ("hugo", "headles", "headless"),
     ("hugo", "publishDte", "publishDate"), ("jekyll", "dat", "date"), ("jekyll", "dates", "date")],
)  # fmt: skip
def test_only_keys_of_the_preset_can_hide(preset: Any, key: str, meant: str) -> None:
    value = "true" if key == "headles" else "2099-01-01T00:00:00Z"
    outcome = as_rejection(parse_key("yaml", key, value, fields=tuple(PRESETS[preset].items()), layout=preset))

    assert f"'{meant}'" in str(outcome.problem)


def test_keys_of_the_config_can_hide_too() -> None:
    fields = tuple((PRESETS["smartable"] | {"draft": ("embargoed", "meta.secret")}).items())

    assert isinstance(parse_key("yaml", "embargoes", "true", fields=fields), Rejection)
    assert isinstance(parse_key("yaml", "drafts", "true", fields=fields), Record)
    for spelling, public in (("secret", False), ("Secret", False), ("other", True)):
        outcome = as_record(parse_key("yaml", "META", f"{{{spelling}: true}}", fields=fields))
        assert outcome.public == public
    assert isinstance(parse_key("yaml", "meta", "{Secret: false, secret: false}", fields=fields), Rejection)


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ("2016-12-31T23:59:60Z", at(2017, 1, 1)),
        ("2016-12-31T23:59:60.5Z", at(2017, 1, 1, microsecond=500000)),
        ("2016-12-31T15:59:60-08:00", at(2017, 1, 1)),
        ("2017-01-01T05:29:60+05:30", at(2017, 1, 1)),
        ("2016-12-31 23:59:60", at(2017, 1, 1)),
        ("2016-12-31T24:00:00Z", at(2017, 1, 1)),
        ("2016-12-31T24:00Z", at(2017, 1, 1)),
        ("2016-12-31T24:00:00.000+01:00", at(2016, 12, 31, 23)),
        ("2016-12-31T12:30:60Z", None),
        ("2016-12-31T23:59:60+01:00", None),
        ("2016-12-31T24:00:01Z", None),
        ("2016-12-31T24:30:00Z", None),
        ("2016-12-31T23:59:61Z", None),
        ("9999-12-31T24:00:00Z", None),
    ],
)
def test_leap_seconds_and_the_end_of_a_day_are_times(stated: str, read: datetime | None) -> None:
    parsed = parse_time(stated, ZoneInfo("UTC"))
    assert (parsed and parsed[0]) == read


def test_a_user_in_a_link_is_not_shown() -> None:
    outcome = record("webUrl: https://user:sekrit@a.example/x\noriginalUrl: https://user:se/krit@a.example/")
    assert lines(outcome) == [
        "a.md:3:9: 'webUrl' has a user or a password (remove it)",
        "a.md:4:14: 'originalUrl' is not an http(s) URL: 'https://…@a.example/' (write it in full, with https://)",
        "a.md:4:14: 'originalUrl' is not an http(s) URL: 'https://…@a.example/' (write it in full, with https://)",
    ]
    front = "publishedDateTime: https://user:sekrit@a.example/x"
    assert lines(rejection(front)) == [
        "a.md:3:20: 'publishedDateTime' is not a date: 'https://…@a.example/x' (write it as 2026-05-20T07:10:00Z)"
    ]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("pubilshed", "write 'published', or give the key another name"),
        ('"draft "', "write 'draft' without the blank, or give the key another name"),
        ('"draft\\u200b"', "write 'draft' without U+200B, or give the key another name"),
    ],
)
def test_a_key_with_a_sign_that_nobody_sees_is_told(key: str, hint: str) -> None:
    name = hint.split("'")[1]
    what = f"an unknown key is one edit away from '{name}', which can hide the record"
    assert lines(rejection(f"{key}: true")) == [f"a.md:3:1: {what} ({hint})"]


def test_what_an_id_may_be_is_said() -> None:
    hint = "write a text of 1 to 1000 bytes, without blanks at its ends; put quotes around a number"
    assert lines(rejection("id: ' a '")) == [f"a.md:3:5: 'id' cannot be an id: ' a ' ({hint})"]


def test_a_record_without_link_and_excerpt_shows_the_start_of_its_body() -> None:
    body = "# Heading\n\nThe *first* paragraph.\n\nThe second one.\n"
    assert record("", body).content.summary == "The first paragraph."
    assert record("excerpt: E", body).content.summary == "E"
    assert record("webUrl: https://a.example/", body).content.summary == ""
    templated = record("", body, link_template="https://a.example/{path}/")
    assert (templated.content.link, templated.content.summary) == ("https://a.example/a/", "")


def test_keys_inside_maps_are_read_in_any_case_too() -> None:
    front = """
        Provider: {Name: A, DOMAIN: a.example}
        images: [{URL: "https://a.example/x.png", Width: 3, height: 4}, {Src: "https://a.example/y.png"}]
        related: [{Title: B, WEBURL: "https://b.example/"}]
    """
    content = record(front).content

    assert content.provider == Provider("A", "a.example")
    assert content.images == (Image("https://a.example/x.png", 3, 4), Image("https://a.example/y.png", 0, 0))
    assert content.related == (Related("https://b.example/", "B"),)


@pytest.mark.parametrize(
    "flag",
    [
        "Draft: true",
        "drafts: true",
        "draft: false, Draft: false",
        "published: soon",
        "publishedDateTim: 2099-01-01T00:00:00Z",
    ],
)
def test_a_related_link_that_may_be_hidden_is_left_out(flag: str) -> None:
    shown = "{title: A, webUrl: 'https://a.example/'}"
    front = f"related: [{{title: B, webUrl: 'https://b.example/', {flag}}}, {shown}]"

    assert record(front).content.related == (Related("https://a.example/", "A"),)


@pytest.mark.parametrize(
    ("stated", "shown"), [("32 Foo 2099", "'32 Foo 2099'"), ("2099-02-30", "'2099-02-30'"), ("[1]", "'a list'")]
)
def test_a_related_story_with_an_unusable_date_is_left_out_with_a_warning(stated: str, shown: str) -> None:
    stories = f"[{{title: B, webUrl: 'https://b.example/', publishedDateTime: {stated}}}]"
    outcome = record(f"related: {stories}")

    assert (outcome.content.related, outcome.story_times) == ((), ())
    what = "a story in 'related' is hidden, because 'publishedDateTime' is not a date"
    assert lines(outcome) == [f"a.md:3:10: {what}: {shown} (write it as 2026-05-20T07:10:00Z)"]


def test_the_times_of_related_stories_change_no_hash_of_the_record() -> None:
    fields = tuple((PRESETS["smartable"] | {"expires_at": ("ends",)}).items())
    story, times = "title: B, webUrl: 'https://b.example/'", "publishedDateTime: 2024-05-01, ends: 2099-01-01T00:00:00Z"
    plain, timed = (record(f"related: [{{{front}}}]", fields=fields) for front in (story, f"{story}, {times}"))

    assert timed.story_times == (StoryTimes("https://b.example/", at(2024, 5, 1), at(2099, 1, 1)),)
    assert timed._replace(file=plain.file, story_times=()) == plain


def test_a_story_is_hidden_before_its_date_and_from_its_expiry_on() -> None:
    fields = tuple((PRESETS["smartable"] | {"expires_at": ("ends",)}).items())
    times = "publishedDateTime: 2024-05-01T00:00:00Z, ends: 2024-05-03T00:00:00Z"
    stories = f"[{{title: B, webUrl: 'https://b.example/', {times}}}, {{title: A, webUrl: 'https://a.example/'}}]"
    made = record(f"related: {stories}", fields=fields)

    days = [at(2024, 4, 30), at(2024, 5, 1), at(2024, 5, 2), at(2024, 5, 3)]
    shown = [hide_stories(made, day) for day in days]
    assert [[story.title for story in one.content.related] for one in shown] == [["A"], ["B", "A"], ["B", "A"], ["A"]]
    assert [one.visible_hash == made.visible_hash for one in shown] == [False, True, True, False]
    assert [next_story_time(made, day) for day in days] == [at(2024, 5, 1), at(2024, 5, 3), at(2024, 5, 3), None]


def test_fields_whose_keys_differ_in_case_alone_read_one_key() -> None:
    fields = tuple((PRESETS["smartable"] | {"link": ("URL",), "original_link": ("url", "source.Url")}).items())
    outcome = as_record(
        parse_key("yaml", "Url", "https://a.example/", "Source", "{url: 'https://b.example/'}", fields=fields)
    )

    assert (outcome.content.link, outcome.content.original_link) == ("https://a.example/", None)


def test_a_summary_that_is_made_from_the_body_is_shown_and_changes_no_hash_of_the_text() -> None:
    linked, bare = record("webUrl: https://a.example/", "First.\n\nSecond."), record("", "First.\n\nSecond.")

    assert (bare.content.summary, linked.content.summary) == ("First.", "")
    assert bare.text_hash == linked.text_hash
    assert record("", "First.").content_hash != record("", "Other.").content_hash


def test_what_nobody_can_see_is_no_text() -> None:
    front = """\
        title: T
        topics: ["\\u200b\\u200d", AI]
        type: "\\u2060"
        excerpt: "\\u200b"
        provider: {name: "\\u200b", domain: x.example}
        related: [{title: "\\u200b", url: "https://x.example/"}]
    """
    outcome = as_record(parse(front))
    content = outcome.content
    assert (content.topics, content.type, content.summary, content.related) == (("AI",), "", "", ())
    assert content.provider == Provider("x.example", "x.example")
    assert [line.partition(": ")[2] for line in lines(outcome)] == [
        "'topics' has an item that shows nothing (remove it)",
        "'related' has an item without a title and an http(s) URL (write both, or remove the item)",
    ]
    assert lines(parse(f"title: {chr(0x200B) * 1_200}A"))[0].startswith("a.md:2:8: no title")
    assert as_record(parse('title: "…"')).content.title == "…"
    assert as_record(parse("title: T\nprovider: \u200b")).content.provider is None
