"""Liquid in bodies of Jekyll posts (docs/spec.md#liquid)."""

from __future__ import annotations

import tracemalloc
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import processor_time

from aggregator.parse.liquid import expand_liquid
from aggregator.parse.page_links import MARK, mark_page_href

PAGE = {"title": "T", "url": "/x/", "date": datetime(2026, 1, 5, 9, 30, tzinfo=ZoneInfo("Europe/Berlin"))}
SITE = "https://example.org/blog"
UNKNOWN = MARK * 2
LONG_TEXT = "{% assign a = '        ' %}" + "{% assign a = a | append: a %}" * 19
LONG_CHAIN = (
    "{% for i in (1..1200) %}{% assign forloop = N %}{% for j in 'x' %}{% assign N = forloop %}{% endfor %}{% endfor %}"
)
LONG_LIST = (
    f"{{% assign a = '{'A' * 20_000}' | split: '@' %}}"
    "{% for i in (1..8) %}{% assign a = a | concat: a %}{% endfor %}"
)


def expand(body: str, site_url: str | None = SITE, **options: Any) -> str:
    expanded = expand_liquid(body, PAGE, site_url, **options)
    assert expanded.problems == ()
    return expanded.text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{% raw %}\n```\nKEY: ${{ vault.key }}\n```\n{% endraw %}", "\n```\nKEY: ${{ vault.key }}\n```\n"),
        ("{% raw %}{% if x %}{{ a } b {%- endraw -%}", "{% if x %}{{ a } b "),
        ("The call gives `{:ok, rows}` or `{:error, why}`.", "The call gives `{:ok, rows}` or `{:error, why}`."),
        ("a{% comment %} {{ x }} {% else %} {% if y %} {% raw %}{% endif %}{% endraw %} {% endcomment %}b", "ab"),
        ("a{% # a note %}b", "ab"),
        ("`{{ 'in code' | upcase }}`", "`IN CODE`"),
        ("a {%- if true -%} b {%- endif -%} c {{- 'd' -}} e", "abcde"),
    ],
)
def test_text_is_verbatim_where_liquid_is_not_read(body: str, text: str) -> None:
    assert expand(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{{ 'a' | upcase: }}", "A"),
        ("{{ 'a' | }}{{ 'b' || upcase }}{{ 'c' | upcase | }}", "aBC"),
        ("{{ page.title | default: }}{{ 'a' | append: 'b', }}", "Tab"),
        ("{{ page.title, page.url }}{{ page.title page.url }}{{ 'a' 'b' | upcase }}", "TTA"),
        ("{% assign a = 'x' 'y' %}{{ a }}", "x"),
        ("{% if page.title == 'T' && false %}x{% endif %}", "x"),
        ("{% if page.title == 'U' || true %}x{% endif %}", ""),
        ("{% if page.title | size > 0 %}x{% endif %}{% if false, true %}y{% endif %}", "x"),
        ("{% if page.title == 'U' | upcase or true %}x{% endif %}", "x"),
        ("{% for i in 'b,a' | split: ',' %}[{{ i }}]{% endfor %}", "[b,a]"),
        ("{% for i in page.nothing | sort %}{{ i }}{% else %}none{% endfor %}", "none"),
    ],
)
def test_what_jekyll_ignores_is_ignored(body: str, text: str) -> None:
    """As Liquid 5.4 does in the mode of Jekyll 4.3, which warns of it only."""
    assert expand(body) == text


@pytest.mark.parametrize("body", ["{% if page.title = 'T' %}x{% endif %}", "{% if not page.title %}x{% endif %}"])
def test_an_operator_that_jekyll_does_not_know_is_told(body: str) -> None:
    assert len(expand_liquid(body, PAGE, SITE).problems) == 1


def test_highlighted_code_is_one_block_with_its_language() -> None:
    body = "{% highlight C++ linenos %}\n# rows\n\n  x < 1\n{% endhighlight %}"

    assert expand(body) == '<pre><code class="language-c--"># rows&#10;&#10;  x &lt; 1</code></pre>'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("[said]({% post_url 2026-01-05-first %}#why)", f"[said]({mark_page_href('post', '2026-01-05-first')}#why)"),
        ("{% link _posts/2026-01-05-x.md %}", mark_page_href("link", "_posts/2026-01-05-x.md")),
        ("{{ site.url }}{% link a.md %}", f"https://example.org{mark_page_href('link', 'a.md')}"),
        ("{% link {{ page.file }} %}", UNKNOWN),
        ("{{ '/x' | relative_url }} {{ 'y.png' | relative_url }}", "/blog/x /blog/y.png"),
        ("{{ '/x' | absolute_url }} {{ 'https://a.example/' | absolute_url }}", f"{SITE}/x https://a.example/"),
        ("{{ site.baseurl }}/x {{ site.url }}{{ site.baseurl }}/y", f"/blog/x {SITE}/y"),
        ("[docs]({{ site.docs }}/install)", f"[docs]({UNKNOWN}/install)"),
        ("[docs]({{ site.docs | append: '/install' }})", f"[docs]({UNKNOWN})"),
        ("![map]({% include base.html %}/map.png)", f"![map]({UNKNOWN}/map.png)"),
        ("{{ page.secret }} {{ include.x }} {{ site.data.x[0] }}", f"{UNKNOWN} {UNKNOWN} {UNKNOWN}"),
    ],
)
def test_links_lead_where_the_site_would_lead_or_nowhere(body: str, text: str) -> None:
    assert expand(body) == text


def test_without_the_url_of_the_site_its_links_are_unknown() -> None:
    assert expand("{{ '/x' | relative_url }}{{ site.baseurl }}{{ 'https://a.example/' | relative_url }}", None) == (
        f"{UNKNOWN}{UNKNOWN}https://a.example/"
    )


def test_nothing_that_a_writer_types_is_taken_for_a_mark() -> None:
    assert expand(f"{{{{ 'a' }}}}{MARK}page:post:x{MARK}") == "apage:post:x"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{% if site.x %}a{% elsif page.title == 'T' %}b{% else %}c{% endif %}", "b"),
        ("{% if site.x %}a{% else %}c{% endif %}{% unless site.x %}d{% endunless %}", "cd"),
        ("{% if false and true or true %}a{% endif %}{% if 'abc' contains 'b' %}b{% endif %}", "b"),
        ("{% if site.x == 'a' %}a{% endif %}{% if page.title != 'T' %}b{% endif %}{% if 2 >= 1.5 %}c{% endif %}", "c"),
        ("{% if nil %}b{% endif %}{% if '' %}c{% endif %}", "c"),
        ("{% case page.title %}{% when 'A', 'T' %}a{% when 'T' or 'B' %}b{% else %}c{% endcase %}", "ab"),
        ("{% case site.x %}{% when 'A' %}a{% else %}c{% endcase %}", "c"),
        ("{% for i in (1..4) reversed limit: 2 offset: 1 %}{{ i }}{% endfor %}", "32"),
        ("{% for i in (1..4) limit: 2 reversed %}{{ i }}{% endfor %}", "12"),
        ("{% for i in (1..4) | sort: 'x' limit: 2, offset: 1 %}{{ i }}{% endfor %}", "23"),
        ("{% for i in (1..4) | reverse, by: 3 and more limit: %}{{ i }}{% endfor %}", "1234"),
        ("{% for i in (1..2) colour: 3 %}{{ i }}{% endfor %}", "12"),
        ("{% for i in (1..4) by: limit: 3 %}{{ i }}{% endfor %}", "1234"),
        ("{% for i in site.posts %}a{% else %}none{% endfor %}", "none"),
        ("{% for i in (1..9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "13"),
        ("{% assign x = 'a,b' | split: ',' %}{% for y in x %}{{ forloop.index }}{{ y }}{% unless forloop.last %},{% endunless %}{% endfor %}", "1a,2b"),
        ("{% for i in (1..2) %}{% for j in (1..2) %}{{ forloop.index0 }}{% endfor %}{{ forloop.first }}{% endfor %}{{ i }}", "01true01false"),
        ("{% for i in (1..2) %}{% for j in (1..2) %}{{ forloop.parentloop.index }}{{ forloop.rindex0 }} {% endfor %}{% endfor %}", "11 10 21 20 "),
        ("{% for i in (1..2) %}{{ forloop.parentloop.index }}{{ forloop.nothing }}{{ forloop[0] }}{{ i }}{% endfor %}", "12"),
        ("{% capture c %}q {{ page.title }}{% endcapture %}[{{ c }}]", "[q T]"),
        ("{% assign a = 'x y' | split: ' ' %}{{ a[1] }}{{ a.first }}{{ a.size }}{{ a.last | upcase }}", "yx2Y"),
        ("{{ page.date | date: '%-d %B %Y, %H:%M' }} {{ page.date | date_to_xmlschema }}", "5 January 2026, 09:30 2026-01-05T09:30:00+01:00"),
        ("{{ page.date }} {{ '2026-02-03' | date: '%d.%m.' }}", "2026-01-05 09:30:00 +0100 03.02."),
        ("{{ 7 | divided_by: 2 }} {{ 3 | times: 2.5 }} {{ '3' | plus: 4 }} {{ 2.5 | round }}", "3 7.5 7 3"),
        ("{{ nil }}{{ false }}{{ nothing.at.all }}{{ nothing | default: 'd' }}{{ site.x | default: 'e' }}", "falsede"),
        ("{{ 'Ab c' | slugify }} {{ 'abcdefghij' | truncate: 6 }} {{ '<b>' | escape }} {{ '<b>x' | strip_html }}", "ab-c abc... &lt;b&gt; x"),
        ("{{ 'a' | of_a_plugin }}", UNKNOWN),
        ("{{ 1 | divided_by: 0 }}{{ 999999999999999999 | times: 9 }}", UNKNOWN * 2),
        ("{{ }}{{}}", ""),
        ("{% echo page.title | append: '!' %}{% increment n %}{% increment n %}{% decrement n %}", "T!011"),
        ("{% for i in (1..3) %}{% cycle 'a', 'b' %}{% cycle 'x': 'c', 'd' %}{% endfor %}", "acbdac"),
    ],
)  # fmt: skip
def test_tags_and_filters_mean_what_they_mean_in_jekyll(body: str, text: str) -> None:
    assert expand(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{{ 'b,a,b,c,a' | split: ',' | uniq | join }}", "b a c"),
        ("{{ 'x,1' | split: ',' | push: 1 | push: 1 | uniq | size }}", "3"),
        ("{% if e == empty %}a{% endif %}{% if empty == e %}b{% endif %}{% if e != empty %}c{% endif %}{% if e == '' %}d{% endif %}", "ab"),
        ("{% if '' == empty %}a{% endif %}{% if nil == empty %}b{% endif %}{% if site.x == empty %}c{% endif %}{% if 0 == empty %}d{% endif %}", "a"),
        ("{% if '' == blank %}a{% endif %}{% if e == blank %}b{% endif %}{% if '' != blank %}c{% endif %}{% if blank %}d{% endif %}", "cd"),
        ("{% if empty == empty %}a{% endif %}{% if site == empty %}b{% endif %}{% if '' > empty %}c{% endif %}", ""),
        ("{% case '' %}{% when empty %}a{% endcase %}{% case e %}{% when 1, empty %}b{% endcase %}{% case '' %}{% when blank %}c{% endcase %}", "ab"),
        ("[{{ empty }}{{ blank }}{{ empty | default: 'd' }}]{{ empty | append: 'x' | size }}", "[]1"),
        ("[{{ 'ab' | first }}{{ 'ab' | last }}{{ 5 | first }}{{ nil | last }}{{ e | last }}]{{ (1..3) | first }}{{ (1..3) | last }}", "[]13"),
        ("{{ (1..3) }} {{ (3..1) }} {{ 1 | append: (1..2) }} {{ (1..3) | size }} {{ (1..3) | slice: 0 }}", "1..3 3..1 11..2 3 1"),
        ("{{ (1..3) | join: '-' }} {{ (1..3) | reverse | join }} {{ (1..3) | uniq }}", "1-2-3 3 2 1 123"),
        ("{{ 'soon' | date: '%Y' }} {{ 'from Friday until now' | date: '%Y' }} {{ true | date: '%Y' }} {{ 2.5 | date: '%Y' }}", "soon from Friday until now true 2.5"),
        ("[{{ '' | date: '%Y' }}{{ nil | date: '%Y' }}{{ '' | date_to_string }}{{ nil | date_to_xmlschema }}]{{ 'x' | date: '' }}", "[]x"),
        ("{{ '2026-02-03' | date: '' }} {{ '2026-02-03' | date: nil }} {{ '2026-02-03' | date: '%d' }}", "2026-02-03 2026-02-03 03"),
        ("{{ false | default: 'd', allow_false: true }} {{ false | default: 'd', allow_false: nil }} {{ false | default: 'd' }}", "false d d"),
        ("{{ nil | default: 'd', allow_false: true }} {{ e | default: 'd' }} {{ false | default: allow_false: true, 'd' }}", "d d false"),
        ("{{ 0 | default: 'd' }} {{ 'a' | default: 'd', allow_false: true }}{{ nil | default }}", "0 a"),
        ("{{ 'b,Z,z,A,a' | split: ',' | sort_natural | join }} {{ 'b' | sort_natural }}", "A a b Z z b"),
        ("{{ ab | push: 'c' }} {{ ab | unshift: 'c' }} {{ ab | pop }} {{ ab | shift }} {{ ab }} {{ e | push: 'c' }}", "abc cab a b ab c"),
        ("{{ ab | push: 'c' | pop: 2 }} {{ ab | push: 'c' | shift: 2 }} {{ ab | pop: 0 }} {{ ab | shift: 0 }}{{ ab | pop: 9 }}", "a c ab ab"),
        ("{{ 'a' | push: 'c' }}{{ 'a' | unshift: 'c' }}{{ 'a' | pop }}{{ 'a' | shift }}{{ nil | push: 'c' }}{{ (1..3) | push: 4 }}", "aaaa1..3"),
        ("{{ 'aXbXc' | replace_last: 'X', '->' }} {{ 'aXbXc' | remove_last: 'X' }} {{ 'abc' | remove_last: 'X' }}", "aXb->c aXbc abc"),
        ("{{ 'abc' | replace_last: '', '-' }} {{ 'abab' | replace_last: 'ab', 'xy' }}", "abc- abxy"),
        ("""{{ 'a"</é' | jsonify }} {{ 2.5 | jsonify }} {{ nil | jsonify }} {{ true | jsonify }}""", r""""a\"</é" 2.5 null true"""),
        ("{{ ab | jsonify }} {{ e | jsonify }}", '["a","b"] []'),
        ("{{ (1..3) | jsonify }} {{ page.date | jsonify }}", '"1..3" "2026-01-05 09:30:00 +0100"'),
        ("""{{ 'a"<#{' | inspect }} {{ 2.5 | inspect }} {{ nil | inspect }}""", r"&quot;a\&quot;&lt;\#{&quot; 2.5 nil"),
        ("{{ true | inspect }} {{ ab | inspect }}", "true [&quot;a&quot;, &quot;b&quot;]"),
        ("{{ (1..3) | inspect }} {{ page.date | inspect }}", "1..3 2026-01-05 09:30:00 +0100"),
    ],
)  # fmt: skip
def test_values_and_filters_are_those_of_jekyll(body: str, text: str) -> None:
    assert expand("{% assign e = '' | split: ',' %}{% assign ab = 'a,b' | split: ',' %}" + body) == text


@pytest.mark.parametrize(
    "expression",
    [
        *("'March' | date: '%m'", "'now' | date: '%Y'", "'10:30' | date: '%M'", "5 | date: '%Y'"),
        *("page | jsonify", "site | inspect", "'a,b' | split: ',' | push: page", "e | push: e", "e | unshift: e"),
    ],
)
def test_what_a_filter_makes_of_what_only_the_site_knows_is_unknown(expression: str) -> None:
    assert expand(f"{{% assign e = 'a' | split: ',' %}}{{{{ {expression} }}}}") == UNKNOWN


@pytest.mark.parametrize(
    ("body", "line", "column", "what"),
    [
        ("a\nb {% if x %} c", 2, 3, "'if' has no 'endif'"),
        ("a {% nope %}", 1, 3, "'nope' is no tag of Liquid or Jekyll"),
        ("a {% endif %}", 1, 3, "'endif' belongs to no block"),
        ("a {% else %}", 1, 3, "'else' belongs to no block"),
        ("{% %}", 1, 1, "a tag has no name"),
        ("a\n{{ b", 2, 1, "'{{' has no end"),
        ("a {% b", 1, 3, "'{%' has no end"),
        ("{{ a } b }}", 1, 1, "an output ends in '}'"),
        ("{% raw %} {{ a }", 1, 1, "'raw' has no 'endraw'"),
        ("{{ 'a' + b }}", 1, 1, "an output cannot be read"),
        ("{{ 'a }}", 1, 1, "an output cannot be read"),
        ("{% for %}a{% else %}b{% endfor %}", 1, 1, "'for' cannot be read"),
        ("{% for i in (1..2) limit: ) %}{% endfor %}", 1, 1, "'for' cannot be read"),
        ("{% highlight %}x{% endhighlight %}", 1, 1, "'highlight' cannot be read"),
        ("{% assign a %}", 1, 1, "'assign' cannot be read"),
        ("{{ a" + "[a" * 30 + "]" * 30 + " }}", 1, 1, "an output cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_and_shown_as_written(body: str, line: int, column: int, what: str) -> None:
    expanded = expand_liquid(body, PAGE, SITE)

    assert next(problem[:3] for problem in expanded.problems) == (line, column, what)
    assert expanded.text == body


def test_the_start_of_a_body_may_leave_blocks_open() -> None:
    assert expand("a {% if true %}b {% raw %}{{ c", is_part=True) == "a b {{ c"
    assert expand("a {{ b", is_part=True) == "a {{ b"


@pytest.mark.parametrize(
    "body",
    [
        "{{" * 500_000,
        "{%" * 500_000,
        "{{}}" * 250_000,
        "{{ a }" * 160_000,
        "{% x %}" * 150_000,
        "{% if a %}" * 100_000,
        "{% if true %}" * 1000 + "{% endif %}" * 1000,
        "{% raw %}" * 100_000,
        "{% comment %}" * 80_000,
        "{% case a %}" + "{% when b %}" * 80_000 + "{% endcase %}",
        "{{ x" + "|upcase" * 140_000 + "}}",
        "{{ a" + "[a" * 500_000 + "}}",
        "{% if a" + " or a" * 200_000 + " %}x{% endif %}",
        "{% for i in (1..100000000) %}{% endfor %}",
        "{% for i in (1..9999) %}{% for i in (1..9999) %}a{% endfor %}{% endfor %}",
        "{% assign a = 'aaaaaaaa' %}" + "{% assign a = a | append: a %}" * 60 + "{{ a }}",
        "{% assign a = 'aaaaaaaa' %}" + "{% assign a = a | replace: 'a', a %}" * 60 + "{{ a }}",
        "{% assign a = 9 %}" + "{% assign a = a | times: a %}" * 60 + "{{ a }}",
        "{% assign a = '" + "x" * 100_000 + "' %}" + "{{ a }}" * 20_000,
        "{% assign a = '" + "x" * 100_000 + "' %}" + "{{ a | upcase | size }}" * 20_000,
        "{{ (1..100000000) | join: '' | size }}",
        LONG_TEXT + "{% for i in (1..9999) %}{% cycle a: 'x' %}{% endfor %}",
        LONG_TEXT + "{% for i in (1..9999) %}{% for j in (a..0) %}{% endfor %}{% endfor %}",
        LONG_TEXT + "{% for i in (1..9999) %}{% case 1 %}{% when a %}{% endcase %}{% endfor %}",
        LONG_LIST + "{% for i in (1..9999) %}{{ a | array_to_sentence_string | size }}{% endfor %}",
        LONG_CHAIN.replace("N", "a")
        + LONG_CHAIN.replace("N", "b")
        + "{% for i in (1..9999) %}{% if a == b %}{% endif %}{% endfor %}",
        "{% assign r = (1..100000) %}{% for i in (1..9999) %}{{ r | reverse | size }}{% endfor %}",
        "{% assign r = (1..100000000) %}{% for i in (1..9999) %}{{ r | jsonify }}{% if r == empty %}{% endif %}{% endfor %}",
        "{% assign a = 'a' | split: ',' %}" + "{% assign a = a | push: a %}" * 10_000 + "{{ a | inspect }}",
        "{% assign a = 'a' | split: ',' %}{% for i in (1..99999) %}{% assign a = a | push: i %}{% endfor %}",
        LONG_LIST + "{% for i in (1..9999) %}{{ a | sort_natural | jsonify | size }}{% endfor %}",
        LONG_TEXT + "{% for i in (1..9999) %}{{ a | inspect | replace_last: a, a | size }}{% endfor %}",
        f"{{{{ '{'a' * 500_000}' | remove_last: 'b{'a' * 250_000}' | date: '%Y' | size }}}}",
        "{{ '" + "\x01" * 500_000 + "'" + " | jsonify" * 20 + " | size }}",
        "{{ '" + "<" * 500_000 + "' | strip_html }}",
        *(
            f"{{% capture x %}}{text}{{% endcapture %}}{{% for i in (1..1000) %}}{{% assign y = x | append: i | markdownify %}}"
            "{% endfor %}"
            for text in ("*a* " * 700, "[" * 1_000, "[" * 150, ">" * 40, "a|" * 100 + "\n" + "a|b\n" * 98)
        ),
        "{{ page.date | date: '" + "%B" * 200_000 + "' }}",
        "{{ " + "1" * 500_000 + " }}",
        "{{" + " " * 1_000_000 + "x}}",
    ],
    ids=lambda body: body[:24],
)
def test_no_body_takes_long_or_grows(body: str) -> None:
    with processor_time(4):
        assert len(expand_liquid(body, PAGE, SITE).text) <= 4_000_000


def test_a_list_of_one_long_text_needs_no_more_memory_than_the_text() -> None:
    tracemalloc.start()
    expand_liquid(LONG_LIST.replace("8", "14") + "{{ a }}", PAGE, SITE)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 30_000_000


_PIECES = st.sampled_from(
    "{{ }} {% %} if endif for in raw endraw comment endcomment highlight endhighlight else elsif unless endunless assign"
    " capture endcapture case when endcase link post_url include page.title x = == | append: 'a' , (1..3) [ ] - \n text".split(
        " "
    )
)


@given(st.lists(_PIECES, max_size=40).map(" ".join))
def test_any_body_gives_a_text(body: str) -> None:
    expanded = expand_liquid(body, PAGE, SITE)

    assert all(1 <= line <= body.count("\n") + 1 and column >= 1 for line, column, *_ in expanded.problems)
    if "{{" not in body and "{%" not in body:
        assert expanded.text == body
