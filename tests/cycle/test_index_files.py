"""Index files of Hugo and Zola: what they hide, and that a change of one changes the pages below it in the same cycle."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import SiteFolder

from aggregator import ingest
from aggregator.cli.check import Place, check_records
from aggregator.cli.explain import explain_record
from aggregator.errors import StoppedError
from aggregator.files import FileBytes
from aggregator.files.bucket import BucketFiles
from aggregator.files.folder import FolderFiles
from aggregator.ingest import ingest_batch
from aggregator.model import SourceFile
from aggregator.scan import path_locator

CONFIG = """
[records]
path = "../content"
preset = "hugo"
link_template = "https://example.org/{path}/"
"""
NOON, LATER, LAST = "2026-06-01 12:00", "2026-06-01 12:05", "2026-06-01 12:10"


class Blog:
    """A Hugo site whose cycles scan the whole folder or bucket, or only what changed, as while watching."""

    def __init__(self, site: SiteFolder, *, watching: bool) -> None:
        self.site, self._watching = site, watching
        self._changed: set[str] = set()
        site.incoming = site.root / "content"
        site.incoming.mkdir()
        site.configure(CONFIG)

    def page(self, path: str, front: str = "", body: str = "") -> None:
        self.write(path, f"---\ntitle: {path}\ndate: 2026-05-01\n{front}\n---\n{body or path}\n")

    def write(self, path: str, text: str) -> None:
        self.site.write(path, text)
        self._changed.add(path)

    def remove(self, *paths: str) -> None:
        self.site.remove(*paths)
        self._changed.update(paths)

    def rename(self, old: str, new: str) -> None:
        self.site.rename(old, new)
        self._changed |= {old, new}

    def texts(self) -> dict[str, str]:
        """The texts of the entries by their titles."""
        return {item["title"]: item["content_text"] for item in self.site.feed()["items"]}

    def run(self, now: str) -> list[str]:
        """The titles of what is published after a cycle, sorted."""
        self.site.run(now, paths={"": self._changed} if self._watching and now != NOON else None)
        self._changed = set()
        return sorted(self.site.titles())


@pytest.fixture(params=["scanning", "watching", "bucket"])
def blog(request: pytest.FixtureRequest, store_url: str) -> Blog:
    make = request.getfixturevalue("make_bucket_site" if request.param == "bucket" else "make_site")
    return Blog(make(store_url), watching=request.param == "watching")


def test_a_cascade_hides_the_pages_below_it_as_long_as_it_is_there(blog: Blog) -> None:
    for path in ("lab/a.md", "lab/deep/b.md", "labs.md", "posts/c.md"):
        blog.page(path)
    blog.write("lab/_index.md", "---\ntitle: Lab\n---\n")
    assert blog.run(NOON) == ["lab/a.md", "lab/deep/b.md", "labs.md", "posts/c.md"]
    ids = blog.site.ids()

    blog.write("lab/_index.md", "---\ntitle: Lab\ncascade:\n  draft: true\n---\n")
    assert blog.run(LATER) == ["labs.md", "posts/c.md"]

    blog.write("lab/_index.md", "---\ntitle: Lab\ncascade:\n  type: note\n---\n")
    assert blog.run(LAST) == ["lab/a.md", "lab/deep/b.md", "labs.md", "posts/c.md"]
    assert blog.site.ids() == ids


def test_what_a_stopped_cycle_did_not_read_below_an_index_file_the_next_one_reads(
    blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("lab/a.md", "lab/deep/b.md", "labs.md"):
        blog.page(path)
    blog.write("lab/_index.md", "---\ntitle: Lab\n---\n")
    blog.run(NOON)
    monkeypatch.setattr(ingest, "FILE_BATCH", 1)  # so the index file is stored, and then the cycle stops
    blog.write("lab/_index.md", "---\ntitle: Lab\ncascade:\n  draft: true\n---\n")
    blog.page("labs.md", "tags: [new]")
    reads = 0

    def stop_at_the_third(files: object, file: SourceFile, most: int) -> FileBytes:
        nonlocal reads
        reads += 1
        if reads > 3:
            raise StoppedError("stopped")
        return real(files, file, most)

    kind = BucketFiles if blog.site.load_config().sources[0].is_bucket else FolderFiles
    real = kind._read if kind is BucketFiles else kind.read
    with monkeypatch.context() as patch:
        patch.setattr(kind, real.__name__, stop_at_the_third)
        with pytest.raises(StoppedError):
            blog.site.run(LATER)
    blog.site.run(LAST)
    assert sorted(blog.site.titles()) == ["labs.md"]


def test_a_cascade_that_comes_or_goes_with_its_file_is_noticed(blog: Blog) -> None:
    blog.page("lab/a.md")
    blog.page("b.md")
    assert blog.run(NOON) == ["b.md", "lab/a.md"]

    blog.write("_index.md", "---\ntitle: Home\ncascade: [{target: {path: /lab/**}, build: {list: never}}]\n---\n")
    assert blog.run(LATER) == ["b.md"]

    blog.remove("_index.md")
    assert blog.run(LAST) == ["b.md", "lab/a.md"]


def test_an_index_file_that_is_not_included_is_noticed_too(blog: Blog) -> None:
    blog.page("lab/a.md")
    blog.write("lab/_index.html", "---\ncascade: {draft: true}\n---\n")
    assert blog.run(NOON) == []

    blog.write("lab/_index.html", "---\ncascade: {draft: false}\n---\n")
    assert blog.run(LATER) == ["lab/a.md"]
    blog.write("lab/index.html", "<p>A bundle.\n")
    assert blog.run(LAST) == []

    blog.remove("lab/index.html")
    assert blog.run("2026-06-01 12:15") == ["lab/a.md"]
    blog.write("lab/_index.html", "---\ncascade: {draft: true}\n---\n")
    assert blog.run("2026-06-01 12:20") == []
    blog.remove("lab/_index.html")
    assert blog.run("2026-06-01 12:25") == ["lab/a.md"]
    assert blog.site.problems() == []


def test_pages_beside_a_new_bundle_are_withdrawn_and_return_with_their_ids(blog: Blog) -> None:
    blog.page("other.md")
    paths = sorted(f"trip/{name}.md" for name in ("packing", "deep/index", "deep/x", *(f"n{i}" for i in range(30))))
    for path in paths:
        blog.page(path)
    everything = sorted(["other.md", *paths])
    assert blog.run(NOON) == sorted(set(everything) - {"trip/deep/x.md"})
    ids = blog.site.ids()

    blog.page("trip/index.md")
    assert blog.run(LATER) == ["other.md", "trip/index.md"]
    assert blog.site.problems() == []

    blog.remove("trip/index.md")
    assert blog.run(LAST) == sorted(set(everything) - {"trip/deep/x.md"})
    assert blog.site.ids() == ids


def test_a_bundle_whose_index_is_renamed_is_none(blog: Blog) -> None:
    blog.page("trip/index.md", body="A long line that tells of a trip.\n")
    blog.page("trip/packing.md")
    assert blog.run(NOON) == ["trip/index.md"]
    before = blog.site.ids()

    blog.rename("trip/index.md", "trip/start.md")
    assert blog.run(LATER) == ["trip/index.md", "trip/packing.md"]
    assert blog.site.ids()["trip/index.md"] == before["trip/index.md"]


def test_a_resource_needs_no_front_matter_and_is_no_problem(blog: Blog) -> None:
    blog.page("trip/index.md")
    blog.write("trip/list.md", "* socks\n")

    assert blog.run(NOON) == ["trip/index.md"]
    assert blog.site.problems() == []


@pytest.mark.parametrize("broken", ["---\ncascade: [\n---\n", "---\ncascade: 5\n---\n", "---\ncascade: {draft: tr"])
def test_below_a_broken_index_file_entries_stay_and_none_is_new(blog: Blog, broken: str) -> None:
    blog.page("lab/a.md")
    blog.page("lab/late.md", "publishDate: 2026-06-01T12:02:00Z")
    blog.write("lab/_index.md", "---\ntitle: Lab\n---\n")
    assert blog.run(NOON) == ["lab/a.md"]

    blog.write("lab/_index.md", broken)
    blog.page("lab/b.md")
    blog.page("lab/a.md", body="Changed.")
    assert blog.run(LATER) == ["lab/a.md"]
    assert any(line.startswith("lab/_index.md") for line in blog.site.problems())
    assert blog.texts()["lab/a.md"] == "lab/a.md"

    blog.write("lab/_index.md", "---\ntitle: Lab\n---\n")
    assert blog.run(LAST) == ["lab/a.md", "lab/b.md", "lab/late.md"]
    assert blog.texts()["lab/a.md"] == "Changed."
    assert blog.site.problems() == []


def test_topics_and_dates_of_a_cascade_follow_it(blog: Blog) -> None:
    blog.write("news/a.md", "---\ntitle: A\n---\nText.\n")
    blog.page("news/b.md", "tags: [own]")
    blog.write("news/_index.md", "---\ncascade: {tags: [handed], date: 2026-04-01}\n---\n")
    blog.run(NOON)
    assert blog.site.titles("handed") == ["A"]
    assert blog.site.feed("handed")["items"][0]["date_published"].startswith("2026-04-01")

    blog.write("news/_index.md", "---\ncascade: {tags: [other]}\n---\n")
    blog.run(LATER)
    assert (blog.site.titles("handed"), blog.site.titles("other"), blog.site.titles("own")) == (
        [],
        ["A"],
        ["news/b.md"],
    )


def test_an_expiry_in_a_cascade_withdraws(blog: Blog) -> None:
    blog.page("ads/a.md")
    blog.page("ads/b.md", "expiryDate: 2030-01-01")
    blog.write("ads/_index.md", "---\ncascade: {expiryDate: 2026-06-01T12:03:00Z}\n---\n")

    assert blog.run(NOON) == ["ads/a.md", "ads/b.md"]
    assert blog.run(LATER) == ["ads/b.md"]


def test_nothing_is_written_while_index_files_stay_the_same(blog: Blog) -> None:
    blog.page("lab/a.md")
    blog.page("trip/index.md")
    blog.page("trip/x.md")
    blog.write("lab/_index.md", "---\ncascade: {tags: [x]}\n---\n")
    blog.run(NOON)
    before = blog.site.snapshot()
    result = blog.site.run(LATER)
    blog.write("lab/_index.md", "---\ntitle: Another\ncascade: {tags: [x]}\n---\nText.\n")
    blog.run(LAST)

    assert (result.new, result.changed, result.removed, result.files_written) == (0, 0, 0, 0)
    assert blog.site.snapshot() == before


def test_a_draft_section_of_zola_hides_what_is_below_it_but_one_of_hugo_only_its_list(site: SiteFolder) -> None:
    blog = Blog(site, watching=False)
    for name in ("zola", "hugo"):
        blog.write(f"{name}/a.md", f'+++\ntitle = "{name}"\ndate = 2026-05-01\n+++\n')
    blog.write("zola/_index.md", '+++\ntitle = "Z"\nsort_by = "date"\ndraft = true\n+++\n')
    blog.write("hugo/_index.md", '+++\ntitle = "H"\ndraft = true\n+++\n')

    assert blog.run(NOON) == ["hugo"]
    data = explain_record(site.load_config(), site.store, "zola/a.md", datetime.now(UTC))
    assert data["published"]["reason"].startswith("the section above it is a draft in Zola")
    assert (data["published"]["file"].endswith("zola/_index.md"), data["published"]["line"]) == (True, 4)


def test_explain_names_the_index_file_and_its_line(site: SiteFolder) -> None:
    blog = Blog(site, watching=False)
    blog.page("lab/a.md")
    blog.page("old/b.md")
    blog.page("trip/index.md")
    blog.page("trip/x.md")
    blog.write("lab/_index.md", "---\ntitle: Lab\ncascade:\n  draft: true\n---\n")
    blog.write("old/_index.md", "---\ncascade: {expiryDate: 2020-01-01}\n---\n")
    blog.run(NOON)

    def published(path: str) -> tuple[str, str, str, int | None]:
        cause = explain_record(site.load_config(), site.store, path, datetime(2026, 6, 1, 12, tzinfo=UTC))["published"]
        return cause["cause"], cause["reason"], Path(cause["file"]).relative_to(site.incoming).as_posix(), cause["line"]

    cause, reason, *place = published("lab/a.md")
    assert (cause, place) == ("draft", ["lab/_index.md", 4])
    assert reason.startswith("'draft' is true by the cascade in")
    assert reason.endswith("lab/_index.md, line 4")
    cause, _, *place = published("old/b.md")
    assert (cause, place) == ("expired", ["old/_index.md", 2])
    cause, reason, *place = published("trip/x.md")
    assert (cause, place) == ("resource", ["trip/index.md", None])
    assert "is a resource of the bundle" in reason


def test_check_tells_a_broken_index_file_once(site: SiteFolder) -> None:
    blog = Blog(site, watching=False)
    for number in range(5):
        blog.page(f"lab/{number}.md")
    blog.write("lab/_index.md", "---\ntitle: Lab\ncascade: 5\n---\n")
    blog.page("trip/index.md")
    blog.write("trip/x.md", "no front matter\n")
    config = site.load_config()
    findings = check_records([Place(config.sources[0], "")], 0, datetime.now(UTC), lambda _: None, lambda _: None)
    lines = [str(finding) for finding in findings]

    assert len(lines) == 1
    assert "lab/_index.md:3:10: 'cascade' is not a map" in lines[0]


def test_a_records_folder_that_cannot_be_listed_for_index_files_is_named(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    blog = Blog(site, watching=False)
    blog.page("a.md")
    with monkeypatch.context() as patch:
        patch.setattr(FolderFiles, "index_names", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        assert blog.run(NOON) == []
    (problem,) = site.problems()
    assert "a.md: what the records folder hands down to it is unknown: cannot be read: Input/output error" in problem
    assert blog.run(LATER) == ["a.md"]


@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError])
def test_an_index_file_over_which_the_parser_fails_stops_no_cycle(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    blog = Blog(site, watching=False)
    blog.page("a.md")
    blog.page("lab/b.md")
    blog.write("lab/_index.md", "---\ntitle: Lab\n---\n")
    monkeypatch.setattr("aggregator.parse.section.read_section", Mock(side_effect=error("private text")))

    assert blog.run(NOON) == ["a.md"]
    problems = "".join(site.problems())
    assert f"lab/b.md: what lab/_index.md hands down to it is unknown: cannot be read: {error.__name__}" in problems
    assert "private" not in problems
    monkeypatch.undo()

    assert blog.run(LATER) == ["a.md", "lab/b.md"]
    if error is MemoryError:  # no fault of the file
        assert site.problems() == []


def test_the_watch_reports_index_files_that_are_not_included(site: SiteFolder) -> None:
    blog = Blog(site, watching=False)
    blog.write("lab/_index.html", "---\ncascade: {draft: true}\n---\n")
    blog.write("lab/other.html", "<p>\n")
    locate = path_locator(site.load_config().sources[0])
    root = os.path.realpath(site.incoming)

    assert locate(f"{root}/lab/_index.html") == "lab/_index.html"
    assert locate(f"{root}/lab/other.html") is None


def test_a_linked_index_file_counts_only_if_it_is_inside_the_folder(site: SiteFolder) -> None:
    blog = Blog(site, watching=False)
    blog.page("lab/a.md")
    blog.page("trip/b.md")
    blog.write("shared/_index.md", "---\ncascade: {draft: true}\n---\n")
    outside = site.root / "index.md"
    outside.write_text("---\ntitle: outside\n---\n")
    os.symlink("../shared/_index.md", site.incoming / "lab/_index.md")
    os.symlink(outside, site.incoming / "trip/index.md")

    assert blog.run(NOON) == ["trip/b.md"]


@pytest.mark.parametrize("seed", range(6))
def test_any_history_of_index_files_ends_like_a_first_scan(make_site: Callable[..., SiteFolder], seed: int) -> None:
    """Each step changes a file at random, and the cycle scans only that; all files read anew must give the same."""
    chance = random.Random(seed)
    blog = Blog(make_site(""), watching=True)
    blog.site.configure(CONFIG, url=f"sqlite:///{blog.site.root}/store.db")
    folders = ("", "a/", "a/b/", "a/b/c/", "d/")
    texts = (
        "---\ntitle: I\n---\n",
        "---\ntitle: I\ncascade: {draft: true}\n---\n",
        "---\ncascade: {draft: false}\n---\n",
    )
    names = ("_index.md", "index.md", "p.md", "q.md", "_index.html")
    for folder in folders:
        blog.page(f"{folder}p.md")
    blog.run(NOON)
    for step in range(12):
        path = chance.choice(folders) + chance.choice(names)
        if (blog.site.incoming / path).exists() and chance.random() < 0.5:
            blog.remove(path)
        elif path.endswith(("p.md", "q.md", "/index.md")):
            blog.page(path)
        elif path != "index.md":
            blog.write(path, chance.choice(texts))
        seen = blog.run(f"2026-06-01 13:{step:02}")
        files = [p for p in blog.site.incoming.rglob("*") if p.is_file()]
        source = blog.site.load_config().sources[0]
        batch = [(SourceFile("", p.relative_to(blog.site.incoming).as_posix(), 0, 0), None) for p in files]
        published = sorted(
            outcome.content.title for outcome in ingest_batch(source, batch) if getattr(outcome, "public", False)
        )
        assert seen == published, (seed, step, path)
