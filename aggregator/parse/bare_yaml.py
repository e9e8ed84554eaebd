"""Plain YAML, read quickly -> the keys that are asked for, as bare values. The home of yaml-rs.

yaml-rs reads YAML 1.2, and neither places nor spellings come out of it. So it reads only texts that it is known to
read as `yaml_matter` does, and gives up on any other; `fields.BareFields` gives up where a spelling would count.
"""

from __future__ import annotations

import re

from aggregator.parse.matter import Limits, Matter, Value, Wanted
from aggregator.parse.yaml_matter import within_limits

try:
    from yaml_rs import loads
except ImportError:  # there is no wheel for this machine
    loads = None  # type: ignore[assignment]

_UNPRINTED = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What PyYAML refuses, takes for the end of a line or drops; and tabs, on which the two differ."""
_DOUBTS = (
    re.compile(r"\n(?:---|\.\.\.|%|[ -]*+[:?][ \n])"),  # documents, directives, keys that are stated or empty
    re.compile(r"&(?:(?<=[\n :?,\[{-] &)|(?<=[\n:,\[{]&))\S"),  # anchors; without one there is no alias
    re.compile(r"!(?:(?<=[\n :?,\[{-] !)|(?<=[\n:,\[{]!))\S"),  # tags
    # integers that are not spelled as Python would, or not where they can be seen
    re.compile(r":[ \n]++(?:0[0-9A-Za-z_]|-0|\+|-?[0-9]*_|#)"),
)
_ITEM = r"""(?:[A-Za-z0-9][^\n\[\]{},:#'"\\&*!|>%@`?]*|"[^"\\\n]*"|'[^'\n]*')"""
_FLOWS = tuple(
    re.compile(rf"{opening}(?:(?<=[\n :-] {opening})|(?<=\n{opening}))(?!(?:{item}(?:, *{item})*)?{closing} *\n)")
    for opening, item, closing in ((r"\[", _ITEM, r"\]"), (r"\{", rf"\w+: +{_ITEM}", r"\}"))
)
"""Lists and maps in brackets that are more than texts in one line."""


def read_bare_yaml(fm: str, wanted: Wanted, limits: Limits) -> Matter | None:
    """The wanted keys of the YAML map `fm`, without places; None if `read_yaml` has to read it."""
    if loads is None or not within_limits(fm, limits) or _is_doubtful(fm):
        return None
    try:
        root = loads(fm, parse_datetime=False)
    except Exception:  # noqa: BLE001 - PyYAML says it better, or reads it
        return None
    names = wanted.names_of(tuple(root)) if isinstance(root, dict) else None
    if names is None:
        return None
    matter = Matter(wanted, bare=True)
    matter.values = {name: Value(value, 0, 0) for name, value in zip(names, root.values(), strict=True) if name}
    return matter


def _is_doubtful(fm: str) -> bool:
    """Whether the two may differ on the text."""
    lines = f"\n{fm}"
    return (
        not (fm.replace("\n", "").isprintable() or not _UNPRINTED.search(fm))
        or "<<" in fm
        or any(doubt.search(lines) for doubt in (*_DOUBTS, *_FLOWS))
    )
