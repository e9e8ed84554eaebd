"""What the body of a record becomes in a feed: Markdown and HTML, addresses, players, and nothing that runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import processor_time

from aggregator.links import MAX_URL
from aggregator.parse import body
from aggregator.parse.body import render_body
from aggregator.parse.texts import player_url

BASE = "https://example.org/news/story.html"
ELEMENTS = frozenset(
    "a abbr address article aside audio b bdi bdo blockquote br caption cite code col colgroup dd del details dfn div"
    " dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main mark nav ol p picture"
    " pre q rb rp rt ruby s samp section small source span strike strong sub summary sup table tbody td tfoot th thead"
    " time tr track u ul var video wbr".split()
)
ADDRESSES = ("href", "src", "cite", "poster")
OTHERS = frozenset(
    "dir lang title alt width height sizes type media controls colspan rowspan scope span start reversed value open"
    " datetime srcset align kind srclang label default".split()
)
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Page(HTMLParser):
    """What another HTML parser sees in the output: every tag with its attributes, the text, and anything else."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.other: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_safe(markup: str) -> None:
    page = Page(markup)
    assert page.other == []
    assert not NOT_XML.search(markup)
    assert not NOT_XML.search(page.text)
    for tag, attributes in page.tags:
        assert tag in ELEMENTS
        for name, value in attributes.items():
            if (tag, name) == ("code", "class"):
                assert re.fullmatch(r"language-[A-Za-z0-9_+#-]+", value or "")
                continue
            assert name in OTHERS or name in ADDRESSES, (tag, name)
            if name in ADDRESSES:
                assert value is not None
                assert value.isascii()
                scheme = urlsplit(value).scheme
                assert scheme in ("http", "https") or (tag, name, scheme) == ("a", "href", "mailto"), value
            if name == "srcset":
                assert all(
                    candidate.split()[0].startswith(("http://", "https://")) for candidate in (value or "").split(", ")
                )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\t\n", ""),
        ("<!-- a note -->", ""),
        ("<p>&nbsp;</p><div><br></div>", ""),
        ("<script>x()</script>", ""),
        ("One\n\nTwo\nlines", "<p>One</p>\n<p>Two\nlines</p>"),
        ("# A\n\n- b\n- *c*", "<h1>A</h1>\n<ul>\n<li>b</li>\n<li><em>c</em></li>\n</ul>"),
        ("~~a~~ **b**", "<p><s>a</s> <strong>b</strong></p>"),
        ("```rust\nVec<T> & x\n```", '<pre><code class="language-rust">Vec&lt;T&gt; &amp; x\n</code></pre>'),
        (
            "|a|\n|-|\n|b|",
            "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>b</td>\n</tr>\n</tbody>\n</table>",
        ),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<div>a</br>b<br></br>c</div>", "<div>a<br>b<br><br>c</div>"),
        ("<center>a</center><CENTER>b</CENTER>", "<div>a</div><div>b</div>"),
        ("<div>a</center>b</div><center>c</div>d</center>", "<div>ab</div><div>cd</div>"),
        ("<h2>a</h3><p>b</p>", "<h2>a</h2><p>b</p>"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "<dl><dt>a</dt><dd>b</dd><dt>c</dt></dl>"),
        (
            "<table><tr><td>a<td>b<tr><td>c</table>",
            "<table><tbody><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></tbody></table>",
        ),
        ('<p class="x" id="y" style="color:red" onclick="z()" dir="rtl" lang="ar">a', '<p dir="rtl" lang="ar">a</p>'),
        ("<div><font color=red>a</font> <blink>b</blink> <x-y>c</x-y></div>", "<div>a b c</div>"),
        ("<div>a<!-- b --><?php c ?><!DOCTYPE d>e</div>", "<div>ae</div>"),
        ("<form action=/x><label>a</label><input value=b><textarea>c</textarea></form>", "a"),
        (
            "<div>a &lt;b&gt; &amp; &eacute; &#233; AT&T &copy</div>",
            "<div>a &lt;b&gt; &amp; é é AT&amp;T &amp;copy</div>",
        ),
        ("<div>a < b <</div>", "<div>a &lt; b &lt;</div>"),
        ("<div>a&#x81;b</div>", "<div>ab</div>"),
        ("<div><p><b>a<p>b</div>", "<div><p><b>a</b></p><p>b</p></div>"),
        ("<ul><li><b>a<li>b</ul>", "<ul><li><b>a</b></li><li>b</li></ul>"),
        ("<pre>\n\n a\n  b</pre>", "<pre> a\n  b</pre>"),
        ("{{< youtube x >}} {% raw %}", "<p>{{&lt; youtube x &gt;}} {% raw %}</p>"),
        ("مرحبا 漢字 👩‍👩‍👧 e\u0301", "<p>مرحبا 漢字 👩‍👩‍👧 e\u0301</p>"),
        ("a\x00\x0b\ud800&#11;&#xD800;&#xFFFE;&#0;b", "<p>a\ufffd\ufffd\ufffd\ufffd\ufffdb</p>"),
        ("<div>a&#11;&#xD800;&#xFFFE;&#0;b</div>", "<div>a\ufffd\ufffdb</div>"),
        ("<div><b>a<p>b</b>c</p>d</div>", "<div><b>a<p>b</p></b>cd</div>"),
        ("<noscript><img src=/a.png></noscript>", '<p><img src="https://example.org/a.png"></p>'),
        ("<object data=x><embed src=y>fallback</object>", "<p>fallback</p>"),
        ("<table><b>a</b><tr><td>b</table>", "a<table><tbody><tr><td>b</td></tr></tbody></table>"),
        ("[a](javascript:b) c", "<p>a c</p>"),
        ('<a name="x" title="t">b</a> <a href="/c">d</a>', '<p>b <a href="https://example.org/c">d</a></p>'),
        ("[](javascript:b)", ""),
        (
            '<a name="x"><table><tr><td><a href="https://e.example/">b</a></td></tr></table> c</a> d',
            '<table><tbody><tr><td><a href="https://e.example/">b</a></td></tr></tbody></table> c d',
        ),
        ("<img alt=x><img src=data:image/png;base64,AA>a", "<p>a</p>"),
        (
            "<video autoplay src=a.mp4></video>",
            '<p><video src="https://example.org/news/a.mp4" controls=""></video></p>',
        ),
        ("<div><audio><source src=blob:x></audio>a</div>", "<div>a</div>"),
        (
            '<video src=a.mp4><track kind=captions src=a.vtt srclang=de label="Deutsch" default><track kind=x src=b.vtt></video>',
            (
                '<p><video src="https://example.org/news/a.mp4" controls=""><track kind="captions"'
                ' src="https://example.org/news/a.vtt" srclang="de" label="Deutsch" default="">'
                '<track src="https://example.org/news/b.vtt"></video></p>'
            ),
        ),
        ("<video src=a.mp4><track></video>", '<p><video src="https://example.org/news/a.mp4" controls=""></video></p>'),
        ("<div><video><track src=a.vtt></video>a</div>", "<div>a</div>"),
        (
            (
                '<table><tr><td style="color: red; TEXT-ALIGN : Right">a<td style="text-align:start">b<td align=center>c'
                "<th align=x>d</table>"
            ),
            '<table><tbody><tr><td align="right">a</td><td>b</td><td align="center">c</td><th>d</th></tr></tbody></table>',
        ),
        (
            "a | b\n--: | :-:\n1 | 2",
            (
                '<table>\n<thead>\n<tr>\n<th align="right">a</th>\n<th align="center">b</th>\n</tr>\n</thead>\n'
                '<tbody>\n<tr>\n<td align="right">1</td>\n<td align="center">2</td>\n</tr>\n</tbody>\n</table>'
            ),
        ),
        (
            (
                f"<table><colgroup><col span=5000><col span=0><tr><td colspan=1000000 rowspan={'9' * 5000}>a"
                "<td colspan=0 rowspan=0>b<td colspan=2 rowspan=x>c</table>"
            ),
            (
                '<table><colgroup><col span="1000"><col></colgroup><tbody><tr><td colspan="1000" rowspan="65534">a</td>'
                '<td rowspan="0">b</td><td colspan="2">c</td></tr></tbody></table>'
            ),
        ),
    ],
)
def test_a_body_becomes_the_html_that_a_feed_may_show(text: str, expected: str) -> None:
    assert render_body(text, BASE) == expected


@pytest.mark.parametrize(
    ("address", "with_base", "alone"),
    [
        ("https://a.example/b?c=1&amp;d#e", "https://a.example/b?c=1&d#e", "https://a.example/b?c=1&d#e"),
        ("?a=1&copy=2", "https://example.org/news/story.html?a=1&copy=2", None),
        ("/a b/é", "https://example.org/a%20b/%C3%A9", None),
        ("../../a", "https://example.org/a", None),
        ("a/./b/../c", "https://example.org/news/a/c", None),
        ("#fn1", "https://example.org/news/story.html#fn1", None),
        ("", "https://example.org/news/story.html", None),
        ("//cdn.example/a", "https://cdn.example/a", "https://cdn.example/a"),
        (" https://a.example/\n", "https://a.example/", "https://a.example/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("mailto:a@b.example?subject=x y", "mailto:a@b.example?subject=x%20y", "mailto:a@b.example?subject=x%20y"),
        ("https://user:pass@a.example/", None, None),
        ("http://[::1", None, None),
        ("ftp://a.example/", None, None),
        ("tel:+1", None, None),
        ("java\nscript:alert(1)", None, None),
        ("data:text/html,x", None, None),
    ],
)
def test_a_url_is_absolute_or_removed(address: str, with_base: str | None, alone: str | None) -> None:
    for base, expected in ((BASE, with_base), (None, alone)):
        tags = Page(render_body(f'<div><a href="{address}">x</a></div>', base)).tags[1:]
        assert tags == ([] if expected is None else [("a", {"href": expected})])


@pytest.mark.parametrize(
    ("srcset", "expected"),
    [
        ("a.png 1x,b.png 2x", "https://example.org/news/a.png 1x, https://example.org/news/b.png 2x"),
        ("a.png, /b,c.png 640w", "https://example.org/news/a.png, https://example.org/b,c.png 640w"),
        (
            " ,, a.png,b.png , ,, c.png 2x,",
            ", ".join(f"https://example.org/news/{name}" for name in ("a.png,b.png", "c.png 2x")),
        ),
        ("a.png (1x, b.png 2x), c.png 2x", "https://example.org/news/c.png 2x"),
        ("a.png,, b.png", "https://example.org/news/a.png, https://example.org/news/b.png"),
        ("javascript:x 1x, data:y 2x", None),
        ("a.png 1x huge", None),
        (",", None),
    ],
)
def test_each_candidate_of_a_srcset_is_absolute_or_removed(srcset: str, expected: str | None) -> None:
    (tag,) = Page(render_body(f'<img src="https://a.example/" srcset="{srcset}">', BASE)).tags
    assert tag[1].get("srcset") == expected


def test_other_attributes_with_urls_are_absolute_and_mailto_is_for_links_only() -> None:
    markup = '<blockquote cite="/a">x</blockquote><video poster="/b" src="/c"></video><img src="mailto:a@b.example">y'
    tags = dict(Page(render_body(markup, BASE)).tags)
    assert tags["blockquote"] == {"cite": "https://example.org/a"}
    assert tags["video"] == {"poster": "https://example.org/b", "src": "https://example.org/c", "controls": ""}
    assert "img" not in tags


def test_a_base_url_that_is_too_long_is_not_used() -> None:
    assert render_body("[a](b)", "https://example.org/" + "x" * body.MAX_BASE) == "<p>a</p>"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (
            '<iframe src="//www.youtube.com/embed/x?a=1&amp;b=2" title="A &amp; &lt;B&gt;"></iframe>',
            '<p><a href="https://www.youtube.com/embed/x?a=1&amp;b=2">A &amp; &lt;B&gt;</a></p>',
        ),
        (
            "<iframe src=https://player.vimeo.com/video/1>no frames</iframe>",
            '<p><a href="https://player.vimeo.com/video/1">Video</a></p>',
        ),
        (
            "<p>See <iframe src='https://media.ccc.de/v/1'></iframe> now</p>",
            '<p>See <a href="https://media.ccc.de/v/1">Video</a> now</p>',
        ),
        (
            "<iframe src='https://media.ccc.de/v/1'/>\n<p>rest</p>",
            '<p><a href="https://media.ccc.de/v/1">Video</a></p>\n<p>rest</p>',
        ),
        ("<iframe src='https://media.ccc.de.evil.example/'>x</iframe><p>a</p>", "<p>a</p>"),
        ("<iframe src='javascript:x'></iframe>", ""),
        ("<iframe srcdoc='<script>x</script>'></iframe>", ""),
    ],
)
def test_an_iframe_becomes_a_link_to_a_known_player_or_is_removed(markup: str, expected: str) -> None:
    assert render_body(markup, BASE) == expected


def test_the_url_of_a_player_is_decoded_and_its_host_is_checked() -> None:
    assert player_url(" //youtube.com/embed/a?b&amp;c ") == "https://youtube.com/embed/a?b&c"
    assert player_url("https://example.org/youtube.com") is None
    assert player_url("/embed") is None


VECTORS = r'''
<script>alert(1)</script>
<SCRIPT SRC=//evil.example/x.js></SCRIPT>
<script/x>alert(1)</script >
<scr<script>ipt>alert(1)</scr</script>ipt>
<<script>script>alert(1)//<</script>
<img src=x onerror=alert(1)>
<img src="x" onerror="alert(1)"
<img/src=x/onerror=alert(1)>
<IMG SRC=`javascript:alert(1)`>
<img src=javascript:alert(1)>
<img src="jav&#x09;ascript:alert(1);">
<img src=&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)>
<img src="data:image/svg+xml;base64,PHN2Zy8+">
<img srcset="javascript:alert(1) 1x, data:x 2x" src=a>
<img """><script>alert(1)</script>">
<svg/onload=alert(1)>
<svg><script>alert(1)</script></svg>
<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>
<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
<math href="javascript:alert(1)">x</math>
<a href="javascript:alert(1)">x</a>
<a href=" &#14; javascript:alert(1)">x</a>
<a href="JaVaScRiPt:alert(1)">x</a>
<a href="vbscript:msgbox(1)">x</a>
<a href="data:text/html,<script>alert(1)</script>">x</a>
<a href="https://a.example/" ping="https://evil.example/" target=_top onmouseover=alert(1)>x</a>
<a href="x" style="background:url(javascript:alert(1))">x</a>
<iframe src="javascript:alert(1)"></iframe>
<iframe srcdoc="<script>alert(1)</script>">
<iframe src="https://evil.example@www.youtube.com/"></iframe>
<iframe src="https://www.youtube.com/&quot;onload=&quot;alert(1)" title='"><script>alert(1)</script>'></iframe>
<object data="javascript:alert(1)"></object>
<embed src="javascript:alert(1)">
<applet code=x></applet>
<form action="javascript:alert(1)"><input type=submit><button formaction=javascript:alert(1)>x</button></form>
<isindex action=javascript:alert(1) type=image>
<select><option><script>alert(1)</script></select>
<textarea><img src=x onerror=alert(1)></textarea>
<title><img src=x onerror=alert(1)></title>
<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>
<noembed><img src="</noembed><img src=x onerror=alert(1)>"></noembed>
<xmp><img src="</xmp><img src=x onerror=alert(1)>"></xmp>
<template><script>alert(1)</script></template>
<style>@import 'https://evil.example/x.css';</style>
<link rel=stylesheet href=https://evil.example/x.css>
<base href=https://evil.example/>
<meta http-equiv=refresh content="0;url=javascript:alert(1)">
<body onload=alert(1) background=javascript:alert(1)>
<table background="javascript:alert(1)"><td background=x>y</table>
<video><source onerror="alert(1)"></video>
<video src=x poster=javascript:alert(1) onloadstart=alert(1)>
<details open ontoggle=alert(1)>x</details>
<marquee onstart=alert(1)>x</marquee>
<!--[if gte IE 4]><script>alert(1)</script><![endif]-->
<!--><script>alert(1)</script>-->
<!-- --!><img src=x onerror=alert(1)> -->
<![CDATA[<script>alert(1)</script>]]>
<?xml version="1.0"?><script>alert(1)</script>
<p title="</p><script>alert(1)</script>">x</p>
<p title='"><img src=x onerror=alert(1)>'>x</p>
<a href='x"onmouseover="alert(1)'>x</a>
<plaintext><script>alert(1)</script>
[x](javascript:alert(1))
[x](JaVaScRiPt&colon;alert(1))
[x](data:text/html;base64,PHNjcmlwdD4=)
[x](<javascript:alert(1)>)
![x](javascript:alert(1))
![x](x"onerror="alert(1))
[x](x 'a"onmouseover="alert(1)')
<javascript:alert(1)>
[x]: javascript:alert(1)
`<script>alert(1)</script>`
'''


@pytest.mark.parametrize("vector", [line for line in VECTORS.splitlines() if line])
def test_attacks_are_removed(vector: str) -> None:
    for text in (vector, f"<div>{vector}</div>", f"- a {vector}\n> b {vector}", f"{vector}\n[x]"):
        for base in (BASE, None):
            assert_safe(render_body(text, base))


ANY_TEXT = st.text(st.characters(exclude_categories=()))
NAMES = [*sorted(ELEMENTS), "script", "style", "svg", "math", "iframe", "form", "font", "xmp"]
TAGS = ["<{}>", "</{}>", "<{}\n", "<{}/>", "<{} src=a href='b' title=\"c\" onx=d>"]
PIECES = (
    """<!-- --> <! <? ]]> & &lt; &#60; &#11; < > " ' = 1. # ``` ` * _ ~~ [ ] ]( ) ![ | \\ javascript:x //a.example/b"""
)
SOUP = st.lists(
    st.one_of(
        st.builds(str.format, st.sampled_from(TAGS), st.sampled_from(NAMES)),
        st.sampled_from([*PIECES.split(), "x", "漢", "\u202e", " ", "    ", "\n", "\n\n", "- ", "> ", "\n|-|-|\n"]),
        ANY_TEXT,
    ),
    max_size=40,
).map("".join)


@given(ANY_TEXT | SOUP, st.sampled_from([BASE, None]))
def test_any_text_gives_safe_markup(text: str, base: str | None) -> None:
    assert_safe(render_body(text, base))


@given(ANY_TEXT | SOUP)
def test_safe_markup_is_not_changed(text: str) -> None:
    clean = render_body(text, BASE)
    assert body._sanitise(clean, BASE) == clean


@given(ANY_TEXT)
def test_text_without_markup_is_kept(text: str) -> None:
    words = re.findall(r"[^\W_]+", text)
    assert re.findall(r"[^\W_]+", Page(render_body(" ".join(words), None)).text) == words


HOSTILE = {
    "unclosed formatting": "".join(f"<b title={number}>x" for number in range(20_000)),
    "formatting that each paragraph would open again": "<div>"
    + "".join(f"<b title={number}>" for number in range(60))
    + "<p>x</p>" * 40_000,
    "the same of list items": "<ul><li><div>" + "".join(f"<i title={n}>" for n in range(60)) + "<li>x</li>" * 33_000,
    "the same of rows": "<table>" + "".join(f"<i title={n}>" for n in range(60)) + "<tr>x</tr>" * 33_000,
    "the same of tables": "<table>" + "".join(f"<i title={n}>" for n in range(60)) + "<table>x</table>" * 20_000,
    "deep markup": "<div>" * 66_600,
    "stray end tags": "<div>" * 99 + "</b>" * 80_000,
    "links in tables in links": "<a href=x><table>" * 18_300,
    "one tag of many attributes": "<a " + " ".join(f"a{number}=b" for number in range(33_300)) + ">",
    "an unclosed quote": '<div a="' * 40_000,
    "unclosed comments": "<div><!-- -" * 30_000,
    "unclosed scripts": "<script>" * 40_000,
    "unclosed players": "<iframe>" * 40_000,
    "commas of a srcset": '<img src=a srcset="' + "," * 300_000 + '">',
    "brackets of a srcset": '<img src=a srcset="a ' + "(" * 300_000 + '">',
    "marks of a link": "[a](https://a" + "\u0301" * 76_600 + "\u0316" * 76_600 + ")",
    "marks of an image": '<img src="https://a' + "\u0301" * 76_600 + "\u0316" * 76_600 + '">',
    "marks of a srcset": '<img src=a srcset="a' + "\u0301" * 76_600 + "\u0316" * 76_600 + '">',
    "marks of a player": '<iframe src="https://a' + "\u0301" * 76_600 + "\u0316" * 76_600 + '">',
    "marks of a text": "a" + "\u0301" * 76_600 + "\u0316" * 76_600,
    "marks as references": "a" + "&#x301;" * 20_000 + "&#x316;" * 20_000,
    "candidates": '<img src=a srcset="' + "a, " * 110_000 + '">',
    "links": "<div>" + "<a href=x>y</a>" * 22_000,
    "links before candidates": "<div>" + "<a href=x>y</a>" * 20_001 + "<img src=a srcset='a 2x'>",
    "letters and commas of a srcset": "<img src=a srcset='" + ("a" + "," * 300) * 1_000 + "'>",
    "ampersands": "&" * 333_300,
    "ampersands in markup": "<div>" + "&a" * 163_300,
    "brackets": "[" * 333_300,
    "nested images": "![" * 53_300 + "a" + "](u)" * 53_300,
    "emphasis": "*a_" * 110_000,
    "backticks": "".join("`" * number + "a " for number in range(1, 1_400)),
    "deep quotes": ">" * 333_300,
    "deep lists": "- " * 166_600,
    "short list items": "- a\n" * 83_300,
    "reference definitions": "".join(f"[a{number}]: /u\n" for number in range(23_300)),
    "half a reference definition": "[a\n" * 110_000,
    "wide tables of empty cells": ("|" + "a|" * 1_000 + "\n|" + "-|" * 1_000 + "\n" + "a\n" * 64 + "\n") * 240,
    "lines": "a\n" * 166_600,
    "fences": "> ```\n" * 53_300,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_is_rendered_quickly_and_stays_small(text: str) -> None:
    with processor_time(3):
        assert len(render_body(text, BASE)) < 2_000_000


def test_a_body_has_no_long_runs_of_combining_marks_and_no_long_urls() -> None:
    marks = "\u0301" * 40
    assert render_body(f"a{marks}b &#x316;{marks}", None) == f"<p>a{marks[:30]}b \u0316{marks[:29]}</p>"
    assert render_body(f"[a](https://example.org/{'x' * MAX_URL})", None) == "<p>a</p>"


@pytest.mark.parametrize("quoted", ["> " * 100 + "deep", "[" * 60_000 + "\n\ndeep", "- " * 40 + "deep"])
def test_markdown_that_costs_too_much_is_shown_as_its_text_in_paragraphs(quoted: str) -> None:
    shown = render_body(f"first <!-- private\n\nnote -->\n\n*second* <script>x</script>\n\n{quoted}", None)
    assert shown.startswith("<p>first ")
    assert "<p>*second* " in shown
    assert "deep" in shown
    assert "private" not in shown
    assert "note" not in shown
    assert_safe(shown)


def test_text_in_markup_that_is_too_deep_or_too_much_is_kept() -> None:
    deep = render_body("<div>" * 1_000 + "here" + "</div>" * 1_000 + "<p>after</p>", None)
    assert (Page(deep).text, Page(deep).tags[-1][0]) == ("hereafter", "p")
    many = render_body("<div>" + "<b>x</b>" * (body.MAX_TAGS + 10) + "</div>", None)
    assert Page(many).text == "x" * (body.MAX_TAGS + 10)
    assert len(Page(many).tags) == body.MAX_TAGS
