"""Shortcodes of Hugo and Zola in a body (docs/spec.md#bodies-of-site-generators)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import processor_time

from aggregator.parse.body import render_body
from aggregator.parse.page_links import MARK, mark_page_href
from aggregator.parse.shortcodes import MAX_DEPTH, expand_shortcodes
from aggregator.parse.template import MAX_PROBLEMS

KNOWN = {"title": "The title", "date": 5}


def expand(body: str) -> str:
    expanded = expand_shortcodes(body, KNOWN)
    assert expanded.problems == ()
    return expanded.text


def render(body: str) -> str:
    return render_body(expand(body), "https://example.org/post/", "hugo")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("A {{< note >}}*in*{{< /note >}} b {{< tip x=1 >}}c", "A *in* b c"),
        ("{{% note %}}*in*{{% / note %}}", "*in*"),
        ("{{< a >}}1{{< b >}}2{{< /b >}}3{{< c >}}4{{< /a >}}", "1234"),
        ("{{< a >}}{{< a >}}x{{< /a >}}y{{< /a >}}", "xy"),
        ("a\n{{< note >}}\nb\n{{< /note >}}\nc", "a\n\n\nb\n\n\nc"),
        ("{{< note />}}x{{<note/>}}y{{< my/own.note-2 >}}z", "xyz"),
        ('{{< n "a >}} \\" b" `c >}} d` e-f key="g h" k=i\n\tj >}}x', "x"),
        ('{{</* note "tip" */>}} {{%/* note */%}} {{</* /note */>}}', '{{< note "tip" >}} {{% note %}} {{< /note >}}'),
        (
            "{{/* no comment here */}} {{ .Title }} ${{ secrets.key }} {{",
            "{{/* no comment here */}} {{ .Title }} ${{ secrets.key }} {{",
        ),
        ("{{< comment >}}hidden{{< /comment >}}x", "x"),
        (
            '{{< param title >}} {{< param "Title" >}} {{< param name=title >}} {{< param date >}}{{< param other >}}',
            "The title The title The title ",
        ),
        ('[a]({{< relref "first.md#why" >}})', f"[a]({mark_page_href('hugo', 'first.md#why')})"),
        ('[a]({{% ref path="/b/c.md" lang="de" %}})', f"[a]({mark_page_href('hugo', '/b/c.md')})"),
        ('[a]({{< ref "#why" >}})', "[a](#why)"),
        ("{{ mark(a=\"b\", c=1, d=[1, 2]) }}x {% quote(by='c') %}in{% end %}", "x in"),
        ("{% a() %}1{% b(x=true) %}2{% end %}3{% end %}", "123"),
        ('{{/* mark(a="b") */}} {%/* quote() */%}x{%/* end */%}', '{{ mark(a="b") }} {% quote() %}x{% end %}'),
        ('`{{ config(x="y") }}` ``{{ a() }} ` {{ b() }}``', '`{{ config(x="y") }}` ``{{ a() }} ` {{ b() }}``'),
        ('```\n{{ lookup("env") }}\n```\n{{ a() }}', '```\n{{ lookup("env") }}\n```\n'),
        ("> ~~~ x\n> {{ a() }}\n> ```\n> ~~~\n{{ b() }}", "> ~~~ x\n> {{ a() }}\n> ```\n> ~~~\n"),
        ("an ` open tick\n\n{{ a() }} and `", "an ` open tick\n\n and `"),
        ("`{{< own >}}` {{< own >}}", "`{{< own >}}` "),
        ("{% if page %}{% endif %} {%", "{% if page %}{% endif %} {%"),
    ],
)
def test_shortcodes_are_replaced(body: str, text: str) -> None:
    assert expand(body) == text


@pytest.mark.parametrize(
    ("body", "html"),
    [
        (
            '{{< highlight python "linenos=true" >}}\n# rows *that* are short\n\n<b>\n{{< /highlight >}}\nText',
            '<pre><code class="language-python"># rows *that* are short\n\n&lt;b&gt;</code></pre>\n<p>Text</p>',
        ),
        (
            "- a\n\n  {{< highlight go >}}\n  x\n\n  y\n  {{< /highlight >}}\n- b",
            '<ul>\n<li>\n<p>a</p>\n<pre><code class="language-go">  x\n\n  y\n  </code></pre>\n</li>\n<li>\n<p>b</p>\n</li>\n</ul>',
        ),
        (
            '{{< figure src="map.png" alt="The *map*" title="T" caption="C *x*" link="/l" attr="by" attrlink="/al" >}}',
            (
                '<figure><a href="https://example.org/l"><img src="https://example.org/post/map.png" alt="The *map*"></a>'
                '<figcaption><h4>T</h4><p>C <em>x</em> <a href="https://example.org/al">by</a></p></figcaption></figure>'
            ),
        ),
        ("{{< youtube abc >}}", '<p><a href="https://www.youtube.com/embed/abc">Video</a></p>'),
        ('{{ youtube(id="abc") }}', '<p><a href="https://www.youtube.com/embed/abc">Video</a></p>'),
        (
            '{{< vimeo id=1 title="A *b*" >}}',
            '<p><a href="https://player.vimeo.com/video/1">A *b*</a></p>',
        ),
        (
            "{{< gist user 123 >}}",
            '<p><a href="https://gist.github.com/user/123">https://gist.github.com/user/123</a></p>',
        ),
        (
            '{{< x user="a_b" id="1" >}}',
            '<p><a href="https://x.com/a_b/status/1">https://x.com/a_b/status/1</a></p>',
        ),
        ("{{< gist user >}}x{{< youtube >}}", "<p>x</p>"),
        ('{{< qr text="https://a.example/" />}}', '<p><a href="https://a.example/">https://a.example/</a></p>'),
        (
            '{{< details summary="See *it*" >}}\nInner **x**\n{{< /details >}}\nText',
            "<details><summary>See <em>it</em></summary>\n<p>Inner <strong>x</strong></p>\n</details>\n<p>Text</p>",
        ),
        ('[a]({{< ref "b.md" >}}) {{< ref "b.md" >}}', '<p><a href="page:hugo:b.md">a</a> </p>'),
        (
            '{{< figure src="a.png" title="<script>x</script>" caption="\\"><b>" >}}',
            '<figure><img src="https://example.org/post/a.png" alt=""><figcaption><h4>&lt;script&gt;x&lt;/script&gt;</h4><p>"&gt;<b></b></p></figcaption></figure>',
        ),
    ],
)
def test_shortcodes_that_come_with_hugo_show_what_hugo_shows(body: str, html: str) -> None:
    assert render(body) == html


@pytest.mark.parametrize(
    ("body", "line", "column", "what"),
    [
        ('One\n\n  {{< note "tip >}} x', 3, 3, "a shortcode that cannot be read"),
        ("{{< note %}}", 1, 1, "a shortcode that cannot be read"),
        ("a {{< >}}", 1, 3, "a shortcode without a name"),
        ("{{</* note >}}", 1, 1, "an escaped shortcode without an end"),
        ("{{< /note >}}", 1, 1, "the end of a shortcode that does not begin"),
        ("{{< highlight go >}}\nx", 1, 1, "the shortcode 'highlight' has no end"),
        ("{% quote() %}x", 1, 1, "the shortcode 'quote' has no end"),
        ("{{ a(b=) }}", 1, 1, "a shortcode that cannot be read"),
    ],
)
def test_what_cannot_be_read_is_shown_and_told_with_its_place(body: str, line: int, column: int, what: str) -> None:
    expanded = expand_shortcodes(body, {})

    assert expanded.text == body
    assert [problem[:3] for problem in expanded.problems] == [(line, column, what)]
    assert expanded.problems[0].hint


def test_not_every_problem_of_a_body_is_told() -> None:
    assert len(expand_shortcodes("{{< x" * 100, {}).problems) == MAX_PROBLEMS


def test_pairs_that_are_too_deep_vanish_and_their_text_stays() -> None:
    deep = 2 * MAX_DEPTH
    assert expand("{{< a >}}1" * deep + "{{< /a >}}" * deep) == "1" * deep


@given(
    st.lists(
        st.sampled_from(
            [
                "{{< a >}}",
                "{{< /a >}}",
                "{{< b />}}",
                "{{% c %}}",
                "{{% /c %}}",
                "word",
                "{% d() %}",
                "{% end %}",
                "\n",
                "`",
                "{{</* e */>}}",
                "{{< ",
                '"',
            ]
        )
    )
)
def test_every_word_outside_tags_is_kept(parts: list[str]) -> None:
    text = expand_shortcodes("".join(parts), {}).text
    assert text.count("word") == parts.count("word")
    assert MARK not in text


TEXTS = {
    "braces": "{{" * 166_600,
    "percent": "{%" * 166_600,
    "openings": "{{<" * 110_000,
    "names": "{{< x " * 53_300,
    "quotes": '{{< x "' * 46_600,
    "ticks": "{{< x `" * 46_600,
    "calls": "{{ a(" * 66_600,
    "texts of calls": "{{ a(b='" * 40_000,
    "lists of calls": "{{ a(b=[ " * 36_600,
    "pairs": "{{< a >}}" * 18_300 + "{{< /a >}}" * 16_600,
    "pairs of many names": "".join(f"{{{{< a{number} >}}}}" for number in range(13_300))
    + "".join(f"{{{{< /a{number} >}}}}" for number in range(10_000, 0, -1)),
    "ends": "{{< a >}}" * 16_600 + "{{< /b >}}" * 16_600,
    "bodies": "{% a() %}" * 36_600,
    "escapes": "{{</*" * 66_600,
    "spaces": "{{<" + " " * 333_000,
    "spaces before a call": "{{" + " " * 333_000,
    "arguments": ("{{< a " + "b " * 4_000 + "|") * 120,
    "tags in arguments": ("{{< a " + '"{{< a " ' * 900 + "|") * 100,
    "runs of ticks": "{{ a() }}" + "".join("`" * number + "a " for number in range(1, 1_400)),
    "spans": "{{ a() }}" + "`a " * 110_000,
    "fences": "{{ a() }}" + "~~~\n```\n" * 40_000,
}


@pytest.mark.parametrize("text", ["*a _b " * 10_000, "[" * 100_000], ids=["emphasis", "brackets"])
@pytest.mark.parametrize("shortcode", ['figure src="a.png" caption', "figure attr", "details summary"])
def test_a_line_of_markdown_that_is_too_expensive_is_shown_as_written(shortcode: str, text: str) -> None:
    end = "{{< /details >}}" if shortcode.startswith("details") else ""

    with processor_time(4):
        assert text.strip() in render(f'{{{{< {shortcode}="{text}&lt;" >}}}}{end}')


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS)
def test_hostile_shortcodes_take_little_time(body: str) -> None:
    with processor_time(2):
        expand_shortcodes(body, {})
