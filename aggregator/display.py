"""How texts and times are shown to people. Pure.

Names, titles and values come from files that anybody may have written: nothing in them may command a terminal, turn a
line around or hide a part of it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, tzinfo
from typing import Any

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters (C0, DEL, C1)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible
    "\ud800-\udfff]"  # bytes of a name that are not UTF-8, as os.fsdecode has them, and half characters
)
"""Not the joiners U+200C and U+200D, which Persian words and emoji are written with."""
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_RAW_BYTES = range(0xDC80, 0xDD00)


def visible(text: str) -> str:
    """The text with each control character, invisible character and byte that is no UTF-8 escaped, as in Python."""
    return text if text.isprintable() else _HIDDEN.sub(_escape, text)


def visible_facts(facts: Any) -> Any:
    """What `--json` has, every text in it made visible, for people."""
    if isinstance(facts, str):
        return visible(facts)
    if isinstance(facts, dict):
        return {name: visible_facts(value) for name, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [visible_facts(value) for value in facts]
    return facts


def json_text(facts: object) -> str:
    """The facts as JSON for a terminal or a program: the same values, all that `visible` escapes written as escapes."""
    lines = json.dumps(facts, ensure_ascii=False, indent=2).split("\n")
    return "\n".join(_HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], line) for line in lines)


def stamp(moment: datetime | None) -> str | None:
    """A moment as --json has it, in UTC; None for None."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shown_time(moment: datetime, zone: tzinfo) -> str:
    """A moment for people, with its offset: `2026-05-20 09:10:00+02:00`."""
    try:
        local = moment.astimezone(zone)
    except OverflowError:  # within a day of the first or the last year
        local = moment.astimezone(UTC)
    return local.isoformat(sep=" ", timespec="seconds")


def _escape(found: re.Match[str]) -> str:
    one, code = found[0], ord(found[0])
    if code in _RAW_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return _SHORT.get(one, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
