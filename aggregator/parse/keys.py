"""Keys: which keys of the front matter each field of a record may be read from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from aggregator.parse.front_matter.values import Wanted

PLUS = " + "
"""Between keys of topics that add up."""
FLAGS = ("published", "draft", "deleted", "removed")
DATES = ("published_at", "expires_at")
"""Fields that can hide a record, as the flags can."""
FieldKeys = Mapping[str, tuple[str, ...]]
"""The keys of each field."""


@lru_cache(maxsize=32)
def read_keys(fields: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[FieldKeys, Wanted]:
    """The keys of each field, and the top-level keys that any of them reads. A key that several fields read, in
    different cases, is spelled as in the first."""
    names: dict[str, str] = {}
    keys = {
        field: tuple(dict.fromkeys(PLUS.join(_spell(part, names) for part in key.split(PLUS)) for key in stated))
        for field, stated in fields
    }
    hiding = [key for field in (*FLAGS, *DATES) for key in keys.get(field, ()) if "." not in key]
    return keys, Wanted(names.values(), hiding)


def _spell(key: str, names: dict[str, str]) -> str:
    """The key as `names` has it, which gets it and its part at the top level."""
    top, dot, rest = key.partition(".")
    whole = names.setdefault(top.lower(), top) + dot + rest
    return names.setdefault(whole.lower(), whole)
