"""Posts of Jekyll: what their paths and front matter say (docs/records.md#links-that-a-template-makes).

The values are those of Jekyll 4.3.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import as_record, parse_bytes, source_of

from aggregator.config.presets import PRESETS
from aggregator.model import Record, Rejection
from aggregator.parse.jekyll import slugify

SITE = "https://example.org/blog"
DATE_STYLE = SITE + "/{categories}/{year}/{month}/{day}/{title}{output_ext}"
SOURCE = source_of(
    "jekyll", root="/site", link_template=DATE_STYLE, body_base="https://feeds.example.org/", language="en"
)


def parse(text: str, path: str = "_posts/2026-01-05-first.md", **changes: Any) -> Record | Rejection:
    return parse_bytes(text.encode(), SOURCE, path, **changes)


def post(front: str = "x: 1", body: str = "", path: str = "_posts/2026-01-05-first.md", **changes: Any) -> Record:
    return as_record(parse(f"---\n{front}\n---\n{body}", path, **changes))


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("_posts/2026-01-05-first.md", "/2026/01/05/first.html"),
        ("_posts/sub/2026-1-5-first.md", "/2026/01/05/first.html"),
        ("Cat Two/sub/_posts/in/2026-01-05-c.md", "/cat%20two/sub/2026/01/05/c.html"),
        ("cat/_posts/in/_posts/2026-01-05-c.md", "/cat/2026/01/05/c.html"),
        ("_posts/2026-01-05-dots.v1.2.md", "/2026/01/05/dots.v1.2.html"),
        ("_posts/2026-01-05-end..md", "/2026/01/05/end.html"),
        ("_posts/2026-01-05-plus+c++.md", "/2026/01/05/plus+c++.html"),
        ("_posts/2026-01-05-Über-UPPER_x.md", "/2026/01/05/%C3%9Cber-UPPER_x.html"),
        ("_posts/2026-01-05-a\u0308.md", "/2026/01/05/a%CC%88.html"),
        ("_posts/2026-01-05-a--b-.md", "/2026/01/05/a-b.html"),
        ("_posts/2026-01-05-100%25-sure, a?b#c [x]:y.md", "/2026/01/05/100-sure,-a-b-c-x-y.html"),
        ("_posts/2026-01-05-it's(a);b=c@d~e!&$.md", "/2026/01/05/it's(a);b=c@d~e!&$.html"),
    ],
)
def test_the_url_of_a_post_is_made_of_its_path(path: str, url: str) -> None:
    assert post(path=path).content.link == SITE + url


@pytest.mark.parametrize(
    ("front", "folders"),
    [
        ("category: One Two", "one%20two/"),
        ("categories: One Two", "one/two/"),
        ("categories: One, Two", "one,/two/"),
        ("categories: [One Two, b, ONE TWO]", "one%20two/b/"),
        ("category: a\ncategories: b c", "b/c/a/"),
        ("categories: [a, null, '', 12, b]", "a/12/b/"),
        ("categories: [a/b, é, 'q?r#s', 'a%b', x..y, '{z}', ΣΑΣ]", "a/b/%C3%A9/q?r%23s/a%25b/x/y/%7Bz%7D/%CF%83%CE%B1%CF%83/"),
        ("categories:", ""),
        ("categories: ''", ""),
    ],
)  # fmt: skip
def test_categories_are_folders_of_a_url(front: str, folders: str) -> None:
    assert post(front).content.link == f"{SITE}/{folders}2026/01/05/first.html"


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("/{categories}/{title}{output_ext}", "/a%20b/My-Slug.v_1.html"),
        ("/{categories}/{year}/{y_day}/{slug}/", "/a%20b/2026/005/my-slug-v-1/"),
        ("/{slugified_categories}/{year}/W{week}/{short_day}/{title}", "/a-b/2026/W02/Mon/My-Slug.v_1"),
        ("/{path}/", "/A%20b/2026-01-05-first/"),
        ("/{name}/{collection}/{short_year}-{i_month}_{i_day}/", "/2026-01-05-first/posts/26-1_5/"),
        ("/{long_month}{short_month}/{w_year}{w_day}{long_day}/{hour}{minute}{second}/{title}/", "/JanuaryJan/20261Monday/033005/My-Slug.v_1/"),
    ],
)  # fmt: skip
def test_every_key_of_a_permalink_is_a_placeholder(template: str, url: str) -> None:
    front = "slug: My Slug.v_1\ndate: 2026-01-05 02:30:05 +0000"
    changes = {"link_template": SITE + template, "timezone": ZoneInfo("Europe/Berlin")}

    assert post(front, path="A b/_posts/2026-01-05-first.md", **changes).content.link == SITE + url


@pytest.mark.parametrize(
    ("permalink", "url"),
    [
        ("/x/", "/x/"),
        ("x/y.html", "/x/y.html"),
        ("/:categories/:title/", "/a/b/first/"),
        (":year/:month/:title:output_ext", "/2026/01/first.html"),
        ("/:year_:month_:day/", "/2026_01_05/"),
        ("/:title.xml", "/first.xml"),
        ("pretty", "/pretty"),
        ("/a//b/../c/./d", "/a/b/c/d"),
        ("/a b/ü/", "/a%20b/%C3%BC/"),
        ("/X:Y/{title}/", "/X:Y/%7Btitle%7D/"),
        ("/:unknown/", None),
    ],
)
def test_a_stated_permalink_is_relative_to_the_site(permalink: str, url: str | None) -> None:
    record = post(f'permalink: "{permalink}"\ncategories: [a, b]')
    assert record.content.link == (None if url is None else SITE + url)


def test_the_url_of_the_site_is_what_the_config_says() -> None:
    changes = {"link_template": f"{SITE}/articles/{{title}}/", "site_url": f"{SITE}/"}
    record = post("permalink: /x/", "[a]({{ '/y' | relative_url }})", **changes)

    assert record.content.link == f"{SITE}/x/"
    assert record.body_html == f'<p><a href="{SITE}/y">a</a></p>'
    assert post("permalink: /x/", link_template=changes["link_template"]).content.link == f"{SITE}/articles/x/"


@pytest.mark.parametrize(
    ("date", "hour"),
    [
        ("2026-07-06", 4),
        ("2026-07-06 10:30", 14),
        ("'2026-07-06 10:30:00'", 14),
        ("2026-07-06 10:30:00", 10),
        ("2026-07-06T10:30:00", 10),
        ("2026-07-06 10:30:00 +0200", 8),
    ],
)
def test_a_yaml_time_is_in_utc_and_other_dates_are_in_the_zone_of_the_site(date: str, hour: int) -> None:
    published = post(f"date: {date}", timezone=ZoneInfo("America/New_York")).published
    assert published is not None
    assert published.replace(minute=0) == datetime(2026, 7, 6, hour, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "America/New_York"])
def test_a_name_with_the_year_1_has_no_date(zone: str) -> None:
    record = post(body="{{ page.date }}", path="_posts/0001-01-01-a.md", timezone=ZoneInfo(zone))

    assert (record.published, record.content.link) == (None, None)


@pytest.mark.parametrize(
    ("text", "title", "html"),
    [
        ("---\ntitle: A\n...\nBody", "A", "<p>Body</p>"),
        ("---\r\ntitle: A\r\n... \r\nBody\r\n", "A", "<p>Body</p>"),
        ("---\n---\nBody", "First", "<p>Body</p>"),
        ("\ufeff---\ntitle: A\n---\nBody", "A", "<p>Body</p>"),
        ("Only a text.\n", "First", "<p>Only a text.</p>"),
    ],
)
def test_front_matter_may_end_in_dots_or_be_absent(text: str, title: str, html: str) -> None:
    record = as_record(parse(text))
    assert (record.content.title, record.body_html, record.public) == (title, html, True)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Only a text.\n", "about.md"),
        ("", "_posts/2026-01-05-first.md"),
        ("--", "_posts/2026-01-05-first.md"),
        ("---\ntitle: A\n", "_posts/2026-01-05-first.md"),
        ("---\ntitle: A\n....\nBody", "_posts/2026-01-05-first.md"),
    ],
)
def test_pages_and_unfinished_posts_need_front_matter(text: str, path: str) -> None:
    assert isinstance(parse(text, path), Rejection)


def test_only_in_jekyll_dots_end_front_matter() -> None:
    fields = tuple(PRESETS["smartable"].items())
    assert isinstance(parse("---\ntitle: A\n...\nsecured: x\n---\n", layout="plain", fields=fields), Rejection)


def test_a_template_that_cannot_be_read_is_a_warning_with_its_place_in_the_file() -> None:
    record = post("title: T", "Text.\n\nSee {% nope %} here.")

    hint = "correct it, or put it between {% raw %} and {% endraw %}"
    what = "_posts/2026-01-05-first.md:6:5: 'nope' is no tag of Liquid or Jekyll"
    assert [str(warning) for warning in record.warnings] == [f"{what} ({hint})"]
    assert "{% nope %}" in record.body_html


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("{% raw %}\n```\nKEY: ${{ vault.key }}\n```\n{% endraw %}", "<pre><code>KEY: ${{ vault.key }}\n</code></pre>"),
        ("{% highlight python %}\n# rows\n\n  *x*\n{% endhighlight %}", '<pre><code class="language-python"># rows\n\n  *x*</code></pre>'),
        ("1. a\n\n   {% highlight c %}\n   # b\n\n   {% endhighlight %}", '<ol>\n<li>\n<p>a</p>\n<pre><code class="language-c">   # b</code></pre></li>\n</ol>'),
        ("The [docs]({{ site.docs }}) and [more]({{ site.docs }}/x).", "<p>The docs and more.</p>"),
        ("A ![map]({{ site.maps }}/a.png) here.", "<p>A  here.</p>"),
        ("It is {{ page.title }} of {{ page.date | date: '%Y' }} at <{{ site.url }}{{ page.url }}>", None),
    ],
)  # fmt: skip
def test_liquid_and_markdown_together(body: str, html: str | None) -> None:
    shown = post("title: T", body).body_html
    if html is not None:
        assert shown == html
    else:
        assert shown.startswith("<p>It is T of 2026 at <a ")


@pytest.mark.parametrize("word", ["false", "no", "Off"])
def test_a_post_can_say_that_it_has_no_liquid(word: str) -> None:
    record = post(f"render_with_liquid: {word}", "Write {{ x }} and {% if %}.")

    assert record.body_html == "<p>Write {{ x }} and {% if %}.</p>"
    assert (record.content.summary, record.warnings) == ("Write {{ x }} and {% if %}.", ())


@pytest.mark.parametrize("word", ["true", "yes", "'no'", "'false'", "never"])
def test_any_other_word_leaves_liquid_on(word: str) -> None:
    assert post(f"render_with_liquid: {word}", "{{ 'a' | upcase }}").body_html == "<p>A</p>"


def test_the_summary_knows_title_and_date_of_the_path() -> None:
    assert post(body="{{ page.title }}, {{ page.date | date: '%d.%m.' }}").content.summary == "First, 05.01."


@given(st.text(max_size=30))
def test_a_slug_has_only_letters_marks_digits_and_single_hyphens(text: str) -> None:
    slug = slugify(text)

    assert "--" not in slug
    assert slugify(slug) == slug
