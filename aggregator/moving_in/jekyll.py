"""What a site of Jekyll says of itself: https://jekyllrb.com/docs/configuration/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from aggregator.moving_in.plan import MAX_LIMIT, FeedPlan, Plan, SourcePlan, Stated, TermFeeds
from aggregator.moving_in.site_files import (
    Place,
    SiteConfig,
    as_texts,
    endings_of,
    has_front_matter,
    link_pattern,
    read_text,
    shown_file,
    walk_files,
)
from aggregator.moving_in.site_table import StatedSite, is_language, title_text
from aggregator.settings import DATE_PLACEHOLDERS, JEKYLL_PLACEHOLDERS
from aggregator.slugs import topic_key

CONFIG_NAMES = ("_config.toml", "_config.yml", "_config.yaml")
PAGE_ENDINGS = (".md", ".markdown", ".mkdown", ".mkdn", ".mkd", ".html", ".htm")
_STYLES = {
    "date": "/:categories/:year/:month/:day/:title:output_ext",
    "pretty": "/:categories/:year/:month/:day/:title/",
    "ordinal": "/:categories/:year/:y_day/:title:output_ext",
    "weekdate": "/:categories/:year/W:week/:short_day/:title:output_ext",
    "none": "/:categories/:title:output_ext",
}
_PLACEHOLDERS = {f":{name}": f"{{{name}}}" for name in (*DATE_PLACEHOLDERS, *JEKYLL_PLACEHOLDERS, "slug", "path")}
_FEED_NAMES = re.compile(r"(?:[\w-]+/)?(?:feed|atom|rss|index|blog)[\w-]*\.(?:xml|atom|rss|json)")
_LIMIT = re.compile(r"site\.posts[^%}]{0,200}?\blimit:[ \t]*([0-9]{1,4})")
_PERMALINK = re.compile(r"^permalink:[ \t]*[\"']?/?([^\s\"']+)", re.MULTILINE)
_FOR_POSTS = frozenset(("permalink", "published", "category", "categories", "tag", "tags"))
"""Defaults that change which posts there are, their links or topics."""
_NOT_POSTS = frozenset(("_site", "node_modules", "vendor"))


def find_config(root: Path) -> bool:
    """Whether a folder is a site of Jekyll."""
    return any((root / name).is_file() for name in CONFIG_NAMES) or (root / "_posts").is_dir()


def read_jekyll(root: Path) -> Plan:
    """The plan for a site of Jekyll. Raises ConfigError."""
    config = SiteConfig()
    found = [path for name in CONFIG_NAMES if (path := root / name).is_file()]
    if found:
        config.add_file(found[0])
    plan = Plan("Jekyll", "jekyll", str, root / (config.text("source") or "."), config.files)
    jekyll = _Jekyll(StatedSite(root, config, plan))
    jekyll.add_site()
    jekyll.add_sources()
    jekyll.add_feeds()
    jekyll.note_the_rest()
    return plan


class _Default(NamedTuple):
    """Values of `defaults` that posts have whose paths begin with `path`."""

    path: str
    values: dict[str, Any]
    place: Place


class _Jekyll:
    def __init__(self, site: StatedSite) -> None:
        self._site, self._config, self._plan = site, site.config, site.plan
        self._root = self._plan.root
        self._defaults = list(self._read_defaults())
        self._base = ""
        self._main, self._folders = "_posts", list[str]()  # the folder of posts in no category, and all of them

    def _read_defaults(self) -> Iterator[_Default]:
        stated = self._config.get("defaults")
        for item in stated if isinstance(stated, list) else []:
            scope = item.get("scope") if isinstance(item, dict) else None
            values = item.get("values") if isinstance(item, dict) else None
            if (
                isinstance(scope, dict)
                and isinstance(values, dict)
                and scope.get("type", "posts") in ("posts", "post", "")
            ):
                yield _Default(str(scope.get("path") or "").lstrip("/"), values, self._config.place("defaults"))

    # site

    def add_site(self) -> None:
        """Title, URL, language, time zone and author."""
        site, config = self._site, self._config
        self._base = site.add_base_url(("url",), "url", config.text("baseurl"))
        site.add_first_text("title", (("title",), ("name",)))
        general = [default for default in self._defaults if not default.path]
        for key in ("lang", "locale"):
            if config.text(key):
                site.add_language((key,))
                break
        else:
            stated = next((default for default in general if is_language(str(default.values.get("lang", "")))), None)
            if stated:
                site.add("language", stated.values["lang"], stated.place)
        default = "the site names none; Jekyll takes that of the machine that builds it"
        site.add_time_zone(("timezone",), "timezone", default)
        site.add_first_text("author", (("author", "name"), ("author",)))
        author = next((default for default in general if isinstance(default.values.get("author"), str)), None)
        if author and "author" not in self._plan.site:
            site.add("author", title_text(author.values["author"]), author.place)

    # records

    def add_sources(self) -> None:
        """The posts: a source for all, and one for each path with defaults of its own."""
        skipped = _NOT_POSTS | {self._config.text("destination").strip("./") or "_site"}
        above = self._config.text("collections_dir").strip("/")
        posts = [path for path in walk_files(self._root, skipped) if _posts_folder(path, above)]
        main = self._main = f"{above}/_posts" if above else "_posts"
        folders = self._folders = sorted({_posts_folder(path, above) for path in posts}) or [main]
        scopes = sorted({default.path for default in self._defaults if default.path and _FOR_POSTS & {*default.values}})
        for scope in [scope for scope in scopes if "*" in scope]:
            what, hint = "'defaults' chooses posts by a pattern", "write its values into the posts"
            self._plan.leave_out(self._config.place("defaults"), what, hint, scope)
        scopes = [scope for scope in scopes if any(path.startswith(scope) for path in posts)]
        endings = endings_of(posts, self._root, PAGE_ENDINGS)
        hidden = list(self._excluded(posts, folders))
        if folders == [main] and not scopes and not hidden:
            source = self._source(self._root / main, main, "")
            source.include = tuple(f"*{ending}" for ending in endings)
            self._plan.sources.append(source)
        else:
            self._add_by_path(folders, scopes, endings, hidden)

    def _add_by_path(self, folders: list[str], scopes: list[str], endings: tuple[str, ...], hidden: list[str]) -> None:
        """Sources that are read from the root of the site and choose posts by their paths."""
        for scope in ("", *scopes):
            inner = [other for other in scopes if other != scope and other.startswith(scope)]
            name = re.sub(r"[^A-Za-z0-9]+", "-", scope).strip("-")
            source = self._source(self._root, scope, self._plan.free_name(name) if scope else "")
            begins = [f"{folder}/" for folder in folders if folder.startswith(scope)] or [escape(scope)]
            files = begins if scope.endswith(PAGE_ENDINGS) else []
            source.include = (*files, *(f"{begin}*{ending}" for begin in begins for ending in endings))
            source.exclude = [*(f"/{escape(other)}*" for other in inner), *hidden]
            self._plan.sources.append(source)

    def _source(self, path: Path, scope: str, name: str) -> SourcePlan:
        """The source of posts below a path of the site, with the values of `defaults` there."""
        values: dict[str, Any] = {}
        for default in sorted(self._defaults, key=lambda default: len(default.path)):
            if scope.startswith(default.path):
                values |= default.values
        template, place = self._template(values)
        source = SourcePlan(path, template, place, name)
        if values.get("published") is False:
            source.default_published = False
        topics = {
            keys: tuple(dict.fromkeys(name for key in keys for name in _names(values.get(key))))
            for keys in (("category", "categories"), ("tag",) if _names(values.get("tag")) else ("tags",))
        }
        source.topics, source.default_topics = topics.values()  # a post keeps its categories, and only its own tags
        categories = [quote(name.lower()) for key in ("category", "categories") for name in _names(values.get(key))]
        if categories and "{categories}" in template:
            order = self._category_order(categories, scope)
            source.link_template = template.replace("{categories}", "/".join(order))
        if source.link_template.partition("{")[0] != self._base:
            source.site_url = Stated(self._base, self._plan.site["base_url"].place)
        if self._config.get("unpublished") is True:
            source.fields["published"] = Stated((), self._config.place("unpublished"))
        return source

    def _category_order(self, categories: list[str], scope: str) -> list[str]:
        """The categories in links: those of folders, of `defaults`, of the post itself."""
        folders = {folder for folder in self._folders if folder.startswith(scope) or scope.startswith(f"{folder}/")}
        in_folders = folders - {self._main}
        if not in_folders:
            return [*categories, "{categories}"]
        what = "categories of 'defaults' are in links between those of folders and of posts"
        hint = "write `permalink` into posts with categories of their own"
        self._plan.leave_out(self._config.place("defaults"), what, hint)
        return ["{categories}", *categories]

    def _template(self, values: dict[str, Any]) -> tuple[str, Place | str]:
        """The link template of posts with these defaults, and its place."""
        place: Place | str = "Jekyll's default"
        pattern = "date"
        for path in (("permalink",), ("collections", "posts", "permalink")):
            if self._config.text(*path):
                pattern, place = self._config.text(*path), self._config.place(*path)
        if isinstance(values.get("permalink"), str):
            pattern, place = values["permalink"], self._config.place("defaults")
        end, unknown = link_pattern(_STYLES.get(pattern, pattern), _PLACEHOLDERS)
        if not unknown and any(name in end for name in ("{slug}", "{title}", "{path}", "{name}")):
            return self._base + end, place
        what, hint = (
            "the permalink has parts that a link_template cannot have",
            "posts get the links of Jekyll's default",
        )
        self._plan.leave_out(place, what, hint, pattern)
        return self._base + link_pattern(_STYLES["date"], _PLACEHOLDERS)[0], place

    def _excluded(self, posts: list[str], folders: list[str]) -> Iterator[str]:
        """Patterns of the posts that `exclude` of the site leaves out; in place of a pattern for a post that `include`
        brings back, the other posts that it matches."""
        for pattern in self._exclude_patterns(posts, folders):
            hidden = [post for post in posts if fnmatchcase(f"/{post}", pattern)]
            kept = set(filter(self._is_included, hidden))
            yield from (f"/{escape(post)}" for post in hidden if post not in kept) if kept else (pattern,)

    def _is_included(self, post: str) -> bool:
        """Whether `include` brings a post back that `exclude` names: by its path below `_posts`, or by its name. The
        folders above must be read too."""
        exclude = set(self._config.texts("exclude")) - {*self._config.texts("include")}
        above, _, entry = post.partition("_posts/")
        names = above.split("/")[:-1]
        paths = ["/".join(names[: size + 1]) for size in range(len(names))]
        are_read = (
            self._includes(name) or not _names_path(exclude, path) for name, path in zip(names, paths, strict=True)
        )
        return self._includes(entry) and all(are_read)

    def _includes(self, entry: str) -> bool:
        include = self._config.texts("include")
        return _names_path(include, entry) or _names_path(include, entry.rpartition("/")[2])

    def _exclude_patterns(self, posts: list[str], folders: list[str]) -> Iterator[str]:
        """Patterns of `exclude` of the site. A path there is the beginning of others, and a pattern, in which `*` also
        matches slashes."""
        above = {
            "/".join(parts[:size]) for folder in folders if (parts := folder.split("/")) for size in range(len(parts))
        }
        for stated in self._config.texts("exclude"):
            if stated in self._config.texts("include"):
                continue
            path = stated.lstrip("/")
            if any(f"{folder}/".startswith(path) or path.startswith(f"{folder}/") for folder in folders):
                yield f"/{escape(path)}*"
            if escape(path) == path:
                continue
            if path.endswith(PAGE_ENDINGS) or any(fnmatchcase(post, path) for post in posts):
                yield f"/{path}"
            if any(fnmatchcase(folder, path) for folder in above):
                yield f"/{path}/*"

    # feeds

    def add_feeds(self) -> None:
        """The feeds of jekyll-feed and of templates in the site."""
        title = title_text(self._config.text("title") or self._config.text("name")) or "Posts"
        text = title_text(self._config.text("description"))
        own = list(self._own_templates())
        if self._has_plugin() and not any(file == self._plugin_path() for file, *_ in own):
            self._plan.limit = self._site.limit("feed", "posts_limit") or Stated(10, "jekyll-feed's default")
            full = self._config.get("feed", "excerpt_only") is not True
            own.insert(0, (self._plugin_path(), self._plan.limit.value, full, self._plan.limit.place))
            self._add_plugin_terms(title, full=full)
        elif own:
            self._plan.limit = Stated(own[0][1], own[0][3])
        for number, (file, limit, full, place) in enumerate(own):
            same = next((feed for feed in self._plan.feeds if (feed.limit, feed.full) == (limit, full)), None)
            if same:
                same.moved_from.append(file)
                continue
            slug = self._plan.free_slug("blog" if not number else f"blog-{number + 1}")
            feed = FeedPlan(slug, title, [file], place, text, {}, full=full, limit=limit)
            self._plan.feeds.append(feed)
        if not own:
            self._plan.limit = Stated(50, "the site has no feed")
            self._plan.feeds.append(FeedPlan(self._plan.free_slug("blog"), title, [], "", text, {}, full=True))

    def _has_plugin(self) -> bool:
        names = {*self._config.texts("plugins"), *self._config.texts("gems"), *self._config.texts("whitelist")}
        if names & {"jekyll-feed"}:
            return True
        gems = self._site.root / "Gemfile"
        return gems.is_file() and "jekyll-feed" in read_text(gems)

    def _plugin_path(self) -> str:
        path = self._config.text("feed", "path") or self._config.text("feed", "collections", "posts", "path")
        return path.strip("/") or "feed.xml"

    def _add_plugin_terms(self, title: str, *, full: bool) -> None:
        config = self._config
        own = as_texts(config.get("feed", "collections", "posts", "categories"))
        if names := [*config.texts("feed", "categories"), *own]:
            listed = {topic_key(name): name for name in names}
            place = config.place("feed", "categories" if config.get("feed", "categories") else "collections")
            keys = ("category + categories",)
            feeds = TermFeeds(keys, "feed/{term}.xml", f"{title} | {{name}}", place, full=full, names=listed)
            self._plan.term_feeds.append(feeds)
        tags = config.get("feed", "tags")
        if tags:
            chosen = as_texts(tags.get("only")) if isinstance(tags, dict) else []
            only = {topic_key(name): name for name in chosen} or None
            below = str(tags.get("path", "")).strip("/") if isinstance(tags, dict) else ""
            path = f"{below or 'feed/by_tag'}/{{term}}.xml"
            place = config.place("feed", "tags")
            keys = ("tag + tags",)
            feeds = TermFeeds(keys, path, f"{title} | {{name}}", place, full=full, names=only, plain=True)
            self._plan.term_feeds.append(feeds)

    def _own_templates(self) -> Iterator[tuple[str, int, bool, Place | str]]:
        """The templates of feeds in the site: path, limit, whether they have full texts, and place."""
        for path in walk_files(self._root, _NOT_POSTS):
            file = self._root / path
            if not _FEED_NAMES.fullmatch(path) or not has_front_matter(file):
                continue
            text = read_text(file)
            if "site.posts" not in text:
                continue
            limit = _LIMIT.search(text)
            stated = _PERMALINK.search(text.partition("\n---")[0])
            number = min(int(limit[1]), MAX_LIMIT) if limit else MAX_LIMIT
            yield (stated[1] if stated else path), number or MAX_LIMIT, "post.content" in text, Place(shown_file(file))

    # the rest

    def note_the_rest(self) -> None:
        """What the config cannot say."""
        config, plan = self._config, self._plan
        notes = {
            "future": ("posts are published before their date", "here each waits for its date"),
            "show_drafts": ("drafts are published", "move them into _posts"),
            "limit_posts": ("the site has only its newest posts", "here all posts are published; see limit"),
        }
        for key, (what, hint) in notes.items():
            if config.get(key):
                plan.leave_out(config.place(key), f"'{key}': {what}", hint)
        separator = config.get("excerpt_separator")
        if isinstance(separator, str) and "".join(separator.split()) not in ("", "<!--more-->"):
            what = "'excerpt_separator' of the site"
            hint = "summaries end at the first paragraph; write excerpt_separator into posts that differ"
            plan.leave_out(config.place("excerpt_separator"), what, hint, separator)
        for name, table in config.table("collections").items():
            if name != "posts" and isinstance(table, dict) and table.get("output") is True:
                what, hint = "a collection that is not in the posts of the site", "give it [[records]] of its own"
                plan.leave_out(config.place("collections", name), what, hint, name)
        for default in self._defaults:
            if _names(default.values.get("tag")):
                what, hint = "'tag' in 'defaults' replaces the tags of posts", "write 'tags', which posts replace"
                plan.leave_out(default.place, what, hint)
            for key in sorted({*default.values} & {"image", "excerpt_separator", "date", "title", "description"}):
                what, hint = f"'defaults' has '{key}'", "write it into the posts"
                plan.leave_out(default.place, what, hint)


def _names_path(stated: Iterable[str], path: str) -> bool:
    """Whether Jekyll's `include` or `exclude` names a path: by its beginning, or by a pattern."""
    patterns = [pattern.lstrip("/") for pattern in stated]
    return any(path.startswith(pattern) or f"{path}/" == pattern or fnmatchcase(path, pattern) for pattern in patterns)


def _posts_folder(path: str, above: str) -> str:
    """The `_posts` folder that a file is in; empty if Jekyll does not read it as a post."""
    folders = path.split("/")[:-1]
    if "_posts" not in folders:
        return ""
    end = folders.index("_posts") + 1
    folder = "/".join(folders[:end])
    is_read = not any(part[0] in "_.#" or part[-1] == "~" for part in folders[: end - 1] if part != above)
    return folder if is_read and _is_below(folder, above) else ""


def _names(value: Any) -> list[str]:
    """Categories or tags as Jekyll reads them: a list, or one text with spaces."""
    return value.split() if isinstance(value, str) else as_texts(value)


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")
