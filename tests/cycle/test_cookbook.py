"""Every recipe of docs/cookbook.md shows what it says on the example records."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import NamedTuple

import pytest
from conftest import SiteFolder
from corpus import CHECKOUT

NOW = "2026-11-27 12:00"


class Recipe(NamedTuple):
    heading: str
    config: str
    slug: str
    count: int
    first: str


def recipes() -> list[Recipe]:
    text = (CHECKOUT / "docs" / "cookbook.md").read_text()
    found = []
    for part in text.split("\n## ")[1:]:
        [config] = re.findall(r"```toml\n(.*?)```", part, re.DOTALL)
        shows = re.search(r'^Shows (\d+) stor(?:y|ies), first "(.*)"(?:, in `(.+)`)?\.$', part, re.MULTILINE)
        assert shows, part
        slug = shows[3] or re.findall(r'^slug = "(.+)"$', config, re.MULTILINE)[0]
        found.append(Recipe(part.partition("\n")[0], config, slug, int(shows[1]), shows[2]))
    return found


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.heading)
def test_a_recipe_shows_what_it_says(
    make_site: Callable[..., SiteFolder], make_store_url: Callable[[str], str], recipe: Recipe
) -> None:
    site = make_site(make_store_url("sqlite"), recipe.config)
    shutil.copytree(CHECKOUT / "examples" / "incoming", site.root / "incoming", dirs_exist_ok=True)
    assert site.run(NOW).published
    titles = site.titles(recipe.slug)
    assert (len(titles), titles[0]) == (recipe.count, recipe.first)
