"""Problems of records and configs, and how problems, paths, texts and times are shown to people.

Names, titles and values come from files that anybody may have written: nothing in them may send commands to a terminal,
reverse a line or hide a part of it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Literal, Self

from aggregator.paths import is_bucket_url, unescape_path

if TYPE_CHECKING:
    from aggregator.settings import Source

MAX_SHOWN_VALUE = 80
PATH_END = 100
"""Characters of the beginning and of the end of a path that is over three times as long."""
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters (C0, DEL, C1)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible
    "\ud800-\udfff]"  # bytes of a file name that are not UTF-8, as os.fsdecode returns them, and lone surrogates
)
"""Characters to escape. Not the joiners U+200C and U+200D: Persian words and emoji need them."""
_SHORT_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))
_YEAR = timedelta(days=365.2425)
Level = Literal["error", "warning", "notice"]
_RAW_BYTES = range(0xDC80, 0xDD00)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place; `str()` is the line that people read."""

    path: str
    line: int  # from 1; 0 is unknown
    column: int  # from 1; 0 is unknown
    what: str
    value: str | None = None  # only of keys that may be public
    hint: str = ""
    level: Level = "error"

    @classmethod
    def on_line(
        cls, path: str, line: int | None, what: str, value: str | None = None, hint: str = "", level: Level = "error"
    ) -> Self:
        """A problem of a whole line; of the file without one."""
        return cls(path, line or 0, 1 if line else 0, what, value, hint, level)

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column or 1}: " if self.line else f"{self.path}: "
        return visible(place) + self.text

    @property
    def text(self) -> str:
        """The problem without its place."""
        text = self.what
        if self.value is not None:
            shown = self.value if len(self.value) <= MAX_SHOWN_VALUE else self.value[: MAX_SHOWN_VALUE - 1] + "…"
            text += f": {shown!r}"
        return visible(f"{text} ({self.hint})" if self.hint else text)

    def data(self) -> dict[str, Any]:
        """The problem for --json; its `text` is the line that people read."""
        return asdict(self) | {"text": str(self)}


def read_hint(error: OSError) -> str:
    """What to do about a file that cannot be read."""
    return "check the disk" if error.errno in (errno.EIO, errno.ENXIO) else "check its permissions"


def without_user(text: str) -> str:
    """A text without what is before an @ in a URL, which may be a password."""
    start, slashes, rest = text.partition("//")
    return f"{start}//…{rest[rest.rindex('@') :]}" if slashes and "@" in rest else text


def place_problem(sources: Sequence[Source], name: str, problem: Problem) -> Problem:
    """A problem in the source `name`, with a path that can be opened from the working directory."""
    root = next((source.root for source in sources if source.name == name), "")
    return replace(problem, path=shown_path(root, problem.path))


def tag_problem(problem: Problem, tag: str) -> Problem:
    """The problem with a word in front of what is wrong, such as `unfinished`."""
    return replace(problem, what=f"{tag}: {problem.what}")


def place_of_byte(raw: bytes, offset: int) -> tuple[int, int]:
    """Line, and column in bytes, from 1, of an offset in a file. Lines end at LF, CR LF or CR, and at nothing else."""
    before = raw[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1, len(before) - before.rfind(b"\n")


def shown_path(root: str, path: str) -> str:
    """The path of a record, relative to the working directory if it is below that; the URL of an object."""
    if is_bucket_url(root):
        return f"{root}/{unescape_path(path)}" if path else root
    full = os.path.join(root, unescape_path(path)) if path else root
    relative = os.path.relpath(full)
    return full if relative.startswith("..") else relative


def shortened_path(path: str) -> str:
    """The path, or its beginning and its end if it is too long to read."""
    return path if len(path) <= 3 * PATH_END else f"{path[:PATH_END]}…{path[-PATH_END:]}"


def stamp(moment: datetime | None) -> str | None:
    """A time for --json, in UTC; None for None."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shown_time(moment: datetime, zone: tzinfo) -> str:
    """A time for people, with its offset: `2026-05-20 09:10:00+02:00`."""
    return local_time(moment, zone).isoformat(sep=" ", timespec="seconds")


def local_time(moment: datetime, zone: tzinfo) -> datetime:
    """The time in the zone; in UTC within a day of the first or the last year, where the zone has no such time."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)


def shown_offset(time: datetime) -> str:
    """The offset of a time, as in "+09:00"; "UTC" for none."""
    return time.isoformat(timespec="minutes")[16:] if time.utcoffset() else "UTC"


def distance(moment: datetime, now: datetime) -> str:
    """How far a time is from now, such as `3 min ago`."""
    age = now - moment
    size = abs(age)
    unit, name = next((unit for unit in _UNITS if size >= unit[0]), (timedelta(seconds=1), "s"))
    length = f"{size // unit} {name}" if size < 2 * _YEAR else f"{size // _YEAR} years"
    return f"{length} ago" if age >= timedelta() else f"in {length}"


def shown_span(span: timedelta) -> str:
    """A span of time in its largest whole unit, such as `90 min`."""
    unit, name = next((unit for unit in _UNITS if span and not span % unit[0]), (timedelta(seconds=1), "s"))
    return f"{span / unit:g} {name}"


def visible(text: str) -> str:
    """The text with each control character, invisible character and byte that is not UTF-8 escaped, as in Python."""
    return text if text.isprintable() else HIDDEN.sub(_escape, text)


def visible_data(data: Any) -> Any:
    """The data of --json with every text in it made visible, for people."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, dict):
        return {name: visible_data(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [visible_data(value) for value in data]
    return data


def _escape(match: re.Match[str]) -> str:
    character, code = match[0], ord(match[0])
    if code in _RAW_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return _SHORT_ESCAPES.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
