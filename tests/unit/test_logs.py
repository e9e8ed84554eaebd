"""The log under streams that fail, block or flood."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import pytest
from commands import eventually

from aggregator import logs
from aggregator.logs import StreamWriter

PROGRAM = """
import logging, sys
from datetime import UTC
from zoneinfo import ZoneInfo
from aggregator.logs import start_logging
from aggregator.cli.printing import open_streams
open_streams()
start_logging(ZoneInfo("Asia/Kolkata"), form="{form}")
log = logging.getLogger("aggregator.x")
{program}
"""


def run_program(program: str, stderr: int = subprocess.PIPE, form: str = "text") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(program=program, form=form)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=60,
    )


@contextmanager
def logging_to_pipe(logger: str = "somewhere", *, blocking: bool = True) -> Iterator[tuple[logging.Logger, int]]:
    """A logger of its own, and the end of a pipe from which its lines are read.

    The other end is never closed: the thread that writes to it never ends, and would write into the file of another
    test that gets the number.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    writer = StreamWriter(writing)
    writer.setFormatter(logs._LineFormatter(ZoneInfo("UTC")))
    writer.addFilter(logs._RateLimit(writer.count_lost))
    log = logging.getLogger(logger)
    log.addHandler(writer)
    try:
        yield log, reading
    finally:
        log.removeHandler(writer)


def test_a_line_has_its_time_with_the_offset_of_the_site() -> None:
    done = run_program("log.warning('of %s', 'interest')")
    assert done.stderr.endswith("+05:30 WARNING of interest\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_json_line_has_time_level_logger_message_and_traceback() -> None:
    program = "log.warning('of %s\\n', 'é')\ntry:\n    1 / 0\nexcept Exception:\n    log.exception('x' * 20_000)"
    done = run_program(program, form="json")
    first, second = map(json.loads, done.stderr.splitlines())
    assert first.pop("time").endswith("+05:30")
    assert first == {"level": "warning", "logger": "aggregator.x", "message": "of é\n"}
    assert second["message"] == "x" * logs.MAX_LINE
    assert second["traceback"].startswith("Traceback: ZeroDivisionError < ")


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    assert json.loads(run_program("log.warning('hello')", form="auto").stderr)["message"] == "hello"
    master, terminal = os.openpty()
    run_program("log.warning('hello')", terminal, form="auto")
    assert os.read(master, 1000).endswith(b"WARNING hello\r\n")


def test_control_characters_of_a_message_are_escaped_and_an_exception_is_shown_without_its_message() -> None:
    done = run_program(
        "log.warning('a\\x1b[31m\\nb\\u202ec')\ntry:\n    1 / 0\nexcept Exception:\n    log.exception('bad')"
    )
    first, *rest = done.stderr.splitlines()
    assert first.endswith(r"WARNING a\x1b[31m\nb\u202ec")
    assert [line.partition(" < ")[0] for line in rest[-1:]] == ["Traceback: ZeroDivisionError"]
    assert "division by zero" not in done.stderr, "the message of an exception may quote a record"


def test_the_last_lines_are_written_before_the_process_ends() -> None:
    done = run_program("for number in range(5000): log.warning('line %d', number)")
    assert done.stderr.splitlines()[-1].endswith("line 4999")
    assert len(done.stderr.splitlines()) == 5000


def test_the_end_of_the_process_waits_once_for_the_last_lines() -> None:
    program = (
        "from aggregator import logs\nlogs.StreamWriter.flush = lambda _: print('waits')\nlogs.start_logging()\n"
        "logs.logging.warning('x')"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60) == "waits\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_a_full_disk_loses_only_log_lines() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert run_program("log.warning('x')\nprint('done')", full).stdout == "done\n"
    finally:
        os.close(full)


def test_a_closed_stream_loses_only_log_lines_and_no_file_gets_its_descriptor() -> None:
    program = "log.warning('x')\nprint(open(__import__('os').devnull).fileno() > 2, sys.stderr.fileno())"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, PROGRAM.format(program=program, form="text")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "True 2\n")


def test_a_pipe_that_nobody_reads_blocks_nothing_and_lost_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_WAITING_BYTES", 50_000)
    with logging_to_pipe() as (log, reading), open(reading) as pipe:
        for _ in range(20_000):
            log.warning("%s", "x" * 50)
        lines = iter(pipe.readline, "")
        shown = lost = 0
        while shown + lost < 20_000:  # the writer can fall behind before the pipe is full, and tell the loss in parts
            line = next(lines)
            if "were dropped" in line:
                lost += int(line.split()[3])
            else:
                shown += 1
        assert lost > 10_000
        log.warning("after")
        assert next(line for line in lines if "after" in line)


def test_a_nonblocking_stream_gets_every_line() -> None:
    with logging_to_pipe(blocking=False) as (log, reading), open(reading) as pipe:
        for _ in range(3000):
            log.warning("%s", "x" * 50)
        assert sum(1 for _ in zip(range(3000), pipe, strict=False)) == 3000


def test_failing_requests_log_a_limited_number_of_lines_and_count_the_others() -> None:
    with logging_to_pipe("aggregator.serve.app") as (log, reading), open(reading) as pipe:
        began = time.monotonic()
        for _ in range(1000):
            log.error("failed")
        seconds = time.monotonic() - began
        shown = told = 0
        for line in iter(pipe.readline, ""):
            shown += "failed" in line
            told += int(line.split()[3]) if "were dropped" in line else 0
            if shown + told == 1000:
                break
        assert 1 <= shown <= logs.LINES_PER_SECOND * (seconds + 1)


def test_flushing_a_blocked_stream_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FLUSH_S", 0.05)
    with logging_to_pipe() as (log, reading):
        log.warning("%s", "x" * 15_000)
        for _ in range(10):
            log.warning("%s", "x" * 15_000)
        log.handlers[0].flush()
    os.close(reading)  # ends the write that waits
    eventually(lambda: not log.handlers)


@pytest.mark.parametrize("form", ["text", "json"])
def test_libraries_write_only_their_errors(form: str) -> None:
    program = (
        "import warnings\nwarnings.warn('old')\nlogging.getLogger('apscheduler.x').warning('missed')\n"
        "logging.getLogger('some').error('broken')\nlog.info('ours')"
    )
    lines = run_program(program, form=form).stderr.splitlines()
    assert ["broken" in lines[0], "ours" in lines[1], len(lines)] == [True, True, 2]
