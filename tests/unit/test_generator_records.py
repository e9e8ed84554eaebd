"""Records of Jekyll, Hugo and Zola, and front matter in TOML and JSON: what people who keep such sites expect."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import SiteFolder, record_text
from corpus import CORPUS, needs_corpus, read_records
from hypothesis import given
from hypothesis import strategies as st
from parsing import as_record, as_rejection, damaged, lines, parse_bytes, processor_time, source_of

from aggregator.config.presets import PRESETS, Preset
from aggregator.model import Image, Provider, Record, Rejection
from aggregator.parse.dates import parse_time

at = partial(datetime, tzinfo=UTC)
LANGUAGE = {"language": "en"}


def parse(text: str | bytes, preset: Preset = "hugo", path: str = "a.md", **changes: Any) -> Record | Rejection:
    raw = text.encode() if isinstance(text, str) else text
    return parse_bytes(raw, source_of(preset, **LANGUAGE | changes), path)


def record(text: str, preset: Preset = "hugo", path: str = "a.md", **changes: Any) -> Record:
    return as_record(parse(text, preset, path, **changes))


def jekyll(front: str, body: str = "", path: str = "2026-05-20-a-title.md", **changes: Any) -> Record:
    return record(f"---\n{front}\n---\n{body}", "jekyll", path, **changes)


def hugo(front: str, body: str = "", path: str = "posts/a.md", **changes: Any) -> Record:
    return record(f"+++\n{front}\n+++\n{body}", "hugo", path, **changes)


# The corpora


def corpus(folder: str, preset: Preset) -> list[Record]:
    return read_records(source_of(preset, include=("*.md", "*.markdown"), root=str(CORPUS / folder)))


def stated(folder: str, path: str, pattern: str) -> str:
    match = re.search(pattern, (CORPUS / folder / path).read_text("utf-8").partition("\n\n")[0], re.MULTILINE)
    return match[1].strip(" \"'[]") if match else ""


@needs_corpus
def test_every_post_of_a_jekyll_site_has_title_date_and_topics() -> None:
    folder = "foreign-jekyll"
    posts = corpus(folder, "jekyll")

    assert len(posts) == 34
    for post in posts:
        path = post.file.path
        assert post.content.title == stated(folder, path, "^title: (.*)$")
        day = stated(folder, path, "^date: (.*)$") or path[:10]
        found = parse_time(day, ZoneInfo("UTC"))
        assert found is not None
        assert post.published == found[0]
        topics = stated(folder, path, "^categor(?:y|ies): (.*)$").split(", ")
        assert post.content.topics == tuple(topics)
        assert post.public
        assert post.content.summary
        assert "{%" not in post.content.summary
        assert "][" not in post.content.summary
        assert post.warnings == ()


@needs_corpus
def test_every_post_of_a_zola_site_has_title_and_date() -> None:
    folder = "foreign-zola-toml"
    posts = corpus(folder, "hugo")

    assert len(posts) == 25
    for post in posts:
        path = stated(folder, post.file.path, '^path = "(.*)"$')
        assert post.content.title == stated(folder, post.file.path, '^title = "(.*)"$')
        assert post.published == datetime.strptime(path[:10], "%Y/%m/%d").replace(tzinfo=UTC)
        assert post.content.topics == ()
        assert post.content.provider is not None
        assert post.content.summary
        assert post.warnings == ()


# Jekyll


def test_a_jekyll_post_has_date_and_title_from_its_file_name() -> None:
    post = jekyll("layout: post", timezone=ZoneInfo("Europe/Berlin"))

    assert post.content.title == "A Title"
    assert post.published == at(2026, 5, 19, 22)
    assert post.warnings == ()


def test_fields_of_a_jekyll_post_win_over_its_file_name() -> None:
    post = jekyll("title: Stated\ndate: 2026-05-21 10:00:00 +0200")

    assert (post.content.title, post.published) == ("Stated", at(2026, 5, 21, 8))


@pytest.mark.parametrize(
    ("path", "published", "title"),
    [
        ("_posts/2026-5-2-short.md", at(2026, 5, 2), "Short"),
        ("2026-02-30-no-day.md", at(2026, 3, 2), "No Day"),
        ("2026-13-01-no-month.md", None, "2026 13 01 No Month"),
        ("2026-02-32-no-day.md", None, "2026 02 32 No Day"),
        ("26-5-2-two-digits.md", at(2026, 5, 2), "Two Digits"),
        ("69-12-31-two-digits.md", at(1969, 12, 31), "Two Digits"),
        ("2026-05-20_underscore.md", None, "2026 05 20_underscore"),
        ("2026-05-20-A TALE--of_two-.md", at(2026, 5, 20), "A tale Of_two"),
        ("about.md", None, "About"),
        ("2026-05-20-größe%25.md", at(2026, 5, 20), "Größe%"),
    ],
)
def test_the_name_of_a_jekyll_file_dates_it_only_with_a_real_date(
    path: str, published: datetime | None, title: str
) -> None:
    post = jekyll("layout: post", path=path)

    assert (post.published, post.content.title) == (published, title)


@pytest.mark.parametrize(
    ("front", "topics"),
    [
        ("categories: one two\ntags: [three, four five]", ("one", "two", "three", "four five")),
        ("category: one word\ntag: two words", ("one word", "two words")),
        ("categories:\n  - one\n  - null\ntags: One", ("one",)),
        ("tags: machine learning, ai", ("machine learning", "ai")),
        ("tags:\ncategories: []", ()),
        ("tags: [2024, true]", ("2024", "true")),
        ("tag: a\ntags: [b]", ("a",)),
        ("tag:\ntags: b c", ("b", "c")),
        ("tags: [[a, b], c]", ("a", "b", "c")),
    ],
)
def test_topics_of_a_jekyll_post_are_its_categories_and_tags(front: str, topics: tuple[str, ...]) -> None:
    post = jekyll(front)

    assert post.content.topics == topics
    assert post.warnings == ()


def test_folders_above_posts_are_categories() -> None:
    assert jekyll("tags: x", path="news/big/_posts/2026/2026-05-20-a.md").content.topics == ("news", "big", "x")


@pytest.mark.parametrize(
    ("front", "path", "public"),
    [
        ("published: false", "2026-05-20-a.md", False),
        ("published: true", "2026-05-20-a.md", True),
        ("draft: true", "2026-05-20-a.md", False),
        ("layout: post", "_drafts/a.md", False),
        ("published: true", "x/_drafts/a.md", False),
        ("layout: post", "news/_posts/2026-05-20-a.md", True),
        ("layout: post", "_posts/half-done.md", False),
        ("layout: post", "_posts/2026-02-32-no-date.md", False),
        ("layout: post", "_posts/2026-02-03_no-date.md", False),
        ("layout: post", "_posts/2026-02-03-a/half-done.md", False),
        ("layout: post", "_posts/2026/2026-02-03-a.md", True),
        ("layout: post", "~old/_posts/2026-02-03-a.md", False),
        ("layout: post", "_news/_posts/2026-02-03-a.md", False),
        ("layout: post", "node_modules/x/_posts/2026-02-03-a.md", False),
        ("layout: post", "vendor/cache/_posts/2026-02-03-a.md", False),
        ("layout: post", "vendor/news/_posts/2026-02-03-a.md", True),
        ("layout: post", "_posts/_parts/2026-03-03-part.md", False),
        ("layout: post", "_posts/_2026-03-03-part.md", False),
        ("layout: post", "_posts/#2026-03-03-part.md", False),
        ("layout: post", "_posts/old~/2026-03-03-part.md", False),
        ("layout: post", "notes/half-done.md", True),
    ],
)
def test_drafts_and_unpublished_posts_stay_hidden(front: str, path: str, public: bool) -> None:
    assert jekyll(front, path=path).public is public


def test_in_a_records_folder_named_posts_a_name_without_a_date_hides() -> None:
    folder = {"root": "/site/_posts"}
    assert jekyll("layout: post", path="2026-05-20-a.md", **folder).public
    assert not jekyll("layout: post", path="a.md", **folder).public


@pytest.mark.parametrize(
    ("front", "body", "summary"),
    [
        ("x: 1", "First *words* here.\nAnd on.\n\nSecond.", "First words here. And on."),
        ("x: 1", "# A heading\n\n![pic](/a.png)\n\nText.\n\nMore.", "Text."),
        ("x: 1", "## Heading\nText under it.\n\nMore.", "Text under it."),
        ("x: 1", "One.\n\nTwo.\n<!-- more -->\nThree.", "One. Two."),
        ("excerpt_separator: <!--cut-->", "One.\n\nTwo.<!--cut-->Three.", "One. Two."),
        ("excerpt_separator: ''", "One.\n\nTwo.", ""),
        ("excerpt_separator: <!--none-->", "One.\n\nTwo.", "One. Two."),
        ("excerpt: Stated\ndescription: Other", "One.", "Stated"),
        ("description: Stated", "One.", "Stated"),
        ("x: 1", "See [this][it] {% link x %}and {{ site.title }}.\n\n[it]: https://example.org/", "See this and ."),
        ("x: 1", "{% include top.html %}\n\nText &amp; more <b>bold</b>.", "Text & more bold."),
        ("x: 1", "Text {% never closed", "Text {% never closed"),
        ("x: 1", 'Text {% include a.html b="{{ page.c }}" d=5% %}here.', "Text here."),
        ("x: 1", "Text.\n{: .lead}", "Text."),
        ("x: 1", "```\ncode\n\nmore\n```\n\nText.", "Text."),
        ("x: 1", "", ""),
    ],
)
def test_the_summary_of_a_jekyll_post_is_its_excerpt(front: str, body: str, summary: str) -> None:
    assert jekyll(front, body).content.summary == summary


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-5-2", at(2026, 5, 2)),
        ("2026/05/02 9:30", at(2026, 5, 2, 9, 30)),
        ("May 2, 2026", at(2026, 5, 2)),
        ("2 May 2026 09:30:10 +0200", at(2026, 5, 2, 7, 30, 10)),
        ("2026-05-02 09:30:10 -0700 MST", at(2026, 5, 2, 16, 30, 10)),
        ("Sat, 02 May 2026 09:30:10 +0000", at(2026, 5, 2, 9, 30, 10)),
    ],
)
def test_dates_are_read_like_in_those_systems(text: str, moment: datetime) -> None:
    assert jekyll(f"date: {text}").published == moment
    assert hugo(f'title = "T"\ndate = "{text}"').published == moment


@pytest.mark.parametrize("text", ["soon", "05/02/2026", "2026-13-01", "2026-05-20 10:00 EST", "Foo 2, 2026", "true"])
def test_an_invalid_date_is_rejected(text: str) -> None:
    outcome = as_rejection(parse(f"---\ndate: {text}\n---\n", "jekyll", "2026-05-20-a.md"))

    assert lines(outcome) == [f"2026-05-20-a.md:2:7: 'date' is not a date: '{text}' (write it as 2026-05-20T07:10:00Z)"]


def test_a_stricter_preset_reads_no_loose_dates() -> None:
    assert isinstance(parse("---\ntitle: T\npublishedDateTime: May 2, 2026\n---\n", "smartable"), Rejection)


@pytest.mark.parametrize(
    ("front", "provider"),
    [
        ("author: jane", Provider("jane", "")),
        ("author: {name: Jane, email: j@example.org}", Provider("Jane", "")),
        ("authors: [Jane, {name: Joe}]", Provider("Jane, Joe", "", ("Jane", "Joe"))),
        ("authors: [Jane, '']", Provider("Jane", "")),
        ("author:", None),
        ("authors: []", None),
    ],
)
def test_authors_are_the_provider(front: str, provider: Provider | None) -> None:
    post = jekyll(front)

    assert post.content.provider == provider
    assert post.warnings == ()
    assert "j@example.org" not in repr(post)


@pytest.mark.parametrize(
    ("template", "front", "link"),
    [
        ("https://example.org/{path}.html", "x: 1", "https://example.org/2026-05-20-a-title.html"),
        ("https://example.org/{year}/{month}/{day}/{slug}/", "x: 1", "https://example.org/2026/05/20/a-title/"),
        ("https://example.org/{year}/{slug}/", "slug: other", "https://example.org/2026/other/"),
        ("https://example.org/blog/{path}/", "permalink: /x/y/", "https://example.org/blog/x/y/"),
        ("https://example.org/{path}/", "permalink: /x.html", "https://example.org/x.html"),
        ("https://example.org/{year}/{slug}/", "permalink: /x/y", "https://example.org/x/y"),
        ("https://example.org/{slug}/", "permalink: /:title/", "https://example.org/a-title/"),
        ("https://example.org/{slug}/", "permalink: pretty", "https://example.org/pretty"),
        ("https://example.org/{slug}/", "permalink: https://example.com/z", "https://example.com/z"),
        (None, "permalink: https://example.com/z", "https://example.com/z"),
        (None, "permalink: /x/", None),
        ("https://example.org/{slug}/", "link: https://example.com/y\npermalink: /x/", "https://example.com/y"),
    ],
)
def test_the_link_of_a_jekyll_post(template: str | None, front: str, link: str | None) -> None:
    assert jekyll(front, path="_posts/2026-05-20-a-title.md", link_template=template).content.link == link


def test_a_template_with_a_date_gives_no_link_without_a_date() -> None:
    assert jekyll("x: 1", path="about.md", link_template="https://example.org/{year}/{slug}").content.link is None


def test_a_relative_image_starts_at_the_link() -> None:
    post = jekyll("image: {path: /i/a.png, width: 8}\nlink: https://example.org/x/")

    assert post.content.images == (Image("https://example.org/i/a.png", 8, 0),)
    assert jekyll("image: /i/a.png").warnings == ()


# Hugo and Zola


@pytest.mark.parametrize(
    ("front", "published"),
    [
        ("date = 2026-05-20", at(2026, 5, 20)),
        ("date = 2026-05-20T10:00:00+02:00", at(2026, 5, 20, 8)),
        ("date = 2026-05-20 10:00:00", at(2026, 5, 20, 10)),
        ("date = 2026-05-20\npublishDate = 2026-06-01T00:00:00Z", at(2026, 6, 1)),
        ("pubdate = 2026-05-20\ndate = 2026-05-01", at(2026, 5, 20)),
        ("PublishDate = 2026-05-20", at(2026, 5, 20)),
        ("published = 2026-05-20", at(2026, 5, 20)),
        ("published = true\ndate = 2026-05-20", at(2026, 5, 20)),
        ("lastmod = 2026-05-20", at(2026, 5, 20)),
        ("x = 1", None),
    ],
)
def test_the_date_of_a_hugo_page(front: str, published: datetime | None) -> None:
    page = hugo(f'title = "T"\n{front}')

    assert page.published == published
    assert page.public


def test_a_date_without_a_zone_is_in_the_site_s_zone_without_a_warning() -> None:
    page = hugo('title = "T"\n\ndate = 2026-05-20', timezone=ZoneInfo("Europe/Berlin"))

    assert page.published == at(2026, 5, 19, 22)
    assert lines(page) == []
    assert jekyll("title: T\ndate: 2026-05-20 10:00").warnings == ()


@pytest.mark.parametrize("empty", ['""', "0001-01-01T00:00:00Z", '"0001-01-01T00:00:00Z"', "0001-01-01"])
def test_an_empty_date_and_the_year_1_count_as_missing(empty: str) -> None:
    page = hugo(f'title = "T"\npublishDate = {empty}\ndate = 2026-05-20T00:00:00Z\nexpiryDate = {empty}')
    assert (page.published, page.expires, page.public, lines(page)) == (at(2026, 5, 20), None, True, [])
    named = record(f"---\ntitle: T\ndate: {empty}\nexpiryDate: {empty}\nlastmod: {empty}\n---\n")
    assert (named.published, named.expires, named.updated, named.public, lines(named)) == (None, None, None, True, [])
    post = jekyll(f"title: T\ndate: {empty}")
    assert (post.published, lines(post)) == (at(2026, 5, 20), [])
    assert isinstance(parse(f"---\ntitle: T\npublishedDateTime: {empty}\n---\n", "smartable"), Rejection)


def test_a_flag_of_hugo_that_is_an_empty_date_is_absent() -> None:
    page = hugo('title = "T"\npublished = ""')
    assert (page.published, page.public, lines(page)) == (None, True, [])


def test_expiry_and_modification_have_two_keys_each() -> None:
    for expiry, modified in (("expiryDate", "lastmod"), ("unpublishdate", "modified")):
        page = hugo(f'title = "T"\n{expiry} = 2027-01-01T00:00:00Z\n{modified} = 2026-06-01T00:00:00Z')
        assert (page.expires, page.updated) == (at(2027, 1, 1), at(2026, 6, 1))


@pytest.mark.parametrize(
    ("front", "path", "public"),
    [
        ("draft = true", "a.md", False),
        ("Draft = true", "a.md", False),
        ("draft = false", "a.md", True),
        ("published = false", "a.md", False),
        ("headless = true", "a/index.md", False),
        ("x = 1", "_index.md", False),
        ("x = 1", "posts/_INDEX.de.md", False),
        ("x = 1", "posts/#a.md", False),
        ("x = 1", "a~/b.md", False),
        ("x = 1", "_a/_b.md", True),
        ('build = {list = "never", render = "never"}', "a.md", False),
        ('_build = {list = "Never"}', "a.md", False),
        ("build = {render = false}", "a.md", False),
        ('Build = {Render = "never"}', "a.md", False),
        ('build = {list = "local"}', "a.md", False),
        ('build = {list = "always", render = "link"}', "a.md", True),
        ('build = {list = "always", render = "always", publishResources = false}', "a.md", True),
        ("render = false", "a.md", False),
        ("render = true", "a.md", True),
    ],
)
def test_drafts_headless_bundles_and_lists_of_pages_stay_hidden(front: str, path: str, public: bool) -> None:
    assert hugo(f'title = "T"\n{front}', path=path, languages=("de",)).public is public


@pytest.mark.parametrize(
    ("path", "published", "title"),
    [
        ("blog/2026-05-20-a-page.md", at(2026, 5, 20), "A Page"),
        ("blog/2026-05-20_a_page/index.md", at(2026, 5, 20), "A Page"),
        ("2026/05/20/a-page.md", at(2026, 5, 20), "A Page"),
        ("blog/2026-05-20.md", at(2026, 5, 20), "2026 05 20"),
        ("blog/a-page/index.de.md", None, "A Page"),
        ("blog/node.js.md", None, "Node.js"),
    ],
)
def test_a_page_without_title_and_date_has_them_from_its_path(
    path: str, published: datetime | None, title: str
) -> None:
    page = hugo("x = 1", path=path, languages=("de",))

    assert (page.published, page.content.title) == (published, title)


def test_a_name_dates_a_page_in_yaml_only_if_the_config_says_so() -> None:
    text, path = "---\ntitle: T\ndate: 2026-01-02\n---\n", "posts/2026-05-20-a.md"
    template = "https://example.org/{path}/"
    undated = text.replace("date: 2026-01-02\n", "")

    def read(text: str, *keys: str) -> tuple[datetime | None, str | None]:
        fields = tuple({**PRESETS["hugo"], "published_at": keys or PRESETS["hugo"]["published_at"]}.items())
        page = as_record(parse(text, path=path, link_template=template, fields=fields))
        return page.published, page.content.link

    assert read(undated) == (None, "https://example.org/posts/2026-05-20-a/")
    assert read(undated, "date", ":filename") == (at(2026, 5, 20), "https://example.org/posts/a/")
    assert read(text, "date", ":filename") == (at(2026, 1, 2), "https://example.org/posts/2026-05-20-a/")
    assert read(text, ":filename", "date") == (at(2026, 5, 20), "https://example.org/posts/a/")


@pytest.mark.parametrize(
    ("front", "topics"),
    [
        ('tags = ["a", "b"]\ncategories = ["c"]', ("c", "a", "b")),
        ('tags = "two words"', ("two words",)),
        ('[taxonomies]\ntags = ["a"]\ncategories = ["c"]', ("c", "a")),
        ('series = ["s"]\nkeywords = ["k"]', ("s",)),
        ('[extra]\ntags = ["a"]', ("a",)),
        ('tags = ["a"]\n[extra]\ntags = ["b"]', ("a",)),
    ],
)
def test_topics_of_a_page_are_its_categories_tags_and_series(front: str, topics: tuple[str, ...]) -> None:
    assert hugo(f'title = "T"\n{front}').content.topics == topics


@pytest.mark.parametrize(
    ("front", "body", "summary"),
    [
        ("x = 1", "One *two*.\n\nThree.\n<!--more-->\nFour.", "One two. Three."),
        ("x = 1", 'One {{< figure src="x" >}}two {{% note %}}three{{% /note %}}.\n\nMore.', "One two three."),
        ("x = 1", 'One {{ youtube(id="x") }}two {% quote() %}three{% end %}.', "One two three."),
        ("x = 1", "Write {{ .Title }} here.", "Write {{ .Title }} here."),
        ('description = "D"', "One.", "D"),
        ('summary = "S"\ndescription = "D"', "One.", "S"),
    ],
)
def test_the_summary_of_a_page(front: str, body: str, summary: str) -> None:
    assert hugo(f'title = "T"\n{front}', body).content.summary == summary


@pytest.mark.parametrize(
    ("front", "path", "link"),
    [
        ("date = 2026-05-20Z", "posts/a.md", None),
        ("x = 1", "posts/a.md", "https://example.org/posts/a/"),
        ("x = 1", "posts/a/index.md", "https://example.org/posts/a/"),
        ("x = 1", "posts/a.de.md", "https://example.org/de/posts/a/"),
        ("x = 1", "posts/a.en.md", "https://example.org/posts/a/"),
        ("x = 1", "posts/2026-05-20-a.md", "https://example.org/posts/a/"),
        ("date = 2026-05-20", "posts/2026-05-20-a.md", "https://example.org/posts/2026-05-20-a/"),
        ('slug = "b"', "posts/a.md", "https://example.org/posts/b/"),
        ('url = "/x/b.html"', "posts/a.md", "https://example.org/x/b.html"),
        ('path = "2026/05/20/b"', "posts/a.md", "https://example.org/2026/05/20/b/"),
    ],
)
def test_the_link_of_a_page(front: str, path: str, link: str | None) -> None:
    outcome = parse(
        f'+++\ntitle = "T"\n{front}\n+++\n', path=path, link_template="https://example.org/{path}/", languages=("de",)
    )

    assert (outcome.content.link if isinstance(outcome, Record) else None) == link


def test_the_language_of_a_page_is_in_its_file_name() -> None:
    languages = ("pt-BR", "de")
    assert hugo('title = "T"', path="a.pt-br.md", languages=languages).content.language == "pt-br"
    assert hugo('title = "T"\nlang = "fr"', path="a.de.md", languages=languages).content.language == "fr"
    assert hugo('title = "T"', path="node.js.md", languages=languages).content.language == ""
    assert hugo('title = "T"', path="a.de.md").content.language == ""


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("posts/a.md", "x = 1", "posts"),
        ("Field Notes/2024/a.md", "x = 1", "Field Notes"),
        ("posts/a/index.md", "x = 1", "posts"),
        ("posts/a.md", 'type = "essay"', "essay"),
        ("a.md", "x = 1", ""),
        ("a/index.md", "x = 1", ""),
    ],
)
def test_the_type_of_a_page_of_hugo_is_its_section(path: str, text: str, kind: str) -> None:
    assert hugo(f'title = "T"\n{text}', path=path).content.type == kind


def test_content_from_the_path_does_not_identify_a_rename() -> None:
    changes = {"link_template": "https://example.org/{path}/"}
    first, second = (hugo("x = 1", "Text.", path=path, **changes) for path in ("2026-05-20-a.md", "2026-06-01-b.de.md"))
    stated = hugo('title = "A"', "Text.")

    assert first.content_hash == second.content_hash != stated.content_hash
    assert first.visible_hash != second.visible_hash


def test_fields_of_a_source_win_over_its_preset_and_the_first_key_present_wins() -> None:
    keys = tuple((PRESETS["hugo"] | {"topics": ("x", "extra.deep.y + tags"), "title": ("extra.t", "title")}).items())
    both = hugo('title = "T"\nx = ["1"]\ntags = ["3"]\n[extra]\nt = "U"\ndeep.y = ["2"]', fields=keys)
    made = hugo('title = "T"\ntags = ["3"]\n[extra.deep]\ny = ["2"]', fields=keys)

    assert (both.content.title, both.content.topics) == ("U", ("1",))
    assert (made.content.title, made.content.topics) == ("T", ("2", "3"))


# The three formats


def toml_text(value: Any) -> str:
    if isinstance(value, bool | str) or value is None:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)} = {toml_text(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return str(value)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=20)  # as all can spell
SOME = st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1))
VALUE = st.recursive(SOME, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
KEY = st.sampled_from(sorted({key for keys in PRESETS["smartable"].values() for key in keys} - {"title"}))


@given(st.dictionaries(KEY, VALUE, max_size=6), TEXT)
def test_equal_data_in_yaml_toml_and_json_is_the_same_record(data: dict[str, Any], title: str) -> None:
    data = {"title": f"T {title}", **data}
    texts = (
        f"---\n{json.dumps(data, ensure_ascii=False)}\n---\nbody",
        "+++\n" + "".join(f"{key} = {toml_text(value)}\n" for key, value in data.items()) + "+++\nbody",
        json.dumps(data) + "\nbody",
    )
    yaml, *others = (parse(text, "smartable") for text in texts)

    for other in others:
        assert type(other) is type(yaml), (yaml, other)
        if isinstance(yaml, Record):
            positions = ("id_place", "updated_place")  # which differ between the formats
            names = [name for name in Record._fields if name not in ("file", "warnings", *positions)]
            assert [getattr(other, name) for name in names] == [getattr(yaml, name) for name in names]
        assert [problem.split(": ", 1)[1] for problem in lines(other)] == [
            problem.split(": ", 1)[1] for problem in lines(yaml)
        ]


@pytest.mark.parametrize(
    "text",
    [
        '+++\ntitle = "T"\n+++\nbody',
        '\n\n+++  \ntitle = "T"\n+++',
        '{"title": "T"}\nbody',
        '\ufeff{\n  "title": "T"\n}\n\nbody',
        '---json\n{"title": "T"}\n---\nbody',
        '---toml\ntitle = "T"\n---\nbody',
        "---yaml\ntitle: T\n---\nbody",
        '{"title": "T", "x": "}{\\"]"}\nbody }',
        '+++\ntitle = "T"\nx = """\n[y]\ntitle = 1\n"""\n+++\n',
        "+++\r\ntitle = 'T'\r\n+++\r\nbody",
    ],
)
def test_front_matter_is_read_in_every_format(text: str) -> None:
    outcome = as_record(parse(text, "smartable"))

    assert outcome.content.title == "T"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("+++\ntitle = T\n+++\n", "2:9: front matter is not valid TOML: a value is missing or is not TOML (put texts in quotes)"),
        ('+++\ntitle = "T\n+++\n', "2:9: front matter is not valid TOML: a text without its closing quote (close it on the same line)"),
        ("+++\ntitle\n+++\n", "2:6: front matter is not valid TOML: a key without '=' (write key = value)"),
        ('+++\ntitle = "T"\nx = 1\nx = 2\n+++\n', "4:1: a key is given twice (keep one of them)"),
        ('+++\ntitle = "T"\ndraft = 1\n"draft" = 2\n+++\n', "4:1: the key 'draft' is given twice (keep one of them)"),
        ('+++\ntitle = "T"\n[x]\n[x]\n+++\n', "4:3: front matter is not valid TOML: a table is given twice (put its keys below one header)"),
        ('+++\ntitle = "T"\nx = 1\n[x]\n+++\n', "4:3: front matter is not valid TOML: a key is given twice (remove one of them)"),
        ("+++\nx = " + "9" * 5000 + "\n+++\n", "2:1: front matter is not valid TOML: it cannot be read (check it with a TOML linter)"),
        ("+++\ndate = 2026-02-30\n+++\n", "2:8: front matter is not valid TOML: a date that does not exist (write it as a text in quotes)"),
        ('{"title": T}', "1:11: front matter is not valid JSON: a value is missing, or is no JSON (put texts in double quotes)"),
        ('{\n "title": "T",\n}', "2:14: front matter is not valid JSON: a ',' too much (remove it)"),
        ('{"title": "T"\n "x": 1}', "2:2: front matter is not valid JSON: a ',' is missing (put a ',' between values, and texts in double quotes)"),
        ('{"title" "T"}', "1:10: front matter is not valid JSON: a key without its ':' (write \"key\": value)"),
        ('{"title": "a\nb"}', "1:11: front matter is not valid JSON: a text over more than one line, or a control character (write \\n for a new line)"),
        ('{"title": "T",\n "tags": ["a", "b",\n "x": 1}\n\n[Body](x)', "2:10: front matter is not valid JSON: a bracket is not closed (close the bracket)"),
        ('---json\n{"title": "T", "tags": ["a"\n---\n', "2:24: front matter is not valid JSON: a bracket is not closed (close the bracket)"),
        ('{"title": "\\q"}', "1:12: front matter is not valid JSON: an invalid escape (write \\\\ for a backslash)"),
        ('{"title": "T",\n "x": [NaN]}', "2:8: front matter is not valid JSON: NaN is not a JSON number (write a number, or null)"),
        ('{"title": "T",\n "x": NaN> 1}', "2:7: front matter is not valid JSON: NaN is not a JSON number (write a number, or null)"),
        ('{"title": "T", "x": -Infinity}', "1:21: front matter is not valid JSON: -Infinity is not a JSON number (write a number, or null)"),
        ('{"title": "T",\n "x": 1, "x": 2}', "2:10: a key is given twice (keep one of them)"),
        ('{"draft": true,\n "draft": false}', "2:2: the key 'draft' is given twice (keep one of them)"),
        ('---json\n["T"]\n---\n', '2:1: front matter is not a map of keys (write {"key": value, …})'),
        ('---json\n{"title": "T"} x\n---\n', "2:16: front matter is not valid JSON: extra text after the object (begin the body on a line of its own)"),
        ('{"published": "yes"}', "1:15: 'published' is not true or false: 'yes' (write true or false, without quotes)"),
        ('+++\npublished = "true"\n+++\n', "2:13: 'published' is not true or false: 'true' (write true or false, without quotes)"),
        ("+++\npublished = 1\n+++\n", "2:13: 'published' is not true or false: '1' (write true or false)"),
        ("+++\ntitle = 7\npublishedDateTime = 07:32:00\n+++\n", "3:21: 'publishedDateTime' is not a date: '07:32:00' (write it as 2026-05-20T07:10:00Z)"),
    ],
)  # fmt: skip
def test_invalid_front_matter_is_rejected_with_its_position(text: str, line: str) -> None:
    outcome = as_rejection(parse(text, "smartable"))

    assert lines(outcome) == [f"a.md:{line}"]
    assert not outcome.unfinished


@pytest.mark.parametrize(
    "text", ["+", "++", "+++", '+++\ntitle = "T"', '{"title": "T"', '{"title": "T}', "{", '{"a": "\\']
)
def test_a_file_without_the_end_of_its_front_matter_is_unfinished(text: str) -> None:
    outcome = as_rejection(parse(text))

    assert outcome.unfinished


def test_a_misspelled_key_is_a_warning_in_every_format() -> None:
    for text, place in (
        ('+++\ntitle = "T"\n\nexerpt = "x"\n+++', "4:1"),
        ('{"title": "T",\n "exerpt": "x"}', "2:2"),
    ):
        outcome = parse(text, "smartable")
        assert len(lines(outcome)) == 1
        assert "did you mean 'excerpt'?" in lines(outcome)[0]
        assert lines(outcome)[0].startswith(f"a.md:{place}:"), lines(outcome)


def test_a_number_with_thousands_of_digits_is_a_text() -> None:
    page = record('{"title": ' + "9" * 5000 + ', "quality": ' + "9" * 5000 + "}", "smartable")

    assert page.content.title == "9" * 999 + "…"
    assert page.quality == -1
    assert len(page.warnings) == 2


def test_half_a_character_in_json_is_replaced() -> None:
    page = record('{"title": "a\\ud800b", "topics": ["\\udfff"], "excerpt": "\\u0000x"}', "smartable")

    assert (page.content.title, page.content.topics, page.content.summary) == ("a\ufffdb", ("\ufffd",), "x")


@pytest.mark.parametrize(
    "make",
    [
        lambda levels: '{"title": "T", "x": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}",
        lambda levels: '+++\ntitle = "T"\nx = ' + "[" * (levels - 1) + "]" * (levels - 1) + "\n+++\n",
        lambda levels: '+++\ntitle = "T"\n' + ".".join("a" * levels) + " = 1\n+++\n",
        lambda levels: '+++\ntitle = "T"\n[' + ".".join("a" * (levels - 1)) + "]\n+++\n",
        lambda levels: '+++\ntitle = "T"\nx = {' + ".".join("a" * (levels - 1)) + " = 1}\n+++\n",
    ],
)
def test_front_matter_may_nest_as_deep_as_the_limit(make: Callable[[int], str]) -> None:
    deeper = as_rejection(parse(make(33), "smartable"))

    assert isinstance(parse(make(32), "smartable"), Record)
    assert deeper.problem.what == "front matter is nested too deeply"
    assert deeper.problem.line > 0


FRONT_MATTER = [
    '{"title": "T", "x": ' + "[" * 400_000,
    '{"x": ' + "[" * 400_000 + "]" * 400_000 + "}",
    '{"x": [' + "1," * 400_000 + "1]}",
    "{" + '"a": 1,' * 100_000 + '"b": 1}',
    "+++\n" + "a." * 400_000 + "a = 1\n+++\n",
    "+++\n" + "a." * 400_000 + "\n+++\n",
    "+++\n[" + "a." * 400_000 + "a]\n+++\n",
    "+++\nx = {" + "a." * 400_000 + "a = 1}\n+++\n",
    "+++\nx = " + "[" * 400_000 + "\n+++\n",
    "+++\nx = [" + "1," * 400_000 + "]\n+++\n",
    "+++\n" + "".join(f"k{number} = 1\n" for number in range(60_000)) + "+++\n",
    "+++\n" + "[[a]]\n" * 150_000 + "+++\n",
    '+++\nx = """' + '\\"""' * 200_000 + "\n+++\n",
    "+++\nx = '''" + "''x" * 200_000 + "\n+++\n",
    '+++\nx = "' + '\\"' * 400_000 + "\n+++\n",
    "+++\n" + '"' * 900_000 + "\n+++\n",
    "+++\n" + "#\n" * 400_000 + "+++\n",
    "{" + '"' * 900_000,
    '{"a": "' + "\\" * 900_000,
]  # fmt: skip
BODIES = [
    "---\nx: 1\n---\n" + "{% " * 300_000,
    "---\nx: 1\n---\n" + "{{< " * 200_000,
    "---\nx: 1\n---\n" + "\n\n{:" * 200_000,
    "---\nx: 1\n---\n" + "#\n\n" * 300_000,
    "---\nx: 1\n---\n" + "[a][\n" * 200_000,
    "---\nx: 1\n---\n" + "[a]: x\n" * 140_000,
    "---\nx: 1\n---\n" + "a\n" * 450_000,
]


@pytest.mark.parametrize(
    ("text", "preset"),
    [*((text, "hugo") for text in FRONT_MATTER), *itertools.product(BODIES, ("hugo", "jekyll"))],
)
def test_no_file_takes_long(text: str, preset: Preset) -> None:
    with processor_time(20):
        assert isinstance(parse(text, preset), Record | Rejection)


@given(st.data())
def test_no_damage_to_a_file_raises(data: st.DataObject) -> None:
    raw = data.draw(
        st.sampled_from(
            [
                b'+++\ntitle = "T"\ndate = 2026-05-20T10:00:00Z\n[extra]\na.b = {c = [1, 2.5, "x"]}\n+++\nBody.\n\nMore.',
                b'{"title": "T", "date": "2026-05-20", "tags": ["a", {"b": [1, null, true]}]}\nBody {{< x >}}.',
                b"---\ntitle: T\ntags: a b\npermalink: /x/\n---\nBody {% x %}.\n\n[a]: b",
            ]
        )
    )
    raw = damaged(raw, [b"\n", b'"', b"'''", b"{", b"[[", b"\\u", b".", b"=", b"+++\n"], data)
    path = data.draw(
        st.sampled_from(["a.md", "2026-05-20-x.md", "_posts/0000-00-00-.md", "x.de.md", "_index.md", "%FF.md"])
    )
    preset: Preset = data.draw(st.sampled_from(["jekyll", "hugo"]))

    outcome = parse(raw, preset, path, link_template="https://example.org/{path}")

    assert isinstance(outcome, Record | Rejection)


def test_times_and_dates_of_toml_are_what_they_say() -> None:
    for value in ("2026-05-20", "2026-05-20T00:00:00", "2026-05-20 00:00:00.000", "2026-05-20T02:00:00+02:00"):
        page = record(f'+++\ntitle = "T"\npublishedDateTime = {value}\n+++\n', "smartable")
        assert page.published == at(2026, 5, 20)


# Several sources

TWO = """
[[records]]
path = "../incoming"
removal_grace = "10m"
[[records]]
name = "blog"
path = "../blog"
preset = "jekyll"
topics = ["Blog"]
removal_grace = "10m"
"""
ONE = '[[records]]\npath = "../incoming"\n'
NOON = "2026-06-01 12:00"


def write_post(site: SiteFolder, name: str, text: str = "---\nlayout: post\n---\nText.\n") -> None:
    site.write(f"../blog/{name}", text)


@pytest.fixture
def two(make_site: Any, store_url: str) -> SiteFolder:
    site: SiteFolder = make_site(store_url, TWO)
    site.record("news.md", title="News", topics=["AI"], publishedDateTime="2026-05-21T00:00:00Z")
    write_post(site, "2026-05-20-post.md")
    return site


def test_two_sources_make_one_set_of_feeds(two: SiteFolder) -> None:
    result = two.run(NOON)

    assert (result.scanned, result.new, result.rejected, result.problems) == (2, 2, 0, ())
    assert two.titles() == ["News", "Post"]
    assert (two.titles("ai"), two.titles("blog")) == (["News"], ["Post"])


def test_one_path_in_two_sources_is_two_records(two: SiteFolder) -> None:
    two.record("2026-05-20-post.md", title="Same path", publishedDateTime="2026-05-19T00:00:00Z")
    two.run(NOON)

    assert two.titles() == ["News", "Post", "Same path"]
    assert len(set(two.ids().values())) == 3


def test_a_rename_keeps_its_id_within_its_source_only(two: SiteFolder) -> None:
    two.run(NOON)
    before = two.ids()
    (two.root / "blog/2026-05-20-post.md").rename(two.root / "blog/2026-05-20-post.markdown")
    (two.incoming / "news.md").rename(two.root / "blog/2026-05-21-news.md")
    two.run("2026-06-01 12:01")
    after = two.ids()

    assert after["Post"] == before["Post"]
    assert before["News"] not in after.values()


def test_a_missing_folder_affects_its_own_source_only(two: SiteFolder) -> None:
    two.run(NOON)
    (two.root / "blog").rename(two.root / "away")
    two.record("more.md", title="More", publishedDateTime="2026-05-30T00:00:00Z")
    result = two.run("2026-06-01 12:01")

    assert not result.complete
    assert two.titles() == ["More", "News", "Post"]
    two.run("2026-06-01 12:30")
    assert two.titles() == ["More", "News"]


def test_a_mass_removal_is_judged_for_each_source(two: SiteFolder) -> None:
    for number in range(30):
        write_post(two, f"2026-04-{number % 28 + 1:02}-old-{number}.md")
        two.record(f"n{number}.md", publishedDateTime="2026-04-01T00:00:00Z")
    two.run(NOON)
    for path in (two.root / "blog").glob("*old*"):
        path.unlink()
    result = two.run("2026-06-01 12:01")

    assert result.removed == 0
    assert "30 of 31 files are missing at once" in result.problems[0]
    assert two.run("2026-06-01 12:20").removed == 30


def test_undated_records_of_a_source_that_comes_later_rank_below_its_own(make_site: Any, store_url: str) -> None:
    site = make_site(store_url, ONE)
    site.record("news.md", title="News", publishedDateTime="2026-05-21T00:00:00Z")
    site.run(NOON)
    site.configure(TWO)
    write_post(site, "2026-05-25-dated.md")
    write_post(site, "undated.md")
    site.run("2026-06-01 12:10")

    assert site.titles() == ["Dated", "Undated", "News"]


def test_a_source_removed_from_the_config_is_withdrawn_after_its_grace_and_returns_unchanged(two: SiteFolder) -> None:
    two.run(NOON)
    ids = two.ids()
    result = two.run_with(ONE, "2026-06-01 12:01")

    assert two.titles() == ["News", "Post"]
    end = "any more; the entry of its 1 file stays until 2026-06-01 12:11:00+00:00 (if it is meant, run: "
    assert end in result.problems[0]
    assert two.run("2026-06-01 12:09").problems == result.problems
    assert two.run("2026-06-01 12:12").removed == 1
    assert two.titles() == ["News"]
    two.configure(ONE + '[[records]]\nname = "new"\npath = "../new"\n')
    (two.root / "new").mkdir()
    assert two.run("2026-06-01 12:13").problems == ()
    two.run_with(TWO, "2026-06-01 12:20")
    assert two.ids() == ids


def test_the_removal_of_a_source_can_be_accepted(two: SiteFolder) -> None:
    two.run(NOON)
    two.configure(ONE)
    assert "--accept-removals" in two.run("2026-06-01 12:01").problems[0]
    result = two.run("2026-06-01 12:02", accept_removals=True)
    assert (result.removed, result.problems, two.titles()) == (1, (), ["News"])


def test_problems_and_counts_are_reported_for_each_source(two: SiteFolder) -> None:
    write_post(two, "2026-05-22-bad.md", "---\ndate: soon\n---\n")
    two.write("bad.md", record_text({"title": ""}))
    result = two.run(NOON)

    assert (result.scanned, result.new, result.rejected) == (4, 2, 2)
    assert sorted(line.split(":")[0] for line in two.problems()) == ["2026-05-22-bad.md", "bad.md"]
