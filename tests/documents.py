"""What the documents that a site publishes say to a reader."""

from __future__ import annotations

import html
import json
from calendar import timegm
from datetime import datetime
from functools import lru_cache
from typing import Any

import feedparser
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


def parse(body: bytes) -> Any:
    """What feedparser reads, without its sanitiser, which would judge the texts."""
    parsed = feedparser.parse(body, sanitize_html=False, resolve_relative_uris=False)
    assert not parsed.bozo, parsed.get("bozo_exception")
    return parsed


def summary_of(entry: Any) -> str:
    """The summary in the document; feedparser puts the content where there is none."""
    summary: str = entry.get("summary", "")
    return "" if summary in [content.value for content in entry.get("content", ())] else summary


def seen_in_xml(body: bytes) -> list[tuple[Any, ...]]:
    """What a reader sees of each entry: times in seconds since 1970."""
    parsed = parse(body)
    rss = parsed.version == "rss20"
    return [
        (
            entry.id,
            # Not `entry.link`, for which feedparser also takes an id.
            next((link.get("href") for link in entry.get("links", ()) if link.rel == "alternate"), None),
            entry.title,
            html.unescape(summary_of(entry)) if rss else summary_of(entry),
            timegm(entry.published_parsed) if "published" in entry else None,
            timegm(entry.updated_parsed),
            [author.name for author in entry.get("authors", ()) if author],
            [tag.get("label") or tag.term for tag in entry.get("tags", ()) if tag.scheme.endswith("#topic")],
            entry.media_content[0].get("url") if "media_content" in entry else None,
        )
        for entry in parsed.entries
    ]


def seen_in_json(body: bytes) -> list[tuple[Any, ...]]:
    """The same of a JSON Feed."""

    def seconds(text: str | None) -> int | None:
        return int(datetime.fromisoformat(text).timestamp()) if text else None

    return [
        (
            item["id"],
            item.get("url"),
            item["title"],
            item.get("summary", ""),
            seconds(item.get("date_published")),
            seconds(item.get("date_modified") or item["date_published"]),
            [author["name"] for author in item.get("authors", ())],
            item.get("tags", []),
            item.get("image"),
        )
        for item in json.loads(body)["items"]
    ]
