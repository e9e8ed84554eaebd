"""Files that differ become records or rejections, in batches, and private text is in none of them."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from hashlib import blake2b
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import slow
from parsing import as_record, as_rejection, source

from aggregator import ingest
from aggregator.concurrency.processes import WorkerPool
from aggregator.errors import StoppedError
from aggregator.ingest import Outcome, ingest_batch, ingest_files, trace_file
from aggregator.model import Record, Rejection, SourceFile, Unchanged
from aggregator.parse.record import parse_record
from aggregator.scan import Differs, scan_source

GOOD = "---\ntitle: T\nexcerpt: E\n---\nbody\n"


def files_of(root: Path) -> list[tuple[SourceFile, bytes | None]]:
    found = scan_source(source(root), iter(()), lambda _files: None)
    return [(item.file, None) for item in found if isinstance(item, Differs)]


def ingest_one(path: Path, *, known: bytes | None = None, max_bytes: int = 1_000_000) -> Outcome:
    file = SourceFile("", path.name, path.stat().st_size, path.stat().st_mtime_ns)
    (outcome,) = ingest_batch(source(path.parent, max_bytes=max_bytes), [(file, known)])
    return outcome


def write(path: Path, text: str | bytes = GOOD, *, age_s: float = 3600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    moment = time.time() - age_s
    os.utime(path, (moment, moment))
    return path


def digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


# Outcomes of single files


def test_readable_file_gives_its_record_and_digest(tmp_path: Path) -> None:
    outcome = as_record(ingest_one(write(tmp_path / "a.md")))

    assert outcome.digest == digest(GOOD)
    assert outcome.content.title == "T"


def test_same_bytes_as_stored_are_unchanged_whatever_they_say(tmp_path: Path) -> None:
    for text in (GOOD, "no front matter", "---\n"):
        path = write(tmp_path / "a.md", text)
        outcome = ingest_one(path, known=digest(text))

        assert isinstance(outcome, Unchanged)
        assert (outcome.digest, outcome.file.mtime_ns) == (digest(text), path.stat().st_mtime_ns)


def test_file_with_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    for name in (b"\xff.md", b"a%41.md", b"\xc3\xa9.md"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(GOOD)

    (outcomes,) = ingest_files(source(tmp_path), files_of(tmp_path), workers=0)

    assert [type(outcome) for outcome in outcomes] == [Record] * 3
    assert [outcome.file.path for outcome in outcomes] == ["%FF.md", "a%2541.md", "é.md"]


def test_size_limit_is_exact(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    size = len(GOOD)

    assert isinstance(ingest_one(path, max_bytes=size), Record)
    outcome = as_rejection(ingest_one(path, max_bytes=size - 1))

    assert str(outcome.problem) == (
        f"a.md: the file is over {size - 1:,} bytes (make it shorter or raise records.max_bytes)"
    )


def test_file_that_is_removed_after_the_scan_has_no_outcome(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "b.md")
    (tmp_path / "c").mkdir()
    write(tmp_path / "c/d.md")
    files = files_of(tmp_path)
    (tmp_path / "a.md").unlink()
    (tmp_path / "c/d.md").unlink()
    (tmp_path / "c").rmdir()
    (tmp_path / "c").write_text("a file now")

    (outcomes,) = ingest_files(source(tmp_path), files, workers=0)

    assert [outcome.file.path for outcome in outcomes] == ["b.md"]


def test_file_that_changes_after_the_scan_has_the_stat_of_what_was_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    files = files_of(tmp_path)
    write(path, GOOD + "more\n", age_s=60 * 60 * 24)

    ((outcome,),) = ingest_files(source(tmp_path), files, workers=0)

    assert (outcome.file.size, outcome.file.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert outcome.digest == digest(GOOD + "more\n")


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_path_that_is_no_longer_a_regular_file_is_rejected_without_waiting(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "a.md")
    files = files_of(tmp_path)
    (tmp_path / "a.md").unlink()
    (tmp_path / "a.md").mkdir() if kind == "folder" else os.mkfifo(tmp_path / "a.md")

    ((outcome,),) = ingest_files(source(tmp_path), files, workers=0)

    assert isinstance(outcome, Rejection)
    assert (outcome.digest, outcome.hides) == (b"", False)
    assert str(outcome.problem) == "a.md: cannot be read: not a regular file (check its permissions)"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied (check its permissions)"),
        (OSError(5, "Input/output error"), "Input/output error (check the disk)"),
    ],
)
def test_file_that_cannot_be_opened_is_rejected_and_does_not_hide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    write(tmp_path / "a.md")
    files = files_of(tmp_path)
    monkeypatch.setattr("aggregator.paths.Folder.open", Mock(side_effect=error))
    ((outcome,),) = ingest_files(source(tmp_path), files, workers=0)

    assert isinstance(outcome, Rejection)
    assert (outcome.digest, outcome.hides, outcome.unfinished) == (b"", False, False)
    assert str(outcome.problem) == f"a.md: cannot be read: {reason}"


def test_unexpected_error_in_one_record_stops_no_other_and_shows_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "b.md")

    def parse(raw: bytes, file: SourceFile, *rest: object) -> Record | Rejection:
        if file.path == "a.md":
            raise KeyError(CANARY)
        return parse_record(raw, file, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("aggregator.parse.record.parse_record", parse)
    (outcomes,) = ingest_files(source(tmp_path), files_of(tmp_path), workers=0)

    assert [type(outcome) for outcome in outcomes] == [Rejection, Record]
    assert CANARY not in repr(outcomes)


# Unfinished files


@pytest.mark.parametrize("text", ["", "--", "---", "---\ntitle: T\n", b"---\ntitle: \xc3", "---\r\ntitle: T\r\n--"])
@pytest.mark.parametrize(
    ("age_s", "unfinished"), [(0, True), (50, True), (70, False), (10**6, False), (-5, True), (-(10**6), False)]
)
def test_file_without_an_end_is_unfinished_for_a_minute(
    tmp_path: Path, text: str | bytes, age_s: float, unfinished: bool
) -> None:
    outcome = as_rejection(ingest_one(write(tmp_path / "a.md", text, age_s=age_s)))

    assert outcome.unfinished is unfinished
    assert not outcome.hides


@pytest.mark.parametrize("text", ["text", "---\ntitle: [\n---\n", "---\nx: 1\n---\n", b"---\nx: \xff\n---\n"])
def test_file_that_is_wrong_in_another_way_is_never_unfinished(tmp_path: Path, text: str | bytes) -> None:
    assert not as_rejection(ingest_one(write(tmp_path / "a.md", text, age_s=0))).unfinished


# Batches and processes


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,500 small files, some of them unusable."""
    root = tmp_path_factory.mktemp("many")
    for number in range(2500):
        text = f"---\ntitle: Story {number}\ntopics: [T{number % 7}]\n---\n" if number % 50 else "---\ntitle: [\n---\n"
        (root / f"{number:04}.md").write_text(text)
    return root


def test_processes_give_the_same_outcomes_in_the_same_order(many: Path) -> None:
    files = files_of(many)
    files[7] = (files[7][0], blake2b((many / files[7][0].path).read_bytes(), digest_size=16).digest())
    files.insert(9, (SourceFile("", "gone.md", 1, 1), None))

    here = list(ingest_files(source(many), files, workers=0))
    there = list(ingest_files(source(many), files, workers=2))

    assert there == here
    assert [len(batch) for batch in here] == [999, 1000, 501]
    paths = [outcome.file.path for batch in here for outcome in batch]
    assert paths == [f"{number:04}.md" for number in range(2500)]
    kinds = {
        kind: sum(type(outcome) is kind for batch in here for outcome in batch)
        for kind in (Record, Rejection, Unchanged)
    }
    assert kinds == {Record: 2449, Rejection: 50, Unchanged: 1}


def test_processes_end_when_the_reader_stops_early(many: Path) -> None:
    outcomes = ingest_files(source(many), files_of(many), workers=2)

    assert next(outcomes)[0].file.path == "0000.md"
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator


class ReadAtOnce(WorkerPool):
    """Processes that always read faster than the caller takes the outcomes."""

    def submit(self, read: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future = Future[Any]()
        future.set_result(read(*args))
        return future


@pytest.fixture
def warnings_once() -> Iterator[None]:
    """Clears the cache of warnings that are logged only once in each process."""
    ingest._warn_of_lost_pool.cache_clear()
    yield
    ingest._warn_of_lost_pool.cache_clear()


@pytest.mark.usefixtures("warnings_once")
def test_without_processes_all_is_read_in_process_with_one_warning(
    many: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse = Mock(side_effect=BlockingIOError(11, "Resource temporarily unavailable"))
    monkeypatch.setattr("subprocess.Popen", refuse)
    (many / "large.md").write_text(GOOD + "x" * ingest.LARGE_BYTES)
    try:
        outcomes = list(ingest_files(source(many), files_of(many), workers=2))
    finally:
        (many / "large.md").unlink()

    assert [len(batch) for batch in outcomes] == [1000, 1000, 501]
    assert len([text for text in caplog.messages if "cannot use other processes" in text]) == 1


@pytest.mark.usefixtures("warnings_once")
def test_without_threads_all_is_read_in_process(
    many: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    outcomes = list(ingest_files(source(many), files_of(many), workers=2))

    assert [len(batch) for batch in outcomes] == [1000, 1000, 500]
    assert "can't start new thread" in caplog.text


@pytest.mark.usefixtures("warnings_once")
def test_batches_of_a_lost_process_are_read_in_process(
    many: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ingest, "FILE_BATCH", 100)
    monkeypatch.setenv("TEST_PROCESS", str(os.getpid()))
    files = files_of(many)
    lost = list(ingest_files(source(many), files, workers=3, read=slow.read_here_alone))

    assert lost == list(ingest_files(source(many), files, workers=0))
    assert "ended with -9" in caplog.text


# Files that take too long, or crash the parser

LARGE_TEXT = GOOD + "x" * ingest.LARGE_BYTES


def write_hostile(root: Path) -> None:
    """Large files, two of which cannot be parsed."""
    for name, text in {"a": "", "b": "SLOW", "c": "", "d": "CRASHING", "e": ""}.items():
        write(root / f"{name}.md", LARGE_TEXT + text)


def problems_by_path(outcomes: list[Any]) -> dict[str, str | None]:
    return {outcome.file.path: str(outcome.problem) if isinstance(outcome, Rejection) else None for outcome in outcomes}


TRY_AGAIN = "the next cycles try again; if that does not help: more memory, or make it shorter or simpler"
HOSTILE = {
    "a.md": None,
    "b.md": "b.md: takes over 1 seconds of processor time to read (make it shorter or simpler)",
    "c.md": None,
    "d.md": f"d.md: cannot be read: the process that parses it was ended (SIGKILL) ({TRY_AGAIN})",
    "e.md": None,
}


def test_a_file_that_takes_too_long_is_rejected_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hostile(tmp_path)
    monkeypatch.setattr(ingest, "_parse_file", slow.parse)
    monkeypatch.setattr(ingest, "PARSE_CPU_S", 1)
    monkeypatch.setattr(ingest, "PARSE_CLOCK_S", 300)

    (outcomes,) = ingest_files(source(tmp_path), files_of(tmp_path), workers=0)

    assert problems_by_path(outcomes) == HOSTILE
    rejected = outcomes[1]
    assert rejected.digest == digest(LARGE_TEXT + "SLOW")
    again = ingest_one(tmp_path / "b.md", known=rejected.digest)
    assert isinstance(again, Unchanged)  # no retry until it changes


def test_a_deadline_in_a_process_of_the_pool_does_not_end_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hostile(tmp_path)
    for name in ("0.md", "1.md"):
        write(tmp_path / name)
    monkeypatch.setattr(ingest, "FILE_BATCH", 1)
    monkeypatch.setattr(ingest, "POOL_MIN_FILES", 2)
    for name in ("_parse_file", "PARSE_CPU_S"):  # `slow.read` sets them, also in this process
        monkeypatch.setattr(ingest, name, getattr(ingest, name))

    outcomes = [
        outcome
        for batch in ingest_files(source(tmp_path), files_of(tmp_path), workers=2, read=slow.read)
        for outcome in batch
    ]

    assert problems_by_path(outcomes) == {"0.md": None, "1.md": None, **HOSTILE}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_does_not_wait_for_a_file_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    for number in range(6):
        write(tmp_path / f"{number}.md", LARGE_TEXT + "SLOW")
    monkeypatch.setattr(ingest, "_parse_file", slow.parse)
    monkeypatch.setattr(ingest, "PARSE_CPU_S", 60)
    monkeypatch.setattr(ingest, "PARSE_CLOCK_S", 300)
    if workers:
        monkeypatch.setattr(ingest, "FILE_BATCH", 1)
        monkeypatch.setattr(ingest, "POOL_MIN_FILES", 2)
    stop_at = time.monotonic() + 0.5

    def check_stop() -> None:
        if time.monotonic() > stop_at:
            raise StoppedError

    with pytest.raises(StoppedError):
        list(ingest_files(source(tmp_path), files_of(tmp_path), workers=workers, check_stop=check_stop))

    assert time.monotonic() - stop_at < 40  # a file takes 60 s


@pytest.mark.parametrize(
    ("deadline", "message"),
    [
        ("PARSE_CPU_S", "a.md: takes over 0.2 seconds of processor time to read (make it shorter or simpler)"),
        ("PARSE_CLOCK_S", f"a.md: was not read within 0.2 seconds ({TRY_AGAIN})"),
    ],
)
def test_the_message_names_the_deadline_that_was_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadline: str, message: str
) -> None:
    write(tmp_path / "a.md", LARGE_TEXT + "SLOW")
    monkeypatch.setattr(ingest, "_parse_file", slow.parse if deadline == "PARSE_CPU_S" else slow.wait)
    monkeypatch.setattr(ingest, "PARSE_CLOCK_S", 300)  # so that a loaded machine does not come first
    monkeypatch.setattr(ingest, deadline, 0.2)

    ((outcome,),) = ingest_files(source(tmp_path), files_of(tmp_path), workers=0)

    assert str(outcome.problem) == message  # type: ignore[union-attr]


def ingest_again(path: Path, outcome: Outcome) -> Outcome:
    """The outcome after a cycle that stored `outcome`."""
    return ingest_one(path, known=outcome.digest)


@pytest.mark.parametrize("parse", [slow.parse, slow.wait, slow.parse_in_little_memory])
def test_what_the_machine_failed_to_parse_is_no_fault_of_the_file_and_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parse: Callable[..., Any]
) -> None:
    path = write(tmp_path / "a.md", LARGE_TEXT + "CRASHING")
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_parse_file", parse)
        patch.setattr(ingest, "PARSE_CLOCK_S", 0.5 if parse is slow.wait else 300)
        failed = as_rejection(ingest_one(path))
        failed_again = as_rejection(ingest_again(path, failed))

    assert failed.problem.hint == failed_again.problem.hint == TRY_AGAIN
    assert not failed.hides
    assert isinstance(ingest_again(path, failed), Record)


def test_memory_that_is_refused_in_process_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.md")
    with monkeypatch.context() as patch:
        patch.setattr("aggregator.parse.record.parse_record", Mock(side_effect=MemoryError))
        failed = as_rejection(ingest_one(path))

    assert str(failed.problem) == f"a.md: cannot be read: MemoryError while it was parsed ({TRY_AGAIN})"
    assert isinstance(ingest_again(path, failed), Record)


def test_a_file_that_ends_each_process_is_parsed_ever_more_seldom_and_at_once_if_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.md", LARGE_TEXT + "CRASHING")
    monkeypatch.setattr(ingest, "_parse_file", slow.parse)
    start_s, at_s, tries, known = int(time.time()), 0, [], None
    while at_s < 4 * 3600:
        monkeypatch.setattr(ingest.time, "time", Mock(return_value=start_s + at_s))
        outcome = ingest_one(path, known=known)
        if isinstance(outcome, Rejection):
            tries.append(at_s)
        known = outcome.digest
        at_s += 60

    assert tries == [60 * number for number in (0, 1, 2, 4, 8, 16, 32, 64, 124, 184)]
    write(path, LARGE_TEXT)
    assert isinstance(ingest_one(path, known=known), Record)


def test_large_and_small_files_are_traced_alike(tmp_path: Path) -> None:
    write(tmp_path / "a.md", LARGE_TEXT)
    write(tmp_path / "b.md")

    (large, traces), (_, expected) = (trace_file(source(tmp_path), name) for name in ("a.md", "b.md"))

    assert isinstance(large, Record)
    assert [(trace.field, trace.value) for trace in traces] == [(trace.field, trace.value) for trace in expected]


def test_small_files_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.md", GOOD + "x" * (ingest.LARGE_BYTES - len(GOOD)))
    monkeypatch.setattr("subprocess.Popen", None)

    assert isinstance(ingest_one(tmp_path / "a.md"), Record)


def test_no_more_batches_wait_however_slowly_they_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "WorkerPool", ReadAtOnce)
    monkeypatch.setattr(ingest, "FILE_BATCH", 1)
    monkeypatch.setattr(ingest, "POOL_MIN_FILES", 2)
    write(tmp_path / "a.md")
    taken: list[int] = []

    def files() -> Iterator[tuple[SourceFile, None]]:
        for number in range(300):
            taken.append(number)
            yield SourceFile("", "a.md", 1, 1), None

    ahead = [len(taken) - given for given, _ in enumerate(ingest_files(source(tmp_path), files(), workers=3))]

    assert len(ahead) == 300
    assert max(ahead) <= ingest.POOL_MIN_FILES + 4 * 3


class HangingPool:
    """Workers that never answer."""

    size, patience_s = 1, 0.2

    def submit(self, *_: Any) -> Future[Any]:
        return Future()

    def close(self) -> None:
        pass


def test_workers_that_hang_are_waited_for_once_and_not_for_each_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "FILE_BATCH", 1)
    monkeypatch.setattr(ingest, "POOL_MIN_FILES", 2)
    monkeypatch.setattr(ingest, "read_carefully", ingest_batch)  # without a process for each file
    waits: list[float] = []
    wait_for = ingest.wait_for
    monkeypatch.setattr(ingest, "wait_for", lambda *args: (waits.append(max(args[2], 0.0)), wait_for(*args))[1])
    for number in range(30):
        write(tmp_path / f"{number:02}.md")

    outcomes = ingest_files(source(tmp_path), files_of(tmp_path), workers=0, open_pool=HangingPool)

    assert sum(map(len, outcomes)) == 30
    assert sum(waits) <= HangingPool.patience_s


def test_files_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    taken = itertools.count()

    def endless() -> Iterator[tuple[SourceFile, None]]:
        for number in taken:
            yield SourceFile("", f"{number}.md", 1, 1), None

    assert next(ingest_files(source(tmp_path), endless(), workers=0)) == []
    assert next(taken) <= ingest.POOL_MIN_FILES + ingest.FILE_BATCH


# Private text

CANARY = "Zq7canaryZq7"
RECORD = f"""---
title: T
webUrl: https://a.example/
secured: "{CANARY}"
unknown: {CANARY}
{CANARY}: 1
nested: {{a: {{b: [{CANARY}]}}}}
provider: {{name: N, {CANARY}: 1, secret: {CANARY}, id: {CANARY}}}
images:
  - url: https://a.example/i.png
    width: [{CANARY}]
    secret: {CANARY}
related:
  - title: R
    webUrl: https://b.example/
    quality: {CANARY}
    heat: {CANARY}
    secured: {CANARY}
    excerpt: {CANARY}
    {CANARY}: 1
  - title: {CANARY}
    webUrl: https://c.example/
    published: false
  - title: [{CANARY}]
    webUrl: {{{CANARY}: 1}}
  - {CANARY}
ampWebUrl: https://a.example/{CANARY}
cdnAmpWebUrl: {CANARY}
---
"""
CASES = {
    "record": RECORD,
    "crlf": RECORD.replace("\n", "\r\n"),
    "title": RECORD.replace("title: T\n", ""),
    "date": RECORD.replace("title: T\n", f"title: T\npublishedDateTime: {{{CANARY}: 1}}\n"),
    "flag": RECORD.replace("title: T\n", f"title: T\npublished: [{CANARY}]\n"),
    "flag tag": RECORD.replace("title: T\n", f"title: T\npublished: !{CANARY} true\n"),
    "id": RECORD.replace("title: T\n", f"title: T\nid: {{x: {CANARY}}}\n"),
    "maps": RECORD.replace(
        "title: T\n",
        f"title: T\nexcerpt: {{a: {CANARY}}}\nupdatedDateTime: [{CANARY}]\nquality: {{a: {CANARY}}}\n"
        f"topics: {{{CANARY}: 1}}\nlocale: [{CANARY}]\ntype: !!set {{{CANARY}}}\ncategory: !!binary {CANARY}\n",
    ),
    "tagged number": RECORD.replace("title: T\n", f"title: T\nheat: !!int {{=: 5, x: {CANARY}}}\n"),
    "iframe": RECORD.replace("title: T\n", f"title: T\nfeaturedContent: <b>{CANARY}</b>\n"),
    "syntax": f"---\ntitle: T\nsecured: 'a' {CANARY}\n---\n",
    "syntax key": f"---\ntitle: T\n{CANARY}\nx: 1\n---\n",
    "colon": f"---\ntitle: T\nsecured: a: {CANARY}\n---\n",
    "quote": f"---\ntitle: T\nsecured: '{CANARY}\n---\n",
    "bracket": f"---\ntitle: T\nsecured: [{CANARY}\n---\n",
    "tab": f"---\ntitle: T\nsecured:\n\t{CANARY}: 1\n---\n",
    "escape": f'---\ntitle: T\nsecured: "{CANARY}\\q"\n---\n',
    "control": f"---\ntitle: T\nsecured: {CANARY}\x01{CANARY}\n---\n",
    "alias": f"---\ntitle: T\nsecured: *{CANARY}\n---\n",
    "anchor twice": f"---\ntitle: T\nsecured: &{CANARY} &{CANARY} 1\n---\n",
    "tag": f"---\ntitle: T\nsecured: !{CANARY} x\n---\n",
    "tag of a field": f"---\ntitle: T\nexcerpt: !{CANARY} x\nprovider: {{name: !{CANARY} x}}\n---\n",
    "tag handle": f"---\ntitle: T\nsecured: !{CANARY}!x y\n---\n",
    "tag of all": f"---\n!{CANARY}\ntitle: T\n---\n",
    "directive": f"---\n%{CANARY} 1\ntitle: T\n---\n",
    "merge": f"---\ntitle: T\n<<: {CANARY}\n---\n",
    "twice": f"---\ntitle: T\n{CANARY}: 1\n{CANARY}: 2\n---\n",
    "secured twice": f"---\ntitle: T\nsecured: {CANARY}\nsecured: {CANARY}\n---\n",
    "complex key": f"---\ntitle: T\n? [{CANARY}]\n: {CANARY}\n? {{a: {CANARY}}}\n: 1\n---\n",
    "documents": f"---\ntitle: T\n...\n{CANARY}: 1\n---\n",
    "no map": f"---\n- {CANARY}\n---\n",
    "no fence": f"---\nsecured: {CANARY}\n",
    "no front matter": f"secured: {CANARY}\n",
    "deep": f"---\ntitle: T\nsecured: {'[' * 40}{CANARY}\n---\n",
    "much": f"---\ntitle: T\nsecured: [{f'{CANARY},' * 20_001}]\n---\n",
}


@pytest.mark.parametrize("case", CASES)
def test_private_text_is_in_no_outcome(tmp_path: Path, case: str) -> None:
    text = CASES[case]
    assert CANARY in text

    outcome = ingest_one(write(tmp_path / "a.md", text))

    assert CANARY not in repr(outcome)
    assert CANARY not in str(outcome.problem if isinstance(outcome, Rejection) else outcome.warnings)  # type: ignore[union-attr]


def test_undecodable_bytes_are_in_no_outcome(tmp_path: Path) -> None:
    raw = f"---\ntitle: T\nsecured: {CANARY}".encode() + b"\xff\n---\n"

    assert CANARY not in repr(ingest_one(write(tmp_path / "a.md", raw)))


def test_secured_and_unknown_keys_change_no_hash(tmp_path: Path) -> None:
    first = as_record(ingest_one(write(tmp_path / "a.md", RECORD)))
    second = as_record(ingest_one(write(tmp_path / "a.md", RECORD.replace(CANARY, "other"))))

    assert first.digest != second.digest
    assert (first.content_hash, first.visible_hash, first.selection_hash, first.text_hash) == (
        second.content_hash, second.visible_hash, second.selection_hash, second.text_hash
    )  # fmt: skip
