"""The fast path for simple YAML: mapped keys without positions. The home of yaml-rs.

yaml-rs is three times as fast as PyYAML, but it reads YAML 1.2 and returns neither positions nor spellings. So it
reads only texts that both parsers surely read alike. For any other text `read_fast_yaml` returns None and PyYAML reads
the file; if a position or spelling is needed later, `fields` raises NeedsFullParseError, with the same effect.
"""

from __future__ import annotations

import re

from aggregator.parse.field_bounds import MAX_DIGITS
from aggregator.parse.front_matter.values import NO_VALUES, AllowedKeys, FrontMatter, Limits, Value
from aggregator.parse.front_matter.yaml import is_surely_within

try:
    from yaml_rs import loads
except ImportError:  # no wheel for this machine
    loads = None  # type: ignore[assignment]

MAX_DEPTH = 128
"""Largest `max_depth` for the fast path: yaml-rs recurses, and crashes at some thousand levels."""
_LONG_NUMBER = re.compile(f"(?<![0-9_])[0-9_]{{{MAX_DIGITS + 1}}}")
_ASCII_TEXT = bytes((0x0A, *range(0x20, 0x7F)))
_OTHER_TEXT = re.compile("[\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
"""Characters beyond ASCII that both parsers read alike. Line breaks, tabs and forbidden characters are not."""

# Constructs on which the parsers may differ, each with a character that it must contain: most texts need no regex.
_DIFFERENCES = [
    ("\n", r"\n(?:---|\.\.\.|%|[ -]*+(?:[:?][ \n]|<<))"),  # documents, directives; explicit, empty and merge keys
    ("&", r"&(?:(?<=[\n :?,\[{-] &)|(?<=[\n:,\[{]&))"),  # anchors; without anchors there are no aliases
    ("!", r"!(?:(?<=[\n :?,\[{-] !)|(?<=[\n:,\[{]!))"),  # tags
    *((sign, rf"\{sign}[-+0-9]*+ *+(?:#|\n\s*+\Z)") for sign in "|>"),  # possibly empty block texts at the end
    # integers spelled unlike in Python, or on another line
    (":", r":[ \n]++(?:0[0-9A-Za-z_]|-0|\+|-?[0-9]*_|#)"),
]
_ITEM = r"""(?:[A-Za-z0-9][^\n\[\]{},:#'"\\&*!|>%@`?]*|"[^"\\\n]*"|'[^'\n]*')"""
# flow lists and maps, unless they are plain texts on one line
_DIFFERENCES += (
    (sign, rf"\{sign}(?:(?<=[\n :-] \{sign})|(?<=\n\{sign}))(?!(?:{item}(?:, *{item})*)?\{closing} *\n)")
    for sign, item, closing in (("[", _ITEM, "]"), ("{", rf"\w+: +{_ITEM}", "}"))
)
_COMPILED = tuple((sign, re.compile(pattern)) for sign, pattern in _DIFFERENCES)
_QUOTED = re.compile(r"""(\n[ -]*+[A-Za-z]\w*+: +)"(?:[^"\\\n]|\\[^\n])*+"(?=\n)""", re.ASCII)
"""A text in double quotes that ends its line."""


def read_fast_yaml(text: str, allowed: AllowedKeys, limits: Limits) -> FrontMatter | None:
    """The mapped keys of a YAML map, without positions; None if `read_yaml` must read it."""
    if loads is None or limits.depth > MAX_DEPTH or not is_surely_within(text, limits) or _may_differ(text):
        return None
    if len(text) > MAX_DIGITS and _LONG_NUMBER.search(text):  # yaml-rs takes quadratic time for its digits
        return None
    try:
        root = loads(text, parse_datetime=False)
    except Exception:  # noqa: BLE001 - PyYAML has the better error, or reads it
        return None
    if not isinstance(root, dict) or (names := allowed.canonical_names(tuple(root))) is None:
        return None
    front_matter = FrontMatter(allowed, has_positions=False)
    front_matter.values = {name: Value(value, 0, 0) for name, value in zip(names, root.values(), strict=True) if name}
    if "" in names:
        others = allowed.other_keys(tuple(root))
        front_matter.others = [name for key, name in others if root[key] not in NO_VALUES]
    return front_matter


def _may_differ(text: str) -> bool:
    """True if the parsers may differ on the text."""
    others = text.encode().translate(None, _ASCII_TEXT)
    if others and not _OTHER_TEXT.fullmatch(others.decode()):
        return True
    lines = f"\n{text}"
    if not _has_difference(lines):
        return False
    rest = _QUOTED.sub(r"\1x", lines)  # valid only if no other quote remains: it could contain these
    return '"' in rest or "'" in rest or _has_difference(rest)


def _has_difference(lines: str) -> bool:
    for sign, pattern in _COMPILED:  # noqa: SIM110 - half the time of any()
        if sign in lines and pattern.search(lines):
            return True
    return False
