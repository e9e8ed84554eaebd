"""The config file as people write it: every table, key, default and limit. docs/spec.md#config.

Defaults are written as in the file, and validated like it. The validation context is the folder that relative paths
start at.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)

from aggregator.buckets import BucketUrl
from aggregator.config import values
from aggregator.config.presets import FIELDS, Preset
from aggregator.settings import MAX_PARSED_DEPTH, Format

TABLE_TAG, TEXT_TAG = "{table}", "{text}"


def _check_field(name: str) -> str:
    if name not in FIELDS:
        raise values.BadValueError("is not a field", "use one of " + ", ".join(FIELDS))
    return name


def _in_base(read: Any) -> Any:
    """A validator that passes the base folder of relative paths to `read`."""

    def validator(value: Any, info: ValidationInfo) -> Any:
        return read(value, info.context)

    return validator


def _text_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


ContentForm = Literal["summary", "full"]
Text = Annotated[str, AfterValidator(values.check_text)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
SomeTexts = Annotated[Texts, AfterValidator(values.check_not_empty)]
Phrases = Annotated[
    tuple[Annotated[str, AfterValidator(values.check_phrase)], ...],
    Field(strict=False),
    AfterValidator(values.check_not_empty),
]
_TEXT_OR_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Keys = Annotated[
    tuple[Text, ...],
    BeforeValidator(values.as_list),
    Field(strict=False),
    WithJsonSchema(_TEXT_OR_TEXTS | {"examples": [["title", "name"]]}),
]
FieldName = Annotated[str, AfterValidator(_check_field), _text_schema(enum=FIELDS)]
Slug = Annotated[str, AfterValidator(values.check_slug), _text_schema(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
SourceName = Annotated[str, AfterValidator(values.check_source_name)]
Language = Annotated[str, AfterValidator(values.check_language)]
Url = Annotated[str, AfterValidator(values.check_url)]
Hubs = Annotated[tuple[Url, ...], BeforeValidator(values.as_list), Field(strict=False), WithJsonSchema(_TEXT_OR_TEXTS)]
OldPath = Annotated[str, AfterValidator(values.check_old_path)]
Duration = Annotated[
    timedelta,
    PlainValidator(values.read_duration),
    _text_schema(pattern="^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"),
]
Interval = Annotated[Duration, AfterValidator(values.check_interval)]
Size = Annotated[
    int,
    PlainValidator(values.read_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": values.MAX_SIZE}, {"type": "string"}]}),
]
Place = Annotated[Path | BucketUrl, PlainValidator(_in_base(values.read_place)), _text_schema()]
Stylesheet = Annotated[str, PlainValidator(_in_base(values.read_stylesheet)), _text_schema()]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Depth = Annotated[int, Field(ge=1, le=MAX_PARSED_DEPTH)]
Limit = Annotated[int, Field(ge=1, le=5000)]
Score = Annotated[float, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]
Host = Annotated[Text, AfterValidator(values.check_host)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _key(default: Any, description: str, example: Any = None) -> Any:
    """A key of a table, with its default as in the file."""
    examples = None if example is None else [example]
    return Field(default, validate_default=True, description=description, examples=examples)


class Table(BaseModel):
    """A table of the file: no other keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SiteTable(Table):
    """The site."""

    id: Text | None = _key(None, "All ids are made from it; never change it", "feeds.example.org")
    title: Text = _key("Feeds", "Title of the site and of the feed of all records")
    description: Text | None = _key(
        None, "What the site is about: on its home page, and of the feed of all records", "News about small things"
    )
    base_url: Annotated[str, AfterValidator(values.check_base_url)] = _key(
        "http://127.0.0.1:8000/", "Public URL of the output folder"
    )
    language: Language = _key("en", "Language of the feeds, such as en or pt-BR")
    timezone: Annotated[ZoneInfo, PlainValidator(values.read_timezone), _text_schema()] = _key(
        "UTC", "Time zone of dates without one, and of cron"
    )
    author: Text | None = _key(None, "Author of the feeds; default: the title", "Example News")
    icon: Url | None = _key(None, "URL of an image", "https://example.org/icon.png")
    copyright: Text | None = _key(None, "Rights in the feeds", "© Example News")
    feed_title: Annotated[str, AfterValidator(values.check_feed_title)] = _key(
        "{title} – {site}", "What readers show as the title of a feed"
    )
    stylesheet: Stylesheet | None = _key(None, "A CSS file for the pages, after ours", "site.css")


class RecordsTable(Table):
    """A folder of records and how to read them."""

    name: SourceName | None = _key(None, "Name of this source; one source may have none", "news")
    path: Place = _key("../incoming", "Folder of the records, scanned recursively; or s3://bucket/prefix")
    include: SomeTexts = _key(["*.md", "*.markdown"], "Patterns of the names of record files")
    exclude: Texts = _key([], "Patterns of the names of files that are not read", ["*.sync-conflict-*"])
    preset: Preset = _key("smartable", "Which front matter keys hold which field")
    default_published: bool = _key(True, "Whether a record without the flag is published")
    max_bytes: Size = _key("1MB", "Largest file")
    max_depth: Depth = _key(32, "Deepest nesting of front matter")
    max_nodes: Count = _key(20_000, "Most values in front matter")
    removal_grace: Duration = _key("10m", "How long a mass removal waits and a rename may take")
    topics: Texts = _key([], "Topics added to every record", ["Always"])
    default_topics: Texts = _key([], "Topics of a record that states none; in Jekyll, no tags", ["News"])
    link_template: Annotated[str, AfterValidator(values.check_link_template)] | None = _key(
        None, "Link of a record without one; also {slug}, {year}, {categories} …", "https://example.org/{path}"
    )
    site_url: Annotated[str, AfterValidator(values.check_base_url)] | None = _key(
        None, "Where the site is whose pages the records are, if link_template has more", "https://example.org/blog/"
    )
    language: Language | None = _key(None, "Language of its records (default: the language of the site)", "de")
    languages: Annotated[tuple[Language, ...], Field(strict=False)] = _key(
        [], "Languages that a name such as title.de.md may end in (Hugo, Zola)", ["en", "de"]
    )
    fields: dict[FieldName, Keys] = _key({}, "Front matter keys of single fields; the first one present wins")


class ScheduleTable(Table):
    """When records are scanned."""

    every: Interval = _key("60s", "Time between scans; cannot be combined with cron")
    cron: Annotated[str, AfterValidator(values.read_cron)] | None = _key(
        None, "Five fields: minute, hour, day of the month, month, weekday (0 and 7 are Sunday)", "*/5 * * * *"
    )
    watch: bool = _key(True, "Also scan as soon as a file changes")
    rescan: Interval = _key("15m", "Time between full scans while watching")


class StoreTable(Table):
    """The database."""

    url: Annotated[str, AfterValidator(_in_base(values.read_store_url))] = _key(
        "sqlite:///../data/aggregator.db", "URL of the store: sqlite:///path or postgresql+psycopg://…"
    )


class OutputTable(Table):
    """What is published, and where."""

    path: Place = _key("../output", "Folder that the feeds are written to, or s3://bucket/prefix")
    formats: Annotated[
        tuple[Format, ...],
        Field(strict=False),
        AfterValidator(values.check_not_empty),
        AfterValidator(lambda formats: tuple(dict.fromkeys(formats))),
    ] = _key(list(get_args(Format)), "Documents of every feed")
    limit: Limit = _key(50, "Entries in a feed")
    min_stay: Duration = _key("24h", "No entry leaves a feed sooner after its release")
    max_bytes: Size = _key("1MB", "Largest feed document")
    content: ContentForm = _key("summary", "What an entry holds: its summary, or the full text of its record")
    late: Duration = _key("30d", "Greatest age at which a new record is placed on top")
    archive: bool = _key(True, "Archive pages for entries that left the window (RFC 5005)")
    pages: bool = _key(True, "An HTML page for every feed")
    remote_media: bool = _key(True, "Pages show pictures and players of entries, from their own hosts")
    tombstones: Duration = _key("30d", "How long Atom feeds name a withdrawn entry")


class ServeTable(Table):
    """The HTTP server."""

    host: Host = _key("127.0.0.1", "Host name or IP address to listen on")
    port: Port = _key(8000, "Port to listen on; 0 takes a free one")
    cache: Size = _key("256MB", "Memory for documents; the rest is read from the disk")
    admin_port: Annotated[int, Field(ge=1, le=65535)] | None = _key(
        None, "Port of /status and /metrics on 127.0.0.1", 8001
    )


class TopicsTable(Table):
    """Feeds that come from the topics of records."""

    auto: bool = _key(True, "A feed for every topic that a published record has")
    min_entries: Count = _key(1, "Entries that a topic needs before it has a feed")
    max_feeds: Count = _key(10_000, "Most feeds of topics; further topics get none")
    keep_empty: Duration = _key("30d", "How long the feed of a topic exists without an entry")
    slugs: dict[Text, Slug] = _key({}, "Slug of the feed of a topic; aggregator feeds --pin prints the current ones")
    alias: dict[Text, Text] = _key({}, "Another spelling of a topic, and the topic: one topic, one feed")
    parent: dict[Text, Text] = _key({}, "Parent of a topic: its entries are also in the parent's feed")
    titles: dict[Text, Text] = _key({}, "Title of a topic's feed")
    descriptions: dict[Text, Text] = _key({}, "Description of a topic's feed")


class ClauseTable(Table):
    """A clause."""

    any: SomeTexts | None = _key(None, "At least one of these", ["AI"])
    all: SomeTexts | None = _key(None, "All of these", ["AI"])
    none: SomeTexts | None = _key(None, "Not one of these", ["AI"])


class TextTable(Table):
    """A clause over title and summary."""

    any: Phrases | None = _key(None, "At least one of these", ["GPU", "re:TPU v[0-9]"])
    all: Phrases | None = _key(None, "All of these", ["GPU"])
    none: Phrases | None = _key(None, "Not one of these", ["GPU"])


# `language` has two meanings: a text is the language of the feed, a table is a clause.
LanguageOrClause = Annotated[
    Annotated[ClauseTable, Tag(TABLE_TAG)] | Annotated[Language, Tag(TEXT_TAG)],
    Discriminator(lambda value: TABLE_TAG if isinstance(value, dict) else TEXT_TAG),
]


class FeedTable(Table):
    """A feed with a rule of its own."""

    slug: Slug = Field(description="Folder of the feed; a topic's slug replaces that topic's feed", examples=["ai"])
    title: Text | None = _key(None, "Title of the feed", "AI")
    description: Text | None = _key(None, "Description of the feed", "All about AI")
    image: Url | None = _key(None, "URL of an image", "https://example.org/ai.png")
    language: LanguageOrClause | None = _key(
        None, "Language of the feed, or a table of the languages its entries may have", "en"
    )
    topics: ClauseTable | None = _key(None, "Topics of its entries")
    category: ClauseTable | None = _key(None, "Categories of its entries")
    type: ClauseTable | None = _key(None, "Types of its entries")
    provider: ClauseTable | None = _key(None, "Providers of its entries")
    text: TextTable | None = _key(None, "Words or phrases in title and summary, or expressions that begin with re:")
    min_quality: Score | None = _key(None, "Lowest quality", 70)
    min_heat: Score | None = _key(None, "Lowest heat", 70)
    max_age: Interval | None = _key(None, "Age since its published date at which an entry leaves the documents", "90d")
    content: ContentForm | None = _key(None, "What an entry holds; output.content if not given", "full")
    per_provider: Count | None = _key(None, "Most entries of one provider shown at a time", 3)
    limit: Limit | None = _key(None, "Entries of this feed; output.limit if not given", 30)
    order: Literal["released", "published"] = _key(
        "released", "Sort entries by their release in this feed, or by their published date"
    )
    duplicates: Literal["keep", "merge"] = _key("keep", "merge shows one entry for each canonical link")
    moved_from: Annotated[tuple[OldPath, ...], Field(strict=False)] = _key(
        [], "Old slugs or paths that continue to work", ["old-slug"]
    )


class WebsubTable(Table):
    """The WebSub hubs."""

    hub: Hubs = _key([], "URLs of hubs that get a ping when a feed changes", "https://hub.example.org/")


class IngestTable(Table):
    """How files are read."""

    workers: Annotated[int, Field(ge=0, le=1000)] | None = _key(None, "Processes for many files; 0 is none", 2)
    dask: Annotated[str, AfterValidator(values.check_cluster)] | None = _key(
        None, "Scheduler of a Dask cluster that reads many files", "tcp://scheduler:8786"
    )


class LogTable(Table):
    """The log."""

    format: Literal["auto", "text", "json"] = _key("auto", "auto is text on a terminal, else JSON")
    level: Literal["debug", "info", "warning", "error"] = _key("info", "Least severe lines that are logged")


class File(Table):
    """The whole file."""

    site: SiteTable = _key({}, "The site")
    records: Annotated[
        tuple[RecordsTable, ...],
        Field(strict=False),
        BeforeValidator(lambda value: [value] if isinstance(value, dict) else value),
        AfterValidator(values.check_not_empty),
    ] = _key({}, "The records: one table, or several sources")
    schedule: ScheduleTable = _key({}, "The schedule")
    store: StoreTable = _key({}, "The store")
    output: OutputTable = _key({}, "The output folder")
    serve: ServeTable = _key({}, "The HTTP server")
    topics: TopicsTable = _key({}, "The feeds of topics")
    feed: Annotated[tuple[FeedTable, ...], Field(strict=False)] = _key([], "Feeds with a rule of their own")
    websub: WebsubTable = _key({}, "WebSub")
    ingest: IngestTable = _key({}, "Reading")
    log: LogTable = _key({}, "The log")


@cache
def config_schema() -> dict[str, Any]:
    """The JSON Schema of the config file, for the completion and checks of editors."""
    schema = _tidy(File.model_json_schema())
    records = schema["properties"]["records"]
    array = {"type": records.pop("type"), "items": records.pop("items")}
    records["anyOf"] = [array["items"], array]
    title = {"title": "Config of aggregator", "description": "Missing keys have their default."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **title}


def describe(path: tuple[str | int, ...]) -> dict[str, Any]:
    """The JSON Schema of the key at the path; empty for an unknown key."""
    schema = config_schema()
    node = schema
    for part in path:
        if isinstance(part, int):
            node = node.get("items", node)
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
        first = next(iter(node.get("anyOf") or node.get("oneOf") or [node]))
        if reference := first.get("$ref"):
            node = {**schema["$defs"][reference.rpartition("/")[2]], **node}
    return node


def _tidy(node: Any) -> Any:
    """The schema without null, which TOML does not have, and without titles that repeat key names."""
    if isinstance(node, list):
        return [_tidy(part) for part in node]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(part) for key, part in node.items() if not _is_noise(key, part)}
    options = [option for option in tidy.pop("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        return {**options[0], **tidy}
    return {**tidy, "anyOf": options} if options else tidy


def _is_noise(key: str, part: Any) -> bool:
    return (key == "title" and isinstance(part, str)) or (key == "default" and part is None)
