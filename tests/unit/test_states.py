"""What becomes of an entry when its record is read again."""

from __future__ import annotations

import pytest

from aggregator.store.entries import next_state, shown_update
from aggregator.store.schema import EntryState

HIDDEN, SCHEDULED, PUBLISHED, WITHDRAWN = (
    EntryState.HIDDEN,
    EntryState.SCHEDULED,
    EntryState.PUBLISHED,
    EntryState.WITHDRAWN,
)


@pytest.mark.parametrize(
    ("state", "is_public", "was_released", "following"),
    [
        (HIDDEN, True, False, SCHEDULED),
        (HIDDEN, False, False, HIDDEN),
        (SCHEDULED, True, False, SCHEDULED),
        (SCHEDULED, False, False, HIDDEN),
        (SCHEDULED, False, True, WITHDRAWN),
        (WITHDRAWN, True, True, SCHEDULED),
        (WITHDRAWN, False, True, WITHDRAWN),
    ],
)
def test_flags_and_expiry_decide_about_an_entry_that_is_not_published(
    state: EntryState, is_public: bool, was_released: bool, following: EntryState
) -> None:
    assert next_state(state, is_public=is_public, was_released=was_released) == following


@pytest.mark.parametrize("is_public", [True, False])
def test_a_published_entry_stays_published_until_it_is_withdrawn(is_public: bool) -> None:
    assert next_state(PUBLISHED, is_public=is_public, was_released=True) == PUBLISHED


@pytest.mark.parametrize(
    ("published", "stated", "edited", "returned", "shown"),
    [
        (None, None, None, None, 5),
        (1, None, None, None, 1),
        (1, 9, 3, 4, 9),
        (1, None, 7, 4, 7),
        (None, None, None, 2, 2),
    ],
)
def test_updated_is_the_latest_known_time_or_else_when_the_entry_was_stored(
    published: int | None, stated: int | None, edited: int | None, returned: int | None, shown: int
) -> None:
    assert shown_update(published, stated, edited, returned, 5) == shown
