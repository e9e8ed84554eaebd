"""Episodes of a podcast, from the front matter of a post to what a podcast reader plays."""

from __future__ import annotations

import json

import feedparser
import pytest
from conftest import SiteFolder

MAY, JUNE = "2026-05-01 12:00", "2026-06-01 12:00"
JEKYLL = '[records]\npath = "../incoming"\npreset = "jekyll"\nlink_template = "https://blog.example.org/{slug}/"\n'
POST = "---\ntitle: Kite\npodcast: {file: %s, length: 12345, duration: '32:16'}\n---\nText.\n"
MP3 = "https://blog.example.org/kite.mp3"


@pytest.mark.both_databases
def test_an_episode_is_in_every_format_and_a_new_file_moves_no_date(site: SiteFolder) -> None:
    site.configure(JEKYLL)
    site.write("2026-01-01-kite.md", POST % "/kite.mp3")
    site.run(MAY)
    for name in ("rss.xml", "atom.xml"):
        [entry] = feedparser.parse((site.output / "all" / name).read_bytes()).entries
        assert [(one.href, one.type, one.length) for one in entry.enclosures] == [(MP3, "audio/mpeg", "12345")]
    [item] = site.feed()["items"]
    assert item["attachments"] == [{"url": MP3, "mime_type": "audio/mpeg", "size_in_bytes": 12345}]
    assert (
        f'<audio class="media" controls preload="none" src="{MP3}" title="kite.mp3"></audio>'.encode()
        in (site.output / "all" / "index.html").read_bytes()
    )
    site.write("2026-01-01-kite.md", POST % "/kite.m4a")
    site.run(JUNE)
    [changed] = site.feed()["items"]
    assert changed["attachments"][0]["url"] == "https://blog.example.org/kite.m4a"
    assert {key: value for key, value in changed.items() if key != "attachments"} == {
        key: value for key, value in item.items() if key != "attachments"
    }


def test_a_media_file_that_is_taken_out_leaves_every_document(site: SiteFolder) -> None:
    site.record("a.md", enclosure=MP3)
    site.record("b.md")
    site.run(MAY)
    assert MP3 in json.dumps(site.feed())
    site.record("a.md")
    site.run(JUNE)
    assert not any(MP3.encode() in body for body in site.documents().values())
