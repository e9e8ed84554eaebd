"""The presets: which keys of front matter each field of a record is read from, first alternative first. Pure.

`[records.fields]` replaces the keys of single fields. `parse/keys.py` says what the signs in keys mean, and
`parse/fields.py` what becomes of a value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from aggregator.model import Unread
from aggregator.problems import Problem, shown_path
from aggregator.settings import PLUS, Source

Preset = Literal["smartable", "jekyll", "hugo"]

FIELDS = (
    *("title", "summary", "link", "original_link", "published_at", "updated_at", "expires_at"),
    *("published", "draft", "deleted", "removed", "visibility"),
    *("id", "provider", "topics", "category", "type", "images", "video", "enclosures", "related"),
    *("quality", "heat", "language"),
    *("path", "link_date", "slug", "excerpt_separator", "templates"),
)
_STATED: dict[Preset, dict[str, tuple[str, ...]]] = {
    "smartable": {
        "title": ("title", "name"),
        "summary": ("excerpt",),
        "link": ("webUrl", "originalUrl"),
        "original_link": ("originalUrl",),
        "published_at": ("publishedDateTime",),
        "updated_at": ("updatedDateTime",),
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
        "enclosures": ("enclosure",),
        "related": ("related",),
        "quality": ("quality",),
        "heat": ("heat",),
        "language": ("locale",),
    },
    "jekyll": {
        "title": ("title",),
        "summary": ("excerpt", "description"),
        "link": ("link", "canonical_url"),
        "published_at": ("date",),
        "updated_at": ("last_modified_at",),
        "published": ("published",),
        "draft": ("draft",),
        "id": ("id", "guid"),
        "provider": ("author", "authors"),
        "topics": ("category + categories + tag + tags",),
        "category": ("category", "categories"),
        "images": ("image",),
        "enclosures": ("enclosure", "audio", "podcast"),
        "language": ("lang", "locale"),
        "path": ("permalink",),
        "slug": ("slug",),
        "excerpt_separator": ("excerpt_separator",),
        "templates": ("render_with_liquid",),
    },
    "hugo": {
        "title": ("title", "linkTitle"),
        "summary": ("summary", "description"),
        "link": ("link", "canonicalURL", "externalUrl"),
        # keys that hide a page come before keys that only show a date
        "published_at": ("publishDate", "pubDate", "published", "date"),
        "updated_at": ("lastmod", "modified", "updated"),
        "expires_at": ("expiryDate", "unpublishDate"),
        "published": ("published",),
        "draft": ("draft",),
        "removed": ("headless",),
        "visibility": ("build.list", "_build.list", "build.render", "_build.render", "render"),
        "id": ("id", "guid"),
        "provider": ("author", "authors", "taxonomies.authors", "params.author", "params.authors", "extra.author"),
        "topics": (
            "categories + tags + series + taxonomies.categories + taxonomies.tags + taxonomies.series",
            "params.tags + extra.tags",
        ),
        "category": ("categories", "taxonomies.categories"),
        "type": ("type",),
        "images": ("images", "image", "featured_image", "featuredImage", "cover", "params.images", "extra.image"),
        "enclosures": (
            *("enclosure", "audio", "podcast"),
            *("params.enclosure", "params.audio", "params.podcast"),
            *("extra.enclosure", "extra.audio", "extra.podcast"),
        ),
        "language": ("lang", "language"),
        "path": ("url", "path"),
        "link_date": ("date", "publishDate", "pubDate", "published", "lastmod", "modified"),
        "slug": ("slug",),
    },
}
PRESETS = {preset: dict.fromkeys(FIELDS, ()) | keys for preset, keys in _STATED.items()}
TAKE_BACK = "as long as nobody has subscribed, delete the store and the output folder, and run again"
"""What to do about entries that were released without their dates."""


def other_keys(
    fields: Mapping[str, Sequence[str]], stated: Collection[str] = ()
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The keys from which presets read the published date and the topics, and these `fields` read nothing. Left out are
    fields that these read from no key or that `[records.fields]` states, and keys inside of maps."""
    read = {part.partition(".")[0].lower() for keys in fields.values() for key in keys for part in key.split(PLUS)}
    return tuple(
        (field, tuple(key for key in _all_keys(field) if key.lower() not in read))
        for field in ("published_at", "topics")
        if fields[field] and field not in stated
    )


def unread_problem(
    file: str | None, line: int | None, source: Source, found: Sequence[Unread], *, is_new: bool
) -> Problem:
    """The warning that keys of records are not read, because another preset reads them. `file` and `line`: where the
    config says the preset, as far as it does. `found` are the records of the source with such keys, at least one.
    `is_new`: there is no store yet."""
    dates = frozenset(_all_keys("published_at"))
    without_date = [unread for unread in found if not dates.isdisjoint(unread.keys)]
    found, is_date = without_date or found, bool(without_date)
    keys = sorted({key for unread in found for key in unread.keys})
    named = " and ".join(filter(None, (", ".join(map(repr, keys[:-1])), repr(keys[-1]))))
    count = sum(unread.number for unread in found)
    have = f"{count} records have" if count > 1 else "1 record has"
    what = (
        f"{have} no {'date' if is_date else 'topics'}, because {named} {'are no keys' if keys[1:] else 'is no key'} of"
        " the preset"
    )
    path = min(unread.path for unread in found)
    own, fitting = "smartable" if source.layout == "plain" else source.layout, _fitting_preset(source, keys, path)
    hint = f'such as {shown_path(source.root, path)}; preset = "{fitting}" reads them'
    hint += "; or name the keys that are meant in [records.fields]"
    if is_date:
        choice = "choose before the first run" if is_new else TAKE_BACK
        hint += f"; entries keep the date of their release, so {choice}"
    return Problem.on_line(file or shown_path(source.root, ""), line, what, own, hint, "warning")


def _fitting_preset(source: Source, keys: Sequence[str], path: str) -> Preset:
    """The preset that reads most of the keys; of two, the one whose records have such paths."""
    own: Preset = "smartable" if source.layout == "plain" else source.layout
    is_post = "_posts" in path.split("/")[:-1]
    order: tuple[Preset, ...] = ("jekyll", "hugo", "smartable") if is_post else ("hugo", "jekyll", "smartable")

    def count(preset: Preset) -> int:
        read = {*_keys(preset, "published_at"), *_keys(preset, "topics")}
        return len(read.intersection(keys))

    return max((preset for preset in order if preset != own), key=count)


def _keys(preset: Preset, field: str) -> list[str]:
    """The keys of a field that are not inside of maps."""
    return [part for key in PRESETS[preset][field] for part in key.split(PLUS) if "." not in part]


def _all_keys(field: str) -> list[str]:
    """The same of all presets."""
    return list(dict.fromkeys(key for preset in PRESETS for key in _keys(preset, field)))
