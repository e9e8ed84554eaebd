"""What front matter states about media files: their address, length and media type."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MEDIA_TYPES = {
    "3gp": "video/3gpp",
    "aac": "audio/aac",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
    "avi": "video/x-msvideo",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "m4a": "audio/x-m4a",
    "m4b": "audio/x-m4a",
    "m4v": "video/x-m4v",
    "mka": "audio/x-matroska",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "torrent": "application/x-bittorrent",
    "wav": "audio/x-wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "wma": "audio/x-ms-wma",
    "wmv": "video/x-ms-wmv",
    "zip": "application/zip",
}
"""Media types by the ending of a name. A table of our own: that of the machine gives other bytes on other machines."""
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
        parts = {key.lower(): value for key, value in item.items() if isinstance(key, str)}
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


def _first(parts: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((parts[key] for key in keys if key in parts), None)
