"""What a site of Zola says of itself: https://www.getzola.org/documentation/getting-started/configuration/."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aggregator.moving_in.plan import MAX_LIMIT, FeedPlan, Plan, SourcePlan, Stated, TermFeeds, WithoutDates
from aggregator.moving_in.site_files import Place, SiteConfig, page_values, shown_file, walk_files
from aggregator.moving_in.site_table import (
    AUTHORS,
    OWN_TEMPLATE,
    StatedSite,
    clause_of,
    is_key,
    is_language,
    title_text,
)
from aggregator.parse.front_matter.values import AllowedKeys
from aggregator.parse.hugo import url_path

CONFIG_NAMES = ("zola.toml", "config.toml")
FEED_KEYS = ("generate_feeds", "generate_feed")
_SECTION_KEYS = AllowedKeys(("title", *FEED_KEYS, "path"))


def find_config(root: Path) -> Path | None:
    """The config file of a site of Zola; None if the folder is no such site."""
    for name in CONFIG_NAMES:
        if (root / name).is_file():
            config = SiteConfig()
            config.add_file(root / name)
            if name != "config.toml" or config.get("base_url") is not None:
                return root / name
    return None


def read_zola(root: Path) -> Plan:
    """The plan for a site of Zola. Raises ConfigError."""
    config = SiteConfig()
    if file := find_config(root):
        config.add_file(file)
    plan = Plan("Zola", "hugo", partial(url_path, is_zola=True), root, config.files)
    zola = _Zola(StatedSite(root, config, plan))
    zola.add_site()
    zola.add_source()
    zola.add_feeds()
    zola.note_the_rest()
    return plan


class _Zola:
    """Reads one site into its plan. Zola's own templates of feeds have the full text."""

    def __init__(self, site: StatedSite) -> None:
        self._site, self._config, self._plan = site, site.config, site.plan
        stated = self._config.text("default_language")
        self._default = stated if is_language(stated) else "en"
        others = [name for name in self._config.table("languages") if name != self._default and is_language(name)]
        self._languages = [self._default, *others]
        self._base = ""

    def add_site(self) -> None:
        """Title, URL, language and author."""
        self._base = self._site.add_base_url(("base_url",), "base_url")
        self._site.add_text("title", ("title",))
        if self._config.text("default_language"):
            self._site.add_language(("default_language",))
        self._site.add("timezone", "UTC", "Zola's dates without a zone are in UTC")
        self._site.add_text("author", ("author",))

    def add_source(self) -> None:
        """The content folder."""
        source = SourcePlan(self._site.root / "content", f"{self._base}{{path}}/", "Zola's default")
        source.languages = tuple(self._languages) if len(self._languages) > 1 else ()
        for pattern in self._config.texts("ignored_content"):
            source.exclude.append(f"/{pattern.replace('**/', '*').lstrip('/')}" if "/" in pattern else pattern)
        tables = [table for language in self._languages for table in self._taxonomies(language)]
        names = dict.fromkeys(table["name"] for table in tables if table["name"] not in AUTHORS)
        if not {*names} <= {"tags", "categories", "series"}:
            keys = " + ".join(f"taxonomies.{name}" for name in names)
            source.fields["topics"] = Stated((keys,), self._config.place("taxonomies"))
        self._plan.sources.append(source)

    def _above(self, language: str) -> tuple[str, ...]:
        """The path of the table that has the keys of a language."""
        return () if language == self._default else ("languages", language)

    def _taxonomies(self, language: str) -> list[dict[str, Any]]:
        stated = self._config.get(*self._above(language), "taxonomies")
        tables = stated if isinstance(stated, list) else []
        return [table for table in tables if isinstance(table, dict) and is_key(table.get("name"))]

    def add_feeds(self) -> None:
        """The feeds of the site, of its languages, sections and terms."""
        self._plan.without_dates = WithoutDates("they are in no feed of Zola; write the names of new ones there, too")
        self._plan.limit = self._site.limit("feed_limit") or Stated(MAX_LIMIT, "Zola's feeds have all posts")
        for language in self._languages:
            self._add_sections(language)
        sections, self._plan.feeds = self._plan.feeds, []
        for language in self._languages:
            self._add_home(language, [feed.slug for feed in sections])
        self._plan.feeds += sections
        for language in self._languages:
            self._add_terms(language)

    def _title(self, language: str) -> str:
        own = self._config.text(*self._above(language), "title")
        return title_text(own or self._config.text("title")) or "Posts"

    def _clauses(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"language": (language,)} if len(self._languages) > 1 else {}

    def _documents(self, language: str, folder: str = "") -> list[str]:
        """The paths of the feed documents of a folder of URLs."""
        above, below = self._above(language), f"{folder}/" * bool(folder)
        keys = ("feed_filenames", "feed_filename")
        stated = (self._config.texts(*path) for path in (*((*above, key) for key in keys), *((key,) for key in keys)))
        names = next(filter(None, stated), ["atom.xml"])
        return [f"{language}/" * bool(above) + f"{below}{name}" for name in names]

    def _add_home(self, language: str, taken: list[str]) -> None:
        """The feed of a language. `taken`: the slugs of other feeds."""
        above = self._above(language)
        stated = [key for key in FEED_KEYS if self._config.get(*above, key) is True]
        place = self._config.place(*above, *stated[:1])
        text = self._config.text(*above, "description") or self._config.text("languages", language, "description")
        slug = self._plan.free_slug(f"blog-{language}" if above else "blog", taken)
        files = self._documents(language) if stated else []
        title, clauses = self._title(language), self._clauses(language)
        self._plan.feeds.append(FeedPlan(slug, title, files, place, title_text(text), clauses, full=True))

    def _add_sections(self, language: str) -> None:
        content, is_other = self._site.root / "content", bool(self._above(language))
        for path in walk_files(content):
            folder, _, name = path.rpartition("/")
            if name != (f"_index.{language}.md" if is_other else "_index.md") or not folder:
                continue
            values = page_values(content / path, _SECTION_KEYS)
            if True not in map(values.get, FEED_KEYS):
                continue
            place, files = Place(shown_file(content / path)), self._documents(language, folder)
            if "/" in folder:
                what, hint = "the feed of a section in a section", "give it a topic and a [[feed]] with moved_from"
                self._plan.leave_out(place, what, hint, files[0])
                continue
            title = f"{self._title(language)} – {title_text(str(values.get('title', folder)))}"
            slug = self._plan.free_slug(f"{folder}-{language}" if is_other else folder)
            clauses = {"type": (folder,)} | self._clauses(language)
            self._plan.feeds.append(FeedPlan(slug, title, files, place, "", clauses, full=True))

    def _add_terms(self, language: str) -> None:
        above, title = self._above(language), f"{self._title(language)} – {{name}}"
        for taxonomy in self._taxonomies(language):
            name = taxonomy["name"]
            for url in self._documents(language, f"{name}/{{term}}") if taxonomy.get("feed") is True else ():
                place = self._config.place(*above, "taxonomies")
                feeds = TermFeeds((f"taxonomies.{name}",), url, title, place, full=True, clause=clause_of(name))
                if len(self._languages) > 1:
                    feeds = replace(feeds, language=language, suffix=f"-{language}" if above else "")
                self._plan.term_feeds.append(feeds)

    def note_the_rest(self) -> None:
        """What the config cannot say."""
        if self._config.text("slugify", "paths") not in ("", "on"):
            what, hint = "'slugify.paths' keeps names as they are", "write `path` into posts with other links"
            self._plan.leave_out(self._config.place("slugify", "paths"), what, hint)
        if self._config.get("slugify", "paths_keep_dates") is True:
            what, hint = "'slugify.paths_keep_dates' keeps dates in URLs", "write `path` into posts with a date"
            self._plan.leave_out(self._config.place("slugify", "paths_keep_dates"), what, hint)
        for file in self._documents(self._default):
            path = self._site.root / "templates" / file
            if path.is_file():
                self._plan.leave_out(Place(shown_file(path)), *OWN_TEMPLATE)
