"""What a transaction changed about published entries, from which the stage above the store derives memberships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection


class Selectable(NamedTuple):
    """The columns of an entry that rules read: its content as JSON, and its scores."""

    content: str
    quality: float
    heat: float


class PublishedEntry(NamedTuple):
    """A published entry that may belong to other feeds than before, and what decides that."""

    id: int
    released_at: int  # µs
    published_at: int | None  # µs; the date that its record states
    content: str  # as JSON
    topics: tuple[str, ...]  # as its record spells them
    quality: float
    heat: float
    is_new: bool = False  # it has never been in a feed
    is_visible: bool = False  # readers can see what changed
    before: Selectable | None = None  # what rules read until now, if the record changed


@dataclass(frozen=True, slots=True)
class EntryChanges:
    """The published entries that a transaction added, changed or withdrew; keys of entries, except `published`."""

    published: tuple[PublishedEntry, ...] = ()
    withdrawn: frozenset[int] = frozenset()
    relinked: frozenset[int] = frozenset()  # links in their bodies lead elsewhere; nothing else changed
    # topics of the published entries and of those that this cycle will release, by path; none: those of `published`
    named: tuple[tuple[str, ...], ...] = ()


Step = Callable[[Connection], EntryChanges]
"""The part of a longer operation that is committed in one transaction, with the memberships that follow from it."""
