"""Records in a bucket: the same feeds as from a folder, with as few requests as possible, whatever the server does."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from bucket_site import BucketSite
from conftest import SiteFolder, at, record_text
from object_storage import CUT, TORN, ObjectStorage, use

from aggregator import buckets, ingest
from aggregator.errors import StoppedError
from aggregator.files import bucket as bucket_files

NOON, LATER, DAY = "2026-06-01 12:00", "2026-06-01 12:05", "2026-06-02 12:00"
DATE = "2026-05-01T08:00:00Z"
EXAMPLES = Path(__file__).parents[2] / "examples" / "records"


def fill(site: SiteFolder, *paths: str) -> None:
    for path in paths:
        site.record(path, publishedDateTime=DATE)


@pytest.fixture
def filled(bucket_site: BucketSite) -> BucketSite:
    """A site with 30 entries that are out."""
    fill(bucket_site, *(f"{number:02}.md" for number in range(30)))
    assert bucket_site.run(NOON).new == 30
    bucket_site.read_paths()
    return bucket_site


# the same as a folder


@pytest.mark.both_databases
def test_the_same_records_in_a_folder_and_in_a_bucket_give_the_same_documents(
    make_site: Callable[..., SiteFolder],
    make_bucket_site: Callable[[str], BucketSite],
    make_store_url: Callable[[str], str],
    store_url: str,
) -> None:
    backend = store_url.partition(":")[0].partition("+")[0]
    folder, bucket = make_site(store_url), make_bucket_site(make_store_url(backend))
    odd = ["a/z.md", "a-b.md", "a/b/c.md", "a0.md", "B.md", "é.md", "a b.md", "a%b.md", "a+b&c.md", "a\tb.md", "😀.md"]
    hidden = [".a.md", "c/.d.md", ".git/e.md", "f.txt"]
    chance = random.Random(3)
    for moment in (NOON, LATER, DAY):
        for path in [*odd, *hidden]:
            if chance.random() < 0.7:
                text = record_text({"title": path, "publishedDateTime": DATE, "topics": ["One"]}, f"{chance.random()}")
                folder.write(path, text)
                bucket.write(path, text)
        for site in (folder, bucket):
            result = site.run(moment)
            assert (result.problems, result.unreadable) == ((), 0)
        assert folder.documents() == bucket.documents()
        assert folder.ids() == bucket.ids()


def test_only_changed_objects_are_read(bucket_site: BucketSite) -> None:
    paths = ["a-b.md", "a/1.md", "a/2.md", "a.md", "b.md"]
    fill(bucket_site, *paths)
    bucket_site.run(NOON)
    assert bucket_site.read_paths() == sorted(paths)

    bucket_site.record("a/1.md", publishedDateTime=DATE)  # the same bytes again
    bucket_site.record("a/2.md", publishedDateTime=DATE, excerpt="New")
    fill(bucket_site, "c.md")
    result = bucket_site.run(LATER)
    assert (result.scanned, result.new, result.changed) == (6, 1, 1)
    assert bucket_site.read_paths() == ["a/2.md", "c.md"]

    with bucket_site.untouched():
        assert bucket_site.run(DAY).scanned == 6
    assert [query for _, _, query in bucket_site.proxy.requests if "list-type" in query] != []
    assert bucket_site.read_paths() == []


def test_a_renamed_object_keeps_its_id(bucket_site: BucketSite) -> None:
    fill(bucket_site, "a.md", "b.md")
    bucket_site.run(NOON)
    before = bucket_site.ids()
    bucket_site.rename("a.md", "z/new.md")
    assert bucket_site.run(LATER).problems == ()
    assert bucket_site.ids() == before


def test_removed_objects_are_withdrawn_and_many_at_once_wait(filled: BucketSite) -> None:
    filled.remove("00.md")
    assert filled.run(LATER).removed == 1
    filled.remove(*(f"{number:02}.md" for number in range(1, 30)))
    result = filled.run(LATER)
    assert (result.removed, len(filled.ids())) == (0, 29)
    assert "29 of 29 files are missing at once" in result.problems[0]
    assert result.problems[0].startswith(f"{filled.records}: ")
    assert filled.run(LATER, accept_removals=True).removed == 29


def test_a_change_and_a_removal_below_a_path_are_found_without_a_whole_listing(filled: BucketSite) -> None:
    fill(filled, "a/b.md", "a/c.md", "elsewhere.md")
    filled.remove("00.md", "01.md")
    result = filled.run(LATER, paths={"": {"a", "00.md", "02.md"}})
    assert (result.new, result.removed, filled.read_paths()) == (2, 1, ["02.md", "a/b.md", "a/c.md"])
    result = filled.run(LATER, paths={"": {""}})
    assert (result.new, result.removed, filled.read_paths()) == (1, 1, ["elsewhere.md"])


def test_a_move_from_a_folder_to_a_bucket_changes_no_entry(
    bucket_site: BucketSite, make_site: Callable[..., SiteFolder]
) -> None:
    folder = make_site(bucket_site.url)
    for site in (folder, bucket_site):
        fill(site, "a.md", "b/c.md")
    folder.run(NOON)
    folder.configure(f'[records]\npath = "{bucket_site.records}"')
    before = folder.documents()
    result = folder.run(LATER)
    assert (result.new, result.changed, result.removed, folder.documents()) == (0, 0, 0, before)


# odd objects


def test_what_is_no_record_is_not_read(bucket_site: BucketSite) -> None:
    for key in ("folder/", "picture.png", ".hidden.md", "a/.git/b.md"):
        bucket_site.write(key, "")
    fill(bucket_site, "folder/a.md")
    assert bucket_site.run(NOON).problems == ()
    assert bucket_site.read_paths() == ["folder/a.md"]


def test_too_large_an_object_is_rejected_without_reading_all_of_it(bucket_site: BucketSite) -> None:
    bucket_site.configure("max_bytes = 1000")
    bucket_site.write("a.md", record_text({"title": "a"}, "x" * 5_000_000))
    fill(bucket_site, "b.md")
    assert bucket_site.run(NOON).rejected == 1
    (problem,) = bucket_site.problems()
    assert problem == "a.md: the file is over 1,000 bytes (make it shorter or raise records.max_bytes)"
    bucket_site.read_paths()
    assert bucket_site.run(LATER).rejected == 1
    assert bucket_site.read_paths() == []


def test_an_object_without_an_end_is_rejected_because_none_is_written_in_part(bucket_site: BucketSite) -> None:
    bucket_site.write("a.md", "---\ntitle: Half")
    assert bucket_site.run(NOON).rejected == 1
    bucket_site.read_paths()
    bucket_site.run(LATER)
    assert bucket_site.read_paths() == []


def test_an_object_that_is_replaced_while_it_is_read_is_what_its_answer_says(bucket_site: BucketSite) -> None:
    fill(bucket_site, "a.md")

    def replace(method: str, path: str, query: str) -> None:
        if method == "GET" and path.endswith("/a.md"):
            bucket_site.record("a.md", title="New", publishedDateTime=DATE)

    bucket_site.proxy.decide = replace
    bucket_site.run(NOON)
    assert bucket_site.titles() == ["New"]
    bucket_site.read_paths()
    bucket_site.run(LATER)
    assert bucket_site.read_paths() == []


def test_an_object_that_goes_between_its_listing_and_its_reading_is_no_problem(bucket_site: BucketSite) -> None:
    fill(bucket_site, "a.md", "b.md")
    bucket_site.proxy.decide = lambda _method, path, _query: (
        bucket_site.remove("a.md") if path.endswith("/a.md") else None
    )
    assert bucket_site.run(NOON).problems == ()
    assert bucket_site.titles() == ["b.md"]


def test_one_object_that_may_not_be_read_stops_no_other(filled: BucketSite) -> None:
    fill(filled, "new.md")
    filled.record("00.md", title="Edited", publishedDateTime=DATE)
    filled.proxy.decide = lambda _method, path, _query: 403 if path.endswith("/00.md") else None
    result = filled.run(LATER)
    assert (result.new, result.complete, len(filled.ids())) == (1, True, 31)
    assert filled.problems() == ["00.md: cannot be read: access is refused (check its permissions)"]
    filled.proxy.decide = lambda *_: None
    filled.run(DAY)
    assert (filled.problems(), "Edited" in filled.titles()) == ([], True)


# a server that fails


@pytest.mark.parametrize("status", [500, CUT, TORN])
def test_a_listing_that_fails_in_its_middle_removes_nothing_and_the_next_cycle_heals(
    filled: BucketSite, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(buckets, "PAGE", 10)
    fill(filled, "new.md")
    filled.remove("29.md")
    filled.proxy.decide = lambda _method, _path, query: (
        status if "list-type" in query and len(filled.proxy.paths("GET")) > 2 else None
    )
    before = filled.documents()
    result = filled.run(LATER)
    assert (result.complete, result.unreadable, result.new, result.removed) == (False, 1, 0, 0)
    assert result.problems[0].startswith(f"{filled.records}: the records folder cannot be read: ")
    assert filled.documents() == before
    filled.proxy.decide = lambda *_: None
    result = filled.run(LATER)
    assert (result.complete, result.new, result.removed, result.problems) == (True, 1, 1, ())


def test_however_long_a_server_is_away_nothing_is_withdrawn(filled: BucketSite) -> None:
    filled.proxy.decide = lambda *_: 503
    for day in range(3):
        result = filled.run(at(LATER) + timedelta(days=day))
        assert (result.removed, result.complete, len(filled.ids())) == (0, False, 30)


def test_keys_that_are_refused_withdraw_nothing_and_are_never_shown(
    filled: BucketSite, object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(object_storage, monkeypatch, keys=("nobody", "very-secret"))
    for moment in (LATER, DAY):
        result = filled.run(moment)
        assert (result.removed, len(filled.ids())) == (0, 30)
        assert "the access key is not known there (check AWS_ACCESS_KEY_ID" in result.problems[0]
        assert "very-secret" not in str(result)


def test_a_bucket_that_is_gone_is_a_folder_that_is_gone(filled: BucketSite) -> None:
    filled.remove(*(f"{number:02}.md" for number in range(30)))
    filled.client.delete_bucket(Bucket=filled.bucket)
    result = filled.run(LATER)
    assert (result.removed, len(filled.ids())) == (0, 30)
    assert "the records folder cannot be read: there is no such bucket (make it" in result.problems[0]
    assert filled.run(DAY).removed == 30


@pytest.mark.both_databases
@pytest.mark.parametrize("status", [500, CUT, TORN])
def test_reading_that_fails_in_its_middle_takes_no_renamed_object_for_a_new_record(
    bucket_site: BucketSite, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    fill(bucket_site, *(f"{number:02}.md" for number in range(20)))
    bucket_site.run(NOON)
    before = bucket_site.ids()
    monkeypatch.setattr("aggregator.ingest.FILE_BATCH", 5)
    monkeypatch.setattr(bucket_files, "PARALLEL", 1)
    for number in range(20):
        bucket_site.rename(f"{number:02}.md", f"0{number:02}.md")
    fill(bucket_site, "1.md")
    bucket_site.proxy.decide = lambda _method, path, _query: status if path.endswith("/012.md") else None
    result = bucket_site.run(LATER)
    assert (result.complete, result.removed, bucket_site.ids()) == (False, 0, before)

    bucket_site.proxy.decide = lambda *_: None
    result = bucket_site.run(DAY)  # long after removal_grace
    assert (result.new, result.removed, result.problems) == (1, 0, ())
    assert bucket_site.ids() == before | {"1.md": bucket_site.ids()["1.md"]}


@pytest.fixture
def many(bucket_site: BucketSite, monkeypatch: pytest.MonkeyPatch) -> BucketSite:
    """A site with 40 objects, which two processes read."""
    config = bucket_site.config_file
    config.write_text(config.read_text().replace("workers = 0", "workers = 2"))
    monkeypatch.setattr(ingest, "FILE_BATCH", 5)
    monkeypatch.setattr(ingest, "POOL_MIN_FILES", 10)
    fill(bucket_site, *(f"{number:02}.md" for number in range(40)))
    return bucket_site


def test_processes_read_objects_too(many: BucketSite) -> None:
    result = many.run(NOON)
    assert (result.new, result.problems, len(many.ids())) == (40, (), 40)
    assert len(many.read_paths()) == 40


def test_a_server_that_fails_for_a_process_is_said_as_for_this_one(many: BucketSite) -> None:
    many.proxy.decide = lambda _method, path, _query: CUT if path.endswith(("/19.md", "/29.md", "/39.md")) else None
    result = many.run(NOON)
    assert (result.complete, len(result.problems)) == (False, 1)
    assert result.problems[0].startswith(f"{many.records}: the records folder cannot be read: ")
    many.proxy.decide = lambda *_: None
    result = many.run(LATER)
    assert (result.problems, len(many.ids())) == ((), 40)


def test_what_waited_for_its_date_is_released_while_the_server_is_away(filled: BucketSite) -> None:
    filled.record("due.md", publishedDateTime="2026-06-01T13:00:00Z")
    filled.run(LATER)
    filled.proxy.decide = lambda *_: CUT
    filled.run("2026-06-01 13:01")
    assert "due.md" in filled.titles()


@pytest.mark.parametrize("what", ["list-type", "/00.md"])
def test_a_stop_ends_a_request_that_gets_no_answer(filled: BucketSite, what: str) -> None:
    fill(filled, "new.md")
    filled.record("00.md", title="Edited")

    def decide(_method: str, path: str, query: str) -> int | None:
        if what not in f"{path}?{query}":
            return None
        filled.stop.set()
        return filled.proxy.wait()

    filled.proxy.decide = decide
    with pytest.raises(StoppedError):
        filled.run(LATER)


def test_nothing_is_ever_written_to_the_bucket(filled: BucketSite) -> None:
    fill(filled, "a.md")
    filled.remove("01.md")
    filled.proxy.requests.clear()
    filled.run(LATER)
    assert {method for method, _, _ in filled.proxy.requests} <= {"GET", "HEAD"}
    assert all(unquote(path).startswith(filled.bucket) for _, path, _ in filled.proxy.requests)
