"""Posts come out as the real Hugo and the real Jekyll publish them: the same posts, URLs, titles, dates, topics, words.

`ALLOWED` lists every difference that stays, with its reason. `tests/outside/posts.py` says how texts are compared.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import hugo_kinds
import hugo_site
import jekyll_kinds
import jekyll_site
import pytest
import zola_kinds
from corpus import CORPUS, needs_corpus
from generated import GeneratedPost
from generated_sites import HugoAuthor, JekyllAuthor
from hugo_site import HugoSite
from jekyll_site import JekyllSite
from our_site import our_posts
from posts import Difference, differences, make_post
from sites import write_files

HUGO_RECORDS = f'preset = "hugo"\nlink_template = "{hugo_site.BASE}{{path}}/"\n'
JEKYLL_STYLES = {
    "date": "/{categories}/{year}/{month}/{day}/{title}{output_ext}",
    "pretty": "/{categories}/{year}/{month}/{day}/{title}/",
    "ordinal": "/{categories}/{year}/{y_day}/{title}{output_ext}",
    "weekdate": "/{categories}/{year}/W{week}/{short_day}/{title}{output_ext}",
    "none": "/{categories}/{title}{output_ext}",
    "/blog/:year/:i_month/:slug/": "/blog/{year}/{i_month}/{slug}/",
    "/:slugified_categories/:title": "/{slugified_categories}/{title}",
    "/:short_year/:long_month/:name:output_ext": "/{short_year}/{long_month}/{name}{output_ext}",
}
"""Values of `permalink`, and the link template that means the same."""


def jekyll_records(style: str) -> str:
    return f'preset = "jekyll"\nsite_url = "{jekyll_site.BASE}/"\nlink_template = "{jekyll_site.BASE}{JEKYLL_STYLES[style]}"\n'


ALLOWED: dict[str, dict[tuple[str, str], str]] = {
    "hugo": {
        ("dates/2026-04-10-toml.md", "url"): "Zola, whose posts are in TOML too, takes the date from the name",
        ("dates/2026-04-10-toml.md", "date"): "Zola, whose posts are in TOML too, takes the date from the name",
        ("front/none.md", "published"): "a file without front matter is no record",
        ("links/ref-text.md", "summary"): "the URL of a page is filled into links only",
        ("links/ref-text.md", "text"): "the URL of a page is filled into links only",
        ("short/youtube.md", "text"): "a feed has no frames: a link stands in for the video",
        ("short/youtube.md", "links"): "a feed has no frames: a link stands in for the video",
    },
    "jekyll": {
        ("_posts/links/2026-03-01-links-post-url-text.md", "summary"): "the URL of a page is filled into links only",
        ("_posts/links/2026-03-01-links-post-url-text.md", "text"): "the URL of a page is filled into links only",
        ("_posts/2026-03-01-draft-key.md", "published"): "who writes `draft: true` wants it hidden",
        ("_posts/2026-13-05-no-month.md", "published"): "no calendar has the date of its name",
        ("_posts/back~/2026-03-04-in-tilde.md", "published"): "a folder that ends in ~ is a backup, as a file is",
        ("_posts/2026-06-01-canonical.md", "url"): "a canonical URL is the one to link to",
        ("_posts/2026-07-01-comma.md", "topics"): "a comma between tags is part of none",
        ("_posts/links/2026-03-01-links-link-file.md", "links"): "a file that is no record is not known",
        ("_posts/links/2026-03-01-links-prefixed-unknown.md", "links"): "a URL that is known in part leads nowhere",
        ("_posts/liquid/2026-03-01-liquid-output-in-code.md", "summary"): "a code span that became empty is no text",
        ("_posts/liquid/2026-03-01-liquid-output-in-code.md", "text"): "a code span that became empty is no text",
        ("_posts/2026-08-01-more-alone.md", "summary"): "a marker that someone wrote ends the excerpt",
        ("_posts/2026-08-01-crlf.md", "summary"): "the end of a paragraph does not depend on how lines end",
        ("_posts/md/2026-03-01-md-crlf.md", "summary"): "the end of a paragraph does not depend on how lines end",
    },
}
_LINKED = re.compile(r"\{% link (_posts/\S+) %\}")
TEXTS = ("summary", "text", "code", "links")
SITES = int(os.environ.get("AGGREGATOR_JUDGED_SITES", "2"))
"""How many random sites are made for each system."""
POSTS = 150
"""How many posts such a site has."""
Judged = dict[str, list[Difference]]
Files = Mapping[str, str | bytes]
Judge = Callable[[Path, Files], list[Difference]]
Kinds = Mapping[str, Mapping[str, str | bytes]]


def all_files(kinds: Kinds) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for more in kinds.values():
        assert not files.keys() & more.keys(), "two kinds have one file"
        files |= more
    return files


def by_kind(system: str, kinds: Kinds, found: list[Difference]) -> Judged:
    """The differences of each kind's files that are not allowed."""
    unknown = [one for one in found if (one.path, one.field) not in ALLOWED[system]]
    return {kind: [one for one in unknown if one.path in files] for kind, files in kinds.items()}


def told(found: list[Difference]) -> str:
    return "\n".join(map(str, found))


@pytest.fixture(scope="module")
def hugo_judged(tmp_path_factory: pytest.TempPathFactory) -> list[Difference]:
    root = tmp_path_factory.mktemp("hugo")
    site = HugoSite(root / "site", all_files(hugo_kinds.KINDS))
    theirs, listed = site.posts(), site.published()
    assert theirs
    # pages that are not rendered are listed, and pages that are not listed may be published
    assert not theirs.keys() - listed.keys()
    assert all(theirs[path].url == unquote(url) for path, url in listed.items() if path in theirs)
    return differences(theirs, our_posts(root / "ours", site.content, HUGO_RECORDS))


@pytest.fixture(scope="module")
def jekyll_judged(tmp_path_factory: pytest.TempPathFactory) -> list[Difference]:
    return judge_jekyll(tmp_path_factory.mktemp("jekyll"), all_files(jekyll_kinds.KINDS))


@pytest.mark.parametrize("kind", hugo_kinds.KINDS)
def test_posts_come_out_as_hugo_publishes_them(kind: str, hugo_judged: list[Difference]) -> None:
    found = by_kind("hugo", hugo_kinds.KINDS, hugo_judged)[kind]
    assert not found, told(found)


@pytest.mark.parametrize(
    ("files", "config", "records"),
    [
        pytest.param(
            hugo_kinds.LANGUAGES,
            "[languages.en]\nweight = 1\n[languages.de]\nweight = 2\n",
            'languages = ["en", "de"]\nlink_template = "{base}{{path}}/"\n',
            id="languages",
        ),
        pytest.param(
            hugo_kinds.DATED,
            '[frontmatter]\ndate = [":filename", ":default"]\npublishDate = [":filename", ":default"]\n',
            'link_template = "{base}{{path}}/"\nfields = {{ published_at = [":filename", "publishDate", "date"] }}\n',
            id="dates of file names",
        ),
        pytest.param(
            hugo_kinds.DATED,
            '[frontmatter]\ndate = [":filename", ":default"]\npublishDate = [":filename", ":default"]\n[permalinks]\nposts = "/:year/:month/:slugorcontentbasename/"\n',
            'link_template = "{base}{{year}}/{{month}}/{{slug}}/"\n'
            'fields = {{ published_at = [":filename", "publishDate", "date"] }}\n',
            id="permalinks",
        ),
        pytest.param(
            {path: text for path, text in hugo_kinds.KINDS["paths"].items() if path.count("/") == 1},
            "uglyURLs = true\n",
            'link_template = "{base}{{path}}.html"\n',
            id="ugly URLs",
        ),
    ],
)
def test_posts_come_out_as_hugo_publishes_them_by_its_config(
    files: Files, config: str, records: str, tmp_path: Path
) -> None:
    site = HugoSite(
        tmp_path / "site", files, f"{config}\n{hugo_site.CONFIG}" if config[0] != "[" else hugo_site.CONFIG + config
    )
    theirs = site.posts()
    ours = our_posts(tmp_path / "ours", site.content, 'preset = "hugo"\n' + records.format(base=hugo_site.BASE))
    found = differences(theirs, ours)
    assert not found, told(found)


@pytest.mark.parametrize("kind", jekyll_kinds.KINDS)
def test_posts_come_out_as_jekyll_publishes_them(kind: str, jekyll_judged: list[Difference]) -> None:
    found = by_kind("jekyll", jekyll_kinds.KINDS, jekyll_judged)[kind]
    assert not found, told(found)


def test_every_allowed_difference_is_one(hugo_judged: list[Difference], jekyll_judged: list[Difference]) -> None:
    for system, found in (("hugo", hugo_judged), ("jekyll", jekyll_judged)):
        assert ALLOWED[system].keys() <= {(one.path, one.field) for one in found}


def test_posts_come_out_as_zola_documents_it(tmp_path: Path) -> None:
    write_files(tmp_path / "content", zola_kinds.FILES)
    theirs = {
        one.path: make_post(
            url=zola_kinds.BASE + one.url,
            title="T",
            date=one.date,
            topics=one.topics,
            summary=one.summary,
            html=html.escape(one.text or one.summary)
            + "".join(f'<a href="{zola_kinds.BASE}{link}"></a>' for link in one.links),
        )
        for one in zola_kinds.EXPECTED
    }
    ours = our_posts(tmp_path / "ours", tmp_path / "content", HUGO_RECORDS)
    found = [one for one in differences(theirs, ours) if one.field != "code"]
    assert not found, told(found)


@pytest.mark.parametrize("style", JEKYLL_STYLES)
def test_posts_have_the_urls_of_a_permalink_style(style: str, tmp_path: Path) -> None:
    config = f'{jekyll_site.CONFIG}permalink: "{style}"\n'
    kinds = {name: jekyll_kinds.KINDS[name] for name in ("names", "topics", "urls")}
    site = JekyllSite(tmp_path / "site", all_files(kinds), config)
    theirs, ours = site.posts(), our_posts(tmp_path / "ours", site.root, jekyll_records(style))
    found = [
        one for one in differences(theirs, ours) if one.field == "url" and (one.path, "url") not in ALLOWED["jekyll"]
    ]
    assert not found, told(found)


def judge_hugo(root: Path, files: Files) -> list[Difference]:
    """The differences of a folder of content."""
    site = HugoSite(root / "site", files)
    return differences(site.posts(), our_posts(root / "ours", site.content, HUGO_RECORDS))


def judge_jekyll(root: Path, files: Files) -> list[Difference]:
    """The differences of a folder with `_posts`."""
    site = JekyllSite(root / "site", {**files, "_includes/nothing.html": ""})
    ours = our_posts(root / "ours", site.root, jekyll_records("date"))
    return differences(site.posts(), {path: post for path, post in ours.items() if "_posts/" in path})


def assert_none(judge: Judge, root: Path, posts: list[GeneratedPost]) -> None:
    """Fails with the differences, and with smaller posts that still differ."""
    found = judge(root / "all", {post.path: post.text for post in posts})
    if not found:
        return
    smaller = smaller_posts(posts, found)
    still = judge(root / "smaller", {post.path: post.text for post in [posts[0], *smaller]}) if smaller else []
    texts = {post.path: post.text for post in smaller}
    shown = {one.path.rpartition(" v")[0]: one for one in reversed(still) if one.path in texts and one.field in TEXTS}
    pytest.fail(
        told(found[:40])
        + f"\n{len(found)} differences\n"
        + "".join(f"\n{one}\n{texts[one.path]}" for one in shown.values()),
        pytrace=False,
    )


def smaller_posts(posts: list[GeneratedPost], found: list[Difference]) -> list[GeneratedPost]:
    """Parts of the first posts whose texts differ, the smallest first, under names of their own."""
    differing = {one.path for one in found if one.field in TEXTS}
    chosen = [post for post in posts if post.path in differing][:10]
    return [
        replace(part, path=f"{stem} v{number:03}.{ending}")
        for post in chosen
        for stem, _, ending in [post.path.rpartition(".")]
        for number, part in enumerate(post.smaller())
    ]


@pytest.mark.parametrize("seed", range(SITES))
def test_random_posts_come_out_as_hugo_publishes_them(seed: int, tmp_path: Path) -> None:
    assert_none(judge_hugo, tmp_path, HugoAuthor(seed).site(POSTS))


@pytest.mark.parametrize("seed", range(SITES))
def test_random_posts_come_out_as_jekyll_publishes_them(seed: int, tmp_path: Path) -> None:
    assert_none(judge_jekyll, tmp_path, JekyllAuthor(seed).site(POSTS))


@needs_corpus
def test_the_posts_of_a_real_site_come_out_as_jekyll_publishes_them(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {}
    for path in (CORPUS / "foreign-jekyll").iterdir():
        # the config of the site is not here, nor are all of its posts
        text = path.read_text().replace("{{ site.repository }}", "https://github.com/jekyll/jekyll")
        files |= {f"_posts/{path.name}": text} | {
            linked: files.get(linked, "---\n---\n") for linked in _LINKED.findall(text)
        }
    found = judge_jekyll(tmp_path, files)
    assert not found, told(found)
