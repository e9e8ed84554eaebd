"""The fast path for YAML gives the same record as PyYAML, or leaves the file to it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import Mock

import pytest
from corpus import CORPUS, FOLDERS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parsing import SOURCE, as_record, parse, parse_bytes

from aggregator.config.presets import PRESETS
from aggregator.model import (
    Content,
    Image,
    Provider,
    Record,
    Rejection,
    Related,
    SourceFile,
    content_json,
    read_content,
)
from aggregator.parse import front_matter
from aggregator.parse.front_matter import fast_yaml
from aggregator.parse.front_matter.values import AllowedKeys, Limits
from aggregator.parse.record import parse_record
from aggregator.settings import Source

SOURCES = [
    SOURCE,
    replace(SOURCE, fields=tuple(PRESETS["jekyll"].items()), layout="jekyll"),
    replace(SOURCE, fields=tuple(PRESETS["hugo"].items()), layout="hugo"),
]
STORY = """---
title: "A story \\"of\\" some words"
excerpt: 'It''s short.  Of one  paragraph, with a "quote" & an [aside](https://example.org/?a=b&c=d).'
publishedDateTime: 2020-05-20T07:10:00Z
webUrl: https://example.org/story?a=b&c=%20d
type: article
quality: 85
heat: 20
published: true

featuredContent: "<iframe width=\\"800\\" src=\\"https://www.youtube.com/embed/76mYzrKVDqA\\"></iframe>"

provider:
  name: The Example
  domain: example.org
images:
  - url: https://example.org/a.png
    width: 1280
    height: 720
    isCached: true
  - url: "https://example.org/b.png"
secured: "lB1bT2zn;3ANvOp=="
related:
  - title: Another one
    webUrl: "https://example.org/another"
    published: true
    provider: {name: B, domain: b.example}
  - title: |
      On two
      lines
    webUrl: https://example.org/lines
topics:
  - Power Apps
  - C#
tags: [one, 'two']
date: 2020-05-20T07:10:00Z
draft: false
---
The body, in *Markdown*.
"""
SMALL = """---
title: A
topics: [a, b]
provider: {name: N, domain: 'n.example'}
excerpt: >-
  one
  two

  three
images: https://example.org/a.png
---
"""
SCALARS = (
    "0755 0o17 0x1F 0b1 1_000 _7 12:30:45 .5 +1 -0 -5 1e5 1.5e+3 1. 0.50 .inf .nan NaN yes no on off Yes NO y n true True"
    " TRUE tRUE false ~ null Null nULL '' \"\" 2020-05-20 2020-05-20T01:02:03Z 2020-05-20T01:02:03+02:00"
    " 2020-05-20T01:02:03.5Z 2020-02-30 2020-13-01T00:00:00Z 0000-01-01T00:00:00Z = << 08 00 +0x1 1__0 0xG 85 85.5 '85'"
    " 'true' 1000000000000000 99999999999999999999999 [a,b] [] {} {a} [1] [yes] [~] &x *x ! !!str !foo @x `x` %x -x ?x ,x"
    ' | > |- #x \'a\'\'b\' "a\\tb" "\\u00e9" "\\x41" "\\/" "\\ud800" "\\x0b" "\\0" - ... : a:b ::b'
    ' https://example.org/ http://x.example:80/ "https://x.example/%zz" <b>x</b> &amp; A&B'
).split()
SIGNS = (
    "\n|\n\n| |  |\t|: |:|- |-|? |[|]|{|}|,|'|\"|#| #|>|2|+|&a |*a|!x |!!int |<<: |%|@|`|& |\\|~|0|\n---\n|\n...\n|\n--- "
    "|\n%YAML 1.1\n|\0|\x0b|\x7f|\x85|\u2028|\xa0|\ufeff|\ufffe|\u200b|é|日本|\r|\r\n|\n- |\n  - |\n    |\n|\n#c\n|_|+|: |\n"
).split("|")
KEYS = (
    "title name excerpt webUrl publishedDateTime published draft deleted provider topics type images related quality id"
    " locale enclosure Title titel topic 1 true null << = 'title' date tags author expiryDate"
).split()


def outcomes(text: str, source: Source) -> tuple[Record | Rejection, Record | Rejection]:
    """What a file gives, and what it gives when PyYAML reads it."""
    raw = text.encode(errors="surrogatepass")
    file = SourceFile("", "2020-01-02-a.md", len(raw), 0)
    return parse_record(raw, file, source, b"digest"), parse_record(raw, file, source, b"digest", with_positions=True)


def damaged(text: str, rng: random.Random) -> str:
    """The text with one to four damages, most of them in its front matter."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        end = max(text.find("\n---", 4), 5)
        at = rng.randrange(4, end) if rng.random() < 0.97 else rng.randrange(len(text) + 1)
        kind = rng.randrange(10)
        if kind < 3:
            text = text[:at] + rng.choice(SIGNS) + text[at + rng.choice((0, 0, 1)) :]
        elif kind == 3:
            text = text[:at] + text[at + rng.randrange(1, 12) :]
        else:
            lines = text[:end].split("\n")
            line = rng.randrange(len(lines))
            key, value = rng.choice(KEYS), rng.choice(SCALARS)
            match kind:
                case 4 | 5 | 6:
                    lines[line] = re.sub(
                        r"^(\s*(?:- )?(?:[^:]+:)?).*", lambda found, new=value: f"{found[1]} {new}", lines[line]
                    )
                case 7:
                    lines[line] = rng.choice((" ", "  ", "- ", "")) + lines[line][rng.randrange(2) :]
                case 8:
                    lines.insert(line, f"{key}: {value}")
                case _:
                    lines[line] = re.sub(
                        r"^(\s*(?:- )?)[^:]+:", lambda found, new=key: f"{found[1]}{new}:", lines[line]
                    )
            text = "\n".join(lines) + text[end:]
    return text


def real_records() -> Iterator[str]:
    return (path.read_text() for folder in FOLDERS for path in sorted((CORPUS / folder).rglob("*.md")))


@pytest.fixture
def no_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is not asked."""
    monkeypatch.setattr(front_matter, "read_yaml", Mock(side_effect=AssertionError("PyYAML was asked")))


@pytest.mark.skipif(fast_yaml.loads is None, reason="there is no yaml-rs for this machine")
def test_a_plain_record_is_read_without_pyyaml(no_pyyaml: None) -> None:
    outcome = as_record(parse_bytes(STORY.encode()))

    assert (outcome.quality, outcome.content.topics) == (85, ("Power Apps", "C#"))
    assert outcome.content.images[0] == Image("https://example.org/a.png", 1280, 720)
    assert [link.title for link in outcome.content.related] == ["Another one", "On two lines"]


QUOTED = 'title: "T"\nexcerpt: "With \\"chapters\\": 00:00, it\'s [!a] of: !b, &#8216;c&amp;"\n'


@pytest.mark.skipif(fast_yaml.loads is None, reason="there is no yaml-rs for this machine")
def test_text_in_double_quotes_is_no_difference(no_pyyaml: None) -> None:
    outcome = as_record(parse(QUOTED))

    assert outcome.content.summary == 'With "chapters": 00:00, it\'s [!a] of: !b, \u2018c&'


@pytest.mark.parametrize(
    "text",
    [
        'title: "a\nexcerpt: " !b "\n',
        "title: 'a\nexcerpt: \"' !b \"\n",
        'title: ["a\nexcerpt: ", &b c, "\n"]\n',
        'title: T\nexcerpt: "a: !b"\nheat: 010\n',
    ],
)
def test_a_quote_inside_another_text_hides_no_difference(text: str) -> None:
    assert fast_yaml.read_fast_yaml(text, AllowedKeys(["title", "excerpt"]), Limits(32, 1000)) is None


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.layout)
@pytest.mark.parametrize("text", [STORY, SMALL])
def test_a_record_is_the_same_without_yaml_rs(text: str, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, exact = outcomes(text, source)
    monkeypatch.setattr(fast_yaml, "loads", None)

    assert isinstance(quick, Record)
    assert quick == exact == outcomes(text, source)[0]


def reads(source: Source, key: str) -> bool:
    return any(key in spelling.split(" + ") for _, spellings in source.fields for spelling in spellings)


@pytest.mark.parametrize(
    ("key", "source"),
    # keys that no field has are the same for all
    [(key, source) for source in SOURCES for key in KEYS if source is SOURCE or reads(source, key)],
    ids=lambda value: value if isinstance(value, str) else value.layout,
)
def test_a_scalar_is_the_same_in_every_key(key: str, source: Source) -> None:
    for scalar in SCALARS:
        for text in (f"title: T\n{key}: {scalar}", f"{key}: {scalar}\nname: T", f"name: T\n{key}:\n  - {scalar}"):
            quick, exact = outcomes(f"---\n{text}\n---\n", source)
            assert repr(quick) == repr(exact), text


@pytest.mark.parametrize("key", ["url", "width", "name", "domain", "title", "published", "image", "null", "~"])
def test_a_scalar_is_the_same_in_a_map(key: str) -> None:
    for scalar in SCALARS:
        story = "    webUrl: https://example.org/b\n    title: B\n" if key not in ("title", "url") else ""
        for text in (
            f"images:\n  - url: https://example.org/a\n    {key}: {scalar}" if key != "url" else f"image: {scalar}",
            f"provider:\n  {key}: {scalar}\n  x: y",
            f"provider: {{{key}: {scalar}}}",
            f"related:\n  - {key}: {scalar}\n{story}",
        ):
            for source in SOURCES:
                quick, exact = outcomes(f"---\ntitle: T\n{text}\n---\n", source)
                assert repr(quick) == repr(exact), text


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_record_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(1000):
        text = damaged(rng.choice((STORY, SMALL, SMALL)), rng)
        quick, exact = outcomes(text, rng.choice(SOURCES))
        assert repr(quick) == repr(exact), text


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(["a: ", "title: ", "excerpt: ", *SIGNS, *"xy1'\"|>-", "\n  x", "\nid: "]), max_size=10))
def test_a_small_text_is_the_same(parts: list[str]) -> None:
    for text in ("".join(parts), "title: T\nexcerpt: " + "".join(parts)):
        quick, exact = outcomes(f"---\n{text}\n---\n", SOURCE)
        assert repr(quick) == repr(exact)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the real records are not beside the checkout")
def test_a_real_record_is_the_same_and_rarely_needs_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    quickly = []
    read = front_matter.read_fast_yaml

    def watched(*args: object) -> object:
        matter = read(*args)  # type: ignore[arg-type]
        quickly.append(matter is not None)
        return matter

    monkeypatch.setattr(front_matter, "read_fast_yaml", watched)
    for text in real_records():
        quick, exact = outcomes(text, SOURCE)
        assert repr(quick) == repr(exact)

    assert fast_yaml.loads is None or sum(quickly) >= 0.97 * len(quickly)


@pytest.mark.parametrize("sign", ["- ", "? ", "[", "{a: ", "- - ", "a: [", "&a ", "!a "])
def test_deep_nesting_ends_no_process_though_the_limit_is_high(sign: str) -> None:
    source = replace(SOURCE, max_depth=1000, max_nodes=10**6)
    for text in (sign * 100_000, "title:\n  " + sign * 100_000):
        assert all(isinstance(outcome, Rejection) for outcome in outcomes(f"---\n{text}\n---\n", source))


TEXTS = st.text(max_size=20)


@given(
    TEXTS,
    TEXTS,
    st.none() | TEXTS,
    st.none() | st.builds(Provider, TEXTS, TEXTS, st.lists(TEXTS, max_size=2).map(tuple)),
    st.lists(TEXTS, max_size=3),
)
def test_content_survives_its_json(
    title: str, body: str, link: str | None, provider: Provider | None, topics: list[str]
) -> None:
    content = Content(
        title, "", body, link, None, provider, tuple(topics), title, "", "en",
        (Image("https://e.org/", 1, 0), Image(title, 0, 7)), link, (Related("https://e.org/", title),),
    )  # fmt: skip

    names = [provider.name, provider.domain, *([[*provider.authors]] if provider.authors else [])] if provider else None
    images, related = [["https://e.org/", 1, 0], [title, 0, 7]], [["https://e.org/", title]]
    parts = [title, "", body, link, None, names, topics, title, "", "en", images, link, related]
    assert content_json(content) == json.dumps(parts, separators=(",", ":"))
    assert read_content(content_json(content)) == content


PIECES = (
    'a b & é 日 😀 \\\\ \\" \\/ \\n \\t \\0 \\e \\N \\_ \\L \\x41 \\xe9 \\x85 \\u00e9 \\u2028 \\ufeff \\uffff \\ud83d \\ude00 \\uD83D \\uDE00'
    " \\ud83d\\ude00 \\uDBFF\\uDFFF \\U0001f600 \\U0000d83d \\U00110000 \\u00 \\q"
).split()
"""Characters and escapes of a text in double quotes."""


@given(st.lists(st.sampled_from([*PIECES, " "]), max_size=8).map("".join), st.booleans())
@example("A \\ud83d\\ude00", False)
@example("\\\\\\ud83d\\ude00\\\\ud83d", True)
def test_both_parsers_read_escapes_alike(text: str, has_anchor: bool) -> None:
    anchor = "x: &anchor 1\n" if has_anchor else ""
    for lines in (f'title: "{text}"\n', f"topics: ['{text.replace(chr(39), '')}', \"{text}\"]\n"):
        record, slow = outcomes(f"---\n{lines}{anchor}name: N\n---\n", SOURCE)
        assert record == slow
        plain = outcomes(f"---\n{lines}name: N\n---\n", SOURCE)[0]
        assert isinstance(record, Record) == isinstance(plain, Record)
        if isinstance(record, Record) and isinstance(plain, Record):
            assert record.content_json == plain.content_json


def test_two_escapes_of_surrogates_are_one_character_whatever_else_the_file_has() -> None:
    for more in ("", "id: urn:e\n", "x: &anchor [1]\n"):
        front = f"title: \"A \\ud83d\\ude00\"\nexcerpt: '\\ud83d\\ude00'\n{more}"
        content = as_record(parse(front)).content
        assert (content.title, content.summary) == ("A \U0001f600", "\\ud83d\\ude00")
