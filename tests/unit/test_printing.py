"""What commands print: nothing in names and titles commands a terminal, and no stream stops the work."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from commands import Call, Shop, eventually
from hypothesis import given
from hypothesis import strategies as st

from aggregator.cli.check import github_line
from aggregator.cli.printing import json_text
from aggregator.problems import Problem, distance, shown_span, shown_time, visible, visible_data

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE = f"a\x1b[31mb\x07\x9b2J\u2028\x7f{BIDI}z"
RAW = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029{BIDI}]")


# texts and times


@given(st.text(st.characters(exclude_categories=[])))
def test_a_visible_text_has_no_control_characters_and_can_be_printed(text: str) -> None:
    shown = visible(text)
    assert not RAW.search(shown)
    assert "\n" not in shown
    assert shown.encode().decode() == shown, "no byte of a file name is left"
    assert visible(shown) == shown


@given(st.text(st.characters(exclude_categories=[])))
def test_json_has_the_same_values_and_no_raw_control_character(text: str) -> None:
    printed = json_text({"title": text})
    assert not RAW.search(printed)
    assert json.loads(printed) == json.loads(json.dumps({"title": text}))


def test_plain_texts_in_any_script_stay_as_they_are() -> None:
    for text in ("Café – “x”", "日本語", "می\u200cخواهم", "👩\u200d💻", "a\u00a0b", "שלום"):
        assert visible(text) == text
    assert visible("bad\udcff\udcfe\n\x1b\u202e") == r"bad\xff\xfe\n\x1b\u202e"
    assert visible_data({"a": ["\x1b", 1, None, {"b": "\r"}]}) == {"a": [r"\x1b", 1, None, {"b": r"\r"}]}


def test_times_carry_their_offset() -> None:
    moment = datetime(2026, 5, 20, 7, 10, tzinfo=UTC)
    assert shown_time(moment, ZoneInfo("Europe/Berlin")) == "2026-05-20 09:10:00+02:00"
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    assert shown_time(last, ZoneInfo("Asia/Tokyo")) == "9999-12-31 23:59:00+00:00"


@pytest.mark.parametrize(
    ("away", "shown"),
    [
        (timedelta(seconds=0.4), "in 0 s"),
        (timedelta(seconds=-59.9), "59 s ago"),
        (timedelta(minutes=3, seconds=50), "in 3 min"),
        (timedelta(hours=-23), "23 h ago"),
        (timedelta(days=-400), "400 d ago"),
        (timedelta(days=1616), "in 4 years"),
    ],
)
def test_a_time_is_shown_as_its_distance_from_now(away: timedelta, shown: str) -> None:
    now = datetime(2026, 5, 20, 7, 10, tzinfo=UTC)
    assert distance(now + away, now) == shown


def test_a_problem_and_an_annotation_are_one_visible_line() -> None:
    problem = Problem(f"in/{HOSTILE}\n.md", 3, 1, f"'id' is that of {HOSTILE} already", HOSTILE, "write another")
    for line in (str(problem), github_line(problem)):
        assert not RAW.search(line)
        assert "\n" not in line


# names


def test_no_command_prints_what_a_terminal_would_obey(shop: Shop, call: Call) -> None:
    name = os.fsdecode(b"bad\xff\xfe\x1b[31m\xe2\x80\xae.md")
    title = f"Turned {BIDI} round"
    shop.add_to_config(f'[topics.titles]\nAI = "{BIDI}"\n')
    shop.record(name, title, topics=["AI", f"Topic {BIDI}"], webUrl="nope")
    shop.record("first.md", id="same")
    shop.write(f"{name}.md", "---\ntitle: x\nid: same\n---\n")
    for arguments in (
        ("build", "--dry-run"), ("build",), ("build", "--dry-run", "--json"), ("check",), ("check", "--json"),
        ("check", "--format", "github"), ("status",), ("status", "--json"), ("feeds",), ("feeds", "--json"),
        ("feeds", "--pin"), ("preview", "ai"), ("preview", "ai", "--json"), ("explain", name),
        ("explain", name, "--json"), ("explain", f"{name}.md"), ("explain", f"none{name}"), ("preview", name),
        ("check", name), ("check", f"none{name}"), (name,), ("build", f"--{name}"), ("build", "-c", name),
    ):  # fmt: skip
        _, out, err = call(*arguments)
        assert out + err, arguments
        assert not RAW.search(out + err), arguments
    code, out, _ = call("explain", name)
    assert (code, r"Record     incoming/bad\xff\xfe\x1b[31m\u202e.md" in out) == (0, True)
    _, out, _ = call("explain", name, "--json")
    assert "\\u202e" in out
    assert json.loads(out)["title"] == title


def test_a_path_that_is_not_utf8_is_no_record(shop: Shop) -> None:
    shop.run("build")
    done = shop.run("explain", os.fsdecode(b"bad\xff\xfename.md"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no record" in done.stderr


# streams


def run_shell(shop: Shop, *arguments: str, streams: str) -> subprocess.CompletedProcess[str]:
    """A command in a shell, with these redirections."""
    line = f"{shlex.join(shop.command(*arguments))} {streams}"
    return subprocess.run(
        ["sh", "-c", line],
        check=False,
        cwd=shop.root,
        env=shop.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


STREAMS = ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("streams", STREAMS)
def test_a_build_works_whatever_its_streams_are(shop: Shop, streams: str) -> None:
    shop.record("a.md", "Story")
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    done = run_shell(shop, "build", "--strict", streams=streams)
    assert done.returncode == 1, "the record that is rejected"
    assert "Traceback" not in done.stderr
    assert run_shell(shop, "build", streams=streams).returncode == 0
    assert shop.titles() == ["Story"]
    database = (shop.data / "aggregator.db").read_bytes()
    assert b"scanned" not in database[:4096], "a message must not be written into what is opened in its place"
    assert shop.run("build").returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_data_that_could_not_be_written_exits_with_1_and_a_message(shop: Shop) -> None:
    shop.record("a.md")
    shop.run("build")
    for arguments in (("feeds", "--json"), ("status",), ("schema",), ("explain", "a.md")):
        done = run_shell(shop, *arguments, streams=">/dev/full")
        assert (done.returncode, "No space left on device" in done.stderr) == (1, True), arguments
        done = run_shell(shop, *arguments, streams=">&-")
        assert (done.returncode, "Bad file descriptor" in done.stderr) == (1, True), arguments
    assert run_shell(shop, "status", "--nope", streams=">/dev/full 2>&1").returncode == 2


def test_a_pipe_that_closes_early_changes_no_exit_code(shop: Shop) -> None:
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    shop.record("a.md", "Story")
    for arguments, code in ((("build", "--strict"), 1), (("build",), 0), (("check",), 1), (("status",), 0)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            shop.command(*arguments), check=False, cwd=shop.root, env=shop.environment(), stdout=writer, stderr=writer
        )
        os.close(writer)
        assert done.returncode == code, arguments
    assert shop.titles() == ["Story"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_service_starts_and_ends_without_a_reader_of_its_streams(shop: Shop) -> None:
    shop.record("a.md", "Story")
    shop.configure(serve="port = 0", schedule='every = "1s"')
    program = (
        "import os, runpy, sys\n"
        "for number in (1, 2):\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), number)\n"
        "sys.argv = ['aggregator', 'run']\n"
        "runpy.run_module('aggregator', run_name='__main__')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=shop.root, env=shop.environment()) as service:
        eventually((shop.output / "all" / "feed.json").exists)
        service.terminate()
        assert service.wait(60) == 0
    assert shop.titles() == ["Story"]


def test_verbose_and_quiet_set_the_level_of_the_log(shop: Shop) -> None:
    shop.configure(serve="port = 0", schedule='every = "1s"\nwatch = false')
    shop.record("a.md", "Story")
    quiet = shop.start("run", "--quiet").wait_until_done()
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    eventually(lambda: "WARNING" in quiet.log)
    assert quiet.end()[0] == 0
    assert not re.search("INFO|DEBUG", quiet.log)
    detailed = shop.start("run", "-v")
    eventually(lambda: "DEBUG scanned" in detailed.log)
    assert detailed.end()[0] == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(20, "20 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h"), (172_800, "2 d"), (0, "0 s")]
)
def test_a_span_is_shown_in_its_largest_whole_unit(seconds: int, text: str) -> None:
    assert shown_span(timedelta(seconds=seconds)) == text
