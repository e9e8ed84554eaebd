"""The keys of the front matter that the fields of one source are read from: their spellings, and which a record has.

Which keys each field has is in `config/presets.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from aggregator.parse.front_matter.values import AllowedKeys
from aggregator.settings import PLUS

FLAGS = ("published", "draft", "deleted", "removed")
HIDING_DATES = ("published_at", "expires_at")
"""Fields that can hide a record, like the flags."""
FILE_NAME = ":filename"
"""In Hugo, represents the name of the file among the keys of a date."""
CASCADE = "cascade"
"""Hugo's key for what is handed down to other pages."""
Preset = tuple[tuple[str, tuple[str, ...]], ...]
"""The fields of `Source.fields`: each with its keys, first alternative first."""


class FieldKeys:
    """The keys of each field, and all their top-level keys. Keys that differ in case only have one spelling."""

    def __init__(self, preset: Preset, others: Preset, *, has_cascade: bool) -> None:
        spellings: dict[str, str] = {}
        self.by_field: Mapping[str, tuple[str, ...]] = {
            field: tuple(
                dict.fromkeys(PLUS.join(_spell(part, spellings) for part in key.split(PLUS)) for key in alternatives)
            )
            for field, alternatives in preset
        }
        hiding = [key for field in (*FLAGS, *HIDING_DATES) for key in self.of(field) if "." not in key]
        if has_cascade:
            spellings[CASCADE] = CASCADE
        mapped = [key for key in spellings.values() if key != FILE_NAME]
        self.allowed = AllowedKeys(mapped, hiding, [key for _, keys in others for key in keys])
        self._other_dates = frozenset(dict(others).get("published_at", ()))

    def of(self, field: str) -> tuple[str, ...]:
        """The keys of a field, first alternative first."""
        return self.by_field.get(field, ())

    def unread(self, stated: Sequence[str], topics: Collection[str]) -> tuple[str, ...]:
        """Those of the `stated` keys of other presets that would give a record without a date its date or, if it has no
        `topics` either, its topics."""
        return tuple(key for key in stated if key in self._other_dates or not topics)

    def present(self, names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        """The keys of each field that can occur in front matter with these top-level names; fields without any are
        omitted."""
        return _present(self, names)


@lru_cache(maxsize=32)
def read_keys(preset: Preset, others: Preset = (), *, has_cascade: bool) -> FieldKeys:
    """The keys of a preset; with `has_cascade`, also Hugo's `cascade`. `others`: see `Source.other_keys`."""
    return FieldKeys(preset, others, has_cascade=has_cascade)


@lru_cache(maxsize=256)  # most files share a few sets of keys
def _present(field_keys: FieldKeys, names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    present = {
        field: tuple(
            key for key in keys if any(part in names or part.split(".", 1)[0] in names for part in key.split(PLUS))
        )
        for field, keys in field_keys.by_field.items()
    }
    return {field: keys for field, keys in present.items() if keys}


def _spell(key: str, spellings: dict[str, str]) -> str:
    """The first spelling of a key. Adds the key and its top-level part to `spellings`."""
    top, dot, rest = key.partition(".")
    whole = spellings.setdefault(top.lower(), top) + dot + rest
    return spellings.setdefault(whole.lower(), whole)
