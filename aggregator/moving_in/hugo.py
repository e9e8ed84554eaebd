"""What a site of Hugo says of itself: https://gohugo.io/configuration/all/."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from aggregator.moving_in.hugo_sections import (
    SectionPage,
    find_pattern,
    is_expression,
    read_section_page,
    section_url,
)
from aggregator.moving_in.plan import MAX_LIMIT, FeedPlan, Plan, SourcePlan, Stated, TermFeeds, WithoutDates
from aggregator.moving_in.site_files import (
    ENDINGS,
    Place,
    SiteConfig,
    as_texts,
    endings_of,
    link_pattern,
    shown_file,
    walk_files,
)
from aggregator.moving_in.site_table import (
    AUTHORS,
    OWN_TEMPLATE,
    StatedSite,
    clause_of,
    is_key,
    is_language,
    title_text,
)
from aggregator.parse.dates import parse_time
from aggregator.parse.fields import hides_page
from aggregator.parse.front_matter.values import Value
from aggregator.parse.hugo import UNREAD_ENDINGS, content_path, file_language, url_path
from aggregator.parse.hugo_glob import Glob, GlobError
from aggregator.parse.keys import FILE_NAME
from aggregator.parse.values import lower_keys

PAGE_ENDINGS = (".md", ".markdown", ".mdown", ".html", ".htm")
CONFIG_NAMES = ("hugo", "config")
_SLUG_KEYS = {
    ":slugorcontentbasename": ("slug",),
    ":slugorfilename": ("slug",),
    ":slug": ("slug", "title"),  # also begins the names above
    ":title": ("title",),
    ":filename": (),
    ":contentbasename": (),
}
"""The keys of the last part of a link; Hugo takes the name of the file if there is none of them."""
_PLACEHOLDERS = {f":{name}": f"{{{name}}}" for name in ("year", "month", "day")} | dict.fromkeys(_SLUG_KEYS, "{slug}")
_DATE_FIELDS = {"publishdate": "published_at", "lastmod": "updated_at", "expirydate": "expires_at"}
_DEFAULT_DATES = {
    "date": ("date", "publishDate", "pubDate", "published", "lastmod", "modified"),
    "publishdate": ("publishDate", "pubDate", "published", "date"),
    "lastmod": ("lastmod", "modified", "date", "publishDate", "pubDate", "published"),
    "expirydate": ("expiryDate", "unpublishDate"),
}
_KEY_SPELLINGS = {key.lower(): key for keys in _DEFAULT_DATES.values() for key in keys}
_SECTIONS_AND_NAME = re.compile(rf"/?:sections/({'|'.join(_SLUG_KEYS)})/?")
_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")


def find_config(root: Path) -> bool:
    """Whether a folder is a site of Hugo. A `config.toml` of Zola has another key for the URL."""
    if any((root / f"hugo{ending}").is_file() for ending in ENDINGS) or (root / "config" / "_default").is_dir():
        return True
    files = [path for ending in ENDINGS if (path := root / f"config{ending}").is_file()]
    if not files:
        return False
    config = SiteConfig(fold_keys=True)
    config.add_file(files[0])
    return config.get("base_url") is None


def read_hugo(root: Path) -> Plan:
    """The plan for a site of Hugo. Raises ConfigError."""
    config = _read_config(root)
    plan = Plan("Hugo", "hugo", lambda name: unquote(url_path(name)), root, config.files)
    hugo = _Hugo(StatedSite(root, config, plan))
    hugo.add_site()
    hugo.add_sources()
    hugo.add_feeds()
    hugo.note_the_rest()
    return plan


def _read_config(root: Path) -> SiteConfig:
    """The config as `hugo build` merges it: the file in the root, `config/_default`, `config/production`."""
    config = SiteConfig(fold_keys=True)
    for name in CONFIG_NAMES:
        found = [path for ending in ENDINGS if (path := root / f"{name}{ending}").is_file()]
        if found:
            config.add_file(found[0])
            break
    for folder in ("_default", "production"):
        for path in sorted((root / "config" / folder).glob("*")):
            if path.suffix in ENDINGS and path.is_file():
                config.add_file(path, _keys_of_file(path.stem.lower()))
    return config


def _keys_of_file(stem: str) -> tuple[str, ...]:
    """The keys that a file of a config folder is below: `params.de.toml` has `languages.de.params`."""
    if stem in CONFIG_NAMES:
        return ()
    table, dot, language = stem.partition(".")
    return ("languages", language, table) if dot else (table,)


class _Hugo:
    def __init__(self, site: StatedSite) -> None:
        self._site, self._config, self._plan = site, site.config, site.plan
        stated = self._config.text("defaultcontentlanguage").lower()
        self._default = stated if is_language(stated) else "en"
        tables = self._config.table("languages")
        disabled = {*map(str.lower, self._config.texts("disablelanguages"))}
        disabled |= {name for name in tables if self._config.get("languages", name, "disabled") is True}
        self._disabled = sorted(filter(is_language, disabled))
        self._languages = [name for name in tables if is_language(name) and name not in disabled] or [self._default]
        self._is_multilingual = len(self._languages) > 1
        self._base = ""
        self._wholes: list[SourcePlan] = []  # the sources of content folders, which have sections

    def _of_language(self, *path: str, language: str = "") -> tuple[str, ...]:
        """The path of a key, in the table of the language if it is there."""
        own = ("languages", language or self._default, *path)
        return own if self._config.get(*own) is not None else path

    # site

    def add_site(self) -> None:
        """Title, URL, language, time zone, author and copyright."""
        site = self._site
        self._base = site.add_base_url(self._of_language("baseurl"), "baseURL")
        site.add_text("title", self._of_language("title"))
        code = next((key for key in ("locale", "languagecode") if self._config.text(*self._of_language(key))), "")
        if self._is_multilingual or not code:
            place = self._config.place("defaultcontentlanguage") if self._config.get("defaultcontentlanguage") else ""
            site.add("language", self._default, place or "Hugo's default")
        else:
            site.add_language(self._of_language(code))
        site.add_time_zone(self._of_language("timezone"), "timeZone", "Hugo's default")
        params = self._of_language("params", "author")
        authors = (self._of_language("author", "name"), (*params, "name"), params, ("author",))
        site.add_first_text("author", authors)
        site.add_text("copyright", self._of_language("copyright"))

    # records

    def add_sources(self) -> None:
        """The content folders, and in them the sections whose links have a pattern of their own."""
        for name, folder, prefix, language in self._content_folders():
            paths = list(walk_files(folder))
            template, place = self._template(prefix, language)
            source = SourcePlan(folder, template, place, self._plan.free_name(name) if name else "")
            source.include = tuple(f"*{ending}" for ending in endings_of(paths, folder, PAGE_ENDINGS))
            if is_language(language) and language != self._default:
                source.language = language
            elif language and not is_language(language):
                what, hint = "a content folder of a language that is no tag", "name it in records.language, as in zh-TW"
                self._plan.leave_out(place, what, hint, language)
            if self._is_multilingual and not language:
                source.languages = tuple(self._languages)
            source.exclude += [f"*.{name}{end[1:]}" for name in self._disabled for end in source.include]
            source.exclude += self._hidden_by_cascade(source, prefix, paths)
            source.fields = self._fields()
            source.site_url = self._site_url(source)
            self._plan.sources.append(source)
            if not prefix:
                self._wholes.append(source)
            if unread := [path for path in paths if path.lower().endswith(UNREAD_ENDINGS)]:
                what, hint = f"pages in a format that is not read: {len(unread)}", "write them in Markdown or HTML"
                self._plan.leave_out(Place(shown_file(folder / unread[0])), what, hint)
            for section in self._section_sources(source, paths, language):
                self._plan.sources.append(section)

    def _mounts(self) -> Iterator[tuple[str, Path, str, str]]:
        """Name, folder, prefix of links and language of each mount of content. At most one has no name."""
        stated, place = self._config.get("module", "mounts"), self._config.place("module", "mounts")
        has_main = False
        for number, mount in enumerate(stated if isinstance(stated, list) else []):
            target = str(mount.get("target", "")).strip("/") if isinstance(mount, dict) else ""
            if target != "content" and not target.startswith("content/"):
                continue
            prefix, language = target.removeprefix("content").strip("/"), str(mount.get("lang", "")).lower()
            if language in self._disabled:
                continue
            if prefix:
                hint = "give its [[records]] a topic, and that a [[feed]] with moved_from"
                self._plan.leave_out(place, "the feed of a mounted section", hint, prefix)
            if {*mount} - {"source", "target", "lang"}:
                hint = "name the files in include or exclude of [[records]]"
                self._plan.leave_out(place, "a mount of content chooses files", hint)
            is_main = not prefix and not has_main
            has_main = has_main or is_main
            folder = self._plan.root / str(mount.get("source", "content"))
            yield ("" if is_main else f"mount-{number}", folder, prefix, language)

    def _content_folders(self) -> Iterator[tuple[str, Path, str, str]]:
        """Name, folder, prefix of links and language of each content folder. At most one has no name."""
        if mounts := list(self._mounts()):
            yield from mounts
            return
        content = self._config.text("contentdir") or "content"
        own = {
            name: stated for name in self._languages if (stated := self._config.text("languages", name, "contentdir"))
        }
        if not own:
            yield "", self._plan.root / content, "", ""
            return
        for name in self._languages:
            yield name if name != self._default else "", self._plan.root / own.get(name, content), "", name

    def _template(self, prefix: str, language: str) -> tuple[str, Place | str]:
        """The link template of pages without a pattern, and its place."""
        in_folder = self._config.get("defaultcontentlanguageinsubdir") is True
        if in_folder and not self._is_multilingual and not language:
            language = self._default
        elif in_folder and not language:
            place = self._config.place("defaultcontentlanguageinsubdir")
            what = "the links of the default language begin with the language"
            self._plan.leave_out(place, what, "write a url into the posts of that language")
        above = f"{language}/" if language and in_folder and language == self._default else ""
        above += f"{prefix}/" if prefix else ""
        if self._config.get("uglyurls") is True:
            return f"{self._base}{above}{{path}}.html", self._config.place("uglyurls")
        return f"{self._base}{above}{{path}}/", "Hugo's default"

    def _site_url(self, source: SourcePlan) -> Stated | None:
        """The URL of the site, if the link template of a source does not say it."""
        is_said = source.link_template.partition("{")[0] == self._base
        return None if is_said else Stated(self._base, self._plan.site["base_url"].place)

    def _permalinks(self, language: str) -> tuple[str, ...]:
        """The path of the permalinks of a source, which has one language, or all if it is empty. Those of a language
        replace those of the site."""
        path = self._of_language("permalinks", language=language)
        for other in [] if language else self._languages:
            own = self._of_language("permalinks", language=other)
            if self._config.get(*own) != self._config.get(*path):
                what = "a language has other links than the default language"
                self._plan.leave_out(
                    self._config.place(*own), what, "write `url` into the posts of that language", other
                )
        return path

    def _section_sources(self, rest: SourcePlan, paths: list[str], language: str) -> Iterator[SourcePlan]:
        """A source for each section with a pattern, and for all others if pages in the root have one. Takes their
        files out of `rest`."""
        permalinks = self._permalinks(language)
        patterns = {
            key: ((*table, key), value)
            for table in (permalinks, (*permalinks, "page"))
            for key, value in self._config.table(*table).items()
            if isinstance(value, str)
        }
        self._note_expressions(*(path for path, _ in patterns.values()))
        keys = {folder: key for folder in _folders(paths) if (key := find_pattern(patterns, folder))}
        links = {}
        for folder, key in sorted(keys.items()):
            if keys.get(folder.rpartition("/")[0]) != key:
                path, pattern = patterns[key]
                below = (name for name in paths if name.startswith(f"{folder}/"))
                files = [name for name in below if keys[name.rpartition("/")[0]] == key]
                if link := self._section_link(pattern, folder, path, files):
                    links[folder] = (path, *link)
        above, hidden, usual = rest.link_template.partition("{path}")[0], tuple(rest.exclude), rest.fields
        made = [("", rest)]
        if "/" in patterns and (others := self._take_root(rest, paths, links, *patterns["/"])):
            made.append(("", others))
            yield others
        for folder, (path, end, fields) in links.items():
            source = self._part(rest, folder, above + end, self._config.place(*path))
            source.include = tuple(f"{folder}/{pattern}" for pattern in rest.include)
            source.exclude = [
                pattern for pattern in hidden if "/" not in pattern or pattern.startswith(f"/{escape(folder)}/")
            ]
            source.fields = usual | fields
            inner = [other for outer, other in made if outer and folder.startswith(f"{outer}/")]
            for other in inner[-1:] or [other for outer, other in made if not outer]:
                other.exclude.append(f"{folder}/*")
            made.append((folder, source))
            yield source

    def _note_expressions(self, *paths: tuple[str, ...]) -> None:
        for path in paths:
            if is_expression(path[-1]):
                what, hint = "permalinks choose folders by an expression", "name each folder instead"
                self._plan.leave_out(self._config.place(*path), what, hint, path[-1])

    def _take_root(
        self, rest: SourcePlan, paths: list[str], links: Collection[str], path: tuple[str, ...], pattern: str
    ) -> SourcePlan | None:
        """Gives `rest` the links of pages in the root folder, which are those of a path of the config. A source for the
        folders that have no links of their own; None if there are no such folders."""
        root_pages = [file for file in paths if not _folder_of(file, paths)]
        link = self._section_link(pattern, "", path, root_pages) if root_pages else None
        if link is None:
            return None
        template, place = rest.link_template, rest.place
        folders = sorted({folder.partition("/")[0] for file in paths if (folder := _folder_of(file, paths))} - {*links})
        rest.link_template = template.partition("{path}")[0] + link[0]
        rest.place, rest.site_url = self._config.place(*path), self._site_url(rest)
        what, hint = "a new section has the links of the root", "name its folder as the others are, in [[records]]"
        self._plan.leave_out(rest.place, what, hint, pattern)
        others = None
        if folders:
            others = self._part(rest, "sections", template, place)
            others.include = tuple(f"{folder}/{ending}" for folder in folders for ending in rest.include)
            others.exclude, others.fields = [*rest.exclude], rest.fields
            rest.exclude += [f"{folder}/*" for folder in folders]
        rest.fields = rest.fields | link[1]
        return others

    def _part(self, whole: SourcePlan, folder: str, template: str, place: Place | str) -> SourcePlan:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{whole.name}-{folder}" if whole.name else folder).strip("-._")
        part = SourcePlan(whole.path, template, place, self._plan.free_name(name))
        part.language, part.languages = whole.language, whole.languages
        part.site_url = self._site_url(part)
        return part

    def _section_link(
        self, pattern: str, folder: str, path: tuple[str, ...], files: list[str]
    ) -> tuple[str, dict[str, Stated]] | None:
        """The end of the link template of a section, and the keys of the slug; None if it cannot be said."""
        place = self._config.place(*path)
        languages = tuple(self._languages) if self._is_multilingual else ()
        files = [_without_language(name, languages) for name in files]
        names = frozenset(files)
        folders = {_folder_of(name, names) for name in files if name.endswith(PAGE_ENDINGS)}
        sections = {_section_of(name, names) for name in folders}
        stated, pattern = pattern, pattern.replace(":sections", ":section") if sections <= {folder} else pattern
        pattern = pattern.replace(":sectionslug", ":section")
        pattern = re.sub(r":section(?![a-z\[])", lambda _: url_path(folder.partition("/")[0]), pattern)
        pattern = re.sub("//+", "/", pattern)
        keys = next((keys for token, keys in _SLUG_KEYS.items() if token in pattern), ("slug",))
        fields = {} if keys == ("slug",) else {"slug": Stated(keys, place)}
        if sections == folders and _SECTIONS_AND_NAME.fullmatch(pattern):
            return "{path}/", fields
        end, unknown = link_pattern(pattern, _PLACEHOLDERS)
        if unknown or end.count("{slug}") != 1:
            what = f"the links of '{folder or '/'}' have parts that a link_template cannot have"
            hint = "the posts there get the links of other sections; write `url` into their front matter"
            self._plan.leave_out(place, what, hint, stated)
            return None
        is_ugly = self._config.get("uglyurls") is True
        return end.rstrip("/") + (".html" if is_ugly else "/"), fields

    def _fields(self) -> dict[str, Stated]:
        """The keys of dates and topics, where they differ from the preset; `[]` for flags that the site ignores."""
        fields: dict[str, Stated] = {}
        for option, field in (("builddrafts", "draft"), ("buildexpired", "expires_at")):
            if self._config.get(option) is True:
                fields[field] = Stated((), self._config.place(option))
        for name, field in _DATE_FIELDS.items():
            if field not in fields and (keys := self._date_keys(name)):
                fields[field] = Stated(keys, self._config.place("frontmatter", name))
        if keys := self._date_keys("date"):
            fields["link_date"] = Stated(keys, self._config.place("frontmatter", "date"))
        # the preset has `series` too, which is no taxonomy by default, and authors are no topics
        names = dict.fromkeys(name for language in self._languages for name in self._taxonomies(language))
        topics = [name for name in names if name not in AUTHORS]
        if not {*topics} <= {"tags", "categories", "series"}:
            combined = " + ".join([*topics, *(f"taxonomies.{name}" for name in topics)])
            fields["topics"] = Stated((combined,), self._config.place(*self._of_language("taxonomies")))
        return fields

    def _date_keys(self, name: str) -> tuple[str, ...]:
        """The keys of a date in the order of the site; empty for Hugo's own order."""
        stated = self._config.texts("frontmatter", name)
        if name == "publishdate" and not stated and (dates := self._config.texts("frontmatter", "date")):
            # the posts have one date here, which is the date of publication if there is one
            stated = ["publishDate", "pubDate", "published", *dates]
        keys: list[str] = []
        for key in stated:
            if key.lower() == ":default":
                keys += _DEFAULT_DATES[name]
            elif key.startswith(":") and key.lower() != FILE_NAME:
                what, hint = f"'{name}' is also taken from {key}", "write the dates into the posts"
                self._plan.leave_out(self._config.place("frontmatter", name), what, hint)
            elif is_key(key):
                keys.append(_KEY_SPELLINGS.get(key.lower(), key))
        found = tuple(dict.fromkeys(keys))
        return () if found == _DEFAULT_DATES[name] else found

    def _taxonomies(self, language: str) -> list[str]:
        tables = self._config.get(*self._of_language("taxonomies", language=language))
        if tables is None:
            return ["tags", "categories"]
        stated = tables.values() if isinstance(tables, dict) else ()
        return list(filter(is_key, stated))

    def _hidden_by_cascade(self, source: SourcePlan, prefix: str, paths: list[str]) -> Iterator[str]:
        """Patterns of the files that a `cascade` of the site's config hides."""
        stated = self._config.get("cascade")
        for cascade in stated if isinstance(stated, list) else [stated]:
            values = _folded(cascade)
            target = _folded(values.get("target", values.get("_target")))
            if not _hides(values, self._config) or not _is_for_pages(target):
                continue
            path = str(target.get("path", ""))
            if path:
                yield from self._matched_files(path, prefix, paths)
            else:
                source.default_published = False
                what, hint = "'cascade' hides all pages", "only posts with `published: true` are published"
                self._plan.leave_out(self._config.place("cascade"), what, hint)

    def _matched_files(self, target: str, prefix: str, paths: list[str]) -> Iterator[str]:
        """Patterns of the files whose pages the path of a target matches: whole folders if it ends with `**`."""
        languages = self._languages if self._is_multilingual else ()

        def page(file: str) -> str:
            return content_path(f"{prefix}/{file}" if prefix else file, languages)

        is_plain = not set("*?[{") & set(target.removesuffix("/**"))
        try:
            glob = Glob(target)
        except GlobError:
            matched, is_plain = [], False
        else:
            matched = sorted(
                {found for file in paths if (found := _matched(file, page, glob, by_folder=target.endswith("**")))}
            )
        yield from (f"/{escape(found)}*" if found.endswith("/") else f"/{escape(found)}" for found in matched)
        if is_plain and not matched and not prefix:
            yield f"/{target.strip('/').removesuffix('/**')}" + ("/*" if target.endswith("/**") else ".*")
        elif not is_plain and not (matched and target.endswith("**")):
            what, hint = "'cascade' hides pages by an expression", "name new ones in exclude of [records]"
            self._plan.leave_out(self._config.place("cascade"), what, hint, target)

    # feeds

    def add_feeds(self) -> None:
        """The feeds of home pages, sections and terms."""
        limit = self._site.limit("services", "rss", "limit") or self._site.limit("rsslimit")
        self._plan.limit = limit or Stated(MAX_LIMIT, "Hugo's feeds have all posts")
        for language in self._languages:
            if "rss" in self._disabled_kinds(language):
                path = self._of_language("disablekinds", language=language)
                hint, own = "no feed has an old URL", language if len(path) > 1 and self._is_multilingual else None
                self._plan.leave_out(self._config.place(*path), "the site makes no RSS", hint, own)
            if self._disabled_kinds(language).isdisjoint(("rss", "section")):
                self._add_sections(language)
        self._plan.feeds = [*map(self._home, self._languages), *self._plan.feeds]
        if self._plan.limit.value != MAX_LIMIT:
            reason = "in Hugo's feeds they are the last ones, behind the limit"
            self._plan.without_dates = WithoutDates(reason, self._plan.limit.value)
        for language in self._languages:
            if self._disabled_kinds(language).isdisjoint(("rss", "term", "taxonomy", "taxonomyterm")):
                self._add_terms(language)

    def _disabled_kinds(self, language: str) -> frozenset[str]:
        """The kinds of pages that the site does not make in a language. A list of the language replaces the site's."""
        return frozenset(map(str.lower, self._config.texts(*self._of_language("disablekinds", language=language))))

    def _home(self, language: str) -> FeedPlan:
        slug = self._plan.free_slug("blog" if language == self._default else f"blog-{language}")
        text = title_text(self._config.text(*self._of_language("params", "description", language=language)))
        has_feed = self._disabled_kinds(language).isdisjoint(("rss", "home"))
        documents = self._documents("home", language) if has_feed else []
        files = [f"{self._url_prefix(language)}{file}" for file in documents]
        place = self._outputs_place("home", language)
        return FeedPlan(slug, self._title(language), files, place, text, self._clauses(language))

    def _title(self, language: str) -> str:
        return title_text(self._config.text(*self._of_language("title", language=language))) or "Posts"

    def _clauses(self, language: str) -> dict[str, tuple[str, ...]]:
        return {"language": (language,)} if self._is_multilingual else {}

    def _url_prefix(self, language: str) -> str:
        in_folder = self._config.get("defaultcontentlanguageinsubdir") is True
        return f"{language}/" if language != self._default or in_folder else ""

    def _outputs_place(self, kind: str, language: str) -> Place | str:
        path = self._of_language("outputs", kind, language=language)
        return self._config.place(*path) if self._config.get(*path) is not None else "Hugo's default"

    def _documents(self, kind: str, language: str) -> list[str]:
        path = self._of_language("outputs", kind, language=language)
        stated = self._config.get(*path) is not None
        return self._feed_documents(self._config.texts(*path) if stated else ["rss"])

    def _feed_documents(self, outputs: Iterable[str]) -> list[str]:
        files = []
        for name in map(str.lower, outputs):
            options = self._config.table("outputformats", name)
            media = str(options.get("mediatype", "application/rss+xml" if name == "rss" else "")).lower()
            if media in _FEED_TYPES:
                suffixes = self._config.texts("mediatypes", media, "suffixes")
                suffix = suffixes[0] if suffixes else ("json" if media.endswith("json") else "xml")
                below = str(options.get("path", "")).strip("/")
                files.append(f"{below}/" * bool(below) + f"{options.get('basename', 'index')}.{suffix}")
        return files

    def _add_sections(self, language: str) -> None:
        for source in self._plan.sources:
            usual = source.language or self._default
            # a source of a section, or below one, has no sections
            if not any(source is whole for whole in self._wholes) or language not in (source.languages or (usual,)):
                continue
            files = [
                path
                for path in walk_files(source.path)
                if (file_language(path, source.languages).lower() or usual) == language
            ]
            for section in sorted({path.partition("/")[0] for path in files if path.count("/")}):
                if _has_pages(files, section):
                    self._add_section(source, files, section, language)

    def _add_section(self, source: SourcePlan, files: list[str], section: str, language: str) -> None:
        """The feed of a section, whose files in a language are among `files`; none if its page is not published."""
        page = read_section_page(source.path, files, section, language, source.languages)
        documents = self._documents("section", language)
        if "outputs" in page.values:
            documents = self._feed_documents(as_texts(page.values["outputs"]))
        if not documents or _is_hidden_page(page.values, self._config):
            return
        name = title_text(page.text("title")) or title_text(section.replace("-", " ").replace("_", " "))
        title = f"{name[:1].upper()}{name[1:]} on {self._title(language)}"
        slug = self._plan.free_slug(section if language == self._default else f"{section}-{language}")
        url, place = self._section_url(section, page, language)
        paths = [f"{url}{file}" for file in documents] if url is not None else []
        clauses = {"type": (section,)} | self._clauses(language)
        self._plan.feeds.append(FeedPlan(slug, title, paths, place, "", clauses))

    def _section_url(self, section: str, page: SectionPage, language: str) -> tuple[str | None, Place | str]:
        """The URL of the page of a section, and its place; None if it cannot be said."""
        table = (*self._of_language("permalinks", language=language), "section")
        patterns = {key: value for key, value in self._config.table(*table).items() if isinstance(value, str)}
        key = find_pattern(patterns, section) or ("/" if "/" in patterns else "")
        has_plural_titles = self._config.get("pluralizelisttitles") is not False
        url = section_url(
            section,
            page,
            patterns.get(key, ""),
            self._url_prefix(language),
            has_plural_titles=has_plural_titles,
        )
        place = self._config.place(*table, key) if key else self._outputs_place("section", language)
        if page.text("url") or page.text("slug"):
            place = Place(page.file)
        if url is None:
            what, hint = f"the URL of the feed of '{section}'", "write it into moved_from of its [[feed]]"
            self._plan.leave_out(place, what, hint, page.text("url") or patterns[key])
        self._note_expressions(*((*table, key) for key in patterns))
        return url, place

    def _add_terms(self, language: str) -> None:
        own = self._of_language("taxonomies", language=language)
        place = self._config.place(*own) if self._config.get(*own) is not None else "Hugo's default"
        title = f"{{name}} on {self._title(language)}"
        for file in self._documents("term", language):
            for name in self._taxonomies(language):
                path = self._term_path(name, language)
                if path is not None:
                    keys, url = (f"{name} + taxonomies.{name}",), f"{self._url_prefix(language)}{path}/{file}"
                    feeds = TermFeeds(keys, url, title, place, full=False, clause=clause_of(name))
                    if self._is_multilingual:
                        feeds = replace(
                            feeds, language=language, suffix="" if language == self._default else f"-{language}"
                        )
                    self._plan.term_feeds.append(feeds)

    def _term_path(self, taxonomy: str, language: str) -> str | None:
        permalinks = self._of_language("permalinks", language=language)
        pattern = self._config.get(*permalinks, "term", taxonomy) or self._config.get(*permalinks, taxonomy)
        if not isinstance(pattern, str):
            return f"{taxonomy}/{{term}}"
        path = re.sub(r":(slug|title|slugorcontentbasename|contentbasename)(?![a-z])", "{term}", pattern).strip("/")
        if "{term}" in path and ":" not in path:
            return path
        what, hint = f"the URLs of the feeds of '{taxonomy}'", "write them into moved_from of their [[feed]]"
        self._plan.leave_out(self._config.place(*permalinks), what, hint, pattern)
        return None

    # the rest

    def note_the_rest(self) -> None:
        """What the config cannot say."""
        notes = {
            "buildFuture": ("posts are published before their date", "here each waits for its date"),
            "disablePathToLower": ("the case of names stays in URLs", "write `url` into posts with capitals"),
            "removePathAccents": ("accents are taken out of URLs", "write `url` into posts with accents"),
            "enableEmoji": ("names such as :smile: become signs", "here they stay as written; write the signs"),
            "ignoreFiles": ("files are left out by expressions", "name them in exclude of [records]"),
        }
        for name, (what, hint) in notes.items():
            if self._config.get(name.lower()):
                self._plan.leave_out(self._config.place(name.lower()), f"'{name}': {what}", hint)
        for language in self._languages:
            if self._is_multilingual and self._config.get("languages", language, "baseurl"):
                place = self._config.place("languages", language, "baseurl")
                self._plan.leave_out(place, "a language has a site of its own", "write links into its posts")
        for folder in ("layouts", "themes"):
            for template in filter(_is_feed_template, walk_files(self._plan.root / folder)):
                self._plan.leave_out(Place(shown_file(self._plan.root / folder / template)), *OWN_TEMPLATE)


def _folder_of(path: str, files: Collection[str]) -> str:
    """The folder of a page; of what is in a bundle, the folder of the bundle."""
    folders = path.split("/")[:-1]
    for size in range(1, len(folders) + 1):
        if any(f"{'/'.join(folders[:size])}/index{ending}" in files for ending in PAGE_ENDINGS):
            return "/".join(folders[: size - 1])
    return "/".join(folders)


def _folders(paths: Iterable[str]) -> set[str]:
    folders = set[str]()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in folders:
            folders.add(path)
    return folders


def _without_language(path: str, languages: Sequence[str]) -> str:
    stem, ending = os.path.splitext(path)
    return stem.removesuffix(f".{file_language(path, languages)}") + ending


def _section_of(folder: str, files: Collection[str]) -> str:
    """The folder of the section of a folder: the lowest one with an `_index` file, or the highest."""
    while "/" in folder and not any(f"{folder}/_index{ending}" in files for ending in PAGE_ENDINGS):
        folder = folder.rpartition("/")[0]
    return folder


def _folded(stated: object) -> dict[str, Any]:
    """A map with its keys in lower case; empty if it is none."""
    return lower_keys(stated) if isinstance(stated, dict) else {}


def _hides(cascade: dict[str, Any], config: SiteConfig) -> bool:
    """Whether a cascade hides pages from a site with this config."""
    values = _folded(cascade.get("params")) | cascade
    build = _folded(values.get("build", values.get("_build")))
    options = [(f"build.{key}", Value(build[key], 0, 0)) for key in ("list", "render") if key in build]
    expiry = parse_time(values.get("expirydate", values.get("unpublishdate")), ZoneInfo("UTC"))
    is_expired = expiry is not None and expiry[0] <= datetime.now(UTC) and config.get("buildexpired") is not True
    is_draft = values.get("draft") is True and config.get("builddrafts") is not True
    return is_draft or is_expired or any(map(hides_page, options))


def _is_hidden_page(values: Mapping[str, Any], config: SiteConfig) -> bool:
    """Whether the front matter of a page keeps it out of a site with this config."""
    build = _folded(values.get("build", values.get("_build")))
    return _hides({key: value for key, value in values.items() if "build" not in key}, config) or (
        "render" in build and hides_page(("build.render", Value(build["render"], 0, 0)))
    )


def _is_for_pages(target: dict[str, Any]) -> bool:
    """Whether a target is for pages of a published site. One that cannot be read is."""
    try:
        return all(
            Glob(str(target[key])).matches(wanted)
            for key, wanted in (("kind", "page"), ("environment", "production"))
            if target.get(key)
        )
    except GlobError:
        return True


def _matched(file: str, page: Callable[[str], str], glob: Glob, *, by_folder: bool) -> str:
    """The highest folder of a file that is matched whole, with a slash at its end, or the file; empty if none is."""
    parts = file.split("/")
    for size in range(1, len(parts)) if by_folder else ():
        folder = "/".join(parts[:size])
        if glob.matches(f"{page(f'{folder}/index.md')}/"):
            return f"{folder}/"
    return file if glob.matches(page(file)) else ""


def _has_pages(files: list[str], section: str) -> bool:
    """Whether a folder is a section: a page bundle has its page in itself."""
    below = [path.removeprefix(f"{section}/") for path in files if path.startswith(f"{section}/")]
    if any("/" not in path and path.startswith("index.") for path in below):
        return False
    return any(path.endswith(PAGE_ENDINGS) for path in below)


def _is_feed_template(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name in ("rss.xml", "index.xml", "atom.xml") or name.endswith((".rss.xml", ".atom.xml"))
