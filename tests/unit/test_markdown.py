"""Markdown as Hugo, Zola and Jekyll have it (docs/spec.md#bodies-of-site-generators)."""

from __future__ import annotations

import re

import pytest
from parsing import processor_time

from aggregator.parse.body import render_body
from aggregator.settings import Layout

BASE = "https://example.org/post/"


@pytest.mark.parametrize(
    ("layout", "text", "expected"),
    [
        ("hugo", "## Why {#why .x a=b}", "<h2>Why</h2>"),
        ("hugo", "## Sets {a, b}", "<h2>Sets {a, b}</h2>"),
        ("hugo", "## In `{#code}`", "<h2>In <code>{#code}</code></h2>"),
        ("plain", "## Why {#why}", "<h2>Why {#why}</h2>"),
        ("jekyll", "## Why {#why}", "<h2>Why</h2>"),
        ("hugo", "Term\n: What it is", "<dl>\n<dt>Term</dt>\n<dd>What it is</dd>\n</dl>"),
        ("jekyll", "- [ ] open\n- [x] done", "<ul>\n<li>☐ open</li>\n<li>☑ done</li>\n</ul>"),
        ("plain", "- [ ] open", "<ul>\n<li>[ ] open</li>\n</ul>"),
        ("hugo", "$a_1*b*c$ and \\(x*y*z\\)", "<p>$a_1*b*c$ and \\(x*y*z\\)</p>"),
        ("hugo", "For $5 *and* $6", "<p>For $5 <em>and</em> $6</p>"),
        ("hugo", "$$\na\n=\nb*c*d\n$$", "<p>$$\na\n=\nb*c*d\n$$</p>"),
        ("jekyll", "$$a*b*c$$ and $a*b*c$", "<p>$$a*b*c$$ and $a<em>b</em>c$</p>"),
        ("hugo", "~one~ and ~~two~~", "<p><s>one</s> and <s>two</s></p>"),
        ("hugo", "<<here>>", "<p>&lt;&lt;here&gt;&gt;</p>"),
        (
            "hugo",
            "See https://a.example/b_c_d. Or www.b.example, or you@c.example.",
            (
                '<p>See <a href="https://a.example/b_c_d">https://a.example/b_c_d</a>. Or'
                ' <a href="https://www.b.example">www.b.example</a>, or'
                ' <a href="mailto:you@c.example">you@c.example</a>.</p>'
            ),
        ),
        (
            "hugo",
            '<a href="https://a.example/">https://a.example/</a> `https://b.example`',
            '<p><a href="https://a.example/">https://a.example/</a> <code>https://b.example</code></p>',
        ),
        ("jekyll", "See https://a.example/b", "<p>See https://a.example/b</p>"),
        (
            "hugo",
            "看 https://a.example/b，再看",
            '<p>看 <a href="https://a.example/b">https://a.example/b</a>，再看</p>',
        ),
        ("hugo", "[https://a.example/b]", '<p>[<a href="https://a.example/b">https://a.example/b</a>]</p>'),
        (
            "hugo",
            "https://a.example/b’s https://c.example/?d=e…",
            (
                '<p><a href="https://a.example/b">https://a.example/b</a>’s'
                ' <a href="https://c.example/?d=e">https://c.example/?d=e</a>…</p>'
            ),
        ),
        (
            "hugo",
            "At http://müller.example/ and http://localhost:80",
            "<p>At http://müller.example/ and http://localhost:80</p>",
        ),
        ("hugo", "## Title ## {#id}", "<h2>Title</h2>"),
        ("jekyll", "## Title ## {#id}", "<h2>Title</h2>"),
        ("hugo", "## Title ##{#id}", "<h2>Title</h2>"),
        ("hugo", "## C# {#c}", "<h2>C#</h2>"),
        ("hugo", "> ## Title {#id} ##", "<blockquote>\n<h2>Title {#id}</h2>\n</blockquote>"),
        ("jekyll", "## Title {#id} ##", "<h2>Title {#id}</h2>"),
        ("hugo", "Title ## {#id}\n---", "<h2>Title ##</h2>"),
    ],
)
def test_a_system_has_its_own_markdown(layout: Layout, text: str, expected: str) -> None:
    assert render_body(text, BASE, layout) == expected


@pytest.mark.parametrize("layout", ["hugo", "jekyll"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One\nTwo\n: What", "<dl> <dt>One</dt> <dt>Two</dt> <dd>What</dd> </dl>"),
        ("One\n*Two*\n\n: What\n: else", "<dl> <dt>One</dt> <dt><em>Two</em></dt> <dd>What</dd> <dd>else</dd> </dl>"),
        (
            "One\n: What\n\nTwo\nThree\n: else\n\nText.",
            "<dl> <dt>One</dt> <dd>What</dd> <dt>Two</dt> <dt>Three</dt> <dd>else</dd> </dl> <p>Text.</p>",
        ),
        (
            "One\nTwo\n: What\n\n    more\n: else",
            "<dl> <dt>One</dt> <dt>Two</dt> <dd> <p>What</p> <p>more</p> </dd> <dd> <p>else</p> </dd> </dl>",
        ),
        (
            "One\n# Head\nTwo\nThree\n: What",
            "<p>One</p> <h1>Head</h1> <dl> <dt>Two</dt> <dt>Three</dt> <dd>What</dd> </dl>",
        ),
        ("> One\n> Two\n> : What", "<blockquote> <dl> <dt>One</dt> <dt>Two</dt> <dd>What</dd> </dl> </blockquote>"),
        ("One\nTwo\n  : What", "<dl> <dt>One</dt> <dt>Two</dt> <dd>What</dd> </dl>"),
        ("One\nTwo\n:What", "<p>One Two :What</p>"),
    ],
)
def test_definitions_can_have_several_terms(layout: Layout, text: str, expected: str) -> None:
    assert " ".join(render_body(text, BASE, layout).split()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "| op | means |\n|----|-------|\n| `a|b` | or |\n| `a||b` | or else |",
            "<thead> op | means <tbody> <code>a|b</code> | or / <code>a||b</code> | or else",
        ),
        ("| `a|b` | x |\n|--|--|\n| c | d |", "<thead> <code>a|b</code> | x <tbody> c | d"),
        (
            "| ``a|`b`` | x |\n|--|--|\n| c `d\\|e` f \\| g | <code>x|y</code> |",
            "<thead> <code>a|`b</code> | x <tbody> c <code>d\\|e</code> f | g | <code>x|y</code>",
        ),
        ("Header | B\n- | -\nx | y", "<thead> Header | B <tbody> x | y"),
        ("| a | b |\n|--|--|\n| c | d |\n|==|==|\n| e | f |", "<thead> a | b <tbody> c | d <tfoot> e | f"),
        ("| a | b |\n|===\n| e | f |", "<tbody> a | b <tfoot> e | f"),
        ("|---\n| a | b\n|-|-\n| c | d\n|-|-\n| e\n{: .x}", "<thead> a | b <tbody> c | d <tbody> e | "),
        ("| a | b |\n|--|--|\n| c | d | more |", "<thead> a | b |  <tbody> c | d | more"),
        ("# H\n| a |\n|--|\n| `b|c` |", "<h1>H</h1> <thead> a <tbody> <code>b|c</code>"),
        ("> a | b\n> -|-\n> c | d", "<blockquote> <thead> a | b <tbody> c | d </blockquote>"),
        ("Text\n| a | b |\n|--|--|\n| c | d |", "<p>Text</p> <thead> a | b <tbody> c | d"),
        ("a ` b | c ` d\n-|-\ne | f", "<thead> a ` b | c ` d <tbody> e | f"),
    ],
)
def test_tables_of_kramdown(text: str, expected: str) -> None:
    shown = render_body(text, BASE, "jekyll")
    for old, new in (("</td>\n<td>", " | "), ("</th>\n<th>", " | "), ("</tr>\n<tr>", " / ")):
        shown = shown.replace(old, new)
    shown = re.sub(r"</?(?:table|td|th|tr)>|</(?:thead|tbody|tfoot)>", "", shown)
    assert shown.split() == expected.split()


def test_columns_of_kramdown_are_aligned_by_the_line_below_the_head() -> None:
    shown = render_body("| a | b | c |\n|:-:|--:|---|\n| `d|e` | f | g |", BASE, "jekyll")
    aligned = [' align="center"', ' align="right"', ""]
    assert re.findall(r"<(t[hd]\b[^>]*)>", shown) == [tag + align for tag in ("th", "td") for align in aligned]


@pytest.mark.parametrize("layout", ["hugo", "jekyll"])
def test_footnotes_are_numbered_marks_and_a_list_at_the_end(layout: Layout) -> None:
    text = "One.[^b] Two.[^a] One again.[^b] [^none]\n\n[^a]: Second.\n\n[^b]: *First*.\n\n[^unused]: Never."
    assert render_body(text, BASE, layout) == (
        "<p>One.<sup>1</sup> Two.<sup>2</sup> One again.<sup>1</sup> [^none]</p>\n<hr>\n<ol>\n"
        "<li><p><em>First</em>.</p>\n</li>\n<li><p>Second.</p>\n</li>\n</ol>"
    )


@pytest.mark.parametrize(
    ("language", "kept"),
    [
        ("python", ' class="language-python"'),
        ("c++", ' class="language-c++"'),
        ("rust {linenos=1}", ' class="language-rust"'),
        ("{.python}", ""),
        ("x" * 41, ""),
    ],
)
def test_code_keeps_its_language(language: str, kept: str) -> None:
    assert render_body(f"```{language}\nx\n```", BASE) == f"<pre><code{kept}>x\n</code></pre>"


def test_no_other_class_is_kept() -> None:
    text = '<p class="language-x">a</p>\n\n<code class="evil language-go more">b</code>'
    assert render_body(text, BASE) == '<p>a</p>\n<p><code class="language-go">b</code></p>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The call gives `{:ok, rows}` or `{:error, why}`.",
            "<p>The call gives <code>{:ok, rows}</code> or <code>{:error, why}</code>.</p>",
        ),
        (
            "*a*{: .x} `b`{:.y} [c](/d){:target='_blank'}",
            '<p><em>a</em> <code>b</code> <a href="https://example.org/d">c</a></p>',
        ),
        ("In text {: .x} it stays.", "<p>In text {: .x} it stays.</p>"),
        ("{: .before}\nText.\n{: .after}", "<p>Text.</p>"),
        ("* {:.x} item", "<ul>\n<li>item</li>\n</ul>"),
        ("Before.\n\n* TOC\n{:toc}\n\nAfter.", "<p>Before.</p>\n<p>After.</p>"),
        ("* Kept\n{:.no_toc}", "<ul>\n<li>Kept</li>\n</ul>"),
        ("One.\n\n{::comment}\nHidden.\n\nToo.\n{:/comment}\n\nTwo.", "<p>One.</p>\n<p>Two.</p>"),
        ("One {::comment}hidden{:/} {::nomarkdown}*x*{:/} two.", "<p>One  *x* two.</p>"),
        ('{::options parse_block_html="true" /}\n\nText.', "<p>Text.</p>"),
        ("*[HTML]: Hyper Text\n\nThe HTML.", "<p>The HTML.</p>"),
        ("One\n^\ntwo", "<p>One</p>\n<p>two</p>"),
        ("One\\\\\ntwo", "<p>One<br>\ntwo</p>"),
        ("1) one\n2) two", "<p>1) one\n2) two</p>"),
        ("<div>\n\n    <p>Inner *text*</p>\n\n</div>", "<div>\n\n    <p>Inner *text*</p>\n\n</div>"),
        (
            "Use `<p class=` to begin. It's fine.\n\n<div>\n\n    <i>in</i>\n\n</div>",
            "<p>Use <code>&lt;p class=</code> to begin. It's fine.</p>\n<div>\n\n    <i>in</i>\n\n</div>",
        ),
        ('<div markdown="1">\n*x*\n</div>', "<div>\n<p><em>x</em></p>\n</div>"),
        ('<p markdown="1">*x*</p>', "<p>\n<em>x</em></p>"),
        ("<div>\n\n*x*", "<div>\n<p><em>x</em></p>\n</div>"),
        (
            "| 1 | `a|b` |\n| 2 \\| | 3 |",
            (
                "<table>\n<tbody>\n<tr>\n<td>1</td>\n<td><code>a|b</code></td>\n</tr>\n"
                "<tr>\n<td>2 |</td>\n<td>3</td>\n</tr>\n</tbody>\n</table>"
            ),
        ),
        (
            "a ` b | c ` d",
            "<table>\n<tbody>\n<tr>\n<td>a ` b</td>\n<td>c ` d</td>\n</tr>\n</tbody>\n</table>",
        ),
        ("a`b | c ` d", "<p>a<code>b | c </code> d</p>"),
        ("a `|` b", "<p>a <code>|</code> b</p>"),
        (
            "**注意：**请。他说**“好”**了，*斜体。*文字",
            "<p><strong>注意：</strong>请。他说<strong>“好”</strong>了，<em>斜体。</em>文字</p>",
        ),
        ("- **Key:**value, 2 * 3 * 4", "<ul>\n<li><strong>Key:</strong>value, 2 * 3 * 4</li>\n</ul>"),
        (
            "![s](/a/Shot 2026 at 10.png) and [f](/my file (1).pdf 'The file').",
            (
                '<p><img src="https://example.org/a/Shot%202026%20at%2010.png" alt="s"> and'
                ' <a href="https://example.org/my%20file%20(1).pdf" title="The file">f</a>.</p>'
            ),
        ),
        ("[a](/b c", "<p>[a](/b c</p>"),
        (
            "[a](<b c>) [e](/f\\_g)",
            '<p><a href="https://example.org/post/b%20c">a</a> <a href="https://example.org/f_g">e</a></p>',
        ),
        ("## One | two", "<h2>One | two</h2>"),
        ("# One\ntwo | three", "<h1>One</h1>\n<p>two | three</p>"),
        (
            "> one | two",
            "<blockquote>\n<table>\n<tbody>\n<tr>\n<td>one</td>\n<td>two</td>\n</tr>\n</tbody>\n</table>\n</blockquote>",
        ),
    ],
)
def test_what_only_kramdown_reads(text: str, expected: str) -> None:
    assert render_body(text, BASE, "jekyll") == expected


def test_a_link_to_a_page_by_its_file_is_a_page_link() -> None:
    assert render_body("[a](@/blog/b.md#c) ![i](@/x.md)", BASE, "hugo") == (
        '<p><a href="page:zola:%40/blog/b.md#c">a</a> </p>'
    )


@pytest.mark.parametrize(
    "link",
    [
        "[x](page:hugo:a.md)",
        "<a href='page:hugo:a.md'>x</a>",
        "<a href='&#112;age:hugo:a.md'>x</a>",
        "<a href='pa\tge:hugo:a.md'>x</a>",
        "<a href='\ufffepage:hugo:a.md'>x</a>",
        "<page:hugo:a.md>",
        "<area href='page:hugo:a.md'><img src='page:hugo:a.md'>",
    ],
)
def test_no_writer_can_make_a_page_link(link: str) -> None:
    assert 'href="page:' not in render_body(link, BASE, "hugo").replace("\ufffe", "")


TEXTS = {
    "marks of footnotes": "[^1]: x\n\n" + "[^" * 166_600,
    "references to a footnote": "[^1]: x\n\n" + "[^1]" * 83_300,
    "footnotes": "".join(f"[^{number}]: x\n\n" for number in range(26_600)),
    "nested footnotes": "[^1]: " * 56_600,
    "dollars": "$a" * 166_600,
    "formulas without an end": "a \\( b \\[ " * 33_300,
    "display formulas": "$$ a\n" * 66_600,
    "attribute lists": "*a*{:a " * 46_600,
    "lines of attribute lists": "{: .a}\n" * 46_600,
    "tables of contents": "* a\n{:toc}\n\n" * 26_600,
    "comments without an end": "{::comment}\n\n" * 25_000,
    "elements without an end": "<div>\n\n" * 46_600,
    "elements in elements": '<div markdown="1">\n\n' * 8_300 + "</div>\n" * 8_300,
    "definitions": "a\n: b\n\n" * 40_000,
    "nested definitions": "a\n" + ": " * 166_600,
    "attributes of headings": "# a" + " {#b}" * 66_300,
    "an unclosed attribute": "# a {" + " a=b" * 83_000 + "}",
    "quotes of elements without an end": '<div a="' * 40_000,
    "comments in a line without an end": "a{::comment}" * 26_000,
    "comments in a line": "a{::comment}b{:/}" * 18_000,
    "definitions of several terms": "a\nb\nc\n: d\n\n" * 25_000,
    "terms without a definition": "a\n" * 99 + ("a\n: b\n# c\n" * 25_000),
    "heads of tables": "a | b\n-|-\n# |\n" * 22_000 + "x",
    "heads of tables with a body": "a | b\n-|-\nc | d\n# |\n" * 15_000,
    "ticks in cells": "".join("`" * number + "a | " for number in range(800, 0, -1)),
    "code in cells": "a | " + "<code>" * 50_000,
    "code in cells with one end": "a | " + "<code>" * 50_000 + "</code>",
    "tags in cells without an end": "a | " + "<code " * 50_000,
    "wide tables": ("|" + "a|" * 1_000 + "\n|" + "-|" * 1_000 + "\n" + "|a\n" * 64 + "\n") * 80,
    "bare URLs": "https://a.b/ " * 25_300,
    "mail": "a.b+c@" * 53_300,
    "stars": "*（a" * 100_000,
    "URLs with blanks": "[a](b (c " * 40_000,
    "bars": "|a" * 166_600,
    "lines of bars": "a | b\n" * 53_300,
}


@pytest.mark.parametrize("layout", ["hugo", "jekyll"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_markdown_takes_little_time(layout: Layout, text: str) -> None:
    with processor_time(4):
        assert len(render_body(text, BASE, layout)) < 2_000_000
