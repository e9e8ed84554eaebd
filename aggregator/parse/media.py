"""Media files: what front matter states about them, and what of it is usable. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aggregator.links import absolute_url, http_url
from aggregator.model import Enclosure
from aggregator.parse.field_bounds import MAX_ENCLOSURES, MAX_ITEMS
from aggregator.parse.values import is_null, is_relative, lower_keys, read_number

_ENDINGS = {
    "video/3gpp": "3gp",
    "audio/aac": "aac",
    "audio/aiff": "aif aiff",
    "video/x-msvideo": "avi",
    "application/epub+zip": "epub",
    "audio/flac": "flac",
    "image/gif": "gif",
    "image/jpeg": "jpeg jpg",
    "audio/x-m4a": "m4a m4b",
    "video/x-m4v": "m4v",
    "audio/x-matroska": "mka",
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
    "video/mpeg": "mpeg mpg",
    "audio/ogg": "oga ogg opus",
    "video/ogg": "ogv",
    "application/pdf": "pdf",
    "image/png": "png",
    "application/x-bittorrent": "torrent",
    "audio/x-wav": "wav",
    "audio/webm": "weba",
    "video/webm": "webm",
    "image/webp": "webp",
    "audio/x-ms-wma": "wma",
    "video/x-ms-wmv": "wmv",
    "application/zip": "zip",
}
MEDIA_TYPES = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
"""Media types by the ending of a name. A table of our own: that of the machine gives other bytes on other machines."""
MAX_LENGTH_DIGITS = 16
"""Characters of the length of a media file are fewer."""
MAX_TYPE = 100
"""Characters of a media type."""
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_ADDRESS_KEYS = ("url", "file", "src", "href", "path", "mp3", "audio")
_LENGTH_KEYS = ("length", "size", "bytes", "filesize", "size_in_bytes")
_TYPE_KEYS = ("type", "mime_type", "mimetype", "mime")


class StatedMedia(NamedTuple):
    """A media file as stated; each part is None if it is not."""

    address: Any
    length: Any = None
    type: Any = None


def stated_media(item: Any) -> StatedMedia:
    """The parts of an item: a map, an address, or a line of WordPress: address, length and type."""
    if isinstance(item, dict):
        parts = lower_keys(item)
        return StatedMedia(*(_first(parts, keys) for keys in (_ADDRESS_KEYS, _LENGTH_KEYS, _TYPE_KEYS)))
    if type(item) is str:
        words = item.split(maxsplit=3)
        if len(words) > 1 and words[1].isascii() and words[1].isdigit():
            return StatedMedia(*words[:3])
    return StatedMedia(item)


def media_type(name: str) -> str:
    """The media type of a file by the ending of its name or URL; empty if unknown."""
    try:
        path = urlsplit(name).path
    except ValueError:
        return ""
    return MEDIA_TYPES.get(path.rpartition("/")[2].rpartition(".")[2].lower(), "") if "." in path else ""


def read_media_type(stated: str) -> str:
    """A stated media type in lower case and without parameters; empty if it is none."""
    bare = stated[: 2 * MAX_TYPE].partition(";")[0].strip().lower()
    return bare if len(bare) <= MAX_TYPE and _MEDIA_TYPE.fullmatch(bare) else ""


def read_media(key: str, value: Any, base: str | None) -> tuple[tuple[Enclosure, ...], dict[str, str]]:
    """The media files of a key, and what is wrong with it, each with a hint."""
    stated = value if isinstance(value, list) else [value]
    found: dict[str, Enclosure] = {}
    wrong: dict[str, str] = {}
    for item in stated[:MAX_ITEMS]:
        media = stated_media(item)
        if is_null(item) or media.address == "":
            continue
        url = _media_url(media, base)
        if url is None:
            wrong["has an item that is not an http(s) URL of a media file"] = "write url: in full"
        elif len(found) == MAX_ENCLOSURES and url not in found:
            wrong[f"has more than {MAX_ENCLOSURES} media files"] = "name fewer"
        else:
            found.setdefault(url, Enclosure(url, _length(media, wrong), _type(media, key, url, wrong)))
    if len(stated) > MAX_ITEMS:
        wrong[f"has more than {MAX_ENCLOSURES} media files"] = "name fewer"
    return tuple(found.values()), wrong


def _media_url(media: StatedMedia, base: str | None) -> str | None:
    """The URL of a media file. A name relative to `base` needs the ending of one: `podcast` may also name a show."""
    if type(media.address) is not str:  # a plain text
        return None
    has_base = base is not None and is_relative(media.address) and media_type(media.address)
    return absolute_url(media.address, base) if has_base and base else http_url(media.address)


def _length(media: StatedMedia, wrong: dict[str, str]) -> int:
    """The length of a media file in bytes, 0 if unknown."""
    stated = media.length
    if is_null(stated) or stated == "":
        return 0
    if (
        type(stated) is str
        and len(stated) < MAX_LENGTH_DIGITS
        and stated.strip().isascii()
        and stated.strip().isdigit()
    ):
        return int(stated)
    number = read_number(stated)
    if number is not None and number >= 0 and number == int(number):
        return int(number)
    wrong["has a length that is not a number of bytes"] = "write length: 12345, or leave it out"
    return 0


def _type(media: StatedMedia, key: str, url: str, wrong: dict[str, str]) -> str:
    """The media type of a file, as stated, else by its name; empty if unknown."""
    stated = media.type
    if type(stated) is str and (kind := read_media_type(stated)):
        return kind
    if not is_null(stated) and stated != "":
        wrong["has a type that is not a media type"] = "write type: audio/mpeg, or leave it out"
    by_key = "audio/mpeg" if key.rpartition(".")[2].lower() in ("audio", "podcast") else ""
    return media_type(url) or by_key


def _first(parts: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((parts[key] for key in keys if key in parts), None)
