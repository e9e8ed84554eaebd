"""Which lines of records may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SiteFolder
from hypothesis import example, given
from hypothesis import strategies as st

from aggregator.files.quoting import Quote, quote_line
from aggregator.model import Rejection, SourceFile
from aggregator.parse.record import parse_record
from aggregator.problems import Problem
from aggregator.settings import Source

SECRET = "xyzzycanary"
SYNTAX = "front matter is not valid YAML"


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    root = tmp_path_factory.mktemp("quotes")
    return SiteFolder(root, f"sqlite:///{root}/a.db").load_config().sources[0]


def quote(
    source: Source, text: str, line: int, column: int, what: str = SYNTAX, value: str | None = None
) -> Quote | None:
    Path(source.root).mkdir(exist_ok=True)
    Path(source.root, "a.md").write_text(text)
    return quote_line(source, Problem("a.md", line, column, what, value))


def test_a_line_is_shown_with_a_caret_below_the_column(source: Source) -> None:
    found = quote(source, "---\ntopics: [AI]\ntitle: A @b\n---\n", 3, 9)
    assert found == Quote("title: A @b", "        ^")
    wide = quote(source, "---\ntitle: 日本 @b\n---\n", 2, 11)
    assert wide == Quote("title: 日本 @b", "            ^")
    url = "link: https://example.org/at 10:30:00"
    assert quote(source, f"---\n{url}\n---\n", 2, 1) is None, "webUrl is the key of the preset"
    assert quote(source, f"---\nwebUrl: {url[6:]}\n---\n", 2, 1) == Quote(f"webUrl: {url[6:]}", "^")


def test_a_value_that_the_message_shows_is_shown_in_its_line(source: Source) -> None:
    text = "---\nprovider:\n  domain: 'a b'\n---\n"
    what = "'domain' is not a host name"
    assert quote(source, text, 3, 11, what, "a b") == Quote("  domain: 'a b'", "          ^")
    assert quote(source, text, 3, 11, "'name' is wrong", "a b") is None
    assert quote(source, text, 3, 11, what, "a") is None
    assert quote(source, text.replace("'a b'", "'a b' # x"), 3, 11, what, "a b") is None


def test_a_line_with_a_password_is_not_shown(source: Source) -> None:
    assert quote(source, "---\nwebUrl: https://user:sekrit@a.example/\n---\n", 2, 9) is None


def test_a_long_line_is_cut_around_the_column(source: Source) -> None:
    found = quote(source, f"---\ntitle: {'a' * 150}@ {'b' * 150}\n---\n", 2, 158)
    assert found is not None
    assert found.text[len(found.mark) - 1] == "@"
    assert (found.text[0], found.text[-1], len(found.text)) == ("…", "…", 74)
    assert quote(source, f"---\ntitle: {'a' * 500}\n---\n", 2, 8) is None


@pytest.mark.parametrize(
    "text",
    [
        f"---\n{SECRET}: a\n---\n",
        f"---\nsecured: {SECRET}\n---\n",
        f"---\ntitle: {{a: {SECRET}\n---\n",
        f"---\ntopics: [{SECRET}\n---\n",
        f"---\ntitle: x # {SECRET}\n---\n",
        f'---\ntitle: "x", "note": {SECRET}\n---\n',
        f"---\ntitle: x note: {SECRET}\n---\n",
        f"---\ntitle:{SECRET}: x\n---\n",
        f"---\n---\ntitle: {SECRET}\n",
        f'+++\ntitle = "x" note = "{SECRET}"\n+++\n',
        f"---\ntitle: *{SECRET}\n---\n",
        f"---\n  title: {SECRET}\n---\n",
        f"+++\ntitle: {SECRET}\n+++\n",
        f"---\ntitle = {SECRET}\n---\n",
        f"\ntitle: {SECRET}\n",
        f'{{"title": "{SECRET}\n"title": "{SECRET}"}}\n',
    ],
)
def test_other_lines_are_not_shown(source: Source, text: str) -> None:
    assert [quote(source, text, line, 1) for line in (1, 2, 3)] == [None] * 3


def test_a_line_within_the_value_of_another_key_is_not_shown(source: Source) -> None:
    for opening in ("secured: {", "secured: [", 'secured: "', "secured: '", "note: !!", "note: &a *b"):
        assert quote(source, f"---\n{opening}\ntitle: {SECRET}\n---\n", 3, 8) is None, opening
    assert quote(source, f'+++\n[secured]\ntitle = "{SECRET}\n+++\n', 3, 9) is None
    assert quote(source, '+++\nauthor = "x"\ntitle = "a\n+++\n', 3, 9) == Quote('title = "a', "        ^")


# Pieces of front matter; a secret is only where no mapped key holds it on a line of its own.
PIECES = (
    "title: A: b", "title: A", 'title: "', "topics:", "  - AI", "- AI", "summary: |", "summary: >", "  text", "{", "}", "]",
    f"secured: {SECRET}", "secured: {", "secured: |", 'secured: "', "secured: [", f"  title: {SECRET}", f" title: {SECRET}",
    f"{SECRET}: x", f"note: [{SECRET},", f"  {SECRET}", f'"title": {SECRET}', f"? {SECRET}", "? secured", f": {SECRET}",
    f"title: {{x: {SECRET}}}", "'", '"', "...", "---", "", "# c", "&a", "!!x", f"- title: {SECRET}",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=7), st.sampled_from(["---", "+++"]), st.integers(1, 20))
@example(["secured: |", "title: A: b"], "---", 8)
def test_no_arrangement_of_lines_shows_what_is_not_public(
    source: Source, pieces: list[str], fence: str, column: int
) -> None:
    text = "\n".join((fence, *pieces, fence, ""))
    for line in range(1, len(pieces) + 3):
        found = quote(source, text, line, column)
        assert found is None or SECRET not in found.text


# What ends a line for some program, or is not seen in one; and what people write between two keys.
BETWEEN = (
    *"\r\n\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e\0\x1b\x7f\ufeff\u200b\u202e\xa0\u3000\t ", "\r\n", "", ", ", "; ", ",", "\\\n",
    " \\", " | ", "\n? ", "\x85? ", "\r\r", " - ", "\n...\n", "\r---\r", "\n# c\n",
)  # fmt: skip
KEYS = {
    "---": ("title: x", "published: maybe", "publishedDateTime: soon", "title:", "topics: [AI", "webUrl: @", "title: x: y"),
    "+++": ('title = "x"', 'published = "maybe"', "published = maybe", "title =", 'topics = ["AI"', "[provider]", "title"),
    "{": ('"title": "x"', '"published": "maybe"', '"published": maybe', '"title":', '"topics": ["AI"', "published: maybe"),
}  # fmt: skip
SECRETS = {
    "---": (f"secured: {SECRET}", f"{SECRET}: x", f'"note": {SECRET}', f"note: {SECRET}", f"note : {SECRET}", f"a.b: {SECRET}"),
    "+++": (f'secured = "{SECRET}"', f"{SECRET} = 1", f'"note" = "{SECRET}"', f"note={SECRET}", f"[{SECRET}]"),
    "{": (f'"secured": "{SECRET}"', f'"{SECRET}": 1', f'"note":"{SECRET}"', f"note: {SECRET}", f"'note': {SECRET}"),
}  # fmt: skip


@given(st.data(), st.sampled_from(sorted(KEYS)), st.integers(1, 20))
def test_no_sign_between_two_keys_shows_a_key_that_is_not_mapped(
    source: Source, data: st.DataObject, fence: str, column: int
) -> None:
    keys, secrets = st.sampled_from(KEYS[fence]), st.sampled_from(SECRETS[fence])
    parts = data.draw(st.lists(st.one_of(keys, secrets), min_size=2, max_size=5))
    between = [data.draw(st.sampled_from(BETWEEN)) for _ in parts]
    inner = "".join(f"{part}{sign}" for part, sign in zip(parts, between, strict=True))
    text = (
        data.draw(st.sampled_from(["", "\ufeff", "\n", "\r", "\u2028"]))
        + f"{fence}\n{inner}\n{'}' if fence == '{' else fence}\n"
    )
    raw = text.encode()
    outcome = parse_record(raw, SourceFile(source.name, "a.md", 0, 0), source, b"")
    found = [outcome.problem] if isinstance(outcome, Rejection) else list(outcome.warnings)
    found += [
        Problem("a.md", line, column, what, "maybe")
        for line in range(1, 12)
        for what in (SYNTAX, "'published' is wrong")
    ]
    Path(source.root).mkdir(exist_ok=True)
    Path(source.root, "a.md").write_bytes(raw)
    for problem in found:
        assert SECRET not in f"{problem.data()}{quote_line(source, problem)}"


def test_only_a_regular_file_of_the_allowed_size_is_read(source: Source) -> None:
    text = "---\ntitle: A @b\n---\n"
    assert quote(source, text, 2, 9)
    assert quote(source, text, 9, 9) is None
    assert quote(source, text, 2, 99) is None
    assert quote(source, text + "x" * source.max_bytes, 2, 9) is None
    assert quote_line(source, Problem("none.md", 2, 9, SYNTAX)) is None
    assert quote_line(source, Problem("", 2, 9, SYNTAX)) is None
