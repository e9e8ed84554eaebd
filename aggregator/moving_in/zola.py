"""What a site of Zola says of itself: https://www.getzola.org/documentation/getting-started/configuration/."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from aggregator.moving_in.pages import OWN_TEMPLATE, Site, is_language, title_text
from aggregator.moving_in.plan import MAX_LIMIT, FeedPlan, Plan, SourcePlan, Stated, TermFeeds, WithoutDates
from aggregator.moving_in.site_files import Place, SiteConfig, page_values, shown_file, walk_files
from aggregator.parse.front_matter.values import AllowedKeys
from aggregator.parse.hugo import url_path

CONFIG_NAMES = ("zola.toml", "config.toml")
_SECTION_KEYS = AllowedKeys(("title", "generate_feeds", "generate_feed", "path"))


def find_config(root: Path) -> bool:
    """Whether a folder is a site of Zola."""
    return _config_file(root) is not None


def _config_file(root: Path) -> Path | None:
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
    if file := _config_file(root):
        config.add_file(file)
    plan = Plan("Zola", "hugo", partial(url_path, is_zola=True), root, config.files)
    zola = _Zola(Site(root, config, plan))
    zola.add_site()
    zola.add_source()
    zola.add_feeds()
    zola.note_the_rest()
    return plan


class _Zola:
    """Reads one site into its plan."""

    def __init__(self, site: Site) -> None:
        self._site, self._config, self._plan = site, site.config, site.plan
        stated = self._config.text("default_language")
        self._default = stated if is_language(stated) else "en"
        self._others = [name for name in self._config.table("languages") if name != self._default and is_language(name)]
        self._base = ""
        self._full = True  # Zola's own templates have the full text

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
        source.languages = (self._default, *self._others) if self._others else ()
        for pattern in self._config.texts("ignored_content"):
            source.exclude.append(f"/{pattern.replace('**/', '*').lstrip('/')}" if "/" in pattern else pattern)
        names = [table["name"] for table in self._taxonomies() if table["name"] not in ("author", "authors")]
        if not {*names} <= {"tags", "categories", "series"}:
            keys = " + ".join(f"taxonomies.{name}" for name in names)
            source.fields["topics"] = Stated((keys,), self._config.place("taxonomies"))
        self._plan.sources.append(source)

    def _taxonomies(self, *above: str) -> list[dict[str, Any]]:
        stated = self._config.get(*above, "taxonomies")
        tables = [table for table in stated if isinstance(table, dict)] if isinstance(stated, list) else []
        return [table for table in tables if isinstance(table.get("name"), str) and table["name"].isprintable()]

    def add_feeds(self) -> None:
        """The feeds of the site, of its languages, sections and terms."""
        self._plan.without_dates = WithoutDates("they are in no feed of Zola; write the names of new ones there, too")
        self._plan.limit = self._site.limit("feed_limit") or Stated(MAX_LIMIT, "Zola's feeds have all posts")
        title = title_text(self._config.text("title")) or "Posts"
        place = self._config.place("generate_feeds" if self._config.get("generate_feeds") else "generate_feed")
        self._add_sections(title)
        sections, self._plan.feeds = self._plan.feeds, []
        taken = [feed.slug for feed in sections]
        self._add_feed("blog", title, self._documents() if self._is_on() else [], place, self._default, taken)
        for language in self._others:
            above = ("languages", language)
            files = [f"{language}/{file}" for file in self._documents(*above)] if self._is_on(*above) else []
            name = title_text(self._config.text(*above, "title")) or title
            self._add_feed(f"blog-{language}", name, files, self._config.place(*above), language, taken)
        self._plan.feeds += sections
        for taxonomy in self._taxonomies():
            if taxonomy.get("feed") is True:
                for file in self._documents():
                    name = taxonomy["name"]
                    keys, path = (f"taxonomies.{name}",), f"{name}/{{term}}/{file}"
                    place = self._config.place("taxonomies")
                    feeds = TermFeeds(keys, path, f"{title} – {{name}}", place, full=self._full)
                    self._plan.term_feeds.append(feeds)

    def _is_on(self, *above: str) -> bool:
        return any(self._config.get(*above, key) is True for key in ("generate_feeds", "generate_feed"))

    def _documents(self, *above: str) -> list[str]:
        """The names of feed documents."""
        for path in ((*above, "feed_filenames"), (*above, "feed_filename"), ("feed_filenames",), ("feed_filename",)):
            if names := self._config.texts(*path):
                return names
        return ["atom.xml"]

    def _add_feed(
        self, slug: str, title: str, files: list[str], place: Place | str, language: str, taken: list[str]
    ) -> None:
        clauses = {"language": (language,)} if self._others else {}
        text = self._config.text("description") if language == self._default else ""
        text = text or self._config.text("languages", language, "description")
        feed = FeedPlan(
            self._plan.free_slug(slug, taken), title, files, place, title_text(text), clauses, full=self._full
        )
        self._plan.feeds.append(feed)

    def _add_sections(self, title: str) -> None:
        content = self._site.root / "content"
        for path in walk_files(content):
            folder, _, name = path.rpartition("/")
            if name != "_index.md" or not folder:
                continue
            values = page_values(content / path, _SECTION_KEYS)
            if True not in (values.get("generate_feeds"), values.get("generate_feed")):
                continue
            place = Place(shown_file(content / path))
            files = [f"{folder}/{file}" for file in self._documents()]
            if "/" in folder:
                what, hint = "the feed of a section in a section", "give it a topic and a [[feed]] with moved_from"
                self._plan.leave_out(place, what, hint, files[0])
                continue
            own = title_text(str(values.get("title", folder)))
            slug, clauses = self._plan.free_slug(folder), {"type": (folder,)}
            feed = FeedPlan(slug, f"{title} – {own}", files, place, "", clauses, full=self._full)
            self._plan.feeds.append(feed)

    def note_the_rest(self) -> None:
        """What the config cannot say."""
        if self._config.text("slugify", "paths") not in ("", "on"):
            what, hint = "'slugify.paths' keeps names as they are", "write `path` into posts with other links"
            self._plan.leave_out(self._config.place("slugify", "paths"), what, hint)
        if self._config.get("slugify", "paths_keep_dates") is True:
            what, hint = "'slugify.paths_keep_dates' keeps dates in URLs", "write `path` into posts with a date"
            self._plan.leave_out(self._config.place("slugify", "paths_keep_dates"), what, hint)
        for file in self._documents():
            path = self._site.root / "templates" / file
            if path.is_file():
                self._plan.leave_out(Place(shown_file(path)), *OWN_TEMPLATE)
