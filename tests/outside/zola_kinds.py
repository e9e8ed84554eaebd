"""Posts of a Zola site, and what Zola's documentation says becomes of each. Zola is no package of Debian or PyPI."""

from __future__ import annotations

from typing import NamedTuple

BASE = "https://site.example.org/"


MARCH = "2026-03-01T00:00:00Z"


class Expected(NamedTuple):
    """A post as Zola publishes it; `text` and `links` are those of its content."""

    path: str
    url: str
    summary: str = "Words."
    text: str = ""  # empty: the summary
    date: str = MARCH
    topics: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def post(body: str = "Words.", front_matter: str = "date = 2026-03-01") -> str:
    """A post of Zola's: in TOML, with a table that only Zola has."""
    return f'+++\ntitle = "T"\n{front_matter}\n[extra]\nx = 1\n+++\n{body}\n'


FILES: dict[str, str] = {
    # https://www.getzola.org/documentation/content/overview/
    "blog/_index.md": '+++\ntitle = "Blog"\nsort_by = "date"\n+++\n',
    "blog/my-post.md": post(),
    "blog/assets/index.md": post(),
    "lab/draft/_index.md": '+++\ntitle = "Drafts"\nsort_by = "date"\ndraft = true\n+++\n',
    "lab/draft/below.md": post(),
    # https://www.getzola.org/documentation/content/page/
    "blog/2026-04-05-dated-name.md": post(front_matter=""),
    "blog/2026-04-05_dated-name-too.md": post(front_matter=""),
    "blog/2026-04-05-name-and-date.md": post(),
    "blog/2026-04-06-bundle/index.md": post(front_matter=""),
    "blog/My Post & More.md": post(),
    "blog/C++ ünïcode.md": post(),
    "blog/draft.md": post(front_matter="date = 2026-03-01\ndraft = true"),
    "blog/unrendered.md": post(front_matter="date = 2026-03-01\nrender = false"),
    "blog/slugged.md": post(front_matter='date = 2026-03-01\nslug = "Own Slug"'),
    "blog/placed.md": post(front_matter='date = 2026-03-01\npath = "own/place"'),
    "blog/aliased.md": post(front_matter='date = 2026-03-01\naliases = ["old/place"]'),
    "blog/timed.md": post(front_matter="date = 2026-03-01T10:00:00+02:00"),
    "blog/described.md": post("One.\n\nTwo.", 'date = 2026-03-01\ndescription = "Described."'),
    "blog/tagged.md": '+++\ntitle = "T"\ndate = 2026-03-01\n[taxonomies]\ntags = ["a", "b"]\ncategories = ["C"]\n+++\nWords.\n',
    "blog/summary.md": post("One.\n\nTwo.\n\n<!-- more -->\n\nThree."),
    # https://www.getzola.org/documentation/content/linking/
    "blog/linking.md": post("As [said](@/blog/my-post.md) and [there](@/blog/assets/index.md#part)."),
    "blog/link-to-slug.md": post("As [said](@/blog/slugged.md)."),
    "blog/link-to-place.md": post("As [said](@/blog/placed.md)."),
    "blog/link-to-dated.md": post("As [said](@/blog/2026-04-05-dated-name.md)."),
    # https://www.getzola.org/documentation/content/shortcodes/
    "blog/inline.md": post('Before {{ counter(id="x", autoplay=true) }} after.'),
    "blog/paired.md": post('Before.\n\n{% quote(author="Vincent") %}\nInner *text*.\n{% end %}\n\nAfter.'),
    "blog/escaped.md": post("Write {{/* youtube(id=1) */}} so."),
    "blog/code.md": post('Inline: `{{ config(x="y") }}` is code.\n\n```\n{{ lookup("env") }}\n```'),
    # https://www.getzola.org/documentation/content/syntax-highlighting/
    "blog/highlighted.md": post("Before.\n\n```rust,linenos,hl_lines=1\nlet x = 1;\n```"),
    # https://www.getzola.org/documentation/content/table-of-contents/, CommonMark with the extensions that Zola enables
    "blog/heading.md": post("Words.\n\n## Why {#why .big}\n\nMore."),
    "blog/footnote.md": post("The text.[^1]\n\n[^1]: A note."),
    "blog/task.md": post("- [ ] open\n- [x] done"),
    "blog/strike.md": post("This ~~old~~ text."),
    "blog/table.md": post("| a | b |\n|---|---|\n| 1 | 2 |"),
}

EXPECTED: tuple[Expected, ...] = (
    Expected("blog/my-post.md", "blog/my-post/"),
    Expected("blog/assets/index.md", "blog/assets/"),
    Expected("blog/2026-04-05-dated-name.md", "blog/dated-name/", date="2026-04-05T00:00:00Z"),
    Expected("blog/2026-04-05_dated-name-too.md", "blog/dated-name-too/", date="2026-04-05T00:00:00Z"),
    Expected("blog/2026-04-05-name-and-date.md", "blog/name-and-date/"),
    Expected("blog/2026-04-06-bundle/index.md", "blog/bundle/", date="2026-04-06T00:00:00Z"),
    Expected("blog/My Post & More.md", "blog/my-post-more/"),
    Expected("blog/C++ ünïcode.md", "blog/c-unicode/"),
    Expected("blog/slugged.md", "blog/own-slug/"),
    Expected("blog/placed.md", "own/place/"),
    Expected("blog/aliased.md", "blog/aliased/"),
    Expected("blog/timed.md", "blog/timed/", date="2026-03-01T08:00:00Z"),
    Expected("blog/described.md", "blog/described/", "Described.", "One. Two."),
    Expected("blog/tagged.md", "blog/tagged/", topics=("a", "b", "C")),
    Expected("blog/summary.md", "blog/summary/", "One. Two.", "One. Two. Three."),
    Expected("blog/linking.md", "blog/linking/", "As said and there.", links=("blog/assets/#part", "blog/my-post/")),
    Expected("blog/link-to-slug.md", "blog/link-to-slug/", "As said.", links=("blog/own-slug/",)),
    Expected("blog/link-to-place.md", "blog/link-to-place/", "As said.", links=("own/place/",)),
    Expected("blog/link-to-dated.md", "blog/link-to-dated/", "As said.", links=("blog/dated-name/",)),
    # what the shortcode of a theme shows is not known, but for what it encloses
    Expected("blog/inline.md", "blog/inline/", "Before after."),
    Expected("blog/paired.md", "blog/paired/", "Before.", "Before. Inner text. After."),
    Expected("blog/escaped.md", "blog/escaped/", "Write {{ youtube(id=1) }} so."),
    Expected(
        "blog/code.md",
        "blog/code/",
        'Inline: {{ config(x="y") }} is code.',
        'Inline: {{ config(x="y") }} is code. {{ lookup("env") }}',
    ),
    Expected("blog/highlighted.md", "blog/highlighted/", "Before.", "Before. let x = 1;"),
    Expected("blog/heading.md", "blog/heading/", text="Words. Why More."),
    Expected("blog/footnote.md", "blog/footnote/", "The text.", "The text. A note."),
    Expected("blog/task.md", "blog/task/", "open done"),
    Expected("blog/strike.md", "blog/strike/", "This old text."),
    Expected("blog/table.md", "blog/table/", "a b 1 2"),
)
