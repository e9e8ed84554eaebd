"""Real feed readers, each alone with one feed: what it holds after every poll, and what it complained about."""

from __future__ import annotations

import email
import email.policy
import os
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

Formats = tuple[str, ...]


class Item(NamedTuple):
    """What a reader holds of an entry; `link` is empty where the entry has none."""

    id: str
    title: str
    link: str
    text: str


class Subscriber(Protocol):
    """A reader with a home of its own. It fails on whatever the program behind it calls an error."""

    formats: Formats
    """The feed files that it can read."""
    keeps_edits: bool
    """Whether it holds the text as last edited, and not as first seen."""
    tells_links_apart: bool
    """Whether it takes an entry whose link changed for another one."""
    asks_conditionally: bool
    """Whether it sends the validators of an earlier answer."""

    def subscribe(self, *urls: str) -> None:
        """Adds feeds."""

    def take_over(self, opml: Path) -> None:
        """Adds the feeds of a list."""

    def poll(self) -> None:
        """Asks for news."""

    def items(self) -> list[Item]:
        """All that it holds, duplicates too."""

    def media(self) -> set[str]:
        """The addresses of media files that it offers to play or to load."""

    def feed_urls(self) -> list[str]:
        """The addresses of its feeds, sorted."""

    def close(self) -> None:
        """Ends it."""


class _Program:
    """A program of Debian's, run with an empty home."""

    def __init__(self, home: Path, *needed: str) -> None:
        for name in needed:
            if shutil.which(name) is None:
                pytest.skip(f"{name} is not installed: make test-all installs it")
        self.home = home
        home.mkdir(parents=True)

    def run(self, *arguments: str | Path, text: str = "") -> str:
        """What a command prints; fails when it ends with an error or says anything on stderr."""
        done = subprocess.run(
            list(map(str, arguments)),
            check=False,
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb"},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{arguments}: {done.stdout}"
        return done.stdout

    def close(self) -> None:
        """Nothing runs between two commands."""


class Newsboat(_Program):
    formats: Formats = ("rss.xml", "atom.xml")
    keeps_edits = True
    tells_links_apart = False
    asks_conditionally = True

    def __init__(self, home: Path) -> None:
        super().__init__(home, "newsboat")
        self._urls, self._cache, self._log = home / "urls", home / "cache.db", home / "log"

    def subscribe(self, *urls: str) -> None:
        self._urls.write_text("".join(f"{url}\n" for url in urls))

    def take_over(self, opml: Path) -> None:
        self._newsboat("-i", opml)

    def poll(self) -> None:
        self._newsboat("-l", "4", "-d", self._log, "-x", "reload")
        assert self._log.read_text() == "", "it logs nothing but warnings and errors"

    def _newsboat(self, *arguments: str | Path) -> None:
        self.run("newsboat", "-u", self._urls, "-c", self._cache, "-C", "/dev/null", *arguments)

    def items(self) -> list[Item]:
        return [Item(*row) for row in self._query("SELECT guid, title, url, content FROM rss_item ORDER BY id")]

    def media(self) -> set[str]:
        return {url for (url,) in self._query("SELECT enclosure_url FROM rss_item") if url}

    def feed_urls(self) -> list[str]:
        return [url for (url,) in self._query("SELECT rssurl FROM rss_feed WHERE title != '' ORDER BY rssurl")]

    def _query(self, statement: str) -> list[Any]:
        connection = sqlite3.connect(self._cache)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()


class Sfeed(_Program):
    formats: Formats = ("rss.xml", "atom.xml")
    keeps_edits = False
    tells_links_apart = True
    asks_conditionally = False

    def __init__(self, home: Path) -> None:
        super().__init__(home, "sfeed_update", "curl")
        self._config, self._feeds = home / "sfeedrc", home / "feeds"
        self._feeds.mkdir()

    def subscribe(self, *urls: str) -> None:
        feeds = "".join(f"\tfeed {number} {shlex.quote(url)}\n" for number, url in enumerate(urls))
        self._config.write_text(f"sfeedpath={shlex.quote(str(self._feeds))}\nfeeds() {{\n{feeds}}}\n")

    def take_over(self, opml: Path) -> None:
        taken = self.run("sfeed_opml_import", text=opml.read_text())
        self._config.write_text(f"{taken}\nsfeedpath={shlex.quote(str(self._feeds))}\n")

    def poll(self) -> None:
        self.run("sfeed_update", self._config)

    def items(self) -> list[Item]:
        return [Item(column[5], column[1], column[2], column[3]) for column in self._columns()]

    def media(self) -> set[str]:
        return {column[7] for column in self._columns() if column[7]}

    def _columns(self) -> list[list[str]]:
        lines = [line for file in sorted(self._feeds.iterdir()) for line in file.read_text().splitlines()]
        return [line.split("\t") for line in lines]

    def feed_urls(self) -> list[str]:
        lines = self._config.read_text().splitlines()
        return sorted(shlex.split(line)[2] for line in lines if line.startswith("\tfeed "))


class Rss2email(_Program):
    formats: Formats = ("rss.xml", "atom.xml")
    keeps_edits = False
    tells_links_apart = False
    asks_conditionally = True

    def __init__(self, home: Path) -> None:
        super().__init__(home, "r2e")
        settings = {
            "to": "subscriber@example.org",
            "email-protocol": "maildir",
            "maildir-path": home / "mail",
            "verbose": "warning",
        }
        self._config = home / "rss2email.cfg"
        self._config.write_text("[DEFAULT]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
        (home / "mail").mkdir()

    def subscribe(self, *urls: str) -> None:
        for number, url in enumerate(urls):
            self._r2e("add", f"feed{number}", url)

    def take_over(self, opml: Path) -> None:
        self._r2e("opmlimport", opml)

    def poll(self) -> None:
        self._r2e("run")

    def _r2e(self, *arguments: str | Path) -> str:
        return self.run("r2e", "-c", self._config, "-d", self.home / "rss2email.json", *arguments)

    def items(self) -> list[Item]:
        """Every mail that was ever sent."""
        files = sorted((self.home / "mail").rglob("new/*"))
        mails = [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]
        return [
            _item(str(mail["x-rss-id"]), str(mail["subject"]), str(mail["x-rss-url"] or ""), str(mail.get_content()))
            for mail in mails
        ]

    def media(self) -> set[str]:
        return {
            line.split()[1] for one in self.items() for line in one.text.splitlines() if line.startswith("Enclosure: ")
        }

    def feed_urls(self) -> list[str]:
        listed = (line.partition(" (")[2].partition(" -> ")[0] for line in self._r2e("list").splitlines())
        return sorted(listed)


class Reader:
    """The Python library of that name."""

    formats: Formats = ("rss.xml", "atom.xml", "feed.json")
    keeps_edits = True
    tells_links_apart = False
    asks_conditionally = True

    def __init__(self, home: Path) -> None:
        library = pytest.importorskip("reader", reason="reader is not installed: make test-all installs it")
        home.mkdir(parents=True)
        self._reader = library.make_reader(str(home / "reader.db"))

    def subscribe(self, *urls: str) -> None:
        for url in urls:
            self._reader.add_feed(url)

    def take_over(self, opml: Path) -> None:
        with opml.open("rb") as file:
            self._reader.import_feeds(file)

    def poll(self) -> None:
        failed = {one.url: one.error for one in self._reader.update_feeds_iter(scheduled=False) if one.error}
        assert not failed

    def items(self) -> list[Item]:
        held = self._reader.get_entries()
        return [
            _item(one.id, one.title, one.link or "", one.content[0].value if one.content else one.summary or "")
            for one in held
        ]

    def media(self) -> set[str]:
        return {enclosure.href for one in self._reader.get_entries() for enclosure in one.enclosures}

    def feed_urls(self) -> list[str]:
        return sorted(feed.url for feed in self._reader.get_feeds() if feed.title)

    def close(self) -> None:
        self._reader.close()


def _item(id_: str, title: str, link: str, text: str) -> Item:
    """The item; feedparser takes the id of an Atom entry without a link for its link."""
    return Item(id_, title, "" if link == id_ else link, text)


READERS: tuple[type[Subscriber], ...] = (Newsboat, Sfeed, Rss2email, Reader)
