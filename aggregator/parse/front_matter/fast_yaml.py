"""Plain YAML, read quickly -> the keys that are asked for, as bare values. The home of yaml-rs.

yaml-rs reads YAML 1.2, and neither places nor spellings come out of it. So it reads only texts that it is known to
read as `yaml_matter` does, and gives up on any other; `fields` gives up where a place or a spelling would count.
"""

from __future__ import annotations

import re

from aggregator.parse.bounds import MAX_DIGITS
from aggregator.parse.front_matter.values import Limits, Matter, Value, Wanted
from aggregator.parse.front_matter.yaml import within_limits

try:
    from yaml_rs import loads
except ImportError:  # there is no wheel for this machine
    loads = None  # type: ignore[assignment]

MAX_DEPTH = 128
"""Levels that may be allowed to a text: yaml-rs recurses, and ends the process some thousand levels down."""
_LONG_NUMBER = re.compile(f"(?<![0-9_])[0-9_]{{{MAX_DIGITS + 1}}}")
_ASCII_TEXT = bytes((0x0A, *range(0x20, 0x7F)))
_OTHER_TEXT = re.compile("[\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
"""Characters that PyYAML neither refuses nor drops, nor takes for the end of a line; and no tabs: the two differ."""
_DOUBTS = [
    ("\n", r"\n(?:---|\.\.\.|%|[ -]*+(?:[:?][ \n]|<<))"),  # documents, directives, stated, empty and merge keys
    ("&", r"&(?:(?<=[\n :?,\[{-] &)|(?<=[\n:,\[{]&))"),  # anchors; without one there is no alias
    ("!", r"!(?:(?<=[\n :?,\[{-] !)|(?<=[\n:,\[{]!))"),  # tags
    *((sign, rf"\{sign}[-+0-9]*+ *+(?:#|\n\s*+\Z)") for sign in "|>"),  # an empty text at the end, or maybe
    # integers that are not spelled as Python would, or not where they can be seen
    (":", r":[ \n]++(?:0[0-9A-Za-z_]|-0|\+|-?[0-9]*_|#)"),
]
"""What the two may differ on, each with a sign that it cannot do without: to look for one costs next to nothing."""
_ITEM = r"""(?:[A-Za-z0-9][^\n\[\]{},:#'"\\&*!|>%@`?]*|"[^"\\\n]*"|'[^'\n]*')"""
# lists and maps in brackets that are more than texts in one line
_DOUBTS += (
    (sign, rf"\{sign}(?:(?<=[\n :-] \{sign})|(?<=\n\{sign}))(?!(?:{item}(?:, *{item})*)?\{closing} *\n)")
    for sign, item, closing in (("[", _ITEM, "]"), ("{", rf"\w+: +{_ITEM}", "}"))
)
_QUOTED = re.compile(r"""(\n[ -]*+[A-Za-z]\w*+: +)"(?:[^"\\\n]|\\[^\n])*+"(?=\n)""", re.ASCII)
"""A text in double quotes that fills the rest of its line."""
_SIGNED = tuple((sign, re.compile(doubt)) for sign, doubt in _DOUBTS)


def read_bare_yaml(fm: str, wanted: Wanted, limits: Limits) -> Matter | None:
    """The wanted keys of the YAML map `fm`, without places; None if `read_yaml` has to read it."""
    if loads is None or limits.depth > MAX_DEPTH or not within_limits(fm, limits) or _is_doubtful(fm):
        return None
    if len(fm) > MAX_DIGITS and _LONG_NUMBER.search(fm):  # which takes yaml-rs time quadratic in its digits
        return None
    try:
        root = loads(fm, parse_datetime=False)
    except Exception:  # noqa: BLE001 - PyYAML says it better, or reads it
        return None
    if not isinstance(root, dict) or (names := wanted.names_of(tuple(root))) is None:
        return None
    matter = Matter(wanted, bare=True)
    matter.values = {name: Value(value, 0, 0) for name, value in zip(names, root.values(), strict=True) if name}
    return matter


def _is_doubtful(fm: str) -> bool:
    """Whether the two may differ on the text."""
    others = fm.encode().translate(None, _ASCII_TEXT)
    if others and not _OTHER_TEXT.fullmatch(others.decode()):
        return True
    lines = f"\n{fm}"
    if not _has_doubt(lines):
        return False
    rest = _QUOTED.sub(r"\1x", lines)  # where no other quote is, these are no part of a longer text
    return '"' in rest or "'" in rest or _has_doubt(rest)


def _has_doubt(lines: str) -> bool:
    return any(sign in lines and doubt.search(lines) for sign, doubt in _SIGNED)
