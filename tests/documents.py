"""What the documents that a site publishes say to a reader."""

from __future__ import annotations

from functools import lru_cache

from conftest import SiteFolder
from lxml import etree

ATOM = "{http://www.w3.org/2005/Atom}"
BASE = "https://feeds.example.org/"


def pages(site: SiteFolder, slug: str = "all") -> dict[str, bytes]:
    """The archive pages of a feed for readers, by path."""
    found = site.documents().items()
    return {path: body for path, body in found if path.startswith(f"{slug}/archive/") and path.endswith(".xml")}


@lru_cache(maxsize=2000)  # most documents stay as they are for many steps
def entry_ids(body: bytes) -> list[str]:
    """The ids of a document's entries, in the order shown."""
    return [one.text or "" for one in etree.fromstring(body).iterfind(f"{ATOM}entry/{ATOM}id")]


@lru_cache(maxsize=2000)
def titles(body: bytes) -> list[str]:
    """The titles of a document's entries, in the order shown."""
    return [one.text or "" for one in etree.fromstring(body).iterfind(f"{ATOM}entry/{ATOM}title")]


@lru_cache(maxsize=2000)
def link(body: bytes, rel: str) -> str | None:
    """Where the link of a document with this relation leads, as a path of the output folder."""
    root = etree.fromstring(body)
    parent = root if root.tag == f"{ATOM}feed" else root[0]
    found = [one.get("href") for one in parent.iterfind(f"{ATOM}link") if one.get("rel") == rel]
    assert len(found) < 2, f"{rel} is there {len(found)} times"
    return found[0].removeprefix(BASE) if found else None


def archive_ids(documents: dict[str, bytes], start: str) -> set[str]:
    """The ids that a reader finds who follows the archive of a feed to its end."""
    found: set[str] = set()
    path: str | None = start
    while path:
        body = documents[path]
        found |= set(entry_ids(body)) if path.endswith("/atom.xml") or "/archive/" in path else set()
        path = link(body, "prev-archive")
    return found


def atom_id(site: SiteFolder, slug: str) -> str | None:
    """The Atom id of a feed."""
    return etree.parse(site.output / slug / "atom.xml").findtext(f"{ATOM}id")


def feed_updated(site: SiteFolder, slug: str) -> str:
    """When a feed says that it was updated."""
    return etree.parse(site.output / slug / "atom.xml").findtext(f"{ATOM}updated") or ""


def listed(site: SiteFolder) -> set[str]:
    """The slugs of the feeds that the list of feeds names."""
    return {one.split("/")[-2] for one in etree.parse(site.output / "opml.xml").xpath("//outline/@xmlUrl")} - {"all"}
