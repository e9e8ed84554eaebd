"""`init --from`, `adopt` and `build` against the feeds that the real Hugo and the real Jekyll make of the same site.

Every feed of the old site is compared with the document at its old path: the same posts in the same order, with the
same titles, links, dates and ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Shop
from sites import FAR, Shown, build_hugo, build_jekyll, post, shown, write_files

BASE = "https://blog.example.org/"


def dated(day: int) -> str:
    return f"2024-05-{day:02}T09:00:00Z"


def posts(folder: str, number: int, **fields: object) -> dict[str, str]:
    """Posts with different days, names and titles."""
    return {
        f"{folder}/note-{day:02}.md": post(f"Note & {day}", f"Words of note {day}.", date=dated(day), **fields)
        for day in range(1, number + 1)
    }


HUGO = {
    "one file, a limit, pages without a date": {
        "hugo.toml": f'baseURL = "{BASE}"\ntitle = "The workshop"\nlanguageCode = "en-gb"\n[services.rss]\nlimit = 8\n',
        **posts("content/posts", 12, tags=["AI", "Big Data"]),
        "content/about.md": post("About"),
        "content/posts/draft.md": post("Draft", date=dated(20), draft=True),
        "content/posts/later.md": post("Later", date=FAR),
        "content/posts/kettle/index.md": post("A kettle", date=dated(21), categories=["Kitchen"]),
        "content/posts/kettle/steps.md": post("Steps of the kettle", date=dated(22)),
        "content/posts/_index.md": post("Posts"),
        "content/Field Notes/My Second Post.md": post("My second post", date=dated(23), tags=["C++", "Kühl"]),
    },
    "a blog below a path, without a limit": {
        "hugo.yaml": f"baseURL: {BASE}my/blog/\ntitle: Below\n",
        **posts("content/posts", 12),
        "content/about.md": post("About"),
        "content/posts/aliased.md": post("Elsewhere", date=dated(20), url="/old/way.html"),
        "content/posts/slugged.md": post("Another", date=dated(21), slug="the-slug"),
    },
    "permalinks of sections": {
        "hugo.toml": (
            f'baseURL = "{BASE}"\ntitle = "Patterns"\n[permalinks]\nposts = "/:year/:month/:slug/"\n'
            '[permalinks.page]\nnotes = "/n/:contentbasename/"\nessays = "/:section/:year/:title/"\n'
        ),
        "content/posts/a file.md": post("Why we did it", date=dated(1)),
        "content/posts/2024-05-02-b.md": post("Two of them", date=dated(2), slug="two"),
        "content/notes/c-note.md": post("A note", date=dated(3)),
        "content/notes/d/index.md": post("A note in a bundle", date=dated(4)),
        "content/essays/e.md": post("What is a title?", date=dated(5)),
        "content/other/f.md": post("Without a pattern", date=dated(6)),
        "content/g.md": post("In the root", date=dated(7)),
    },
    "permalinks of the root, of the pages of sections and of folders in them": {
        "hugo.toml": (
            f'baseURL = "{BASE}"\ntitle = "Patterns"\n[permalinks.page]\n"/" = "/:year/:slug/"\n'
            'posts = "/:sections/:slugorcontentbasename/"\n"other/deep" = "/d/:slug/"\nnotes = "/:sections/:slugorfilename"\n'
            '[permalinks.section]\nposts = "/blog/:slug/"\nnotes = "/n/:sections"\n'
        ),
        "content/a.md": post("In the root", date=dated(1)),
        "content/bundle/index.md": post("A bundle in the root", date=dated(2)),
        "content/posts/_index.md": post("All posts"),
        "content/posts/b.md": post("Post", date=dated(3), slug="b-slug"),
        "content/posts/sub/c.md": post("Post below", date=dated(4)),
        "content/other/deep/d.md": post("Post further below", date=dated(5)),
        "content/notes/e-file.md": post("Note", date=dated(6)),
        "content/other/f.md": post("Without a pattern", date=dated(7)),
        "content/Field Trip/g.md": post("A trip", date=dated(8)),
    },
    "what the pages of sections state": {
        "hugo.toml": f'baseURL = "{BASE}"\ntitle = "Stated"\n[permalinks.section]\n"/" = "/x/:slug/"\n',
        **posts("content/posts", 3),
        "content/posts/_index.md": post("Posts", url="/all/of/them"),
        "content/notes/_index.md": post("Notes", slug="short notes"),
        "content/notes/a.md": post("A note", date=dated(5)),
        "content/essays/_index.md": post("Essays & more", url="/Upper Case/:title/"),
        "content/essays/b.md": post("An essay", date=dated(6)),
        "content/trips/c.md": post("A trip", date=dated(7)),
        "content/trips/_index.md": post("Trips", draft=True),
        "content/links/_index.md": post("Links", outputs=["html"]),
        "content/links/d.md": post("A link", date=dated(8)),
    },
    "pages of sections in two languages": {
        "hugo.toml": (
            f'baseURL = "{BASE}"\ndefaultContentLanguage = "en"\n[languages.en]\ntitle = "Workshop"\nweight = 1\n'
            '[languages.de]\ntitle = "Werkstatt"\nweight = 2\n[taxonomies]\n'
            '[permalinks.section]\nnotes = "/n/:slug/"\n'
        ),
        **{
            f"content/{name}/a{end}.md": post(name, date=dated(day))
            for day, name in enumerate(("posts", "notes", "trips"), 1)
            for end in ("", ".de")
        },
        "content/posts/_index.de.md": post("Beiträge", url="dort"),
        "content/trips/_index.de.md": post("Reisen", url="/reisen/"),
        "content/notes/_index.de.md": post("Notizen"),
    },
    "split config, keys of dates, topics, drafts": {
        "config/_default/hugo.toml": f'baseURL = "{BASE}"\ntitle = "Split"\nbuildDrafts = true\ncontentDir = "text"\n',
        "config/_default/frontmatter.toml": 'date = ["published_on", ":default"]\npublishDate = ["published_on", ":default"]\n',
        "config/_default/taxonomies.toml": 'topic = "topics"\n',
        "config/production/params.toml": 'author = "Ada"\n',
        "text/posts/a.md": post("Has a day of its own", published_on=dated(3), date=dated(20), topics=["Tea"]),
        "text/posts/b.md": post("Has a date", date=dated(4), topics=["Tea", "Oil paint"]),
        "text/posts/c.md": post("A draft", date=dated(5), draft=True),
    },
    "ugly URLs, a cascade in the config, other feed names": {
        "hugo.toml": (
            f'baseURL = "{BASE}"\ntitle = "Ugly"\nuglyURLs = true\n[outputFormats.rss]\nbaseName = "feed"\n'
            '[[cascade]]\n[cascade.params]\n[cascade.build]\nlist = "never"\nrender = "never"\n'
            '[cascade.target]\npath = "/private/**"\n'
        ),
        **posts("content/posts", 3),
        **posts("content/private", 3),
    },
    "two languages": {
        "hugo.toml": (
            f'baseURL = "{BASE}"\ndefaultContentLanguage = "en"\n[languages.en]\ntitle = "Workshop"\nweight = 1\n'
            '[languages.de]\ntitle = "Werkstatt"\nweight = 2\n[taxonomies]\n'
        ),
        **posts("content/posts", 4),
        "content/posts/note-01.de.md": post("Notiz eins", date=dated(1)),
        "content/posts/nur.de.md": post("Nur hier", date=dated(9)),
        "content/posts/v1.md": post("Version 1", date=dated(10)),
    },
}

JEKYLL_CONFIG = f"title: The workshop\nurl: {BASE.rstrip('/')}\ntimezone: UTC\nplugins: [jekyll-feed]\n"
JEKYLL = {
    "the plugin and default links": {
        "_config.yml": JEKYLL_CONFIG,
        **{f"_posts/2024-05-{day:02}-note {day}.md": post(f"Note & {day}") for day in range(1, 15)},
        "_posts/2024-05-20-lamp.markdown": post("A lamp", categories=["Light", "Big Rooms"], date="2024-05-20 08:30"),
        "_posts/2024-05-21-hidden.md": post("Hidden", published=False),
        "_posts/2099-05-21-later.md": post("Later"),
        "_posts/undated.md": post("Undated"),
        "_drafts/idea.md": post("An idea"),
        "index.md": post("Home"),
    },
    "pretty links below a path, feeds of categories and tags": {
        "_config.yml": JEKYLL_CONFIG + "baseurl: /w\npermalink: pretty\nfeed:\n  path: atom.xml\n  posts_limit: 3\n"
        "  categories: [news]\n  tags: true\n",
        "_posts/2024-05-01-one.md": post("One", categories="news", tags="tea oil"),
        "_posts/2024-05-02-two.md": post("", categories="news", tags=["tea"]),
        "_posts/2024-05-03-three.md": post("Three", slug="third"),
        "_posts/2024-05-04-four.md": post("Four", permalink="/four.html"),
        "_posts/2024-05-05-five.html": post("Five", "<p>Five.</p>"),
    },
    "folders of categories, defaults by path, exclude": {
        "_config.yml": JEKYLL_CONFIG + "exclude: [news/_posts/2024-05-09-left-out.md]\ndefaults:\n"
        "  - scope: {path: news}\n    values: {permalink: '/n/:year/:title.html'}\n"
        "  - scope: {path: _posts/hidden}\n    values: {published: false}\n"
        "  - scope: {path: '', type: posts}\n    values: {permalink: '/:categories/:title/'}\n",
        "_posts/2024-05-01-one.md": post("One", categories="Tea"),
        "_posts/hidden/2024-05-02-two.md": post("Two"),
        "_posts/hidden/2024-05-03-three.md": post("Three", published=True),
        "news/_posts/2024-05-04-four.md": post("Four"),
        "news/_posts/2024-05-09-left-out.md": post("Left out"),
        "essays/long/_posts/2024-05-05-five.md": post("Five", categories="essays"),
    },
    "tags and categories in defaults": {
        "_config.yml": JEKYLL_CONFIG + "feed: {tags: true, categories: [Always, Cat]}\ndefaults:\n"
        "  - scope: {path: '', type: posts}\n    values: {categories: [Always], tags: [usual, plain]}\n",
        "_posts/2024-05-01-one.md": post("One"),
        "_posts/2024-05-02-two.md": post("Two", tags="own other"),
        "_posts/2024-05-03-three.md": post("Three", tag="own"),
        "_posts/2024-05-04-four.md": post("Four", tags=[]),
        "_posts/2024-05-05-five.md": post("Five", categories=["Cat"]),
        "_posts/2024-05-06-six.md": post("Six", category="Cat", tags=None),
    },
    "exclude and defaults by the beginnings of paths": {
        "_config.yml": JEKYLL_CONFIG + "exclude: ['*.draft.md', ess]\ndefaults:\n"
        "  - scope: {path: _posts/2024-05-1}\n    values: {published: false}\n",
        "_posts/2024-05-01-one.md": post("One"),
        "_posts/2024-05-02-two.draft.md": post("Two"),
        "_posts/2024-05-11-three.md": post("Three"),
        "essays/_posts/2024-05-04-four.md": post("Four"),
    },
    "posts that include brings back": {
        "_config.yml": JEKYLL_CONFIG + "exclude: ['*.draft.md', news, ess*]\n"
        "include: [news, essays, 2024-05-02-two.draft.md, '2024-05-05-']\n",
        "_posts/2024-05-01-one.draft.md": post("One"),
        "_posts/2024-05-02-two.draft.md": post("Two"),
        "news/_posts/2024-05-03-three.md": post("Three"),
        "essays/_posts/2024-05-04-four.md": post("Four"),
        "essays/_posts/2024-05-05-five.md": post("Five"),
    },
    "a template of its own": {
        "_config.yml": JEKYLL_CONFIG.replace("plugins: [jekyll-feed]", "permalink: /:year/:title:output_ext"),
        "feed.xml": (
            "---\nlayout: null\n---\n<?xml version='1.0' encoding='utf-8'?><rss version='2.0'><channel><title>T</title>"
            "<link>{{ site.url }}</link><description>D</description>{% for post in site.posts limit:5 %}<item>"
            "<title>{{ post.title | xml_escape }}</title><link>{{ post.url | absolute_url }}</link>"
            "<guid>{{ post.url | absolute_url }}</guid><pubDate>{{ post.date | date_to_rfc822 }}</pubDate>"
            "<description>{{ post.content | xml_escape }}</description></item>{% endfor %}</channel></rss>"
        ),
        **{f"_posts/2024-05-{day:02}-note-{day}.md": post(f"Note & {day}") for day in range(1, 9)},
    },
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "feeds")
    made.root.mkdir()
    yield made
    made.close()


def move_in(shop: Shop, site: Path, built: Path, feeds: list[Path]) -> None:
    """Runs the commands of docs/moving-in.md; every entry must keep its id."""
    moved = shop.run("init", "--from", str(site))
    assert moved.returncode == 0, moved.stderr
    adopted = shop.run("adopt", *(str(built / feed) for feed in feeds))
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr + moved.stdout + shop.config.read_text()
    checked = shop.run("check")
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr
    done = shop.run("build", "--strict")
    assert (done.returncode, "rejected 0" in done.stdout) == (0, True), done.stdout + done.stderr


def feeds_of(built: Path, is_feed: Callable[[str], object]) -> list[Path]:
    """The paths of the feeds in a built site."""
    paths = sorted(path.relative_to(built) for path in built.rglob("*.xml"))
    return [path for path in paths if is_feed(path.as_posix())]


def in_order(entries: list[Shown]) -> list[Shown]:
    """The entries with a date, in order; those without one are anywhere."""
    return [entry for entry in entries if entry.published and entry.published.tm_year > 1]


def assert_same_feeds(shop: Shop, built: Path, feeds: list[Path]) -> None:
    for feed in feeds:
        old, new = shown(built / feed), shown(find_document(shop, feed))
        assert [entry[:3] for entry in in_order(new)] == [entry[:3] for entry in in_order(old)], feed
        assert [entry.published for entry in in_order(new)] == [entry.published for entry in in_order(old)], feed
        assert {entry.id for entry in new} == {entry.id for entry in old}, feed


def find_document(shop: Shop, feed: Path) -> Path:
    """The document at the old path of a feed."""
    if not (shop.output / feed).exists():
        pytest.fail(f"{feed} is gone:\n{shop.config.read_text()}")
    return shop.output / feed


@pytest.mark.parametrize("name", HUGO)
def test_every_feed_of_a_hugo_site_continues_with_its_posts_links_and_ids(
    tmp_path: Path, shop: Shop, name: str
) -> None:
    site = write_files(tmp_path / "site", HUGO[name])
    built = build_hugo(site)
    lists = re.compile(
        r"(?:(?:de|en)/)?(?:tags|categories|topics|sitemap)(?:/index|/feed|\.|/sitemap).*xml|.*sitemap.xml"
    )
    feeds = feeds_of(built, lambda path: not lists.fullmatch(path) and "private/" not in path)
    feeds = [feed for feed in feeds if shown(built / feed)]
    assert feeds
    move_in(shop, site, built, feeds)
    assert_same_feeds(shop, built, feeds)


@pytest.mark.parametrize("name", JEKYLL)
def test_every_feed_of_a_jekyll_site_continues_with_its_posts_links_and_ids(
    tmp_path: Path, shop: Shop, name: str
) -> None:
    site = write_files(tmp_path / "site", JEKYLL[name])
    built = build_jekyll(site)
    feeds = [feed for feed in feeds_of(built, str) if shown(built / feed)]
    assert feeds
    move_in(shop, site, built, feeds)
    assert_same_feeds(shop, built, feeds)
