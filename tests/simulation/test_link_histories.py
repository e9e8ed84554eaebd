"""Random histories of pages that link to each other: each link leads where it leads in a new store."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from conftest import SiteFolder, at, record_text
from simulation.test_histories import seed_for

from aggregator.store import page_links

pytestmark = pytest.mark.both_databases

STEPS = 18
CONFIG = """
[output]
limit = 100
[[records]]
path = "{path}"
preset = "hugo"
link_template = "https://blog.example.org/{{path}}/"
[[feed]]
slug = "full"
content = "full"
"""
NAMES = ("one", "two", "two.de", "three")
FORMS = ("posts/{}.md", "notes/{}.md", "posts/{}/index.md", "{}.md")
REFERENCES = ("{}.md", "{}", "/posts/{}.md", "posts/{}", "../notes/{}.md", "/posts/{}/", "./{}.md")


class Pages:
    """A folder of pages that changes at random."""

    def __init__(self, site: SiteFolder, seed: int) -> None:
        self.site, self.random = site, random.Random(seed)
        self.now = at("2026-03-01 12:00")
        self.paths: set[str] = set()
        self.number = 0

    def change(self) -> str:
        """Changes of the folder before a cycle; returns what they were."""
        if self.random.random() < 0.1:
            return self._announce()
        acts = (*[self._write] * 5, *[self._rename] * 2, self._remove)
        return "\n".join(self.random.choice(acts)() for _ in range(self.random.choice((1, 1, 2, 4))))

    def _announce(self) -> str:
        """A new page comes before its date. It comes alone: a page that was published stays so, whatever its date."""
        path = self._any_path()
        return (
            self._write_at(path, {"date": (self.now + timedelta(minutes=90)).isoformat()})
            if path not in self.paths
            else ""
        )

    def _any_path(self) -> str:
        return self.random.choice(FORMS).format(self.random.choice(NAMES))

    def _write(self) -> str:
        """A page comes or is edited: its links, its URL, whether it is published."""
        chance = self.random
        fields: dict[str, object] = {"draft": True} if chance.random() < 0.15 else {}
        fields |= {"expiryDate": (self.now + timedelta(minutes=90)).isoformat()} if chance.random() < 0.15 else {}
        fields |= {"slug": f"slug-{self.number}"} if chance.random() < 0.5 else {}
        path = chance.choice(sorted(self.paths)) if self.paths and chance.random() < 0.5 else self._any_path()
        return self._write_at(path, fields)

    def _write_at(self, path: str, fields: dict[str, object]) -> str:
        chance = self.random
        self.number += 1
        fields = {"title": path, "date": "2026-02-01T08:00:00Z"} | fields
        links = [chance.choice(REFERENCES).format(chance.choice(NAMES)) for _ in range(chance.randint(2, 6))]
        text = " ".join(f'[{link}]({{{{< ref "{link}" >}}}})' for link in links)
        self.site.write(path, record_text(fields, f"{text} This is text number {self.number} of this site."))
        self.paths.add(path)
        return f"write {path} {fields} {links}"

    def _remove(self) -> str:
        if not self.paths:
            return "nothing"
        path = self.random.choice(sorted(self.paths))
        self.paths.remove(path)
        self.site.remove(path)
        return f"remove {path}"

    def _rename(self) -> str:
        new = self._any_path()
        if not self.paths or new in self.paths:
            return "nothing"
        path = self.random.choice(sorted(self.paths))
        target = self.site.incoming / new
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.site.incoming / path).rename(target)
        self.paths = self.paths - {path} | {new}
        return f"rename {path} {new}"


def bodies(site: SiteFolder) -> list[tuple[str, str]]:
    """What the full feed shows of each page, after its URL."""
    return sorted((item["url"], item["content_html"]) for item in site.feed("full")["items"])


def test_links_lead_where_they_lead_in_a_new_store(
    make_site: Callable[..., SiteFolder],
    store_url: str,
    make_store_url: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_links, "_STALE_ENTRIES", page_links._STALE_ENTRIES.limit(2))
    site = make_site(store_url)
    site.configure(CONFIG.format(path=site.incoming))
    pages = Pages(site, seed_for(site))
    happened: list[str] = []
    linked = 0
    for _ in range(STEPS):
        happened.append(pages.change())
        pages.now += timedelta(minutes=pages.random.choice((1, 30, 100)))
        site.run(pages.now, accept_removals=True)
        new = make_site(make_store_url("sqlite"), CONFIG.format(path=site.incoming))
        new.run(pages.now)
        assert bodies(site) == bodies(new), "\n".join(happened)
        new.close()
        linked += sum(body.count("<a ") for _, body in bodies(site))
        before = site.snapshot()
        site.run(pages.now, accept_removals=True)
        assert site.snapshot() == before
    assert linked > STEPS
