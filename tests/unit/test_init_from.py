"""What `init --from` reads from the config files of Hugo, Zola and Jekyll, and what it cannot say."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import post, write_files

from aggregator.errors import AggregatorError, ConfigError
from aggregator.files.record_filter import RecordFilter
from aggregator.moving_in import plan_move
from aggregator.moving_in.plan import Plan

BASE = "https://blog.example.org/"


def moved(tmp_path: Path, files: dict[str, str]) -> tuple[dict[str, Any], Plan]:
    """The config for a site, and its plan."""
    site = write_files(tmp_path / "site", files)
    plan, text = plan_move(site, tmp_path / "feeds" / "config" / "aggregator.toml", "site-id")
    return tomllib.loads(text), plan


def left_out(plan: Plan, tmp_path: Path) -> list[str]:
    """What the config cannot say, with paths in the site."""
    return [f"{Path(problem.path).name}:{problem.line}: {problem.text}" for problem in plan.left_out]


HUGO_SETTINGS = {
    "hugo.toml": f'baseURL = "{BASE}"\ntitle = "A & B"\ntimeZone = "Europe/Berlin"\nlanguageCode = "pt-BR"\n'
    'copyright = "© Ada"\n[services.rss]\nlimit = 7\n[params.author]\nname = "Ada"\n',
    "hugo.yaml": f"baseURL: {BASE}\ntitle: A & B\ntimezone: Europe/Berlin\nlanguagecode: pt-BR\ncopyright: © Ada\n"
    "services: {rss: {limit: 7}}\nparams: {author: {name: Ada}}\n",
    "config.json": f'{{"baseURL": "{BASE}", "title": "A & B", "timeZone": "Europe/Berlin", "locale": "pt-BR",\n'
    '"copyright": "© Ada", "rssLimit": 7, "params": {"author": "Ada"}}',
}


@pytest.mark.parametrize("name", HUGO_SETTINGS)
def test_a_hugo_config_says_the_same_in_toml_yaml_and_json(tmp_path: Path, name: str) -> None:
    config, plan = moved(tmp_path, {name: HUGO_SETTINGS[name], "content/posts/a.md": post("A", date="2024-05-01")})
    assert config["site"] == {
        "id": "site-id",
        "base_url": BASE,
        "title": "A & B",
        "language": "pt-BR",
        "timezone": "Europe/Berlin",
        "author": "Ada",
        "copyright": "© Ada",
    }
    assert config["output"]["limit"] == 7
    assert plan.system == "Hugo"
    assert plan.left_out == []


def test_files_of_a_hugo_config_folder_are_merged_and_production_wins(tmp_path: Path) -> None:
    config, _ = moved(
        tmp_path,
        {
            "config/_default/hugo.yaml": "baseURL: http://localhost/\ntitle: T\n",
            "config/_default/languages.toml": '[de]\ntitle = "Werkstatt"\n[en]\ntitle = "Workshop"\n',
            "config/_default/params.en.toml": 'description = "Things"\n',
            "config/production/hugo.toml": f'baseURL = "{BASE}"\n',
            "content/a.md": post("A", date="2024-05-01"),
        },
    )
    assert config["site"]["base_url"] == BASE
    assert config["records"]["languages"] == ["de", "en"]
    home, german = (
        next(feed for feed in config["feed"] if feed["moved_from"] == [old]) for old in ("index.xml", "de/index.xml")
    )
    assert (home["title"], home["description"], home["language"]) == ("Workshop", "Things", {"any": ["en"]})
    assert (german["title"], german["language"]) == ("Werkstatt", {"any": ["de"]})


def test_a_value_has_its_line_in_the_site_behind_it(tmp_path: Path) -> None:
    site = write_files(
        tmp_path / "site", {"hugo.yaml": f"title: T\n\nbaseURL: {BASE}\n", "content/a.md": post("A", date="2024-05-01")}
    )
    _, text = plan_move(site, tmp_path / "config" / "aggregator.toml", "site-id")
    [line] = [line for line in text.splitlines() if line.startswith("base_url")]
    assert line.endswith("site/hugo.yaml:3")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hugo.yaml", f"baseURL: {BASE}\nservices:\n  rss:\n    {{}}\npermalinks:\n  page:\n\n    posts: /:nothing/\n"),
        (
            "hugo.json",
            f'{{"baseURL": "{BASE}",\n"x": {{\n"posts": 1}},\n"permalinks":\n{{\n\n"page": {{\n"posts": "/:nothing/"}}}}}}',
        ),
        ("hugo.toml", f'baseURL = "{BASE}"\n\n\n\n\n[permalinks]\n[permalinks.page]\nposts = "/:nothing/"\n'),
        ("hugo.yaml", f"baseURL: {BASE}\nx: &x\n  y: *x\n\n\npermalinks: {{page:\n\n {{posts: /:nothing/}}}}\n"),
    ],
)
def test_a_nested_key_is_named_with_its_own_line(tmp_path: Path, name: str, text: str) -> None:
    _, plan = moved(tmp_path, {name: text, "content/posts/a.md": post("A", date="2024-05-01")})
    assert [(Path(problem.path).name, problem.line) for problem in plan.left_out] == [(name, 8)]


def test_a_section_of_hugo_with_a_permalink_is_a_source_of_its_own(tmp_path: Path) -> None:
    config, _ = moved(
        tmp_path,
        {
            "hugo.toml": f'baseURL = "{BASE}"\n[permalinks.page]\nposts = "/:year/:title/"\nnotes = "/n/:slug"\n',
            "content/posts/a.md": post("A", date="2024-05-01"),
            "content/notes/b.md": post("B", date="2024-05-01"),
            "content/c.md": post("C", date="2024-05-01"),
        },
    )
    rest, notes, posts = config["records"]
    assert "name" not in rest
    assert rest["exclude"] == ["notes/*", "posts/*"]
    assert (posts["name"], posts["include"]) == ("posts", ["posts/*.md", "posts/*.markdown"])
    assert posts["link_template"] == f"{BASE}{{year}}/{{slug}}/"
    assert posts["fields"] == {"slug": ["title"]}
    assert notes["link_template"] == f"{BASE}n/{{slug}}/"


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("技术", "生活"), ["section-1", "section-2"]),
        (("a b", "a-b"), ["a-b", "a-b-2"]),
    ],
)
def test_sections_and_paths_have_different_names(tmp_path: Path, folders: tuple[str, ...], names: list[str]) -> None:
    sections = "".join(f'"{folder}" = "/{number}/:slug/"\n' for number, folder in enumerate(folders))
    config, _ = moved(
        tmp_path / "hugo",
        {
            "hugo.toml": f'baseURL = "{BASE}"\n[permalinks]\n{sections}',
            **{f"content/{folder}/a.md": post("A", date="2024-05-01") for folder in folders},
        },
    )
    assert sorted(source["name"] for source in config["records"][1:]) == names
    scopes = "".join(f"  - scope: {{path: {folder}}}\n    values: {{published: false}}\n" for folder in folders)
    config, _ = moved(
        tmp_path / "jekyll",
        {
            "_config.yml": f"{JEKYLL}defaults:\n{scopes}",
            **{f"{folder}/_posts/2024-05-01-a.md": post("A") for folder in folders},
        },
    )
    assert sorted(source["name"] for source in config["records"][1:]) == names


@pytest.mark.parametrize(
    "languages",
    [
        "[languages.en]\n[languages.de]\ndisabled = true\n",
        'disableLanguages = ["de"]\n[languages.en]\n[languages.de]\n',
        (
            "[languages.en]\n[languages.de]\ndisabled = true\n[[module.mounts]]\nsource = 'content'\ntarget = 'content'\n"
            "[[module.mounts]]\nsource = 'german'\ntarget = 'content'\nlang = 'de'\n"
        ),
    ],
)
def test_pages_in_a_disabled_language_of_hugo_are_left_out(tmp_path: Path, languages: str) -> None:
    config, _ = moved(
        tmp_path,
        {
            "hugo.toml": f'baseURL = "{BASE}"\n{languages}',
            "content/posts/a.md": post("A", date="2024-05-01"),
            "content/posts/a.de.md": post("A", date="2024-05-01"),
            "german/posts/b.md": post("B", date="2024-05-01"),
        },
    )
    assert config["records"]["path"] == "../../site/content"
    assert config["records"]["exclude"] == ["*.de.md", "*.de.markdown"]


@pytest.mark.parametrize(
    ("cascade", "hidden"),
    [
        ("{target: {kind: term}, build: {render: never}}", []),
        ("{target: {environment: development}, draft: true}", []),
        ("{target: {kind: page, path: /my-blog/**}, draft: true}", ["My Blog/a.md", "My Blog/b/index.md"]),
        ("{target: {path: '/{my,your}-blog/**'}, draft: true}", ["My Blog/a.md", "My Blog/b/index.md"]),
        ("{target: {path: /my-blog/b}, draft: true}", ["My Blog/b/index.md"]),
        ("{target: {path: /posts/secret}, draft: true}", ["posts/secret.md"]),
        ("{target: {path: '/posts/secret*'}, draft: true}", ["posts/secret.md", "posts/secretariat.md"]),
        ("{Target: {Path: /posts/**}, build: {list: false}}", ["posts/secret.md", "posts/secretariat.md"]),
        ("{target: {path: /posts/**}, params: {expiryDate: 2001-01-01}}", ["posts/secret.md", "posts/secretariat.md"]),
        ("{target: {path: /posts/**}, expiryDate: 2999-01-01}", []),
    ],
)
@pytest.mark.parametrize("permalinks", ["", "permalinks: {posts: '/p/:slug/'}\n"])
def test_a_cascade_in_the_config_of_hugo_hides_the_pages_that_it_is_for(
    tmp_path: Path, cascade: str, hidden: list[str], permalinks: str
) -> None:
    paths = ["My Blog/a.md", "My Blog/b/index.md", "posts/secret.md", "posts/secretariat.md"]
    files = {f"content/{path}": post("A", date="2024-05-01") for path in paths}
    config, _ = moved(tmp_path, {"hugo.yaml": f"baseURL: {BASE}\n{permalinks}cascade: [{cascade}]\n", **files})
    assert chosen_files(config, paths) == [path for path in paths if path not in hidden]


@pytest.mark.parametrize(
    ("option", "value"), [("buildDrafts", "draft: true"), ("buildExpired", "expiryDate: 2001-01-01")]
)
def test_a_cascade_hides_nothing_that_a_hugo_site_builds(tmp_path: Path, option: str, value: str) -> None:
    text = f"baseURL: {BASE}\n{option}: true\ncascade: [{{target: {{path: /posts/**}}, {value}}}]\n"
    config, _ = moved(tmp_path, {"hugo.yaml": text, "content/posts/a.md": post("A", date="2024-05-01")})
    assert "exclude" not in config["records"]


def chosen_files(config: dict[str, Any], paths: Iterable[str]) -> list[str]:
    """The files that the sources of a config choose and do not hide, with the site's own front matter."""
    tables = config["records"] if isinstance(config["records"], list) else [config["records"]]
    filters = [
        RecordFilter(tuple(table.get("include", ("*.md",))), tuple(table.get("exclude", ()))) for table in tables
    ]
    chosen = {path: [table for table, takes in zip(tables, filters, strict=True) if takes(path)] for path in paths}
    assert all(len(sources) < 2 for sources in chosen.values()), "no file is in two sources"
    return [path for path, sources in chosen.items() if sources and sources[0].get("default_published", True)]


def test_links_and_taxonomies_of_a_hugo_language_replace_those_of_the_site(tmp_path: Path) -> None:
    files = {f"content/{section}/a.md": post("A", date="2024-05-01", topics=["Tea"]) for section in ("posts", "notes")}
    own = '[languages.en.permalinks]\nposts = "/:year/:slug/"\n[languages.en.taxonomies]\ntopic = "topics"\n'
    text = f'baseURL = "{BASE}"\n[permalinks]\nnotes = "/n/:slug/"\n{own}'
    config, plan = moved(tmp_path / "one", {"hugo.toml": text, **files})
    _, posts = config["records"]
    assert (posts["name"], posts["link_template"]) == ("posts", f"{BASE}{{year}}/{{slug}}/")
    assert posts["fields"]["topics"] == ["topics + taxonomies.topics"]
    assert config["feed"][-1]["moved_from"] == ["topics/tea/index.xml"]
    assert plan.left_out == []
    _, plan = moved(tmp_path / "two", {"hugo.toml": f'{text}[languages.de]\ntitle = "T"\n', **files})
    assert left_out(plan, tmp_path) == [
        (
            "hugo.toml:2: a language has other links than the default language: 'de'"
            " (write `url` into the posts of that language)"
        )
    ]


def test_kinds_and_outputs_of_a_hugo_language_replace_those_of_the_site(tmp_path: Path) -> None:
    files = {f"content/posts/a{end}.md": post("A", date="2024-05-01", tags=["Tea"]) for end in ("", ".de")}
    text = f'baseURL = "{BASE}"\ndisableKinds = ["section"]\n[languages.en]\ntitle = "T"\n[languages.de]\n'
    own = 'title = "U"\ndisableKinds = ["term"]\n[languages.de.outputs]\nhome = ["html"]\n'
    config, plan = moved(tmp_path / "one", {"hugo.toml": text + own, **files})
    assert sorted(old for feed in config["feed"] for old in feed.get("moved_from", [])) == [
        "de/posts/index.xml",
        "index.xml",
        "tags/tea/index.xml",
    ]
    assert left_out(plan, tmp_path) == []
    _, plan = moved(tmp_path / "two", {"hugo.toml": f'{text}title = "U"\ndisableKinds = ["RSS"]\n', **files})
    assert left_out(plan, tmp_path) == ["hugo.toml:7: the site makes no RSS: 'de' (no feed has an old URL)"]


@pytest.mark.parametrize("name", ["slug", "slugorfilename", "slugorcontentbasename"])
@pytest.mark.parametrize(
    ("more", "template"),
    [
        ("posts/b/index.md", "posts/{slug}/"),
        ("posts/x/b.md", "posts/{slug}/"),
        ("posts/x/_index.md posts/x/b.md posts/x/trip/index.md", "{path}/"),
        ("posts/x/_index.md posts/x/b.md posts/y/c.md", None),
    ],
)
def test_sections_in_permalinks_of_hugo_are_folders_with_an_index(
    tmp_path: Path, more: str, template: str | None, name: str
) -> None:
    files = {f"content/{path}": post("A", date="2024-05-01") for path in ("posts/a.md", *more.split())}
    text = f'baseURL = "{BASE}"\n[permalinks]\nposts = "/:sections/:{name}/"\n'
    config, plan = moved(tmp_path, {"hugo.toml": text, **files})
    sources = config["records"] if isinstance(config["records"], list) else [config["records"]]
    found = [source["link_template"] for source in sources if source.get("include") != ["*.md"] and "name" in source]
    assert found == ([f"{BASE}{template}"] if template else [])
    assert len(left_out(plan, tmp_path)) == (template is None)


def test_pages_in_the_root_of_hugo_and_sections_in_sections_have_links_of_their_own(tmp_path: Path) -> None:
    text = f'baseURL = "{BASE}"\n[permalinks]\n"/" = "/p/:slug/"\n"docs/deep" = "/d/:slug/"\n"blog*" = "/b/:slug/"\n'
    names = ("a.md", "bundle/index.md", "docs/b.md", "docs/deep/c.md", "blogs/d.md")
    files = {f"content/{name}": post("A", date="2024-05-01") for name in names}
    config, plan = moved(tmp_path, {"hugo.toml": text, **files})
    root, sections, deep = config["records"]
    assert (root["link_template"], root["exclude"]) == (f"{BASE}p/{{slug}}/", ["blogs/*", "docs/*", "docs/deep/*"])
    assert sections["link_template"] == f"{BASE}{{path}}/"
    assert (sections["include"][::2], sections["exclude"]) == (["blogs/*.md", "docs/*.md"], ["docs/deep/*"])
    assert (deep["link_template"], deep["include"][0]) == (f"{BASE}d/{{slug}}/", "docs/deep/*.md")
    assert left_out(plan, tmp_path) == [
        "hugo.toml:5: permalinks choose folders by an expression: 'blog*' (name each folder instead)",
        (
            "hugo.toml:3: a new section has the links of the root: '/p/:slug/'"
            " (name its folder as the others are, in [[records]])"
        ),
    ]


@pytest.mark.parametrize(
    ("patterns", "index", "old"),
    [
        ('posts = "/x/:slug/"', None, ["x/posts/index.xml"]),
        ('posts = "/:year/:slug/"', None, []),
        ('story = "/x/:slug/"', None, []),  # Hugo's title would be `Stories`
        ('story = "/x/:title/"', {"title": "The Story"}, ["x/the-story/index.xml"]),
        ('story = "/x/:contentbasename/"', {"slug": "sl"}, ["x/story/index.xml"]),
        ('"/" = "/x/:slug/"', {"slug": "sl"}, ["x/sl/index.xml"]),
        ('story = "/x/:slug/"', {"url": "/y"}, ["y/index.xml"]),
        ('story = "/x/:slug/"', {"url": "/y.html"}, []),
        ('"st*" = "/x/:slug/"', None, ["story/index.xml"]),
        ("", {"url": "/y/:monthname/"}, []),
        ("", {"slug": "A Slug"}, ["a-slug/index.xml"]),
        ("", {"draft": True}, None),
        ("", {"build": {"render": "never"}}, None),
        ("", {"outputs": ["html"]}, None),
    ],
)
def test_the_feed_of_a_section_of_hugo_has_the_url_of_its_page(
    tmp_path: Path, patterns: str, index: dict[str, object] | None, old: list[str] | None
) -> None:
    folder = "posts" if "posts" in patterns else "story"
    files = {"hugo.toml": f'baseURL = "{BASE}"\n[permalinks.section]\n{patterns}\n'}
    files[f"content/{folder}/a.md"] = post("A", date="2024-05-01")
    if index is not None:
        files[f"content/{folder}/_index.md"] = post(**{"title": ""} | index)
    config, plan = moved(tmp_path, files)
    feeds = {feed["slug"]: feed.get("moved_from", []) for feed in config["feed"]}
    feeds.pop("blog")
    assert feeds == ({} if old is None else {folder: old})
    assert len(left_out(plan, tmp_path)) == (old == [] or "*" in patterns)


def test_dates_and_topics_of_hugo_have_the_keys_of_the_site(tmp_path: Path) -> None:
    config, plan = moved(
        tmp_path,
        {
            "hugo.toml": f'baseURL = "{BASE}"\nbuildDrafts = true\n[frontmatter]\n'
            'publishDate = ["posted", ":default"]\nlastmod = [":git", "changed"]\n[taxonomies]\ntopic = "topics"\n',
            "content/a.md": post("A", posted="2024-05-01", topics=["Tea"]),
        },
    )
    assert config["records"]["fields"] == {
        "draft": [],
        "published_at": ["posted", "publishDate", "pubDate", "published", "date"],
        "updated_at": ["changed"],
        "topics": ["topics + taxonomies.topics"],
    }
    assert left_out(plan, tmp_path) == [
        "hugo.toml:5: 'lastmod' is also taken from :git (write the dates into the posts)"
    ]
    assert config["feed"][-1] == {
        "slug": "tea",
        "title": "Tea on Posts",
        "topics": {"any": ["Tea"]},
        "moved_from": ["topics/tea/index.xml"],
    }


def test_what_the_config_cannot_say_of_hugo_is_named_with_its_line(tmp_path: Path) -> None:
    _, plan = moved(
        tmp_path,
        {
            "hugo.toml": f'baseURL = "{BASE}"\nbuildFuture = true\n[permalinks]\nposts = "/:monthname/:slug/"\n',
            "content/posts/a.md": post("A", date="2024-05-01"),
            "layouts/index.rss.xml": "",
        },
    )
    assert left_out(plan, tmp_path) == [
        (
            "hugo.toml:4: the links of 'posts' have parts that a link_template cannot have: '/:monthname/:slug/'"
            " (the posts there get the links of other sections; write `url` into their front matter)"
        ),
        "hugo.toml:2: 'buildFuture': posts are published before their date (here each waits for its date)",
        (
            "index.rss.xml:0: the site has a template of its own for feeds, which may choose other posts"
            " (`aggregator adopt` names the entries that it does not find)"
        ),
    ]


ZOLA = {
    "config.toml": f'base_url = "{BASE.rstrip("/")}"\ntitle = "Z"\ndefault_language = "en"\ngenerate_feeds = true\n'
    'feed_filenames = ["atom.xml", "rss.xml"]\nfeed_limit = 9\nauthor = "Ada"\nignored_content = ["*.draft.md"]\n'
    'taxonomies = [{name = "tags", feed = true}, {name = "places"}]\n',
    "content/_index.md": "+++\n+++\n",
    "content/blog/_index.md": '+++\ntitle = "Blog"\ngenerate_feeds = true\n+++\n',
    "content/blog/2024-05-01-a.md": '+++\ntitle = "A"\n[taxonomies]\ntags = ["Big Data"]\nplaces = ["Graz"]\n+++\nText.\n',
    "content/blog/b/index.md": '+++\ntitle = "B"\ndate = 2024-05-02\n+++\nText.\n',
    "content/about.md": '+++\ntitle = "About"\n+++\nText.\n',
}


def test_a_zola_config_gives_feeds_of_site_sections_and_terms(tmp_path: Path) -> None:
    config, plan = moved(tmp_path, ZOLA)
    assert plan.system == "Zola"
    assert config["site"] | {"id": ""} == {
        "id": "",
        "base_url": BASE,
        "title": "Z",
        "language": "en",
        "timezone": "UTC",
        "author": "Ada",
    }
    records = config["records"]
    assert records["link_template"] == f"{BASE}{{path}}/"
    assert records["exclude"] == ["*.draft.md", "/about.md"], "pages without a date are in no feed of Zola"
    assert records["fields"] == {"topics": ["taxonomies.tags + taxonomies.places"]}
    assert [(feed["slug"], feed.get("type"), feed.get("moved_from"), feed["content"]) for feed in config["feed"]] == [
        ("blog-posts", None, ["atom.xml", "rss.xml"], "full"),
        ("blog", {"any": ["blog"]}, None, "full"),
        ("big-data", None, ["tags/big-data/atom.xml", "tags/big-data/rss.xml"], "full"),
    ]


def test_feeds_of_zola_have_the_entries_of_their_language(tmp_path: Path) -> None:
    own = '[languages.de]\ntitle = "D"\ngenerate_feeds = true\ntaxonomies = [{name = "tags", feed = true}]\n'
    files = {f"content/blog/_index{end}.md": "+++\ngenerate_feeds = true\n+++\n" for end in ("", ".de")}
    page = '+++\ntitle = "A"\ndate = 2024-05-01\n[taxonomies]\ntags = ["Tea"]\n+++\nText.\n'
    files |= {f"content/blog/a{end}.md": page for end in ("", ".de")}
    config, _ = moved(tmp_path, ZOLA | files | {"config.toml": ZOLA["config.toml"] + own})
    feeds = {feed["slug"]: (feed["language"]["any"], feed.get("moved_from")) for feed in config["feed"]}
    assert feeds == {
        "blog-posts": (["en"], ["atom.xml", "rss.xml"]),
        "blog-de-posts": (["de"], ["de"]),
        "blog": (["en"], None),
        "blog-de": (["de"], ["de/blog/atom.xml", "de/blog/rss.xml"]),
        "big-data": (["en"], ["tags/big-data/atom.xml", "tags/big-data/rss.xml"]),
        "tea": (["en"], ["tags/tea/atom.xml", "tags/tea/rss.xml"]),
        "tea-de": (["de"], ["de/tags/tea/atom.xml", "de/tags/tea/rss.xml"]),
    }


@pytest.mark.parametrize(
    "files",
    [
        {
            "hugo.toml": f'baseURL = "{BASE}"\n[taxonomies]\ntag = "tags"\nauthor = "authors"\n',
            "content/a.md": post("A", date="2024-05-01", tags=["Ada L"], authors=["Ada L"]),
        },
        {
            "config.toml": f'base_url = "{BASE}"\nfeed_filename = "index.xml"\n'
            'taxonomies = [{name = "tags", feed = true}, {name = "authors", feed = true}]\n',
            "content/a.md": '+++\ntitle = "A"\ndate = 2024-05-01\n'
            '[taxonomies]\ntags = ["Ada L"]\nauthors = ["Ada L"]\n+++\nText.\n',
        },
    ],
)
def test_feeds_of_authors_have_their_entries_and_old_urls(tmp_path: Path, files: dict[str, str]) -> None:
    config, _ = moved(tmp_path, files)
    feeds = [(feed.get("topics"), feed.get("provider"), feed.get("moved_from")) for feed in config["feed"]]
    assert feeds[-2:] == [
        ({"any": ["Ada L"]}, None, ["tags/ada-l/index.xml"]),
        (None, {"any": ["Ada L"]}, ["authors/ada-l/index.xml"]),
    ]


def test_the_feed_of_an_author_takes_no_slug_of_another_feed(tmp_path: Path) -> None:
    config, _ = moved(
        tmp_path,
        {
            "hugo.toml": f'baseURL = "{BASE}"\n[taxonomies]\ntag = "tags"\nauthor = "authors"\n',
            "content/team/p.md": post("P", date="2024-05-01", tags=["x"], authors=["Team", "X"]),
        },
    )
    feeds = {tuple(feed.get("moved_from", ())): feed["slug"] for feed in config["feed"]}
    assert len(set(feeds.values())) == len(config["feed"])
    assert feeds["team/index.xml",] == "team"
    assert feeds["authors/team/index.xml",] == "team-posts"
    assert feeds["authors/x/index.xml",] == "x-posts"


JEKYLL = f"title: J\nurl: {BASE.rstrip('/')}\nbaseurl: /w\ntimezone: Europe/Vienna\nlang: de\nauthor: {{name: Ada}}\n"
POSTS = {"_posts/2024-05-01-a.md": post("A", tags="tea", categories="News")}


def test_a_jekyll_config_gives_site_links_and_feed(tmp_path: Path) -> None:
    more = "permalink: /:year/:title:output_ext\nplugins: [jekyll-feed]\nfeed: {posts_limit: 6, categories: [News]}\n"
    config, plan = moved(tmp_path, {"_config.yml": JEKYLL + more, **POSTS})
    assert plan.system == "Jekyll"
    assert config["site"] | {"id": ""} == {
        "id": "",
        "base_url": f"{BASE}w/",
        "title": "J",
        "language": "de",
        "timezone": "Europe/Vienna",
        "author": "Ada",
    }
    assert config["records"]["path"] == "../../site/_posts"
    assert config["records"]["link_template"] == f"{BASE}w/{{year}}/{{title}}{{output_ext}}"
    assert config["output"]["limit"] == 6
    assert [(feed["slug"], feed["content"], feed["moved_from"]) for feed in config["feed"]] == [
        ("blog", "full", ["feed.xml"]),
        ("news", "full", ["feed/News.xml"]),
    ]
    assert plan.left_out == []


def test_a_limit_of_a_jekyll_site_over_ours_is_ours(tmp_path: Path) -> None:
    config, _ = moved(
        tmp_path, {"_config.yml": f"{JEKYLL}plugins: [jekyll-feed]\nfeed: {{posts_limit: 9000}}\n", **POSTS}
    )
    assert config["output"]["limit"] == 5000


def test_defaults_by_path_are_sources_that_choose_posts_by_path(tmp_path: Path) -> None:
    defaults = "permalink: /:title/\ndefaults:\n  - scope: {path: news}\n    values: {permalink: '/n/:title.html', published: false}\n"
    config, _ = moved(tmp_path, {"_config.yml": JEKYLL + defaults, **POSTS, "news/_posts/2024-05-02-b.md": post("B")})
    rest, news = config["records"]
    assert rest["include"] == ["_posts/*.md", "_posts/*.markdown", "news/_posts/*.md", "news/_posts/*.markdown"]
    assert (rest["exclude"], rest["link_template"]) == (["/news*"], f"{BASE}w/{{title}}/")
    assert (news["name"], news["include"]) == ("news", ["news/_posts/*.md", "news/_posts/*.markdown"])
    assert (news["default_published"], news["link_template"]) == (False, f"{BASE}w/n/{{title}}.html")
    assert rest["path"] == news["path"] == "../../site"


def test_categories_in_defaults_of_jekyll_are_not_the_url_of_the_site(tmp_path: Path) -> None:
    defaults = "defaults:\n  - scope: {path: ''}\n    values: {categories: [A b, c]}\n"
    records = moved(tmp_path / "one", {"_config.yml": JEKYLL + defaults, **POSTS})[0]["records"]
    assert records["link_template"].startswith(f"{BASE}w/a%20b/c/{{categories}}/{{year}}/")
    assert records["site_url"] == f"{BASE}w/"
    files = {"_config.yml": JEKYLL + defaults, "blog/_posts/2024-05-02-b.md": post("B")}
    config, plan = moved(tmp_path / "two", files)
    assert config["records"]["link_template"].startswith(f"{BASE}w/{{categories}}/a%20b/c/{{year}}/")
    assert "site_url" not in config["records"]
    assert left_out(plan, tmp_path) == [
        (
            "_config.yml:7: categories of 'defaults' are in links between those of folders and of posts"
            " (write `permalink` into posts with categories of their own)"
        )
    ]


def test_posts_keep_the_categories_in_defaults_of_jekyll_and_replace_its_tags(tmp_path: Path) -> None:
    defaults = "defaults:\n  - scope: {path: ''}\n    values: {categories: [A], tags: [b c, d]}\n"
    config, plan = moved(tmp_path, {"_config.yml": JEKYLL + defaults, **POSTS})
    assert (config["records"]["topics"], config["records"]["default_topics"]) == (["A"], ["b c", "d"])
    assert plan.left_out == []
    config, plan = moved(tmp_path / "tag", {"_config.yml": JEKYLL + defaults.replace("tags:", "tag:"), **POSTS})
    assert left_out(plan, tmp_path) == [
        "_config.yml:7: 'tag' in 'defaults' replaces the tags of posts (write 'tags', which posts replace)"
    ]


PATHS = (
    "_posts/2019-01-01-old.md",
    "_posts/2024-01-01-x.draft.md",
    "_posts/2024-02-02-ok.md",
    "News Desk/_posts/2024-01-02-n.md",
    "blog/_posts/2024-01-03-b.md",
)


def published(tmp_path: Path, config: str, paths: tuple[str, ...]) -> list[str]:
    """The posts that the config for a site of Jekyll chooses and does not hide, with the site's own front matter."""
    files = {path: post("A") for path in paths}
    return chosen_files(moved(tmp_path, {"_config.yml": JEKYLL + config, **files})[0], paths)


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ('["*.draft.md", "_posts/2019"]', [2, 3, 4]),
        ('["News*"]', [0, 1, 2, 4]),
        ('["News ????"]', [0, 1, 2, 4]),
        ('["_posts/20??-01-01-*"]', [2, 3, 4]),
        ("[Ne, bl]", [0, 1, 2]),
        ("[blog/]", [0, 1, 2, 3]),
        ("[blog/_posts/2024-01-03-b.md]", [0, 1, 2, 3]),
    ],
)
def test_posts_that_exclude_of_jekyll_leaves_out_are_left_out(tmp_path: Path, exclude: str, left: list[int]) -> None:
    assert published(tmp_path, f"exclude: {exclude}\n", PATHS) == [PATHS[number] for number in left]


@pytest.mark.parametrize(
    ("exclude", "include", "left"),
    [
        ("['*.md']", "[2024-02-02-ok.md]", [2]),
        ("[_posts/2]", "['2024-01-01-*', /2019]", [0, 1, 3, 4]),
        ("[blog]", "[blog]", [0, 1, 2, 3, 4]),
        ("[blog]", "[2024-01-03-b.md]", [0, 1, 2, 3]),
        ("['bl*']", "[blog]", [0, 1, 2, 3]),
        ("['bl*']", "[blog, 2024-01-03-b.md]", [0, 1, 2, 3, 4]),
        ("['bl*']", "[blog/_posts/2024-01-03-b.md]", [0, 1, 2, 3]),
    ],
)
def test_include_of_jekyll_brings_back_what_its_exclude_names(
    tmp_path: Path, exclude: str, include: str, left: list[int]
) -> None:
    config = f"exclude: {exclude}\ninclude: {include}\n"
    assert published(tmp_path, config, PATHS) == [PATHS[number] for number in left]


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ("_posts/2019", [1, 2, 3, 4]),
        ("_posts/2024-0", [0, 3, 4]),
        ("_posts/2024-02-02-ok.md", [0, 1, 3, 4]),
        ("bl", [0, 1, 2, 3]),
        ("blog/", [0, 1, 2, 3]),
        ("blog/_posts", [0, 1, 2, 3]),
    ],
)
def test_a_path_in_defaults_of_jekyll_is_the_beginning_of_others(tmp_path: Path, scope: str, left: list[int]) -> None:
    defaults = f"defaults:\n  - scope: {{path: {scope}}}\n    values: {{published: false}}\n"
    assert published(tmp_path, defaults, PATHS) == [PATHS[number] for number in left]


def test_what_the_config_cannot_say_of_jekyll_is_named_with_its_line(tmp_path: Path) -> None:
    more = "future: true\nexcerpt_separator: ---\ncollections:\n  recipes: {output: true}\npermalink: /:title/\n"
    _, plan = moved(tmp_path, {"_config.yml": JEKYLL + more, **POSTS})
    assert [line.partition(" (")[0] for line in left_out(plan, tmp_path)] == [
        "_config.yml:7: 'future': posts are published before their date",
        "_config.yml:8: 'excerpt_separator' of the site: '---'",
        "_config.yml:10: a collection that is not in the posts of the site: 'recipes'",
    ]


def test_without_a_url_the_file_and_line_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        moved(tmp_path, {"hugo.toml": 'title = "T"\nbaseURL = "/"\n'})
    assert str(refused.value).endswith(
        "hugo.toml:2:1: 'baseURL' is not the URL of the site: '/'"
        " (write it in full, such as baseURL https://example.org/, and call init again)"
    )


def test_a_custom_domain_of_a_jekyll_site_is_its_url(tmp_path: Path) -> None:
    config, _ = moved(
        tmp_path, {"_config.yml": "title: J\npermalink: /:title/\n", "CNAME": "blog.example.org\n", **POSTS}
    )
    assert config["site"]["base_url"] == BASE


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("hugo.toml", 'baseURL = "x\n', "hugo.toml:1:11: the file is not valid TOML: a text without its closing quote"),
        (
            "_config.yml",
            "a: 1\nb: [\n",
            "_config.yml:2:4: the file is not valid YAML: a bracket is not closed",
        ),
        ("_config.yml", "url: 1\nurl: 2\n", "_config.yml:2:1: the key 'url' is given twice (keep one of them)"),
        (
            "hugo.json",
            '{"a": 1,}',
            "hugo.json:1:8: the file is not valid JSON: a ',' too much",
        ),
    ],
)
def test_a_config_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        moved(tmp_path, {name: text})
    assert message in str(refused.value)


def test_a_deep_or_huge_config_is_refused(tmp_path: Path) -> None:
    for name, text in (("_config.yml", "a: " + "[" * 100_000), ("hugo.toml", "a = " + "[" * 100_000)):
        with pytest.raises(ConfigError):
            moved(tmp_path / name, {name: text})
    with pytest.raises(ConfigError, match="it is over 2,000,000 bytes"):
        moved(tmp_path, {"hugo.toml": "#" * 2_000_001})


def test_a_config_in_another_encoding_is_refused(tmp_path: Path) -> None:
    site = write_files(tmp_path / "site", {"hugo.toml": ""})
    (site / "hugo.toml").write_bytes(b'title = "T"\ntheme = "\xff"\n')
    with pytest.raises(ConfigError, match=r"hugo.toml:2:10: the file is not UTF-8"):
        plan_move(site, tmp_path / "aggregator.toml", "site-id")


def test_a_folder_that_is_no_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AggregatorError, match="is no site of Hugo, Zola or Jekyll"):
        moved(tmp_path, {"readme.md": "Hello."})


# whatever a config says

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9999) | st.text("ab:/{}[]*?#. ü'\"\\-_\x7f", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abpost:_", max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = {
    "hugo.json": "title languageCode timeZone defaultContentLanguage languages permalinks taxonomies outputs outputFormats "
    "mediaTypes disableKinds services rssLimit frontmatter cascade module contentDir copyright params author uglyURLs "
    "defaultContentLanguageInSubdir buildDrafts buildFuture ignoreFiles",
    "_config.yml": "title baseurl lang timezone author permalink defaults exclude include feed plugins collections collections_dir "
    "future unpublished excerpt_separator source destination description limit_posts",
}
POSTS_OF = {
    "hugo.json": {
        "content/post/a.md": post("A", date="2024-05-01", tags=["x/y", "C#", "ü"]),
        "content/b.md": post("B"),
    },
    "_config.yml": {"_posts/2024-05-01-a.md": post("A"), "post/_posts/2024-05-01-b.md": post("B", tags="ü x")},
}


def test_names_that_no_record_can_have_are_no_keys_of_records(tmp_path: Path) -> None:
    names = {str(number): name for number, name in enumerate(["\x7f", "", " ", "a ", "a+b", "topics"])}
    values = {"baseURL": BASE, "taxonomies": names, "frontmatter": {"lastmod": ["\x7f", "", "c ", "b"]}}
    config, _ = moved(tmp_path, {"hugo.json": json.dumps(values), "content/a.md": post("A", date="2024-05-01")})
    assert config["records"]["fields"] == {"topics": ["topics + taxonomies.topics"], "updated_at": ["b"]}


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_config_gives_a_valid_config_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    keys = st.sampled_from(NAMES[name].split())
    values = {"baseURL": BASE, "url": BASE} | data.draw(st.dictionaries(keys, VALUES, max_size=6))
    refused = ""
    try:
        moved(tmp_path_factory.mktemp("any"), {name: json.dumps(values), **POSTS_OF[name]})
    except AggregatorError as error:
        refused = str(error)
    assert "aggregator.toml" not in refused, "a refusal is of the site's config, never of the one that we write"


def test_old_urls_that_moved_from_cannot_have_as_they_are_are_encoded(tmp_path: Path) -> None:
    files = {"hugo.toml": f'baseURL = "{BASE}"\n', "content/posts/a.md": post("A", date="2024-05-01", tags=["C#"])}
    config, plan = moved(tmp_path / "hugo", files)
    assert config["feed"][-1]["moved_from"] == ["tags/c%23/index.xml"]
    assert plan.left_out == []
    feed = "plugins: [jekyll-feed]\nfeed: {categories: [Big News]}\n"
    files = {
        "_config.yml": f"{JEKYLL}permalink: /:title/\n{feed}",
        "_posts/2024-05-01-a.md": post("A", categories=["Big News"]),
    }
    config, plan = moved(tmp_path / "jekyll", files)
    assert config["feed"][-1]["moved_from"] == ["feed/Big%20News.xml"]
    assert plan.left_out == []


def test_the_documents_of_one_old_folder_are_one_old_url(tmp_path: Path) -> None:
    files = ZOLA | {"config.toml": f"{ZOLA['config.toml']}[languages.de]\ngenerate_feeds = true\n"}
    config, plan = moved(tmp_path, files)
    [german] = [feed for feed in config["feed"] if feed.get("language") == {"any": ["de"]}]
    assert german["moved_from"] == ["de"]
    assert not any("de/" in str(problem.value) for problem in plan.left_out)


def test_emoji_of_hugo_are_named_as_what_the_config_cannot_say(tmp_path: Path) -> None:
    files = {"hugo.toml": f'baseURL = "{BASE}"\nenableEmoji = true\n', "content/a.md": post("A", date="2024-05-01")}
    _, plan = moved(tmp_path, files)
    assert left_out(plan, tmp_path) == [
        "hugo.toml:2: 'enableEmoji': names such as :smile: become signs (here they stay as written; write the signs)"
    ]


@pytest.mark.parametrize("key", ["canonicalURL", "link", "externalUrl"])
def test_posts_have_the_links_of_the_feeds_of_hugo_though_they_state_others(tmp_path: Path, key: str) -> None:
    posts = {"content/posts/a.md": post("A", date="2024-05-01"), "content/b.md": post("B", date="2024-05-01")}
    config, _ = moved(tmp_path / "none", {"hugo.toml": f'baseURL = "{BASE}"\n', **posts})
    assert "fields" not in config["records"]
    posts["content/posts/a.md"] = post("A", date="2024-05-01", **{key: "https://other.example/a"})
    config, _ = moved(tmp_path / "some", {"hugo.toml": f'baseURL = "{BASE}"\n', **posts})
    assert config["records"]["fields"] == {"link": []}


@pytest.mark.parametrize("key", ["canonical_url", "link"])
def test_posts_have_the_links_of_the_feed_of_jekyll_though_they_state_others(tmp_path: Path, key: str) -> None:
    files = {"_config.yml": f"{JEKYLL}permalink: /:title/\n", **POSTS}
    files["_posts/2024-05-02-b.md"] = post("B", **{key: "https://other.example/a"})
    config, _ = moved(tmp_path, files)
    assert config["records"]["fields"] == {"link": []}


def test_pages_of_hugo_in_a_format_that_is_not_read_are_named(tmp_path: Path) -> None:
    files = {f"content/posts/{name}": "Text.\n" for name in ("b.org", "c.adoc")}
    config = {"hugo.toml": f'baseURL = "{BASE}"\n', "content/a.md": post("A", date="2024-05-01")}
    _, plan = moved(tmp_path, config | files)
    assert left_out(plan, tmp_path) == [
        "b.org:0: pages in a format that is not read: 2 (write them in Markdown or HTML)"
    ]
