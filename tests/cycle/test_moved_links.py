"""The links and feeds of a site after `init --from`, compared with what the real Hugo and Jekyll make of the same files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import build_hugo, post, write_files

from aggregator.config import config_of_text
from aggregator.ingest import ingest_files
from aggregator.model import Record, SourceFile
from aggregator.moving_in import plan_move
from aggregator.moving_in.plan import Plan
from aggregator.scan import list_records
from aggregator.settings import Source

BASE = "https://blog.example.org/"
DAY = "2024-03-04T05:06:07Z"
LAYOUTS = {
    "layouts/index.html": "{{ range site.RegularPages }}{{ .File.Filename }} {{ .Permalink }}\n{{ end }}",
    "layouts/_default/single.html": "{{ .Content }}",
    "layouts/_default/list.html": "",
}


def plan_of(site: Path) -> tuple[Plan, str]:
    """What `init --from` a site gives: its plan, and the text of the config."""
    return plan_move(site, site.parent / "feeds" / "config" / "aggregator.toml", "site-id")


def hugo_links(site: Path) -> dict[str, str]:
    """The links of all pages that Hugo makes, by the paths of their files."""
    built = build_hugo(site)
    lines = [line for page in (built.glob("**/index.html")) for line in page.read_text().splitlines()]
    links = dict(line.rsplit(" ", 1) for line in lines if line.startswith(f"{site}/"))
    assert links, "the layouts above list the pages"
    return {str(Path(path).relative_to(site)): link for path, link in links.items()}


def records_of(source: Source) -> Iterator[Record]:
    """The public records of a source."""
    files = ((item, None) for item in list_records(source) if isinstance(item, SourceFile))
    for outcomes in ingest_files(source, files, workers=0):
        yield from (item for item in outcomes if isinstance(item, Record) and item.public)


def moved_records(site: Path) -> dict[str, Record]:
    """The public records of a site after `init --from`, by the paths of their files."""
    _, text = plan_of(site)
    config = config_of_text(text, site.parent / "feeds" / "config" / "aggregator.toml")
    found: dict[str, Record] = {}
    for source in config.sources:
        for record in records_of(source):
            path = str((Path(source.root) / record.file.path).resolve().relative_to(site))
            assert path not in found, "no file is in two sources"
            found[path] = record
    return found


def moved_links(site: Path) -> dict[str, str | None]:
    """The links of these records."""
    return {path: record.content.link for path, record in moved_records(site).items()}


def hugo_site(tmp_path: Path, config: str, files: dict[str, str]) -> Path:
    """A site of Hugo with layouts that list its pages."""
    return write_files(tmp_path / "site", {"hugo.yaml": f"baseURL: {BASE}\n{config}", **LAYOUTS, **files})


def hugo_feeds(site: Path) -> list[str]:
    """The paths of the feeds that Hugo makes."""
    built = build_hugo(site)
    return sorted(str(path.relative_to(built)) for path in built.glob("**/index.xml"))


def old_feeds(site: Path) -> list[str]:
    """The old URLs of feeds in the config that `init --from` writes."""
    plan, _ = plan_of(site)
    return sorted(old for feed in plan.feeds for old in feed.moved_from)


@pytest.mark.parametrize(
    "pattern",
    [
        "/:year/:slugorcontentbasename/",
        "/:slugorfilename/",
        "/:year/:slug/",
        "/n/:title/",
        "/:contentbasename/",
        "/:filename/",
    ],
)
def test_each_token_for_the_name_of_a_page_is_that_of_hugo(tmp_path: Path, pattern: str) -> None:
    site = hugo_site(
        tmp_path,
        f"permalinks: {{posts: '{pattern}'}}\n",
        {
            "content/posts/a-file.md": post("A Title", date=DAY),
            "content/posts/b-file.md": post("B Title", date=DAY, slug="my-slug"),
            "content/posts/bundle/index.md": post("C Title", date=DAY),
            "content/posts/path.md": post("D Title", date=DAY, url="/own/path/"),
            "content/posts/relative.md": post("E Title", date=DAY, url="own"),
        },
    )
    assert moved_links(site) == hugo_links(site)


def test_two_names_in_one_permalink_cannot_be_said(tmp_path: Path) -> None:
    files = {"content/posts/a-file.md": post("A Title", date=DAY)}
    plan, _ = plan_of(hugo_site(tmp_path, "permalinks: {posts: '/:filename/:slug/'}\n", files))
    assert [problem.value for problem in plan.left_out] == ["/:filename/:slug/"]


@pytest.mark.parametrize("folders", ["", "contentDir"])
def test_links_and_feeds_of_translations_are_those_of_their_language(tmp_path: Path, folders: str) -> None:
    names = ("posts/a", "posts/b", "posts/path", "posts/relative", "notes/c", "notes/url", "top")
    own = {"posts/path": {"url": "/own/path/"}, "posts/relative": {"url": "rel"}, "notes/url": {"url": "/u/"}}
    files = {}
    for language, title in (("en", "A Title"), ("fr", "Un titre")):
        ending = f".{language}.md" if language == "fr" and not folders else ".md"
        for name in names if language == "fr" else names[:2]:
            folder = f"content/{language}" if folders else "content"
            files[f"{folder}/{name}{ending}"] = post(f"{title} {name}", date=DAY, **own.get(name, {}))
    content = {language: f", contentDir: content/{language}" if folders else "" for language in ("en", "fr")}
    languages = "".join(f"  {language}: {{weight: 1{more}}}\n" for language, more in content.items())
    config = f"disableKinds: [taxonomy, term]\nlanguages:\n{languages}permalinks: {{posts: '/d/:year/:slug/'}}\n"
    site = hugo_site(tmp_path, config, files)
    assert moved_links(site) == hugo_links(site)
    assert old_feeds(site) == hugo_feeds(site)
    french = {path for path, record in moved_records(site).items() if record.content.language == "fr"}
    assert french == {path for path in files if "/fr/" in path or ".fr." in path}


DATES = {
    "scheduled": {"date": "2024-04-05", "publishDate": "2024-05-01"},
    "published": {"publishDate": "2024-05-01"},
    "changed": {"lastmod": "2024-06-01"},
    "east": {"date": "2024-01-01T00:30:00+09:00"},
    "west": {"date": "2023-12-31T23:30:00-09:00"},
    "2020-01-02-named": {"date": "2024-04-05"},
    "2021-01-02-only-named": {},
    "tokens": {"date": "2024-01-01T00:30:00+09:00", "url": "/u/:year/:month/:day/"},
}


@pytest.mark.parametrize(
    "dates",
    [
        "",
        "frontmatter: {date: [':filename', ':default']}\n",
        "frontmatter: {date: [':default', ':filename']}\n",
        "frontmatter: {date: [lastmod, date]}\ntimeZone: Asia/Tokyo\n",
    ],
)
@pytest.mark.parametrize("name", [":contentbasename", ":slug", ":slugorfilename"])
def test_the_date_in_a_link_is_that_of_hugo(tmp_path: Path, dates: str, name: str) -> None:
    files = {
        f"content/posts/{name}.md": post(name, **keys) for name, keys in DATES.items() if keys or ":filename" in dates
    }
    site = hugo_site(tmp_path, f"{dates}permalinks: {{posts: '/:year/:month/:day/{name}/'}}\n", files)
    links = {path: link for path, link in hugo_links(site).items() if not link.startswith(f"{BASE}1/")}
    assert {path: link for path, link in moved_links(site).items() if path in links} == links


def test_sections_whose_index_file_names_a_language_are_sections(tmp_path: Path) -> None:
    site = hugo_site(
        tmp_path,
        "defaultContentLanguage: en\nlanguages: {en: {weight: 1}, de: {weight: 2}}\n"
        "permalinks: {page: {posts: '/:sections/:title/'}}\n",
        {
            "content/posts/a.md": post("Hello A", date=DAY),
            "content/posts/sub/_index.en.md": post("Sub"),
            "content/posts/sub/_index.de.md": post("Unter"),
            "content/posts/sub/b.en.md": post("Hello B", date=DAY),
            "content/posts/sub/b.de.md": post("Hallo B", date=DAY),
        },
    )
    links = {path: link for path, link in hugo_links(site).items() if "_index" not in path}
    assert moved_links(site) == links


def test_the_language_of_the_site_ends_names_in_a_folder_of_another_language(tmp_path: Path) -> None:
    site = hugo_site(
        tmp_path,
        "defaultContentLanguage: en\nlanguages:\n  en: {weight: 1, contentDir: content}\n  de: {weight: 2, contentDir: inhalt}\n",
        {
            "content/posts/a.md": post("A", date=DAY),
            "inhalt/posts/b.md": post("B", date=DAY),
            "inhalt/posts/c.en.md": post("C", date=DAY),
        },
    )
    assert moved_links(site) == hugo_links(site)


def test_a_content_folder_of_a_language_that_is_no_tag_is_named(tmp_path: Path) -> None:
    site = hugo_site(
        tmp_path,
        "languages: {en: {weight: 1}, zh_tw: {weight: 2}}\nmodule: {mounts: [{source: content, target: content, lang: en},"
        " {source: zh, target: content, lang: zh_tw}]}\n",
        {"content/a.md": post("A", date=DAY), "zh/b.md": post("B", date=DAY)},
    )
    plan, _ = plan_of(site)
    assert "zh_tw" in [problem.value for problem in plan.left_out if "content folder" in problem.what]
