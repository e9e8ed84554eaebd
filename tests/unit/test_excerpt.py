"""Summaries and full texts of whole files of Hugo, Zola and Jekyll (docs/spec.md#bodies-of-site-generators)."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from parsing import processor_time
from unit.test_body import HOSTILE
from unit.test_generator_records import hugo, jekyll, lines, record

from aggregator.model import Record


def plain(front: str, body: str, **changes: Any) -> Record:
    return record(f"---\ntitle: T\n{front}\n---\n{body}", "smartable", **changes)


SHOWN = {"body_base": "https://example.org/"}


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (
            "The [survey][s] says so.[^1]\n\n[^1]: Forty people.\n\n[s]: https://survey.example.org/",
            "The survey says so.",
        ),
        ('As [said][f].\n\n[f]: {{< ref "first.md" >}}', "As said."),
        ('As [said]({{< ref "first.md" >}}) at {{< ref "first.md" >}}.', "As said at ."),
        ("[^1]: A note.\n\n[s]: https://a.example/\n\nText.", "Text."),
        ('{{< figure src="a.png" caption="C" >}}\n\nText.', "C"),
        ("{{< highlight go >}}\nx\n\ny\n{{< /highlight >}}\n\nText.", "Text."),
        ("```\ncode\n\n\nmore\n```\n\nText.", "Text."),
        ("    code\n\n    more\n\nText.", "Text."),
        ("## Why {#why}\n\n{{< note >}}\n*in*\n{{< /note >}}\n\nText.", "in"),
        ("- [x] done\n- [ ] open", "☑ done ☐ open"),
        ("<!-- a note\n\n*not* shown -->\n\nText &amp; <x-y>more</x-y> `List<T>`<br>b.", "Text & more List<T> b."),
        ("# Head {#x}\n\nOne.\n\nTwo.\n\n<!--more-->\n\nThree.", "Head One. Two."),
        ("One {{</* a */>}}.", "One {{< a >}}."),
    ],
)
def test_a_summary_has_text_and_nothing_else_of_the_start(body: str, summary: str) -> None:
    assert hugo("title = 'T'", body).content.summary == summary
    assert hugo("title = 'T'", body, **SHOWN).content.summary == summary


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        ("* TOC\n{:toc}\n\nFirst words.", "First words."),
        ("1. TOC\n{:toc .x}\n# Head\nFirst words.", "First words."),
        ("The call gives `{:ok, rows}` or `{:error, why}`.", "The call gives {:ok, rows} or {:error, why}."),
        ("Text\n# Heading\nmore.\n\nNext.", "Text more."),
        ("*[HTML]: Hyper Text\n\n{: .lead}\nThe HTML.[^a]\n\n[^a]: b", "The HTML."),
        ("One.\n  \nTwo.\n\nThree.", "One. Two."),
        ("* {:.x} one\n* two", "one two"),
        ("{% raw %}`${{ a }}`{% endraw %} b.", "${{ a }} b."),
        ("| a | b |\n| c | d |", "a b c d"),
    ],
)
def test_a_summary_of_a_jekyll_post_reads_its_markdown(body: str, summary: str) -> None:
    assert jekyll("x: 1", body).content.summary == summary


WORDS = "hidden words " * 2_000
PICTURE = "data:image/png;base64," + "A" * 120_000


def short(value: Any) -> str:
    """The name of a parameter in the name of its test."""
    return str(getattr(value, "__name__", value))[:24]


@pytest.mark.parametrize("write", [hugo, jekyll, plain], ids=short)
@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (f"Start <!-- {WORDS} --> text.", "Start text."),
        (f'A <a data-x="{WORDS}" href="/b">Real</a> text.', "A Real text."),
        (f"![x]({PICTURE}) Real text.", "Real text."),
        (f"![x]({PICTURE})\n\nReal text.", "Real text."),
        (f'<img src="{PICTURE}"> Real text.', "Real text."),
        (f'<p><img src="{PICTURE}"> Real text.</p>', "Real text."),
        (f"[a]: {PICTURE}\n\n`{'x' * 30_000}`" + "\n\nReal [a].", f"{'x' * 9_999}…"),
        (f'<svg><path d="{WORDS}"/></svg>\n\nReal text.', "Real text."),
        ("<style>\n" + "a {}\n\n" * 5_000 + "</style>\n\nReal text.", "Real text."),
        ("```\n" + "x\n\n" * 10_000 + "```\n\nReal text.", "Real text."),
        ("".join(f"[a{number}]: /u{number}\n" for number in range(2_000)) + "\nReal text.", "Real text."),
        (
            f"Intro.\n\n![x]({PICTURE[:19_868]})\n\nMore <!-- {WORDS} --> text.\n\n<!--more-->\n\nRest.",
            "Intro. More text.",
        ),
        ("Intro <!-- hidden <!--more--> words", "Intro"),
        ("The sign `<!--` begins it.\n\n<!--more-->\n\nRest.", "The sign <!-- begins it."),
    ],
    ids=short,
)
def test_a_summary_is_cut_in_nothing_that_shows_no_text(write: Any, body: str, summary: str) -> None:
    front = "date: 2026-05-20" if write is plain else "date = 2026-05-20" if write is hugo else "x: 1"
    assert write(front, body).content.summary == summary


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (f"A {{{{< comment >}}}}{WORDS}\n\n{WORDS}{{{{< /comment >}}}} text.", "A text."),
        (f"{{{{% comment %}}}}{WORDS}\n\n{WORDS}{{{{% /comment %}}}}\n\nReal text.", "Real text."),
        (f'{{{{< figure src="{PICTURE}" >}}}}\n\nReal text.', "Real text."),
        (f"[^1]: {WORDS}\n\nReal text[^1].", "Real text."),
        ("Intro {{< comment >}}hidden <!--more--> words{{< /comment >}} end.", "Intro"),
        ("Intro {{< details >}}with <!--more--> words{{< /details >}} end.", "Intro Details with"),
        ("Intro {% note() %}with <!--more--> words{% end %} end.", "Intro with"),
    ],
    ids=short,
)
def test_in_hugo_a_summary_is_cut_in_no_shortcode(body: str, summary: str) -> None:
    post = hugo("title = 'T'", body)
    assert post.content.summary == summary
    assert post.warnings == ()


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        ("{::comment}\nhidden\n\nwords\n{:/comment}\n\nText.", "Text."),
        (f"{{::comment}}\n{WORDS}\n\n{WORDS}\n{{:/comment}}\n\nText.", "Text."),
        (f"A {{::comment}}{WORDS}{{:/comment}} text.", "A text."),
        ("Intro\n\n{::comment}\nhidden\n\n<!--more--> words\n{:/comment}\n\nEnd.", "Intro"),
        ("<div>\n\nA <!-- hidden\n\nwords --> text." + "\n\nMore." * 30 + "</div>", "A text." + " More." * 30),
        (f"{{% comment %}}{WORDS}\n\n{WORDS}{{% endcomment %}}\n\nReal text.", "Real text."),
    ],
    ids=short,
)
def test_in_jekyll_a_summary_is_cut_in_no_comment(body: str, summary: str) -> None:
    assert jekyll("x: 1", body).content.summary == summary


def test_a_long_comment_in_a_line_of_a_jekyll_post_is_not_shown() -> None:
    post = jekyll("x: 1", f"A {{::comment}}{WORDS}{{:/comment}} text.", **SHOWN)
    assert post.body_html == "<p>A  text.</p>"


def test_in_hugo_a_stated_summary_is_markdown_and_a_description_is_text() -> None:
    assert hugo("title = 'T'\nsummary = 'Said *here* & <there>, `a_b`.'").content.summary == "Said here & <there>, a_b."
    assert hugo("title = 'T'\ndescription = 'Said *here*.'").content.summary == "Said *here*."


def test_a_picture_in_a_stated_summary_is_no_text() -> None:
    picture = "data:image/png;base64," + "A" * 60_000
    assert hugo(f"title = 'T'\nsummary = '![x]({picture}) Real *text*.'").content.summary == "Real text."
    assert hugo(f"title = 'T'\nsummary = '{'*a ' * 30_000}'").content.summary.startswith("*a *a ")


def test_a_stated_summary_with_too_much_markup_says_so() -> None:
    post = plain(f"excerpt: '<img src=\"{PICTURE}\"> Real text.'", "Words.")
    assert post.content.summary == "Words."
    assert [warning.partition(":3:10: ")[2] for warning in lines(post)][:1] == [
        "'excerpt' has over 100,000 characters of markup, of which the rest is not read (remove pictures from it)"
    ]


def test_in_hugo_a_marker_in_the_body_comes_before_a_stated_summary() -> None:
    body = "One.\n\nTwo.\n\n<!--more-->\n\nThree."
    assert hugo("title = 'T'\nsummary = 'Said.'", body).content.summary == "One. Two."
    assert hugo("title = 'T'\ndescription = 'Said.'", body).content.summary == "Said."


@pytest.mark.parametrize("name", ["2026-05-20-a.html", "2026-05-20-a.HTM"])
def test_a_post_in_html_is_no_markdown(name: str) -> None:
    body = "<h1>Head</h1>\n<div>\n\n    <p>*Text*</p>\n\n</div>"
    post = jekyll("x: 1", body, name, **SHOWN)
    assert post.body_html == body
    assert post.content.summary == "*Text*"


def test_indented_code_at_the_start_of_a_body_is_code() -> None:
    text = "---\ntitle: T\n---\n\n    *code*\n    # more\n"
    assert record(text, "jekyll", "2026-05-20-a.md", **SHOWN).body_html == "<pre><code>*code*\n# more\n</code></pre>"
    assert record(text, "smartable", **SHOWN).body_html.startswith("<p><em>code</em>")


def test_a_template_that_cannot_be_read_is_a_warning_at_its_place_in_the_file() -> None:
    text = '---\ntitle: T\ndate: 2026-05-20\n---\n\n  Text.\n\nSee {{< note "x >}}.\n'
    expected = ["a.md:8:5: a shortcode that cannot be read (write it as in {{< name argument >}})"]

    assert lines(record(text, "hugo")) == expected
    shown = record(text, "hugo", **SHOWN)
    assert lines(shown) == expected
    assert 'See {{&lt; note "x &gt;}}.' in shown.body_html


def test_the_place_of_a_template_counts_the_indentation_of_the_first_line() -> None:
    text = "---\ntitle: T\ndate: 2026-05-20\n---\n\n\n  a {{< x y\n"
    assert lines(record(text, "hugo", **SHOWN))[0].startswith("a.md:7:5: ")


def test_templates_show_what_is_known_of_the_record() -> None:
    assert hugo("title = 'The title'", "A {{< param title >}}.").content.summary == "A The title."
    post = jekyll("title: The title", "{{ page.title }} of {{ page.date | date: '%Y' }}.", **SHOWN)
    assert post.body_html == "<p>The title of 2026.</p>"


def test_the_summary_of_a_long_body_does_not_read_all_of_it() -> None:
    def cost(body: str, **options: Any) -> float:
        began = process_time()
        hugo("title = 'T'", body, **options)
        return process_time() - began

    start = "Some *text* {{< a >}}.\n\n"
    body = start + "{{< b >}} *more* text.\n\n" * 30_000
    hugo("title = 'T'", start, **SHOWN)
    assert 4 * cost(body) < cost(body, **SHOWN)


@pytest.mark.parametrize(
    "piece", ["{{", "{%", "[^", "{{< a >}}", "{{% a %}}", "{% a() %}", "[^1]: ", "{:", "{{ a", "<!--"]
)
@pytest.mark.parametrize("layout", ["hugo", "jekyll"])
def test_thousands_of_openings_take_little_time(layout: str, piece: str) -> None:
    body = piece * (300_000 // len(piece))
    with processor_time(5):
        assert hugo("title = 'T'", body, **SHOWN) if layout == "hugo" else jekyll("x: 1", body, **SHOWN)


@pytest.mark.parametrize("name", ["nested images", "brackets", "reference definitions", "an unclosed quote", "fences"])
@pytest.mark.parametrize("layout", ["hugo", "jekyll"])
def test_a_hostile_body_has_its_summary_quickly(layout: str, name: str) -> None:
    for body in (HOSTILE[name], f"{HOSTILE[name]}\n\n<!--more-->\n\nText."):
        with processor_time(4):
            post = hugo("title = 'T'", body) if layout == "hugo" else jekyll("x: 1", body)
            assert len(post.content.summary) <= 10_000
