"""Posts come out as the real Hugo and the real Jekyll publish them: the same posts, URLs, titles, dates, topics, words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import hugo_kinds
import hugo_site
import pytest
from hugo_site import HugoSite
from our_site import our_posts
from posts import Difference, differences

HUGO_RECORDS = f'preset = "hugo"\nlink_template = "{hugo_site.BASE}{{path}}/"\n'

Judged = dict[str, list[Difference]]


def by_kind(kinds: Mapping[str, Mapping[str, object]], found: list[Difference]) -> Judged:
    """The differences of each kind's files."""
    return {kind: [one for one in found if one.path in files] for kind, files in kinds.items()}


def all_files(kinds: Mapping[str, Mapping[str, str | bytes]]) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for more in kinds.values():
        assert not files.keys() & more.keys(), "two kinds have one file"
        files |= more
    return files


def told(found: list[Difference]) -> str:
    return "\n".join(map(str, found))


@pytest.fixture(scope="module")
def hugo_kinds_judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    root = tmp_path_factory.mktemp("hugo")
    site = HugoSite(root / "site", all_files(hugo_kinds.KINDS))
    theirs = site.posts()
    ours = our_posts(root / "ours", site.content, HUGO_RECORDS)
    return by_kind(hugo_kinds.KINDS, differences(theirs, ours))


@pytest.mark.parametrize("kind", hugo_kinds.KINDS)
def test_a_kind_of_hugo_posts_comes_out_as_hugo_publishes_it(kind: str, hugo_kinds_judged: Judged) -> None:
    assert not hugo_kinds_judged[kind], told(hugo_kinds_judged[kind])
