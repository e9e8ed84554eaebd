"""The config file as people write it: every table, key, default and limit, checked key by key.

Defaults stand as they would in the file and are read like it. `base`, the folder that relative paths start at,
comes as the validation context.
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

from aggregator.config import values
from aggregator.settings import Format

TABLE_TAG, TEXT_TAG = "{table}", "{text}"

Preset = Literal["smartable", "jekyll", "hugo"]

PRESETS: dict[Preset, dict[str, tuple[str, ...]]] = {
    "smartable": {
        "title": ("title", "name"),
        "summary": ("excerpt",),
        "link": ("webUrl", "originalUrl"),
        "original_link": ("originalUrl",),
        "published_at": ("publishedDateTime",),
        "updated_at": ("updatedDateTime",),
        "expires_at": (),
        "published": ("published",),
        "draft": ("draft",),
        "deleted": ("deleted",),
        "removed": ("removed",),
        "id": ("id",),
        "provider": ("provider",),
        "topics": ("topics",),
        "category": ("category",),
        "type": ("type",),
        "images": ("images",),
        "video": ("featuredContent",),
        "related": ("related",),
        "quality": ("quality",),
        "heat": ("heat",),
        "language": ("locale",),
        "path": (),
        "slug": (),
        "excerpt_separator": (),
    },
    "jekyll": {
        "title": ("title",),
        "summary": ("excerpt", "description"),
        "link": ("link", "canonical_url"),
        "original_link": (),
        "published_at": ("date",),
        "updated_at": ("last_modified_at",),
        "expires_at": (),
        "published": ("published",),
        "draft": ("draft",),
        "deleted": (),
        "removed": (),
        "id": ("id", "guid"),
        "provider": ("author", "authors"),
        "topics": ("category + categories + tag + tags",),
        "category": ("category", "categories"),
        "type": (),
        "images": ("image",),
        "video": (),
        "related": (),
        "quality": (),
        "heat": (),
        "language": ("lang", "locale"),
        "path": ("permalink",),
        "slug": ("slug",),
        "excerpt_separator": ("excerpt_separator",),
    },
    "hugo": {
        "title": ("title", "linkTitle"),
        "summary": ("summary", "description"),
        "link": ("link", "canonicalURL", "externalUrl"),
        "original_link": (),
        # what keeps a page back goes before what it shows
        "published_at": ("publishDate", "pubDate", "published", "date"),
        "updated_at": ("lastmod", "modified", "updated"),
        "expires_at": ("expiryDate", "unpublishDate"),
        "published": ("published",),
        "draft": ("draft",),
        "deleted": (),
        "removed": ("headless",),
        "id": ("id", "guid"),
        "provider": ("author", "authors", "taxonomies.authors", "params.author", "params.authors", "extra.author"),
        "topics": (
            "categories + tags + series + taxonomies.categories + taxonomies.tags + taxonomies.series",
            "params.tags + extra.tags",
        ),
        "category": ("categories", "taxonomies.categories"),
        "type": ("type",),
        "images": ("images", "image", "featured_image", "featuredImage", "cover", "params.images", "extra.image"),
        "video": (),
        "related": (),
        "quality": (),
        "heat": (),
        "language": ("lang", "language"),
        "path": ("url", "path"),
        "slug": ("slug",),
        "excerpt_separator": (),
    },
}
FIELDS = tuple(PRESETS["smartable"])


def _need_field(name: str) -> str:
    if name not in FIELDS:
        raise values.BadValueError("is not a field", "use one of " + ", ".join(FIELDS))
    return name


def _in_base(read: Any) -> Any:
    """A validator that also hands `read` the folder that relative paths start at."""

    def validator(value: Any, info: ValidationInfo) -> Any:
        return read(value, info.context)

    return validator


def _text_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


Text = Annotated[str, AfterValidator(values.need_text)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
SomeTexts = Annotated[Texts, AfterValidator(values.need_some)]
Phrases = Annotated[
    tuple[Annotated[str, AfterValidator(values.need_phrase)], ...],
    Field(strict=False),
    AfterValidator(values.need_some),
]
Keys = Annotated[
    tuple[Text, ...],
    BeforeValidator(values.as_list),
    Field(strict=False),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "examples": [["title", "name"]]}
    ),
]
FieldName = Annotated[str, AfterValidator(_need_field), _text_schema(enum=FIELDS)]
Slug = Annotated[str, AfterValidator(values.need_slug), _text_schema(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
SourceName = Annotated[str, AfterValidator(values.need_source_name)]
Language = Annotated[str, AfterValidator(values.need_language)]
Address = Annotated[str, AfterValidator(values.need_address)]
OldAddress = Annotated[str, AfterValidator(values.need_old_address)]
Duration = Annotated[
    timedelta,
    PlainValidator(values.read_duration),
    _text_schema(pattern="^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"),
]
Interval = Annotated[Duration, AfterValidator(values.need_second)]
Size = Annotated[
    int,
    PlainValidator(values.read_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
]
FilePath = Annotated[Path, PlainValidator(_in_base(values.read_path)), _text_schema()]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int, Field(ge=1, le=5000)]
Score = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _key(default: Any, description: str, example: Any = None) -> Any:
    """A key of a table, its default written as in the file."""
    examples = None if example is None else [example]
    return Field(default, validate_default=True, description=description, examples=examples)


class Table(BaseModel):
    """A table of the file: no other keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SiteTable(Table):
    """What every feed says of where it comes from."""

    id: Text | None = _key(None, "What ids are minted from; keep it for good", "feeds.example.org")
    title: Text = _key("Feeds", "Title of the site and of the feed of all records")
    base_url: Annotated[str, AfterValidator(values.read_base_url)] = _key(
        "http://127.0.0.1:8000/", "Public address of the output folder"
    )
    language: Language = _key("en", "Language of the feeds, such as en or pt-BR")
    timezone: Annotated[ZoneInfo, PlainValidator(values.read_timezone), _text_schema()] = _key(
        "UTC", "Zone of dates without one, and of cron"
    )
    author: Text | None = _key(None, "Who the feeds are by; the title if not given", "Example News")
    icon: Address | None = _key(None, "Address of an image", "https://example.org/icon.png")
    copyright: Text | None = _key(None, "Rights in the feeds", "© Example News")


class RecordsTable(Table):
    """A folder of records and how to read them."""

    name: SourceName | None = _key(None, "Name of this source; one source may have none", "news")
    path: FilePath = _key("../incoming", "Folder of the records, scanned recursively")
    include: SomeTexts = _key(["*.md", "*.markdown"], "Patterns of the names of record files")
    exclude: Texts = _key([], "Patterns of the names of files that are no records all the same", ["*.sync-conflict-*"])
    preset: Preset = _key("smartable", "Which front matter keys hold which field")
    default_published: bool = _key(True, "What a record without the flag is")
    max_bytes: Size = _key("1MB", "Largest file")
    max_depth: Count = _key(32, "Deepest nesting of front matter")
    max_nodes: Count = _key(20_000, "Most values in front matter")
    removal_grace: Duration = _key("10m", "How long a mass removal waits and a rename may take")
    topics: Texts = _key([], "Topics added to every record", ["Always"])
    link_template: Annotated[str, AfterValidator(values.need_link_template)] | None = _key(
        None, "Address of a record without a link; also {slug}, {year}, {month}, {day}", "https://example.org/{path}"
    )
    fields: dict[FieldName, Keys] = _key({}, "Front matter keys of single fields; the first one present wins")


class ScheduleTable(Table):
    """When the records are looked at."""

    every: Interval = _key("60s", "Time between scans; not with cron")
    cron: Annotated[str, AfterValidator(values.read_cron)] | None = _key(
        None, "Five fields: minute, hour, day of the month, month, weekday (0 and 7 are Sunday)", "*/5 * * * *"
    )
    watch: bool = _key(True, "Also scan as soon as a file changes")
    rescan: Interval = _key("15m", "While watching, time between walks of the whole folder")


class StoreTable(Table):
    """What the service remembers."""

    url: Annotated[str, AfterValidator(_in_base(values.read_store_url))] = _key(
        "sqlite:///../data/aggregator.db", "Address of the store: sqlite:///path or postgresql+psycopg://…"
    )


class OutputTable(Table):
    """What is published, and where."""

    path: FilePath = _key("../output", "Folder that the feeds are written to")
    formats: Annotated[
        tuple[Format, ...],
        Field(strict=False),
        AfterValidator(values.need_some),
        AfterValidator(values.without_repeats),
    ] = _key(list(get_args(Format)), "Documents of every feed")
    limit: Limit = _key(50, "Entries a feed")
    min_stay: Duration = _key("24h", "No entry leaves a feed sooner after its release")
    max_bytes: Size = _key("1MB", "Largest feed document")
    late: Duration = _key("30d", "How old a new record may be and still come out on top")
    archive: bool = _key(True, "Archive documents for what has left the window (RFC 5005)")
    pages: bool = _key(True, "An HTML page for every feed")
    tombstones: Duration = _key("30d", "How long Atom feeds name a withdrawn entry")


class ServeTable(Table):
    """The HTTP server."""

    host: Text = _key("127.0.0.1", "Address to listen on")
    port: Port = _key(8000, "Port to listen on; 0 takes a free one")
    admin_port: Annotated[int, Field(ge=1, le=65535)] | None = _key(
        None, "Port of /status and /metrics on 127.0.0.1", 8001
    )


class TopicsTable(Table):
    """Feeds that come from the topics of records."""

    auto: bool = _key(True, "A feed for every topic that a published record has")
    min_entries: Count = _key(1, "Entries that a topic needs before it has a feed")
    max_feeds: Count = _key(10_000, "Most topics that have a feed; those beyond get none")
    keep_empty: Duration = _key("30d", "How long the feed of a topic stays when it has no entry any more")
    slugs: dict[Text, Slug] = _key({}, "Slug of a topic's feed; aggregator feeds --pin prints those that were given")
    alias: dict[Text, Text] = _key({}, "Another spelling of a topic, and the topic: one topic, one feed")
    parent: dict[Text, Text] = _key({}, "Topic that a topic belongs to: its entries are also in the feed of that one")
    titles: dict[Text, Text] = _key({}, "Title of a topic's feed")
    descriptions: dict[Text, Text] = _key({}, "Description of a topic's feed")


class ClauseTable(Table):
    """What an entry must have."""

    any: SomeTexts | None = _key(None, "At least one of these", ["AI"])
    all: SomeTexts | None = _key(None, "All of these", ["AI"])
    none: SomeTexts | None = _key(None, "Not one of these", ["AI"])


class TextTable(Table):
    """What title and summary of an entry must say."""

    any: Phrases | None = _key(None, "At least one of these", ["GPU", "re:TPU v[0-9]"])
    all: Phrases | None = _key(None, "All of these", ["GPU"])
    none: Phrases | None = _key(None, "Not one of these", ["GPU"])


# One key of the contract has two meanings, told apart by what is written.
LanguageOrClause = Annotated[
    Annotated[ClauseTable, Tag(TABLE_TAG)] | Annotated[Language, Tag(TEXT_TAG)],
    Discriminator(lambda value: TABLE_TAG if isinstance(value, dict) else TEXT_TAG),
]


class FeedTable(Table):
    """A feed with a rule of its own."""

    slug: Slug = Field(description="Folder of the feed; a topic's slug replaces that topic's feed", examples=["ai"])
    title: Text | None = _key(None, "Title of the feed", "AI")
    description: Text | None = _key(None, "Description of the feed", "All about AI")
    image: Address | None = _key(None, "Address of an image", "https://example.org/ai.png")
    language: LanguageOrClause | None = _key(
        None, "Language of the feed, or a table of the languages its entries may have", "en"
    )
    topics: ClauseTable | None = _key(None, "Topics of its entries")
    category: ClauseTable | None = _key(None, "Categories of its entries")
    type: ClauseTable | None = _key(None, "Types of its entries")
    provider: ClauseTable | None = _key(None, "Providers of its entries")
    text: TextTable | None = _key(None, "Words or phrases in title and summary, or expressions that begin with re:")
    min_quality: Score | None = _key(None, "Least quality", 70)
    min_heat: Score | None = _key(None, "Least heat", 70)
    max_age: Interval | None = _key(None, "Age at which an entry leaves, from its date of publication", "90d")
    content: Literal["summary", "full"] = _key("summary", "What an entry holds")
    per_provider: Count | None = _key(None, "Most entries of one provider shown at a time", 3)
    limit: Limit | None = _key(None, "Entries of this feed; output.limit if not given", 30)
    order: Literal["released", "published"] = _key(
        "released", "What entries are chosen and sorted by: when they came out here, or their date"
    )
    duplicates: Literal["keep", "merge"] = _key("keep", "merge makes one entry of one canonical link")
    moved_from: Annotated[tuple[OldAddress, ...], Field(strict=False)] = _key(
        [], "Old slugs or paths that go on working", ["old-slug"]
    )


class WebsubTable(Table):
    """The hub that is told of changes."""

    hub: Address | None = _key(None, "Address of the hub", "https://hub.example.org/")


class IngestTable(Table):
    """How records are read."""

    workers: Annotated[int, Field(ge=0)] | None = _key(None, "Processes for many files; 0 is none", 2)


def _as_array(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class File(Table):
    """The whole file."""

    site: SiteTable = _key({}, "The site")
    records: Annotated[
        tuple[RecordsTable, ...], Field(strict=False), BeforeValidator(_as_array), AfterValidator(values.need_some)
    ] = _key({}, "The records: one table, or several sources")
    schedule: ScheduleTable = _key({}, "The schedule")
    store: StoreTable = _key({}, "The store")
    output: OutputTable = _key({}, "The output folder")
    serve: ServeTable = _key({}, "The HTTP server")
    topics: TopicsTable = _key({}, "The feeds of topics")
    feed: Annotated[tuple[FeedTable, ...], Field(strict=False)] = _key([], "Feeds with a rule of their own")
    websub: WebsubTable = _key({}, "WebSub")
    ingest: IngestTable = _key({}, "Reading")


@cache
def config_schema() -> dict[str, Any]:
    """The JSON Schema of the config file, for the completion and checks of editors."""
    schema = _tidy(File.model_json_schema())
    records = schema["properties"]["records"]
    array = {"type": records.pop("type"), "items": records.pop("items")}
    records["anyOf"] = [array["items"], array]
    title = {"title": "Config of aggregator", "description": "Keys that are left out have their default."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **title}


def describe(path: tuple[str | int, ...]) -> dict[str, Any]:
    """What the JSON Schema says of the key at the path; nothing of one that it does not know."""
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
    """The schema less what TOML has not, null, and the titles that repeat the names of keys."""
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
