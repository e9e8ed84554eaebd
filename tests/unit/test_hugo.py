"""Paths, cascades and patterns of Hugo; the values were read off the real one (0.168)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import as_record, as_rejection, parse_bytes, processor_time, source_of

from aggregator.config.presets import PRESETS
from aggregator.model import Record, Rejection, SourceFile
from aggregator.parse.cascade import PageContext
from aggregator.parse.hugo import read_index_name
from aggregator.parse.hugo_glob import MAX_PATTERN, Glob
from aggregator.parse.record import parse_record
from aggregator.parse.section import Section, read_section

HUGO = source_of("hugo", language="en", languages=("de",), link_template="https://example.org/{path}/")


def page(front: str, path: str = "posts/a.md", *sections: tuple[str, str], **changes: Any) -> Record | Rejection:
    """What a page gives below `_index` files, nearest first: path and front matter of each."""
    source = replace(HUGO, **changes)
    read = [read_section(f"---\n{text}\n---\n".encode(), where, source, "en") for where, text in sections]
    assert all(isinstance(section, Section) for section in read), read
    cascades = tuple(section.cascade for section in read if isinstance(section, Section) and section.cascade)
    raw = f"---\ntitle: T\n{front}\n---\n".encode()
    return parse_record(raw, SourceFile("", path, 0, 0), source, b"", context=PageContext(cascades))


def link(front: str, path: str, **changes: Any) -> str | None:
    return as_record(page(front, path, **changes)).content.link


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("posts/My Second Post.md", "posts/my-second-post"),
        ("posts/types-in-index.d.ts.md", "posts/types-in-index.d.ts"),
        ("posts/Über Größe.md", "posts/%C3%BCber-gr%C3%B6%C3%9Fe"),
        ("posts/a  b - c.md", "posts/a--b---c"),
        ("posts/a\tb.md", "posts/a-b"),
        ("posts/a&b,c'd(e)!=;:$*?[f]{g}|\"<h>^`.md", "posts/abcdefgh"),
        ("posts/a+b_c~d@e.md", "posts/a+b_c~d@e"),
        ("posts/a#b.md", "posts/a%23b"),
        ("posts/a%2520b.md", "posts/a%20b"),
        ("posts/a%25b.md", "posts/ab"),
        ("posts/ΑΣ.md", "posts/%CE%B1%CF%83"),
        ("posts/İI.md", "posts/ii"),
        ("posts/日本 語.md", "posts/%E6%97%A5%E6%9C%AC-%E8%AA%9E"),
        ("posts/u\u0308.md", "posts/u%CC%88"),
        ("posts/😀 z.md", "posts/-z"),
        ("Sec Tion & Co/A B/index.md", "sec-tion--co/a-b"),
        ("posts/a/INDEX.md", "posts/a"),
        ("posts/a.de.md", "de/posts/a"),
        ("posts/a.DE.md", "de/posts/a"),
        ("posts/a.en.md", "posts/a"),
        ("posts/a.fr.md", "posts/a.fr"),
    ],
)
def test_the_path_of_a_file_becomes_a_url_as_in_hugo(path: str, url: str) -> None:
    assert link("", path) == f"https://example.org/{url}/"


def test_the_page_of_the_whole_site_has_its_url() -> None:
    assert link("url: /x/", "index.md") == "https://example.org/"
    assert link("", "index.de.md") == "https://example.org/de/"


@pytest.mark.parametrize(
    ("slug", "url"),
    [
        ("My Slug", "posts/my-slug"),
        ("a/b/", "posts/a/b"),
        ("Ü x", "posts/%C3%BC-x"),
        ("a&b?c", "posts/abc"),
        ("x:y", "posts/xy"),
        ("''", "posts/a"),
        ("..", "posts/a"),
        ("C++ in/out", "posts/c++-in/out"),
        ("'--x y-'", "posts/x-y"),
    ],
)
def test_a_slug_is_cleaned_as_hugo_does(slug: str, url: str) -> None:
    assert link(f"slug: {slug}", "posts/a.md") == f"https://example.org/{url}/"


@pytest.mark.parametrize(
    ("front", "path", "url"),
    [
        ("title: TCP/IP basics", "a", "tcp-ip-basics"),
        ("title: 24/7 on", "a", "24-7-on"),
        ("title: C++ tips", "a", "c-tips"),
        ("title: Q&A / FAQ", "a", "qa-faq"),
        ("title: a/-/b", "a", "a---b"),
        ("title: -lead trail-", "a", "-lead-trail-"),
        ("title: 'a\\b @ c'", "a", "a-b-@-c"),
        ("title: F#", "a", "f"),
        ("title: F# and C#", "a", "f%23-and-c%23"),
        ("title: +x+", "a", "-x"),
        ("title: u\u0308", "a", "u%CC%88"),
        ("title: T\nslug: C++ in/out", "a", "c-in/out"),
        ("title: T\nslug: /-lead-", "a", "-lead"),
        ("title: T\nslug: a -- b", "a", "a--b"),
        ("title: T\nslug: ''", "a", "t"),
        ("{}", "C#", "c"),
        ("{}", "a & b", "a-b"),
        ("{}", "a  b", "a-b"),
        ("{}", "a -- b", "a--b"),
        ("{}", "x+y", "x-y"),
    ],
)
@pytest.mark.parametrize("template", ["{slug}", "{path}"])
def test_permalinks_of_a_config_clean_titles_slugs_and_names(template: str, front: str, path: str, url: str) -> None:
    fields = tuple((PRESETS["hugo"] | {"slug": ("slug", "title") if "title" in front else ()}).items())
    source = replace(HUGO, fields=fields, link_template=f"https://example.org/x/{template}/")
    outcome = as_record(parse_bytes(f"---\n{front}\n---\n".encode(), source, f"{path}.md"))
    assert outcome.content.link == f"https://example.org/x/{url}/"


def test_a_slug_of_zola_is_made_of_the_name_in_permalinks_too() -> None:
    raw = b"+++\ntitle = 'T'\n[extra]\nx = 1\n+++\n"
    source = replace(HUGO, link_template="https://example.org/{slug}/")
    outcome = as_record(parse_bytes(raw, source, "p/A+b & c.md"))
    assert outcome.content.link == "https://example.org/a-b-c/"


@pytest.mark.parametrize(
    ("front", "name", "url"),
    [
        ("title: AC/DC\nurl: /v/:slug/", "a", "v/ac-dc/"),
        ("title: AC/DC\nurl: /v/:title/", "a", "v/ac-dc/"),
        ("title: C++ tips\nurl: /v/:title/", "a", "v/c%20%20-tips/"),
        ("title: T\nslug: C# in/out-\nurl: /v/:slug/", "a", "v/c%23-in/out/"),
        ("title: T\nurl: /v/:filename/", "x+y & z", "v/x%20y-z/"),
        ("title: T\nurl: /v/:slugorfilename/", "C#", "v/c/"),
    ],
)
def test_the_tokens_of_a_stated_url_are_cleaned_once(front: str, name: str, url: str) -> None:
    outcome = as_record(parse_bytes(f"---\n{front}\n---\n".encode(), HUGO, f"p/{name}.md"))
    assert outcome.content.link == f"https://example.org/{url}"


@pytest.mark.parametrize(
    ("stated", "url"),
    [
        ("/A B/c", "A%20B/c/"),
        ("a/b", "a/b/"),
        ("/a/b.html", "a/b.html"),
        ("/old/page.php", "old/page.php"),
        ("/v1.2.3", "v1.2.3"),
        ("/a/b.c/", "a/b.c/"),
        ("/a/index.html", "a/"),
        ("/a/../b//c/", "b/c/"),
        ("/Ü", "%C3%9C/"),
        ("/a#b", "a%23b/"),
        ("/C++/", "C++/"),
        ("/x/:year/:month/:day/:slug/", "x/2024/02/03/my-title/"),
        ("/:section/:slugorcontentbasename/", "posts/a/"),
        ("/:unknown/x/", "posts/a/"),
    ],
)
def test_a_stated_url_is_complete_as_in_hugo(stated: str, url: str) -> None:
    text = f"---\ntitle: My Title\ndate: 2024-02-03\nurl: '{stated}'\n---\n"
    outcome = as_record(parse_bytes(text.encode(), HUGO, "posts/a.md"))
    assert outcome.content.link == f"https://example.org/{url}"


def test_a_relative_url_is_below_the_language_of_its_page() -> None:
    assert link("url: rel/", "posts/e.de.md") == "https://example.org/de/rel/"
    assert link("url: /abs/", "posts/e.de.md") == "https://example.org/abs/"
    assert link("aliases: [/old/]", "posts/e.md") == "https://example.org/posts/e/"


def test_zola_makes_hyphens_of_all_signs_and_takes_dates_out_of_names() -> None:
    text = '+++\ntitle = "T"\ndate = 2026-01-01\n[taxonomies]\ntags = ["x"]\n+++\n'
    read = as_record(parse_bytes(text.encode(), HUGO, "Über uns/2026-05-20-a_b.c.md"))

    assert read.content.link == "https://example.org/uber-uns/a-b-c/"


@pytest.mark.parametrize(
    ("name", "is_section", "language"),
    [
        ("index.md", False, ""),
        ("_index.de.md", True, "de"),
        ("Index.MARKDOWN", False, ""),
        ("_index.html", True, ""),
        ("index.fr.md", None, ""),
        ("index.de.x.md", None, ""),
        ("index", None, ""),
        ("index.txt", None, ""),
        ("indexes.md", None, ""),
    ],
)
def test_index_files_are_known_by_their_names(name: str, is_section: bool | None, language: str) -> None:
    found = read_index_name(name, ("de",))

    assert (found and found.is_section, found.language if found else "") == (is_section, language)


@pytest.mark.parametrize(
    ("cascade", "path", "hidden"),
    [
        ("{draft: true}", "lab/a.md", True),
        ("[{draft: true}]", "lab/a.md", True),
        ("{params: {draft: true}, draft: false}", "lab/a.md", True),
        ("[{target: {path: /lab/sub/**}, draft: true}]", "lab/sub/b.md", True),
        ("[{target: {path: /lab/sub/**}, draft: true}]", "lab/a.md", False),
        ("[{target: {path: lab/**}, draft: true}]", "lab/a.md", False),
        ("[{target: {path: /lab/a.md}, draft: true}]", "lab/a.md", False),
        ("[{target: {path: /LAB/My-Page}, draft: true}]", "lab/my page/index.md", True),
        ("[{target: {path: /lab/b}, draft: true}]", "lab/b.en.md", True),
        ("[{_target: {kind: page}, draft: true}]", "lab/a.md", True),
        ("[{target: {kind: section}, draft: true}]", "lab/a.md", False),
        ("[{target: {kind: '{page,section}'}, draft: true}]", "lab/a.md", True),
        ("[{target: {environment: development}, draft: true}]", "lab/a.md", False),
        ("[{target: {lang: de}, draft: true}]", "lab/a.md", False),
        ("[{target: {lang: fr}, draft: true}]", "lab/a.md", True),  # no language of the site: no condition
        ("[{target: {sites: {matrix: {languages: [de, en]}}}, draft: true}]", "lab/a.md", True),
        ("[{target: {unknown: x}, draft: true}]", "lab/a.md", True),
        ("[{target: {path: /lab/a}, draft: true}, {draft: false}]", "lab/a.md", True),
        ("[{draft: false}, {target: {path: /lab/a}, draft: true}]", "lab/a.md", False),
        ("{build: {list: never}}", "lab/a.md", True),
        ("{build: {render: link}}", "lab/a.md", False),
        ("{headless: true}", "lab/a.md", True),
        ("[x, {draft: true}]", "lab/a.md", True),
        ("~", "lab/a.md", False),
    ],
)
def test_a_cascade_hides_what_its_target_names(cascade: str, path: str, hidden: bool) -> None:
    outcome = as_record(page("", path, ("lab/_index.md", f"cascade: {cascade}")))

    assert outcome.public is not hidden


@pytest.mark.parametrize("other", ["", "x: &anchor y"])  # which PyYAML reads
@pytest.mark.parametrize(
    ("option", "hidden"),
    [
        ("build: {list: never}", True),
        ("build: {list: local}", True),
        ("build: {list: False}", True),
        ("build: {render: false}", True),
        ("build: {list: no}", False),
        ("build: {list: 'false'}", False),
        ("build: {render: off}", False),
        ("render: No", False),
    ],
)
def test_a_build_option_hides_a_page_in_yaml_as_hugo_reads_it(option: str, hidden: bool, other: str) -> None:
    assert as_record(page(f"{option}\n{other}")).public is not hidden


@pytest.mark.parametrize(
    ("own", "near", "far", "hidden"),
    [
        ("draft: false", "draft: true", "draft: true", False),
        ("", "draft: false", "draft: true", False),
        ("", "draft: true", "draft: false", True),
        ("", "params: {draft: false}", "draft: true", False),
        ("", "type: x", "draft: true", True),
        ("params: {draft: false}", "draft: true", "type: x", True),
        ("build: {render: always}", "build: {list: never}", "type: x", False),
        ("cascade: {draft: true}", "draft: false", "type: x", True),
        ("draft: false\ncascade: {draft: true}", "type: x", "type: x", False),
    ],
)
def test_the_nearest_front_matter_wins(own: str, near: str, far: str, hidden: bool) -> None:
    sections = [("lab/_index.md", f"cascade: {{{near}}}"), ("_index.md", f"cascade: {{{far}}}")]
    outcome = as_record(page(own, "lab/a.md", *sections))

    assert outcome.public is not hidden


def test_a_cascade_hands_down_every_field_but_an_id() -> None:
    cascade = "cascade: {id: x, tags: [a], author: Ann, params: {author: Bo}, title: X, expiryDate: 2030-01-01}"
    outcome = as_record(page("", "lab/a.md", ("lab/_index.md", cascade)))
    own = as_record(page("params: {author: Cy}\nexpiryDate: ''", "lab/a.md", ("lab/_index.md", cascade)))

    content = outcome.content
    assert (content.title, content.topics, content.provider and content.provider.name) == ("T", ("a",), "Bo")
    assert (outcome.explicit_id, outcome.expires and outcome.expires.year) == (None, 2030)
    assert (own.content.provider and own.content.provider.name, own.expires) == ("Cy", None)


def test_what_a_cascade_adds_does_not_identify_a_rename() -> None:
    plain = as_record(page("", "lab/a.md"))
    handed = as_record(page("", "lab/a.md", ("lab/_index.md", "cascade: {tags: [a], date: 2026-01-01}")))

    assert handed.content_hash == plain.content_hash
    assert handed.visible_hash != plain.visible_hash


def test_a_problem_of_an_inherited_value_names_its_file() -> None:
    outcome = as_rejection(page("", "lab/a.md", ("lab/_index.md", "cascade: {expiryDate: soon}")))

    assert str(outcome.problem).startswith(
        "lab/a.md: 'expiryDate' is not a date (in the cascade of lab/_index.md, line 2): 'soon'"
    )


@pytest.mark.parametrize(
    "cascade",
    [
        "5",
        "x",
        "{lang: de, draft: true}",
        "{path: x}",
        "[{target: x, draft: true}]",
        "[{target: {path: [/x]}, draft: true}]",
        "[{target: {path: '/lab/[a'}, draft: true}]",
        "[{target: {path: '/{a'}, draft: true}]",
        "[{target: {kind: nope}, draft: true}]",
        "[{target: {sites: {matrix: {roles: [x]}}}, draft: true}]",
        "[{target: {lang: '!de'}, draft: true}]",
        f"[{{target: {{path: '{'a' * 400}'}}, draft: true}}]",
        str([{"draft": True}] * 101),
    ],
)
def test_a_cascade_that_cannot_be_read_is_a_problem_with_its_place(cascade: str) -> None:
    problem = read_section(f"---\ntitle: x\ncascade: {cascade}\n---\n".encode(), "lab/_index.md", HUGO, "en")

    assert not isinstance(problem, Section)
    assert str(problem).startswith("lab/_index.md:3:10: 'cascade' ")


def test_a_target_that_excludes_a_language_is_named_as_such() -> None:
    raw = b"---\ncascade: [{target: {lang: '!de'}, draft: true}]\n---\n"
    problem = read_section(raw, "lab/_index.md", HUGO, "en")

    assert "'cascade' has a target that excludes languages by '!'" in str(problem)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("**", "/a/b", True),
        ("/*", "/a/b", False),
        ("/**/drafts/**", "/drafts/q", False),
        ("/**/drafts/**", "/y/drafts/q", True),
        ("**a*b", "a/ab", True),
        ("/?/q", "/x/q", True),
        ("/?q", "//q", False),
        ("/[a-c]x", "/bx", True),
        ("/[!a-c]x", "/bx", False),
        ("/{a,{b,c}d}", "/cd", True),
        ("/{a,{b,c}d}", "/d", False),
        ("/{,x[,{]}y},", "/x{y},", True),
        (r"/{a\},b}", "/a}", True),
        (r"/\*", "/*", True),
        (r"/\*", "/x", False),
        ("/A", "/a", True),
        ("", "", True),
    ],
)
def test_a_pattern_matches_as_in_hugo(pattern: str, text: str, matches: bool) -> None:
    assert Glob(pattern).matches(text) is matches


@given(st.text("ab/*", max_size=12), st.text("ab/", max_size=10))
def test_stars_match_like_a_search_of_all_ways(pattern: str, text: str) -> None:
    def matches(tokens: str, rest: str) -> bool:
        if not tokens:
            return not rest
        if tokens[0] == "*":
            tail = tokens.lstrip("*")
            ends = len(rest) if tokens.startswith("**") else (rest + "/").index("/")
            return any(matches(tail, rest[end:]) for end in range(ends + 1))
        return rest[:1] == tokens[0] and matches(tokens[1:], rest[1:])

    assert Glob(pattern).matches(text) is matches(pattern, text)


def test_no_pattern_takes_long() -> None:
    with processor_time(10):
        Glob("**a" * (MAX_PATTERN // 3)).matches("a" * 1500 + "b")
        Glob("{a*,b**}" * (MAX_PATTERN // 8)).matches("ab" * 1000)
