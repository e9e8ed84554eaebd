"""Bounds: how much a record may say in each field, and that nothing a record says can take long."""

from __future__ import annotations

import ast
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import as_record, lines, parse_bytes, processor_time, record, source_of

import aggregator
from aggregator.config.presets import PRESETS, Preset
from aggregator.links import MAX_URL
from aggregator.model import Record, Rejection
from aggregator.parse.field_bounds import MAX_DIGITS, MAX_IMAGES, MAX_RELATED, cut_text
from aggregator.slugs import topic_key
from aggregator.unicode import MAX_MARKS, few_marks, normal_form

SECONDS = 1.0
"""Of processor time for one file, some thirty times what it takes; what is quadratic takes more."""
MARKS = "\u0301" * 50_000 + "\u0316" * 50_000
LONG = {
    "marks": f"a{MARKS}",
    "marks that begin with one when decomposed": "a" + "\u0f73" * 50_000,
    "half-width marks": "a" + "\uff9e\uff9f" * 25_000,
    "marks as references": "a" + "&#x301;&#x316;" * 10_000,
    "a host of marks": f"https://a{MARKS}.example/",
    "a path of marks": f"https://example.org/{MARKS}",
    "a relative path of marks": f"/a{MARKS}",
    "a host of many letters": "https://" + "é" * 60_000,
    "users": "https://" + "@" * 100_000,
    "percent signs": "https://example.org/" + "%" * 100_000,
    "base 60": "1:" * 50_000 + "1",
    "base 60 and a fraction": "1:" * 50_000 + "1.5",
    "digits": "9" * 200_000,
    "digits with underscores": "1_" * 100_000 + "1",
    "a fraction": "0." + "9" * 200_000,
    "an exponent": "1e" + "9" * 200_000,
    "commas": "," * 100_000,
    "spaces": "a" + " " * 100_000,
    "words": "a " * 50_000,
    "dates": "2020-01-01/" * 9_000,
    "markup": "<" * 100_000,
    "players": "<iframe src=" * 9_000,
}


def read(text: str, preset: Preset = "smartable") -> Record | Rejection:
    """What a file with that text gives, in little time, in a source whose feeds show bodies."""
    base = "https://example.org/"
    source = source_of(preset, body_base=base, link_template=None if preset == "smartable" else base + "{path}/")
    with processor_time(SECONDS):
        return parse_bytes(text.encode(), source, "posts/2020-01-01-a.md")


def keys_of(preset: Preset) -> list[str]:
    """The first key of each field that a preset reads at the top level; the others are read in the same way."""
    return sorted({keys[0].partition(" + ")[0] for keys in PRESETS[preset].values() if keys and "." not in keys[0]})


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("preset", ["smartable", "hugo", "jekyll"])
def test_no_field_takes_long_whatever_its_value(preset: Preset, text: str) -> None:
    quoted = json.dumps(text, ensure_ascii=False)
    written = [quoted, *([text] if text[0].isalnum() else [])]
    third = json.dumps(text[: len(text) // 3], ensure_ascii=False)
    item = f'{{"url": {third}, "name": {third}, "domain": {third}}}'
    for key in keys_of(preset):
        title = "" if key == "title" else "title: T\n"
        for value in written:
            outcome = read(f"---\n{title}{key}: {value}\n---\n", preset)
            if isinstance(outcome, Record):
                assert_bounded(outcome)
        if key in ("topics", "images", "related", "provider", "tags", "categories", "author", "authors", "cover"):
            read(f"---\n{title}{key}: [{item}, {third}]\n---\n", preset)


def assert_bounded(outcome: Record) -> None:
    """That no text of a record can make others take long."""
    content = outcome.content
    provider = content.provider.name if content.provider else ""
    for text in (content.title, content.summary, content.category, content.type, provider, *content.topics):
        assert few_marks(text) == text
        assert len(text) <= (10_000 if text is content.summary else 1000)
    assert len(outcome.content_json) < 100_000


@pytest.mark.parametrize("text", [LONG["digits"], LONG["a fraction"], LONG["an exponent"], LONG["base 60"]])
def test_numbers_of_any_format_are_bounded(text: str) -> None:
    for made in (f"+++\ntitle = 'T'\nquality = {text}\n+++\n", f'{{"title": "T", "quality": {text}}}'):
        read(made)
    assert lines(read(f"---\ntitle: T\nquality: {text}\n---\n"))[0].startswith(
        "posts/2020-01-01-a.md:3:10: 'quality' is"
    )


@pytest.mark.parametrize(
    ("digits", "quality"), [("1:30", -1), ("0" * (MAX_DIGITS - 2) + "12", 12), ("0" * (MAX_DIGITS - 1) + "12", -1)]
)
def test_a_number_has_at_most_4300_digits(digits: str, quality: float) -> None:
    assert record(f"quality: {digits}").quality == quality


# What is over a bound


@pytest.mark.parametrize(
    ("front", "line"),
    [
        (f"excerpt: {'word ' * 2001}", "a.md:3:10: 'excerpt' is over 10,000 characters and is cut (make it shorter)"),
        (f"type: {'x' * 1001}", "a.md:3:7: 'type' is over 1,000 characters and is cut (make it shorter)"),
        (f"provider: {{name: {'x' * 1001}}}",
         "a.md:3:11: 'provider' is over 1,000 characters and is cut (make it shorter)"),
        (f"excerpt: 'a{chr(0x301) * 31}'",
         "a.md:3:10: 'excerpt' has over 30 combining marks in a row, which are left out (remove them)"),
        (f"excerpt: '{'a&#x301;' + '&#x301;' * 30}'",
         "a.md:3:10: 'excerpt' has over 30 combining marks in a row, which are left out (remove them)"),
        (f"images: {json.dumps([f'https://a.example/{n}.png' for n in range(51)])}",
         "a.md:3:9: 'images' has more than 50 images (name fewer)"),
        (f"enclosure: {json.dumps([f'https://a.example/{n}.mp3' for n in range(51)])}",
         "a.md:3:12: 'enclosure' has more than 50 media files (name fewer)"),
        (f"related: {json.dumps([{'title': 'T', 'webUrl': f'https://a.example/{n}'} for n in range(51)])}",
         "a.md:3:10: 'related' has more than 50 links (name fewer)"),
        (f"topics: {json.dumps([f't{n}' for n in range(101)])}",
         "a.md:3:9: 'topics' has more than 100 topics, or a topic over 200 bytes (name fewer, and shorter ones)"),
        (f"topics: ['a{chr(0x301) * 31}']",
         "a.md:3:9: 'topics' has more than 100 topics, or a topic over 200 bytes (name fewer, and shorter ones)"),
        (f"locale: en{'-aaaa' * 9}", f"a.md:3:9: 'locale' is not a language tag: 'en{'-aaaa' * 9}' (write a tag such as en or pt-BR)"),
    ],
)  # fmt: skip
def test_values_over_a_bound_are_cut_or_left_out_with_a_warning(front: str, line: str) -> None:
    outcome = record(front)

    assert lines(outcome) == [line]
    assert outcome.warnings[0].level == "warning"
    assert_bounded(outcome)


def test_a_long_title_is_cut_at_a_word() -> None:
    outcome = as_record(read(f"---\ntitle: {'word ' * 300}\n---\n"))

    assert outcome.content.title == ("word " * 199).strip() + " word…"
    assert [warning.line for warning in outcome.warnings] == [2]


def test_within_its_bounds_nothing_is_cut() -> None:
    images = [f"https://a.example/{number}.png" for number in range(MAX_IMAGES)]
    related = [{"title": "T", "webUrl": f"https://a.example/{number}"} for number in range(MAX_RELATED)]
    topics = [f"t{number}" for number in range(100)]
    outcome = record(
        f"name: x\ntype: {'x' * 1000}\nexcerpt: '{'é' * 9969}a{chr(0x301) * 30}'\nimages: {json.dumps(images + images)}\n"
        f"related: {json.dumps(related + related)}\ntopics: {json.dumps(topics)}\n"
        f"webUrl: {'https://a.example/'.ljust(MAX_URL, 'x')}"
    )

    assert outcome.warnings == ()
    content = outcome.content
    assert (len(content.type), len(content.summary), len(content.images)) == (1000, 10_000, MAX_IMAGES)
    assert (len(content.related), len(content.topics), len(content.link or "")) == (MAX_RELATED, 100, MAX_URL)


def test_a_url_that_is_too_long_is_not_used() -> None:
    (line,) = lines(record(f"webUrl: {'https://a.example/'.ljust(MAX_URL + 1, 'x')}"))

    assert line.endswith("(make it at most 2,048 characters)")


def test_an_excerpt_of_a_body_is_bounded_too() -> None:
    outcome = as_record(read("---\ntitle: T\n---\n" + "word " * 100_000, "jekyll"))

    assert 9_000 < len(outcome.content.summary) <= 10_000
    assert outcome.content.summary.endswith("word…")


@given(st.text(alphabet="ab \u0301\u0316", max_size=60), st.integers(min_value=2, max_value=40))
def test_a_cut_text_is_within_its_bound_and_begins_like_the_original(text: str, most: int) -> None:
    cut = cut_text(text, most)

    assert len(cut) <= most
    assert cut == few_marks(text) or (cut.endswith("…") and few_marks(text).startswith(cut[:-1]))


# Combining marks

_MARKS = st.text(alphabet="aé\u0300\u0301\u0316\u0344\u0f71\u0f73\uff9e \uac00\u11a8", max_size=200)


@given(_MARKS)
def test_a_normal_form_has_few_marks_in_a_row_and_is_stable(text: str) -> None:
    normal = normal_form(text)

    run = 0
    for char in normal:
        run = run + 1 if unicodedata.combining(char) else 0
        assert run <= MAX_MARKS
    assert normal_form(normal) == normal
    assert topic_key(topic_key(text)) == topic_key(text)


@given(st.text(max_size=100))
def test_a_text_with_few_marks_is_normalised_unchanged(text: str) -> None:
    if few_marks(text) == text:
        assert normal_form(text) == unicodedata.normalize("NFC", text)


def test_text_is_normalised_only_where_its_marks_are_counted() -> None:
    """`unicodedata.normalize` is quadratic in a run of marks, so only `unicode.normal_form` may call it."""
    homes = set()
    package = Path(aggregator.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("normalize", "is_normalized"):
                homes.add(str(path.relative_to(package)))
    assert homes == {"unicode.py"}
