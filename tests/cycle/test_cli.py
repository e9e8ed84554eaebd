"""The commands: what they print and where, their exit codes, what they write."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from commands import Call, Shop, eventually
from conftest import holding
from object_storage import CUT, ObjectStorage, Proxy, use

from aggregator import cli
from aggregator.cli import stores
from aggregator.cli.build import build as build_command
from aggregator.files import bucket as bucket_files

NOW = "2024-06-01T12:00:00Z"
SUMMARY = re.compile(r"scanned \d+, new \d+, changed \d+, removed \d+, rejected \d+, feeds written \d+, \d+\.\d\d s\n")
COMMANDS = {
    "run": {"--config", "--host", "--port", "--open", "--verbose", "--quiet"},
    "serve": {"--config", "--verbose", "--quiet"},
    "build": {"--config", "--json", "--now", "--strict", "--dry-run", "--accept-removals"},
    "check": {"--config", "--json", "--format"},
    "status": {"--config", "--feeds", "--json"},
    "health": {"--config", "--json"},
    "feeds": {"--config", "--json", "--pin"},
    "preview": {"--config", "--json"},
    "explain": {"--config", "--json"},
    "schema": {"--config"},
    "backup": {"--config", "--json"},
    "restore": {"--config", "--json"},
    "adopt": {"--config", "--json"},
    "init": {"--config", "--from"},
}
REJECTED = "incoming/bad.md:3:12: 'published' is not true or false: 'yes please' (write true or false)"
UNFINISHED = "incoming/half.md:1:1: unfinished: front matter without an end (close it with a line '---')"
WARNING = "incoming/warn.md:3:9: warning: 'webUrl' is not an http(s) URL: 'nope' (write it in full, with https://)"


def add_problems(shop: Shop) -> None:
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    shop.write("half.md", "---\ntitle: Half", mtime=time.time())
    shop.record("warn.md", webUrl="nope")
    shop.record("fine.md", topics=["AI"])


# help and usage


def test_help_names_exactly_the_documented_commands_and_options(call: Call) -> None:
    code, text, _ = call("--help")
    listed = text.partition("Commands:")[2].partition("First steps")[0]
    assert (code, set(re.findall(r"^  (\w+) ", listed, re.MULTILINE))) == (0, set(COMMANDS))
    for command, options in COMMANDS.items():
        code, text, _ = call(command, "--help")
        assert code == 0
        assert set(re.findall(r"--[a-z-]+", text.partition("Options:")[2])) == options | {"--help"}, command


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal(call: Call, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for command in ((), *((name,) for name in COMMANDS)):
        lines = call(*command, "--help")[1].splitlines()
        assert max(map(len, lines)) <= width, command


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "--nope"),
        ("nope",),
        ("build", "--now", "yesterday"),
        ("build", "--now", "2024-06-01T12:00:00"),
        ("build", "--now", "0001-01-01T00:00:00+14:00"),
        ("run", "--host", ""),
        ("run", "--host", "a\tb"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_argument(call: Call, arguments: tuple[str, ...]) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert (repr(arguments[-1]) if arguments[-2:-1] == ("--host",) else arguments[-1]) in err


@pytest.mark.parametrize(
    ("stated", "now"),
    [
        ("2026-06-01t00:00:00z", "2026-06-01T00:00:00Z"),
        ("2026-06-30T23:59:60Z", "2026-07-01T00:00:00Z"),
        ("2026-06-01 02:00:00.5+02:00", "2026-06-01T00:00:00.500000Z"),
    ],
)
def test_the_time_of_a_build_is_one_of_rfc_3339(stated: str, now: str) -> None:
    (option,) = [option for option in build_command.params if option.name == "now"]
    assert option.type.convert(stated, None, None) == datetime.fromisoformat(now)


def test_the_module_runs_and_prints_its_version(shop: Shop) -> None:
    assert re.fullmatch(r"aggregator, version \d+\.\d+.*\n", shop.run("--version").stdout)


STARTS = [
    ("--help",), ("nope",), ("init", "there"), ("check",), ("build",), ("build", "--dry-run", "--json"), ("status",),
    ("health",), ("feeds",), ("preview", "all"), ("explain", "a.md"), ("schema",), ("backup", "second.backup"),
    ("restore", "first.backup"), ("adopt", "old.xml"), ("run", "--config", "none.toml"), ("serve", "--config", "none.toml"),
]  # fmt: skip
OLD_FEED = """<rss version="2.0"><channel><title>T</title><link>https://old.example/</link><description>D</description>
<item><title>Old story</title><link>https://news.example/b</link><guid>old-1</guid></item></channel></rss>"""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an operator with a published record, a backup, a new record and an old feed."""
    shop = Shop(tmp_path_factory.mktemp("begun") / "shop")
    shop.configure()
    shop.record("a.md", "Story", topics=["AI"])
    shop.run("build", "--now", NOW)
    shop.run("backup", "first.backup")
    shop.record("b.md", "Old story", webUrl="https://news.example/b")
    (shop.root / "old.xml").write_text(OLD_FEED)
    return shop.root


@pytest.mark.parametrize("arguments", STARTS, ids=" ".join)
def test_a_command_does_the_same_in_an_interpreter_that_has_imported_nothing(
    begun: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Most tests start commands from a process that has imported all of the program."""
    ends = []
    for name in ("a fork", "afresh"):
        shop = Shop(shutil.copytree(begun, tmp_path / name))
        before = shop.files().keys()
        done = (shop.run if name == "a fork" else shop.run_afresh)(*arguments)
        texts = [done.stdout, done.stderr, *sorted(shop.files().keys() ^ before)]
        ends.append((done.returncode, [re.sub(r"\d+", "0", text.replace(str(shop.root), "")) for text in texts]))
    assert ends[0] == ends[1]
    assert ends[0][0] == (2 if arguments[0] in ("nope", "run", "serve", "health") else 0), ends[0]


def test_a_pipe_that_closes_early_causes_no_traceback(shop: Shop) -> None:
    command = f"{' '.join(shop.command('schema'))} | head -1"
    done = subprocess.run(
        command, shell=True, check=False, cwd=shop.root, env=shop.environment(), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_terminal_without_the_characters_still_shows_the_rest(shop: Shop) -> None:
    shop.record("a.md", "Caf\N{LATIN SMALL LETTER E WITH ACUTE}", topics=["\N{GREEK SMALL LETTER ALPHA}"])
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert "+ Caf" in shop.run("build", "--dry-run", env=ascii_only).stdout
    shop.run("build", env=ascii_only)
    done = shop.run("status", env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")


# config


def test_a_missing_config_exits_with_2(call: Call) -> None:
    code, out, err = call("build", "--config", "other.toml")
    assert (code, out) == (2, "")
    assert (
        err == "other.toml: there is no such file (write one with `aggregator init`, or name another with --config)\n"
    )


@pytest.mark.parametrize("command", ["run", "serve", "build", "check", "status", "feeds"])
def test_a_broken_config_exits_with_2_and_names_line_and_column(shop: Shop, call: Call, command: str) -> None:
    shop.config.write_text('[site]\ntitel = "Feeds"\n\n[output]\nlimit = 0\n')
    code, out, err = call(command)
    data = out if command == "check" else err  # of which problems are the data
    assert code == 2
    assert data.startswith("config/aggregator.toml:2:1: unknown key: 'titel' (did you mean 'title'?)")
    assert "\nconfig/aggregator.toml:5:9: 'limit' is not a" in data


def test_without_config_a_folder_of_records_is_enough(shop: Shop) -> None:
    shop.record("a.md", "Story", topics=["AI"])
    shop.config.unlink()
    shop.config.parent.rmdir()
    done = shop.run("build")
    assert (done.returncode, shop.titles("ai")) == (0, ["Story"])


def test_without_config_and_folder_the_message_names_the_first_step(shop: Shop, call: Call) -> None:
    shop.config.unlink()
    shop.incoming.rmdir()
    code, out, err = call("build")
    assert (code, out) == (2, "")
    assert "aggregator init" in err
    assert "incoming/" in err
    assert not shop.output.exists()


def test_the_environment_overrides_the_config(shop: Shop, tmp_path: Path) -> None:
    shop.record("a.md", "Story")
    env = {
        "AGGREGATOR_STORE__URL": f"sqlite:///{tmp_path}/other/store.db",
        "AGGREGATOR_OUTPUT__PATH": str(tmp_path / "public"),
    }
    assert shop.run("build", env=env).returncode == 0
    assert (tmp_path / "other/store.db").exists()
    assert (tmp_path / "public/all/rss.xml").exists()
    assert not shop.output.exists()
    assert not shop.data.exists()


def test_init_makes_what_build_and_run_need(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "new folder")
    done = Shop(tmp_path).run("init", "new folder")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "Wrote new folder/config/aggregator.toml"
    assert "cd 'new folder' && aggregator run" in done.stdout
    again = shop.run("init")
    assert (again.returncode, again.stdout) == (2, "")
    assert "config/aggregator.toml exists already" in again.stderr
    shop.record("a.md", "Story")
    assert shop.run("build").returncode == 0
    assert shop.titles() == ["Story"]
    assert shop.run("check").stderr == "1 record: 0 errors, 0 warnings, 0 unfinished\n"


def test_init_says_which_folders_it_found(shop: Shop, call: Call) -> None:
    shop.config.unlink()
    assert call("init")[1].splitlines()[1:3] == ["Found incoming/", "Made  output/"]


def test_a_mistyped_command_names_the_right_one(call: Call) -> None:
    for name, near in (("explian", " (did you mean 'explain'?)"), ("feed", " (did you mean 'feeds'?)"), ("nope", ".")):
        code, out, err = call(name)
        assert (code, out, err.splitlines()[-1]) == (2, "", f"Error: No such command {name!r}{near}")


def test_init_that_cannot_write_leaves_no_part_of_a_config(tmp_path: Path) -> None:
    place = Shop(tmp_path / "new")
    place.root.mkdir()
    failed = place.run("init", patch="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))")

    assert failed.returncode == 2
    assert failed.stderr == "error: config/aggregator.schema.json cannot be written: File too large\n"
    assert list((place.root / "config").iterdir()) == []
    assert place.run("init").returncode == 0
    assert sorted(os.listdir(place.root / "config")) == ["aggregator.schema.json", "aggregator.toml"]


def test_init_writes_where_config_says(shop: Shop, call: Call) -> None:
    assert call("init", "there", "--config", "site.toml")[0] == 0
    assert (shop.root / "there" / "site.toml").is_file()
    schema = (shop.root / "there" / "aggregator.schema.json").read_text()
    assert schema == call("schema")[1], "the sample names it in its first line, for editors"
    assert (shop.root / "there" / "site.toml").read_text().startswith("#:schema ./aggregator.schema.json\n")
    assert call("check", "--config", "there/site.toml")[0] in (0, 2)


@pytest.mark.parametrize("name", ["output", "config"])
def test_init_names_a_file_in_the_place_of_a_folder_and_writes_no_config(shop: Shop, call: Call, name: str) -> None:
    (shop.root / "there").mkdir()
    (shop.root / "there" / name).touch()
    code, _, err = call("init", "there")
    assert (code, err) == (2, f"error: there/{name} is not a folder, and one is needed there (move it away)\n")
    (shop.root / "there" / name).unlink()
    assert call("init", "there")[0] == 0


def test_explain_and_preview_print_text_and_json(shop: Shop, call: Call) -> None:
    shop.configure(**{"[feed]": 'slug = "good"\nmin_quality = 60'})
    shop.record("a.md", "Story", topics=["AI"], quality=50)
    call("build")
    code, out, err = call("explain", "a.md")
    assert (code, err) == (0, "")
    assert re.search(r"not in +good +min_quality +config/aggregator\.toml:\d+", out)
    code, out, _ = call("explain", "a.md", "--json")
    data = json.loads(out)
    assert {"id", "path", "published", "feeds", "history"} <= data.keys()
    assert {"value", "reason", "line"} <= data["published"].keys()
    assert all({"slug", "in", "clause", "file", "line"} <= feed.keys() for feed in data["feeds"])
    assert all({"at", "what", "feed", "clause"} <= event.keys() for event in data["history"])
    new = shop.root / "new.toml"
    new.write_text(shop.config.read_text().replace("60", "40") + '[store]\nurl = "sqlite:///data/aggregator.db"\n')
    code, out, err = call("preview", "good", "--config", "new.toml")
    assert (code, err) == (0, "")
    assert re.search(r"^\+ .*Story", out, re.MULTILINE)
    data = json.loads(call("preview", "good", "--config", "new.toml", "--json")[1])
    assert ([entry["title"] for entry in data["joins"]], data["leaves"], len(data["entries"])) == (["Story"], [], 1)


def test_explain_and_preview_of_an_unknown_name_exit_with_2(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    assert call("explain", "a.md")[0] == 2
    call("build")
    assert call("explain", "b.md")[:2] == (2, "")
    assert "no such file in incoming" in call("explain", "b.md")[2]
    assert call("preview", "al")[2] == "error: there is no feed 'al' (did you mean 'all'?)\n"


def test_schema_is_json(call: Call) -> None:
    code, out, err = call("schema")
    assert (code, err) == (0, "")
    assert {"site", "records", "output"} <= json.loads(out)["properties"].keys()


# port and store


def test_a_port_in_use_exits_with_2(shop: Shop, call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        shop.configure(serve=f"port = {other.getsockname()[1]}")
        for command, keys in (("run", "serve.port or --port"), ("serve", "serve.port")):
            code, out, err = call(command)
            assert (code, out) == (2, "")
            in_use = (
                f"127.0.0.1:{other.getsockname()[1]} is in use (stop the other program, or choose another port: {keys})"
            )
            assert in_use in err


def test_a_newer_store_is_refused(shop: Shop, call: Call) -> None:
    call("build")
    with sqlite3.connect(shop.data / "aggregator.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for command in ("build", "status", "feeds"):
        code, out, err = call(command)
        assert (code, out) == (2, ""), command
        assert "newer version" in err


@pytest.mark.parametrize("command", ["build", "run"])
def test_a_command_waits_for_the_lease_and_then_names_its_holder(
    shop: Shop, call: Call, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(stores, "LEASE_WAIT_S", 0.3)
    with holding(shop.store_url):
        code, out, err = call(command)
    who = rf"process {os.getpid()} on \S+ \(aggregator.*\)"
    assert (code, out) == (2, "")
    assert re.fullmatch(
        rf"(?s)waiting for {who}\n.*error: the store is held by {who} \(stop it, or leave the work to it\)\n", err
    )


def test_an_interrupt_while_waiting_exits_with_130(shop: Shop) -> None:
    command, environment = shop.command("build"), shop.environment()
    with (
        holding(shop.store_url),
        subprocess.Popen(command, cwd=shop.root, env=environment, stderr=subprocess.PIPE, text=True) as build,
    ):
        assert build.stderr is not None
        assert build.stderr.readline().startswith("waiting for process ")
        build.send_signal(2)
        assert build.wait(60) == 130
        assert "interrupted while waiting" in build.stderr.read()


# build


def test_the_summary_is_the_only_data_and_has_its_shape(shop: Shop, call: Call) -> None:
    add_problems(shop)
    code, out, err = call("build")
    assert code == 0
    assert SUMMARY.fullmatch(out)
    assert out.startswith("scanned 4, new 2, changed 0, removed 0, rejected 1, feeds written 2, ")
    assert err.splitlines() == [REJECTED, UNFINISHED]


def test_json_of_build_has_stable_keys(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    names = "scanned new changed removed rejected feeds_written files_written seconds problems complete published"
    names += " unwritten unreadable due notices stages cut"
    assert list(json.loads(call("build", "--json")[1])) == names.split()


def test_strict_fails_on_a_rejected_record_and_not_on_an_unfinished_one(shop: Shop, call: Call) -> None:
    shop.write("half.md", "---\ntitle: Half", mtime=time.time())
    assert call("build", "--strict")[0] == 0
    add_problems(shop)
    code, out, err = call("build", "--strict")
    assert (code, REJECTED in err) == (1, True)
    assert SUMMARY.fullmatch(out)
    assert "all" in {path.name for path in shop.output.iterdir()}, "the good records are published all the same"
    assert call("build", "--strict", "--dry-run")[0] == 1


def test_a_build_fails_when_the_folder_cannot_be_read(shop: Shop, call: Call) -> None:
    shop.incoming.rmdir()
    for more in ((), ("--strict",), ("--dry-run",), ("--strict", "--dry-run")):
        code, _, err = call("build", *more)
        assert code == 1
        assert "the records folder cannot be read" in err


def test_a_corrected_record_is_published_by_the_next_build(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build")
    shop.record("bad.md", "Mended")
    assert call("build", "--strict")[0] == 0
    assert "Mended" in shop.titles()


def test_now_sets_the_clock_of_the_content(shop: Shop, call: Call) -> None:
    shop.record("a.md", "Then", publishedDateTime="2024-05-01T00:00:00Z")
    shop.record("b.md", "Later", publishedDateTime="2024-06-02T00:00:00Z")
    facts = json.loads(call("build", "--now", NOW, "--json")[1])
    assert (shop.titles(), facts["due"]) == (["Then"], "2024-06-02T00:00:00Z")
    call("build", "--now", "2024-06-02T02:00:00+02:00")
    assert shop.titles() == ["Later", "Then"]


def test_the_same_now_gives_the_same_bytes(shop: Shop, call: Call) -> None:
    for name in "abc":
        shop.record(f"{name}.md", topics=["AI", name])
    call("build", "--now", NOW)
    first = shop.files(shop.output)
    call("build", "--now", NOW)
    assert shop.files(shop.output) == first
    public = {path: body for path, body in first.items() if ".aggregator" not in path}
    for made in shop.data.iterdir():
        made.unlink()
    call("build", "--now", NOW)
    again = {path: body for path, body in shop.files(shop.output).items() if ".aggregator" not in path}
    assert again == public


def test_a_dry_run_lists_the_entries_that_join_and_leave_and_writes_nothing(shop: Shop, call: Call) -> None:
    shop.record("a.md", "Stays", topics=["AI"])
    shop.record("b.md", "Goes", topics=["AI"])
    call("build", "--now", NOW)
    (shop.incoming / "b.md").unlink()
    shop.record("c.md", "Comes", topics=["New"])
    before = shop.files()
    code, out, err = call("build", "--dry-run", "--now", NOW)
    lines = [re.sub(r"urn:uuid:[0-9a-f-]{36}", "ID", line) for line in out.splitlines()]
    assert lines == [
        "ai: 0 join, 1 leave", "  - Goes  ID",
        "all: 1 join, 1 leave", "  + Comes  ID", "  - Goes  ID",
        "new: 1 join, 0 leave", "  + Comes  ID",
    ]  # fmt: skip
    facts = json.loads(call("build", "--dry-run", "--json", "--now", NOW)[1])["feeds"]
    assert [(feed["slug"], len(feed["joins"]), len(feed["leaves"])) for feed in facts] == [
        ("ai", 0, 1), ("all", 1, 1), ("new", 1, 0)
    ]  # fmt: skip
    assert shop.files() == before
    assert (code, err) == (0, "")


def test_a_dry_run_before_the_first_build_makes_no_store(shop: Shop, call: Call) -> None:
    shop.record("a.md", "First")
    before = shop.files()
    code, out, _ = call("build", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "all: 1 join, 0 leave")
    assert shop.files() == before
    assert not shop.data.exists()
    assert not shop.output.exists()


def test_a_dry_run_needs_no_lease_and_says_when_nothing_would_change(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build", "--now", NOW)
    with holding(shop.store_url):
        database = (shop.data / "aggregator.db").read_bytes()
        code, out, err = call("build", "--dry-run", "--now", NOW)
        assert (code, out) == (0, "")
        assert err.splitlines() == [REJECTED, UNFINISHED, "no feed would change its entries"]
        assert (shop.data / "aggregator.db").read_bytes() == database
        assert "running" in call("status", "--json")[1]


def lose_most(shop: Shop) -> None:
    """Removes 25 of 30 records, which no cycle believes at once."""
    for number in range(25):
        (shop.incoming / f"{number}.md").unlink()


def test_many_removals_wait_until_they_are_accepted(shop: Shop, call: Call) -> None:
    for number in range(30):
        shop.record(f"{number}.md")
    call("build", "--now", NOW)
    lose_most(shop)
    code, out, err = call("build", "--now", NOW)
    assert (code, "removed 0" in out) == (0, True)
    assert "25 of 30 files are missing at once" in err
    assert "aggregator build --accept-removals" in err
    assert "25 of 30 files are missing at once" in " ".join(call("status")[1].split())
    assert "all: 0 join, 25 leave" in call("build", "--dry-run", "--accept-removals", "--now", NOW)[1]
    assert "removed 25" in call("build", "--accept-removals", "--now", NOW)[1]
    assert len(shop.titles()) == 5


def test_an_output_folder_that_cannot_be_written_exits_with_1(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    shop.output.write_text("in the way")
    code, _, err = call("build")
    assert (code, "cannot be written" in err) == (1, True)


def test_a_feed_that_cannot_be_written_exits_with_1_and_is_in_the_status_until_it_can(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["About", "AI"])
    page = shop.output / "about" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("Our own")
    code, out, err = call("build")
    assert (code, f"{page} is in the way of about/index.html" in err) == (1, True)
    assert SUMMARY.fullmatch(out)
    assert shop.titles("ai") == shop.titles("about") == ["a.md"]
    assert json.loads(call("build", "--json")[1])["unwritten"] == 1
    code, shown, _ = call("status")
    assert (code, "Notes" in shown) == (1, False)
    wrong = " ".join(shown.partition("Wrong (1)")[2].split())
    assert wrong.startswith("feeds could not be written in the last cycle")
    assert "is in the way of about/index.html" in wrong
    page.unlink()
    assert call("build")[0] == 0
    assert "is in the way" not in call("status")[1]


def test_a_bar_shows_progress_on_a_terminal_only(shop: Shop) -> None:
    shop.many(600)
    main, side = pty.openpty()
    with subprocess.Popen(
        shop.command("build"), cwd=shop.root, env=shop.environment(TERM="xterm"), stderr=side, stdout=subprocess.PIPE
    ) as build:
        os.close(side)
        shown = b""
        while part := _read_terminal(main):
            shown += part
        assert build.stdout is not None
        assert SUMMARY.fullmatch(build.stdout.read().decode())
    os.close(main)
    assert b"files" in shown
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode() in shown
    for path in shop.output.rglob("*.xml"):
        path.unlink()
    assert shop.run("build").stderr == ""


def _read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how a terminal says that nobody holds its other side
        return b""


# check


def test_a_warning_of_the_config_counts_for_check_and_for_a_strict_build(shop: Shop, call: Call) -> None:
    shop.record("a.md", publishedDateTime="2024-05-01T08:00:00Z")
    shop.add_to_config('[[records]]\nname = "a"\npath = "../incoming"\n[[records]]\nname = "b"\npath = "../incoming"\n')
    what = "two records folders overlap: a file in both is two entries"
    code, out, err = call("check")
    assert (code, out.count(what), err.count(what)) == (0, 1, 0)
    assert f"config/aggregator.toml:14:8: warning: {what}" in out
    assert "2 records: 0 errors, 1 warning, 0 unfinished" in err
    (problem,) = json.loads(call("check", "--json")[1])["problems"]
    assert (problem["what"], problem["kind"], problem["line"]) == (what, "warning", 14)
    assert f"::warning file=config/aggregator.toml,line=14,col=8::{what}" in call("check", "--format", "github")[1]
    assert call("build", "--strict", "--dry-run")[0] == 1
    code, out, err = call("build", "--strict", "--json")
    assert (code, f"warning: {what}" in err) == (1, True)
    (problem,) = json.loads(out)["problems"]
    assert what in problem
    assert call("build")[0] == 0


def test_check_distinguishes_errors_warnings_and_unfinished_files(shop: Shop, call: Call) -> None:
    add_problems(shop)
    before = shop.files()
    code, out, err = call("check")
    assert (code, out.splitlines()) == (1, [REJECTED, UNFINISHED, WARNING])
    assert err == "4 records: 1 error, 1 warning, 1 unfinished\n"
    assert shop.files() == before


def test_check_exits_with_0_without_errors(shop: Shop, call: Call) -> None:
    add_problems(shop)
    (shop.incoming / "bad.md").unlink()
    assert call("check")[0] == 0
    shop.configure(records='path = "../nowhere"')
    code, out, _ = call("check")
    what = "the records folder does not exist: 'nowhere' (make it, or correct path)"
    assert (code, out) == (1, f"config/aggregator.toml:8:1: {what}\n")


def test_check_wants_a_folder_back_that_has_published_entries(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    call("build")
    shutil.rmtree(shop.incoming)
    reason = "the records folder cannot be read: No such file or directory (bring it back, or correct [records] path)"
    assert call("check")[:2] == (1, f"incoming: {reason}\n")


def test_an_unfinished_file_becomes_an_error_after_a_minute(shop: Shop, call: Call) -> None:
    shop.write("half.md", "---\ntitle: Half", mtime=time.time() - 61)
    code, out, _ = call("check")
    assert (code, out) == (1, UNFINISHED.replace("unfinished: ", "") + "\n")
    call("build")
    assert [len(json.loads(call("status", "--json")[1])[kind]) for kind in ("rejected", "unfinished")] == [1, 0]


def test_check_writes_annotations_for_github(shop: Shop, call: Call) -> None:
    add_problems(shop)
    code, out, _ = call("check", "--format", "github")
    assert code == 1
    assert out.splitlines() == [
        "::error file=incoming/bad.md,line=3,col=12::'published' is not true or false: 'yes please' (write true or false)",
        "::warning file=incoming/half.md,line=1,col=1::front matter without an end (close it with a line '---')",
        "::warning file=incoming/warn.md,line=3,col=9::'webUrl' is not an http(s) URL: 'nope' (write it in full, with https://)",
    ]
    shop.config.write_text("[nope]\n")
    code, out, err = call("check", "--format", "github")
    assert code == 2
    assert out.startswith("::error file=config/aggregator.toml,line=1,col=2::unknown")
    assert err == ""


def test_json_of_check_has_stable_keys(shop: Shop, call: Call) -> None:
    add_problems(shop)
    facts = json.loads(call("check", "--json")[1])
    assert facts["records"] == 4
    assert [(problem["path"], problem["kind"]) for problem in facts["problems"]] == [
        ("incoming/bad.md", "error"),
        ("incoming/half.md", "unfinished"),
        ("incoming/warn.md", "warning"),
    ]
    for problem in facts["problems"]:
        assert list(problem) == ["path", "line", "column", "what", "value", "hint", "level", "text", "kind"]
    shop.config.write_text("[nope]\n")
    code, out, _ = call("check", "--json")
    assert (code, json.loads(out)["problems"][0]["path"]) == (2, "config/aggregator.toml")


@pytest.mark.parametrize(
    ("path", "found"),
    [("bad.md", 1), ("incoming/bad.md", 1), ("sub", 2), ("incoming/sub/", 2), ("./sub/x.md", 1), ("incoming", 3)],
)
def test_check_takes_files_and_folders_of_records(shop: Shop, call: Call, path: str, found: int) -> None:
    for name in ("bad.md", "sub/x.md", "sub/y.md", "subway.md"):
        shop.write(
            name, "---\ntitle: T\npublished: maybe\n---\n" if name != "subway.md" else "---\ntitle: T\n---\nText.\n"
        )
    code, out, _ = call("check", path)
    assert (code, len(out.splitlines())) == (1, found)
    assert all(line.startswith("incoming/") for line in out.splitlines())
    assert call("check", str(shop.incoming / "bad.md"))[0] == 1


def test_check_shows_values_that_are_not_texts(shop: Shop, call: Call) -> None:
    shop.write("a.md", "---\ntitle: T\npublished: 1.5\n---\n")
    assert call("check")[:2] == (
        1,
        "incoming/a.md:3:12: 'published' is not true or false: '1.5' (write true or false)\n",
    )
    assert json.loads(call("check", "--json")[1])["problems"][0]["value"] == "1.5"


def test_a_path_outside_of_the_records_is_an_error_of_check(shop: Shop, call: Call) -> None:
    for path, what in (
        ("nowhere.md", "does not exist"),
        ("config/aggregator.toml", "is in no records folder"),
        ("../x", "does not exist"),
    ):
        code, out, _ = call("check", path)
        assert code == 1
        assert out.startswith(f"{path}:")
        assert what in out


@pytest.mark.parametrize(
    "path",
    "linked linked/a.md away.md .hidden .hidden/a.md a.txt a.MD out.md empty incoming/empty/".split(),
)
def test_a_path_that_gives_check_no_file_is_an_error(shop: Shop, call: Call, path: str) -> None:
    shop.record("a.md")
    shop.configure(records='exclude = ["out.*"]')
    for name in (".hidden/a.md", "a.txt", "a.MD", "out.md"):
        shop.write(name, "---\ntitle: T\n---\n")
    (shop.incoming / "empty").mkdir()
    (shop.root / "elsewhere").mkdir()
    (shop.root / "elsewhere" / "a.md").write_text("---\ntitle: T\n---\n")
    (shop.incoming / "linked").symlink_to(shop.root / "elsewhere")
    (shop.incoming / "away.md").symlink_to(shop.root / "elsewhere" / "a.md")
    code, out, err = call("check", path)
    assert code in (1, 2)
    assert path.strip("/") in out + err
    assert call("check")[0] == 0


def test_check_names_the_other_record_of_an_id(shop: Shop, call: Call) -> None:
    shop.record("a.md", id="same")
    shop.record("b.md", id="same")
    code, out, _ = call("check")
    assert (code, out) == (
        1, "incoming/b.md:3:5: 'id' belongs to the entry of a.md, which keeps it: 'same' (give this record another id)\n"
    )  # fmt: skip


def test_check_says_what_an_entry_keeps_whatever_its_record_says(shop: Shop, call: Call) -> None:
    shop.configure(site='id = "feeds.example.org"\ntimezone = "Europe/Berlin"')
    dates = {
        "day.md": ("2024-03-20T10:00:00Z", "2024-03-27T10:00:00Z"),
        "hour.md": ("2024-03-20T10:00:00Z", "2024-03-20T20:00:00Z"),
        "zone.md": ("2024-03-20T00:00:00-05:00", "2024-03-21"),
        "next.md": ("2024-03-20", "2024-03-21"),
        "none.md": (None, "2024-03-20"),
        "future.md": ("2024-03-20T10:00:00Z", "2999-01-01T00:00:00Z"),
        "hidden.md": ("2024-03-20T10:00:00Z", "2024-03-27T10:00:00Z"),
    }
    for name, (date, _) in dates.items():
        shop.record(name, publishedDateTime=date)
    shop.record("id.md", id="one")
    shop.record("taken.md")
    assert call("build")[0] == 0
    for name, (_, date) in dates.items():
        shop.record(name, publishedDateTime=date, draft=name == "hidden.md")
    shop.record("id.md", id="two")
    shop.record("taken.md", id="one")
    assert call("build")[0] == 0
    (warning,) = [item for item in json.loads(call("status", "--json")[1])["warnings"] if "public" in item["what"]]
    assert warning["text"].endswith("before: '2999-01-01T00:00:00Z' (draft: true hides it)")
    code, out, _ = call("check")
    lines = sorted(line for line in out.splitlines() if "no time zone" not in line)
    seen = "warning: readers see {}, as at the release: '{}' (a date that changed has no effect)"
    early = "the record is public in spite of its date, because it was released before"
    keeps = "warning: 'id' has no effect, because the entry keeps the id that it was stored with: 'two'"
    assert (code, lines) == (
        0,
        [
            f"incoming/day.md:3:1: {seen.format('2024-03-20', '2024-03-27')}",
            f"incoming/future.md:3:1: warning: {early}: '2999-01-01T00:00:00Z' (draft: true hides it)",
            f"incoming/id.md:3:1: {keeps} (only a new record gets its id from it)",
            f"incoming/next.md:3:1: {seen.format('2024-03-20', '2024-03-21')}",
            f"incoming/none.md:3:1: {seen.format('no date', '2024-03-20')}",
        ],
    )
    assert call("check", "day.md")[1].splitlines() == lines[:1]


def test_check_counts_many_records_that_differ_from_their_entries(shop: Shop, call: Call) -> None:
    shop.configure(records="")
    for number in range(30):
        shop.record(f"{number:02}.md", publishedDateTime="2024-03-20T10:00:00Z")
    assert call("build")[0] == 0
    for number in range(30):
        shop.record(f"{number:02}.md", publishedDateTime="2024-03-27T10:00:00Z")
    what = "readers see 2024-03-20, as at the release; so it is with 29 more records: '2024-03-27'"
    text = f"incoming/00.md:3:1: warning: {what} (a date that changed has no effect)\n"
    assert call("check")[:2] == (0, text)
    shop.configure(records="default_published = false")
    what = "a flag or default_published hides the record, and 29 more of 30 published ones"
    assert f"incoming/00.md: warning: {what} (the next cycle withdraws their entries)\n" in call("check")[1]
    assert "hides the record" not in call("check", *(f"{number:02}.md" for number in range(25)))[1], "not the source"


def test_check_names_a_source_that_is_gone_with_its_entries(shop: Shop, call: Call) -> None:
    shop.configure()
    shop.add_to_config('[[records]]\npath = "../incoming"\n[[records]]\nname = "two"\npath = "../two"\n')
    shop.record("a.md")
    (shop.root / "two").mkdir()
    (shop.root / "two/z.md").write_text("---\ntitle: Z\n---\nText.\n")
    assert call("build")[0] == 0
    shop.configure()
    what = "no [[records]] has this name any more; its 1 published entry would be withdrawn after removal_grace: 'two'"
    assert call("check")[:2] == (0, f"config/aggregator.toml: warning: {what} (put it back if that is not meant)\n")


# status and feeds


@pytest.mark.parametrize("command", ["status", "feeds"])
def test_status_and_feeds_before_the_first_build_exit_with_2(shop: Shop, call: Call, command: str) -> None:
    code, out, err = call(command)
    assert (code, out) == (2, "")
    assert "run: aggregator build" in err
    assert not shop.data.exists()


def test_status_lists_problems_with_paths_that_can_be_opened(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build")
    code, out, err = call("status", "--feeds")
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines()]
    assert {REJECTED, UNFINISHED.replace("unfinished: ", ""), WARNING.replace("warning: ", "")} <= set(lines)
    assert {"Rejected (1)", "Unfinished (1)", "Warnings (1)"} <= set(lines)
    assert "Service     not running" in lines
    assert any(re.fullmatch(r"ai +AI +1 +– +\d+ s ago", line) for line in lines)


def test_status_says_which_feed_changed_last_and_which_longest_ago(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["AI"], publishedDateTime="2024-05-01T08:00:00Z")
    call("build", "--now", "2024-05-01T12:00:00Z")
    shop.record("b.md", topics=["Maps"], publishedDateTime="2024-05-02T08:00:00Z")
    call("build", "--now", "2024-05-02T12:00:00Z")
    (line,) = [line for line in call("status")[1].splitlines() if line.startswith("Feeds")]
    assert re.fullmatch(
        r"Feeds +3; last changed: (all|maps) \(\S+ \w+ ago\); unchanged longest: ai \(\S+ \w+ ago\) *", line
    )


def test_status_says_that_a_change_in_the_future_is_of_a_wrong_clock(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    assert call("build", "--now", "2999-05-01T12:00:00Z")[0] == 0
    (line,) = [line for line in call("status")[1].splitlines() if line.startswith("Feeds")]
    assert re.fullmatch(r"Feeds +1; last changed: all \(\d+ years in the future: the clock was ahead\) *", line)


def test_status_marks_a_stale_entry(shop: Shop, call: Call) -> None:
    shop.record("a.md", "Out")
    call("build")
    shop.write("a.md", "no front matter")
    call("build")
    facts = json.loads(call("status", "--json")[1])
    assert [(file["path"], file["stale"]) for file in facts["rejected"]] == [("incoming/a.md", True)]
    assert shop.titles() == ["Out"]
    assert "still published" in call("status")[1]


def test_json_of_status_has_stable_keys(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build")
    facts = json.loads(call("status", "--json")[1])
    assert list(facts) == (
        "site_id running last_cycle next_cycle next_due config entries problems rejected unfinished warnings feeds"
        " advice wrong records scheduled mean_stages statistics websub".split()
    )
    assert list(facts["last_cycle"]) == (
        "at seconds error scanned new changed removed rejected feeds_written files_written problems complete published"
        " unwritten unreadable stages cut".split()
    )
    assert facts["entries"] == {"published": 2, "scheduled": 0, "hidden": 0, "withdrawn": 0}
    assert (facts["running"], facts["next_cycle"]) == (None, None)


def test_a_site_id_that_only_the_store_has_is_a_warning(shop: Shop, call: Call) -> None:
    shop.configure(site='title = "No id"')
    for command in ("build", "check", "status"):
        code, out, err = call(command)
        assert code == 0
        assert 'id = "127.0.0.1"' in " ".join((out + err).split()), command


def shown_on_terminal(shop: Shop, *arguments: str, width: int = 80, **environment: str) -> str:
    """What a command prints on a terminal."""
    main, side = pty.openpty()
    variables = shop.environment(**{"COLUMNS": str(width), "TERM": "dumb"} | environment)
    subprocess.run(shop.command(*arguments), cwd=shop.root, env=variables, stdout=side, check=False)
    os.close(side)
    shown = b""
    while part := _read_terminal(main):
        shown += part
    os.close(main)
    return shown.decode().replace("\r\n", "\n")


def test_status_and_feeds_fit_the_terminal(shop: Shop) -> None:
    add_problems(shop)
    shop.record("long.md", "Long", topics=["A topic whose name is longer than any sensible name of a topic should be"])
    shop.run("build")
    for arguments, width in ((("status", "--feeds"), 80), (("feeds",), 80), (("status",), 80), (("status",), 120)):
        lines = shown_on_terminal(shop, *arguments, width=width).splitlines()
        assert max(len(line) for line in lines if "http://127" not in line) <= width


def test_feeds_never_breaks_a_url(shop: Shop, call: Call) -> None:
    topic = "A topic whose name is longer than any sensible name of a topic should be"
    shop.record("long.md", topics=[topic], publishedDateTime="2024-05-01T10:00:00Z")
    call("build", "--now", NOW)
    url = json.loads(call("feeds", "--json")[1])[1]["url"]
    assert len(url) > 80
    lines = shown_on_terminal(shop, "feeds").splitlines()
    assert lines == [
        f"Feeds{'1, newest 2024-05-01 10:00:00+00:00':>75}",
        "  http://127.0.0.1:8000/all/rss.xml",
        topic,
        f"{'1, newest 2024-05-01 10:00:00+00:00':>80}",
        f"  {url}",
    ]
    assert any(line.endswith(f" {url}") for line in call("feeds")[1].splitlines())
    assert any(line.endswith(f" {url}") for line in shown_on_terminal(shop, "feeds", width=240).splitlines())


def test_colours_are_only_for_terminals_that_want_them(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build")
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    for command in ("status", "check", "explain bad.md"):
        arguments = command.split()
        assert colour.search(shown_on_terminal(shop, *arguments, TERM="xterm")), command
        assert not colour.search(shown_on_terminal(shop, *arguments, TERM="xterm", NO_COLOR="1")), command
        assert "\x1b" not in call(*arguments)[1], command


def test_a_line_that_may_be_shown_is_below_its_problem(shop: Shop, call: Call) -> None:
    add_problems(shop)
    shop.write("secret.md", "---\ntitle: {a: secret\n---\n")
    call("build")
    quote = ["published: yes please", "           ^"]
    lines = [line.rstrip() for line in call("status")[1].splitlines()]
    place = lines.index(f"    {quote[0]}")
    assert lines[place + 1] == f"    {quote[1]}"
    assert lines[place - 1].strip() == REJECTED
    on_terminal = shown_on_terminal(shop, "check", width=200).splitlines()
    place = on_terminal.index(REJECTED)
    assert [line.rstrip() for line in on_terminal[place + 1 : place + 3]] == [f"  {line}" for line in quote]
    assert quote[0] not in call("check")[1], "one line for each problem, for programs"
    assert "{a:" not in "".join((*lines, *on_terminal))


def test_text_for_a_file_has_no_spaces_at_line_ends(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build")
    for command in ("status", "feeds"):
        assert [line for line in call(command)[1].splitlines() if line != line.rstrip()] == []


def test_feeds_lists_slug_title_entries_newest_and_url(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["Power Apps"], publishedDateTime="2024-05-01T10:00:00Z")
    call("build", "--now", NOW)
    facts = json.loads(call("feeds", "--json")[1])
    assert facts[1] == {
        "slug": "power-apps",
        "title": "Power Apps",
        "entries": 1,
        "newest": "2024-05-01T10:00:00Z",
        "updated": facts[1]["updated"],
        "url": "http://127.0.0.1:8000/power-apps/rss.xml",
    }
    row = next(line for line in call("feeds")[1].splitlines() if "power-apps" in line)
    assert row.split("  ")[0].strip() == "power-apps"
    assert "2024-05-01 10:00:00" in row
    assert "http://127.0.0.1:8000/power-apps/rss.xml" in row


# topics


def test_check_warns_of_topics_and_feeds_that_are_likely_mistakes(shop: Shop, call: Call) -> None:
    shop.configure()
    shop.add_to_config(
        '[topics.alias]\n"A.I." = "AI"\n"Agents" = "AI agents"\n[topics.titles]\nMapps = "M"\n'
        '[[feed]]\nslug = "x"\ntopics = { any = ["AI", "Power App"], none = ["Carz"] }\n'
        '[[feed]]\nslug = "y"\ntopics.any = ["ai agents"]\n'
    )
    shop.record("a.md", topics=["A.I.", "Power Apps", "C", "Version 1"])
    shop.record("b.md", topics=["Power-Apps", "C#", "Version 2"], published=True)
    shop.record("c.md", topics=["Power Apps", "C"], published=False)
    first = len(shop.config.read_text().splitlines()) - 10
    code, out, err = call("check")
    assert (code, err) == (0, "3 records: 0 errors, 9 warnings, 0 unfinished\n")
    assert out.splitlines() == [
        f"config/aggregator.toml:{first + 2}:1: warning: no record has the topic: 'Agents' (check its spelling)",
        f"config/aggregator.toml:{first + 2}:12: warning: no record has the topic: 'AI agents' (check its spelling)",
        f"config/aggregator.toml:{first + 4}:1: warning: no record has the topic: 'Mapps' (check its spelling)",
        (
            f"config/aggregator.toml:{first + 7}:25: warning: no record has the topic: 'Power App' "
            '(did you mean "Power Apps"?)'
        ),
        f"config/aggregator.toml:{first + 7}:47: warning: no record has the topic: 'Carz' (check its spelling)",
        (
            f"config/aggregator.toml:{first + 9}:8: warning: no published record is in the feed: 'y' "
            "(check its clauses; no record meets all of them)"
        ),
        f"config/aggregator.toml:{first + 10}:15: warning: no record has the topic: 'ai agents' (check its spelling)",
        (
            'incoming/b.md:3:1: warning: the topic differs by one letter from "Power Apps", which 2 records have: '
            "'Power-Apps' "
            '(write the same, or add "Power-Apps" = "Power Apps" below [topics.alias])'
        ),
        (
            "incoming/b.md:3:1: warning: the slug c belongs to the topic \"C\", so this topic gets a suffix: 'C#' "
            '(choose one: "C#" = … below [topics.slugs])'
        ),
    ]


def test_check_warns_of_topics_that_look_alike(shop: Shop, call: Call) -> None:
    shop.configure()
    shop.record("a.md", topics=["AI"])
    shop.record("b.md", topics=["AI\u200b"])
    shop.record("c.md", topics=["AI"])
    (line,) = call("check")[1].splitlines()
    assert 'b.md:3:1: warning: the topic differs only by what nobody can see from "AI", which 2 records have' in line


def test_check_warns_of_topics_with_equal_slugs_unless_they_are_pinned(shop: Shop, call: Call) -> None:
    shop.configure()
    shop.record("a.md", topics=["C", "All"], published=True)
    shop.record("b.md", topics=["C#"], published=True)
    shop.record("c.md", topics=["C++"], published=False)
    assert call("check")[1].splitlines() == [
        (
            "incoming/a.md:3:1: warning: the slug all is reserved, so this topic gets a suffix: 'All' "
            '(choose one: "All" = … below [topics.slugs])'
        ),
        (
            "incoming/b.md:3:1: warning: the slug c belongs to the topic \"C\", so this topic gets a suffix: 'C#' "
            '(choose one: "C#" = … below [topics.slugs])'
        ),
    ]
    shop.add_to_config('[topics.slugs]\n"C#" = "c-sharp"\nall = "everything"\n')
    assert call("check")[1] == ""
    assert call("check", "b.md")[1] == ""


def test_pin_prints_a_table_that_the_config_takes(shop: Shop, call: Call) -> None:
    shop.configure()
    shop.record("a.md", topics=["C#", 'Say "hi"', "日本語"])
    assert call("build")[0] == 0
    code, out, err = call("feeds", "--pin")
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == ["[topics.slugs]", '"C#" = "c"', '"Say \\"hi\\"" = "say-hi"']
    before = shop.files(shop.output)
    shop.add_to_config(out)
    assert call("build")[0] == 0
    assert shop.files(shop.output) == before
    assert call("feeds", "--pin")[1] == out
    assert json.loads(call("feeds", "--pin", "--json")[1])["C#"] == "c"


# which config


def test_the_config_is_named_before_or_after_the_command_or_in_the_environment(
    shop: Shop, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("before", "after", "variable"):
        (shop.root / f"{name}.toml").write_text(f'[nope]\nname = "{name}"\n')
    monkeypatch.setenv("AGGREGATOR_CONFIG", "variable.toml")
    for arguments, named in (
        (("check",), "variable"),
        (("-c", "before.toml", "check"), "before"),
        (("--config", "before.toml", "check"), "before"),
        (("check", "-c", "after.toml"), "after"),
        (("-c", "before.toml", "check", "--config", "after.toml"), "after"),
    ):
        code, out, _ = call(*arguments)
        assert (code, out.partition(":")[0]) == (2, f"{named}.toml"), arguments
    monkeypatch.setenv("AGGREGATOR_CONFIG", "")
    assert call("check")[0] == 0, "an empty variable names none"
    assert call("-V")[1] == call("--version")[1]


def test_a_dangling_link_as_config_does_not_select_the_defaults(shop: Shop, call: Call) -> None:
    shop.config.unlink()
    shop.config.symlink_to("gone.toml")
    for command in ("build", "status", "check", "run"):
        code, out, err = call(command)
        assert code == 2
        assert (out if command == "check" else err) == (
            "config/aggregator.toml: the link leads to no file (remove it, or put the file there)\n"
        )
    assert not shop.output.exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge", "array", "table", "key", "header"])
def test_a_config_that_is_no_readable_toml_exits_with_2_at_once(shop: Shop, call: Call, kind: str) -> None:
    shop.config.unlink()
    deep = 10_000
    if kind == "pipe":
        os.mkfifo(shop.config)
    elif kind == "device":
        shop.config.symlink_to("/dev/zero")
    elif kind == "folder":
        shop.config.mkdir()
    elif kind == "huge":
        with shop.config.open("wb") as file:
            file.truncate(100_000_000)
    else:
        shop.config.write_text({
            "array": f"title = {'[' * deep}{']' * deep}",
            "table": f"[site]\ntitle = {'{a = ' * deep}1{'}' * deep}",
            "key": f"[site]\n{'.'.join(['a'] * 10 * deep)} = 1",
            "header": f"[{' . '.join(['a'] * deep)}]\nb = 1",
        }[kind])  # fmt: skip
    began = time.monotonic()
    for command in ("build", "status"):
        code, out, err = call(command)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"config/aggregator\.toml: .* \(.*\)\n", err), err
    assert time.monotonic() - began < 60  # what is not linear takes minutes


def test_a_removed_working_folder_exits_with_2_and_a_hint(shop: Shop) -> None:
    for arguments in (("build",), ("check",), ("init",), ("build", "-c", str(shop.config))):
        line = f"mkdir gone && cd gone && rmdir ../gone && exec {' '.join(shop.command(*arguments))}"
        environment = shop.environment(PYTHONPATH=str(Path(cli.__file__).parents[2]))
        done = subprocess.run(
            ["sh", "-c", line], check=False, cwd=shop.root, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: the working folder cannot be used: "), done.stderr


def test_a_store_that_was_written_with_a_config_refuses_the_defaults(shop: Shop, call: Call) -> None:
    shop.add_to_config('[[feed]]\nslug = "good"\nmin_quality = 60\n')
    shop.record("a.md", "Story", quality=70)
    assert call("build")[0] == 0
    before = shop.files(shop.output)
    shop.config.rename(shop.root / "kept.toml")
    for command in (("build",), ("build", "--dry-run")):
        code, out, err = call(*command)
        assert (code, out) == (2, "")
        assert f"the config {shop.config}, which was not found" in err
    assert call("check")[0] == 1
    code, out, _ = call("status")
    assert (code, f"{shop.config}, which was not found" in " ".join(out.split())) == (1, True)
    assert shop.files(shop.output) == before
    (shop.root / "kept.toml").rename(shop.config)
    assert call("build")[0] == 0
    assert shop.titles("good") == ["Story"]


@pytest.mark.parametrize("left", ["", " \n\n", "# [[feed]]\n"])
def test_a_config_that_was_emptied_is_refused_by_every_command_that_would_use_it(
    shop: Shop, call: Call, left: str
) -> None:
    text = f'{shop.config.read_text()}[[feed]]\nslug = "good"\nmin_quality = 60\n'
    shop.config.write_text(text)
    shop.record("a.md", "Story", quality=70)
    assert call("build")[0] == 0
    before = shop.files(shop.output)
    shop.config.write_text(left)
    why = "is empty, and the last one had the tables feed, ingest, schedule, serve, site: "
    for command in (("build",), ("build", "--dry-run"), ("preview", "good")):
        code, out, err = call(*command)
        assert (code, out, why in err, err.count("aggregator.toml")) == (2, "", True, 1), err
    code, out, _ = call("check")
    assert out.count("aggregator.toml") == 1
    assert (code, out.startswith("config/aggregator.toml: the config"), why in out) == (1, True, True)
    code, out, _ = call("status")
    assert (code, why in " ".join(out.split())) == (1, True)
    assert shop.files(shop.output) == before
    shop.config.write_text("[site]\n")  # the defaults, on purpose
    assert call("build")[0] == 0
    assert not (shop.output / "good").exists()


def test_a_config_that_never_had_a_table_is_as_good_as_none(shop: Shop, call: Call) -> None:
    shop.record("a.md", "Story", topics=["AI"])
    for text in ("", "# to do\n", ""):
        shop.config.write_text(text)
        assert call("build")[0] == 0
        assert call("check")[0] == 0
    assert shop.titles("ai") == ["Story"]


def test_check_says_before_the_first_build_that_the_id_is_that_of_others(shop: Shop, call: Call) -> None:
    what = "there is no site.id, so all ids would be made from '127.0.0.1', as on other machines"
    shop.config.write_text("[serve]\nport = 8000\n")
    own = "before the first build: write an id of your own below [site]"
    assert call("check")[2].splitlines()[0] == f"config/aggregator.toml: {what} ({own})"
    shop.config.unlink()
    own = "before the first build: aggregator init writes a config with an id"
    assert call("check")[2].splitlines()[1] == f"{what} ({own})"
    call("build")
    assert "only the store knows it" in call("check")[2]


def test_init_takes_over_the_id_of_the_store(shop: Shop, call: Call) -> None:
    shop.config.unlink()
    shop.record("a.md", "Story")
    assert call("build")[0] == 0
    items = shop.items()
    code, out, err = call("init")
    assert (code, err) == (0, "")
    assert "'127.0.0.1'" in out
    assert 'id = "127.0.0.1"' in shop.config.read_text()
    assert call("build")[0] == 0
    assert shop.items() == items
    assert call("init", "elsewhere")[0] == 0
    assert 'id = "127.0.0.1"' not in (shop.root / "elsewhere/config/aggregator.toml").read_text()


# what is wrong, and its exit code


def test_build_and_check_report_an_unreadable_folder_inside_a_records_folder(shop: Shop, call: Call) -> None:
    shop.record("a.md", "Story")
    deep = shop.incoming
    for _ in range(7):
        deep = deep / ("d" * 240)
        os.mkdir(deep)
    (deep / "x.md").write_text("---\ntitle: Deep\n---\n")
    code, out, err = call("check")
    assert (code, "cannot be read: its path is over 1500 bytes" in out) == (1, True)
    assert "(no record below it is read; shorten it)" in out
    assert max(map(len, out.splitlines())) < 500
    assert "1 record: 1 error" in err
    assert call("build")[0] == 1
    code, out, _ = call("status")
    assert code == 1
    assert "folders of records could not be read in the last cycle\n" in out.partition("Wrong (1)\n")[2]
    assert shop.titles() == ["Story"]


def test_status_exits_with_1_while_the_records_folder_is_missing_and_ends_with_the_reason(
    shop: Shop, call: Call
) -> None:
    shop.write("bad.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    assert call("build")[0] == 0
    assert call("status")[0] == 0
    (shop.incoming / "bad.md").unlink()
    shop.incoming.rmdir()
    for build in (False, True):
        if build:
            assert call("build")[0] == 1
        code, out, _ = call("status")
        assert code == 1
        assert "the records folder cannot be read: No such file or directory" in out.splitlines()[-1]
        data = json.loads(call("status", "--json")[1])
        assert (len(data["wrong"]), "cannot be read" in data["problems"][0]) == (1, True)
    shop.incoming.mkdir()
    assert call("build", "--accept-removals")[0] == 0
    assert call("status")[0] == 0


def test_status_exits_with_1_after_a_failed_cycle(shop: Shop, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from aggregator.cycle.pipeline import Pipeline
    from aggregator.errors import StoreError

    assert call("build")[0] == 0
    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "update_store", Mock(side_effect=StoreError("the disk is full")))
        assert call("build")[0] == 2
    code, out, _ = call("status")
    assert (code, out.splitlines()[-1].strip()) == (1, "the last cycle failed: the disk is full")


def test_status_lists_what_is_wrong_after_the_feeds(shop: Shop, call: Call) -> None:
    add_problems(shop)
    call("build")
    out = call("status")[1]
    assert not re.search(r"^Feeds *$", out, re.MULTILINE)
    out = call("status", "--feeds")[1]
    assert re.search(r"^Feeds *$", out, re.MULTILINE)
    order = ["Last cycle", "Feeds", "Warnings (1)", "Unfinished (1)", "Rejected (1)"]
    assert sorted(order, key=out.index) == order


def test_people_read_times_with_their_offset(shop: Shop, call: Call) -> None:
    shop.configure(site='id = "feeds.example.org"\ntimezone = "Europe/Berlin"')
    shop.record("a.md", topics=["AI"], publishedDateTime="2024-05-01T10:00:00Z")
    shop.record("later.md", publishedDateTime="2031-01-01T10:00:00Z")
    call("build", "--now", NOW)
    for command in ("feeds", "status --feeds", "explain a.md", "preview ai", "explain later.md"):
        out = call(*command.split())[1]
        assert ("2031-01-01 11:00:00+01:00" if "later" in command else "2024-05-01 12:00:00+02:00") in out, command
        assert re.findall(r"\d\d:\d\d:\d\d(?![+-]\d\d:\d\d|Z)", out) == [], command


# what check finds


def test_check_reports_another_site_id_and_another_port(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    call("build")
    shop.configure(site='id = "other.example.org"', serve="port = 8001")
    code, out, _ = call("check")
    assert code == 1
    assert out.splitlines() == [
        (
            "config/aggregator.toml:2:1: 'id' is not the id in the store, 'feeds.example.org': a run is refused,"
            " because all ids would change: 'other.example.org' (write id = \"feeds.example.org\")"
        ),
        (
            "config/aggregator.toml:4:1: warning: base_url is http://127.0.0.1:8000/, but the service listens on port"
            ' 8001 (write below [site]: base_url = "http://127.0.0.1:8001/", or let it listen on port 8000)'
        ),
    ]
    assert call("check", "a.md")[0] == 0, "a single record has nothing to do with it"
    shop.configure(site='id = "feeds.example.org"\nbase_url = "http://127.0.0.1:8001/"', serve="port = 8001")
    assert call("check")[:2] == (0, "")


RENAMED = "the store holds records of a source with name = 'news', which the config does not have"


def rename_source(shop: Shop, call: Call) -> None:
    """Builds with a source `news`, and gives it another name then."""
    text = shop.config.read_text()
    shop.config.write_text(f'{text}[[records]]\nname = "news"\npath = "../incoming"\n')
    shop.record("a.md")
    assert call("build")[0] == 0
    shop.config.write_text(f'{text}[[records]]\npath = "../incoming"\nname = "new"\n')


def test_check_reports_a_renamed_source_as_a_build_does(shop: Shop, call: Call) -> None:
    rename_source(shop, call)
    code, out, _ = call("check")
    assert (code, out.startswith(f"config/aggregator.toml:11:1: {RENAMED}")) == (1, True), out
    assert RENAMED in call("build")[2]
    assert call("check", "a.md")[0] == 0, "a single record has nothing to do with it"


def test_status_reports_a_config_that_the_store_contradicts(shop: Shop, call: Call) -> None:
    rename_source(shop, call)
    code, out, _ = call("status")
    assert (code, " ".join(out.split()).count(RENAMED), "stays active" in out) == (1, 1, False), out
    shop.configure(site='id = "other.example.org"')
    why = "the ids in the store are made from 'feeds.example.org'"
    code, out, _ = call("status", "--json")
    facts = json.loads(out)
    assert (code, facts["config"]["active"]) == (1, None)
    assert [[why in text for text in facts["wrong"]], why in facts["config"]["refused"][0]["text"]] == [[True], True]


@pytest.mark.parametrize(
    ("base_url", "right"),
    [
        ("http://[::1]/feeds/", "http://[::1]:8001/feeds/"),
        ("http://localhost:8000/", "http://localhost:8001/"),
        ("https://localhost/", None),
        ("https://feeds.localhost:8443/", None),
    ],
)
def test_check_compares_the_port_unless_a_proxy_has_it(
    shop: Shop, call: Call, base_url: str, right: str | None
) -> None:
    shop.configure(site=f'id = "feeds.example.org"\nbase_url = "{base_url}"', serve="port = 8001")
    code, out, _ = call("check")
    assert (code, re.findall('base_url = "(.+?)"', out)) == (0, [right] if right else [])


def test_check_names_each_path_that_gives_no_file_and_checks_the_others(shop: Shop, call: Call) -> None:
    shop.record("a.md", published="maybe")
    hint = "(name a record, or a folder in a records folder)"
    code, out, err = call("check", "gone.md", "a.md", "config/aggregator.toml")
    assert (code, out.splitlines()[:2]) == (
        1,
        [f"gone.md: does not exist {hint}", f"config/aggregator.toml: is in no records folder {hint}"],
    )
    assert "'published' is not true or false" in out
    assert err == "1 record: 3 errors, 0 warnings, 0 unfinished\n"


def test_check_warns_of_the_id_of_the_sample_until_ids_are_minted(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    for base_url, advised in (
        ("https://news.example.net/", ["news.example.net"]),
        ("https://feeds.example.org/", []),
        ("http://127.0.0.1:8000/", []),
    ):
        shop.configure(site=f'id = "feeds.example.org"\nbase_url = "{base_url}"')
        code, _, err = call("check")
        assert (code, re.findall('that of the sample.+id = "(.+?)"', err)) == (0, advised)
    shop.configure(site='id = "feeds.example.org"\nbase_url = "https://news.example.net/"')
    assert call("build")[2] == ""
    assert "sample" not in call("check")[2]


def test_check_warns_with_the_id_that_the_store_has(shop: Shop, call: Call) -> None:
    shop.configure(site='base_url = "https://old.example.org/"')
    shop.record("a.md")
    assert call("build")[2] == ""
    shop.configure(site='base_url = "https://new.example.org/"')
    for command in ("check", "status", "build"):
        code, out, err = call(command)
        assert (code, 'id = "old.example.org"' in " ".join((out + err).split())) == (0, True), command


def test_check_names_a_store_that_is_damaged_and_checks_everything_else(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    shop.data.mkdir()
    (shop.data / "aggregator.db").write_text("no database at all, but long enough to be looked at as one" * 20)
    code, out, err = call("check")
    assert code == 1
    assert "file is not a database (stop the service and put back a backup: aggregator restore FILE" in out
    assert "the config was not compared with the store" in err
    assert "1 record: 1 error" in err


def make_other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (name TEXT)")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (make_other_database, "it has the tables of another program (correct store.url)"),
        (os.mkfifo, "it is no regular file (correct store.url)"),
        (lambda path: path.write_text("[a]\nb = 1\n"), "the file is not a database (stop the service and put back"),
    ],
)
def test_a_file_of_others_is_not_taken_for_the_store(
    shop: Shop, call: Call, make: Callable[[Path], object], what: str
) -> None:
    shop.record("a.md")
    shop.data.mkdir()
    file = shop.data / "aggregator.db"
    make(file)
    file.chmod(0o644)
    before = (file.stat(), file.is_fifo() or file.read_bytes())
    line = f"store.url names {file}, which is no store: {what}"
    code, out, _ = call("check")
    assert (code, line in out) == (1, True), out
    for command in ("build", "run", "status"):
        code, _, err = call(command)
        assert (code, line in err) == (2, True), err
    assert [path.name for path in shop.data.iterdir()] == [file.name]
    after = (file.stat(), file.is_fifo() or file.read_bytes())
    assert after[1] == before[1]
    assert (after[0].st_mode, after[0].st_mtime_ns) == (before[0].st_mode, before[0].st_mtime_ns)


@pytest.mark.parametrize("port", ["80x", "65536", "-1"])
def test_a_port_that_is_none_is_said_to_be_none(shop: Shop, call: Call, port: str) -> None:
    code, _, err = call("run", "--port", port)
    assert (code, f"{port!r} is not a port (write a number from 0 to 65535)" in err) == (2, True), err


def test_check_warns_of_a_record_of_which_a_reader_sees_only_the_title(shop: Shop, call: Call) -> None:
    shop.write("a.md", "---\ntitle: A\ntopics: [AI]\n---\n")
    shop.write("b.md", "---\ntitle: B\n---\nText.\n")
    shop.write("c.md", "---\ntitle: C\nwebUrl: https://c.example/\n---\n")
    shop.write("d.md", "---\ntitle: D\npublished: false\n---\n")
    code, out, _ = call("check")
    line = "incoming/a.md:1:1: warning: a reader sees only the title (add 'excerpt' or 'webUrl', or write a body)"
    assert (code, out.splitlines()) == (0, [line])


LONG = "The start.\n\n" + "And so on, *without* an end. " * 10
MORE_TEXT = "no link and more text than readers see"


def put_long(shop: Shop, *names: str, **fields: object) -> None:
    """Records whose bodies have more than their first paragraph."""
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())
    for name in names:
        shop.write(name, f"---\ntitle: {name}\n{lines}---\n{LONG}")


@pytest.mark.parametrize("preset", ["smartable", "hugo", "jekyll"])
def test_check_warns_of_records_whose_text_can_be_read_nowhere(shop: Shop, call: Call, preset: str) -> None:
    put_long(shop, "_posts/2024-05-01-a.md", "_posts/2024-05-02-b.md", date="2024-05-01", topics=["AI"])
    shop.configure(records=f'preset = "{preset}"', output="limit = 20")
    code, out, _ = call("check")
    hint = 'write link_template below [records], or content = "full" below [output]'
    assert (code, f"config/aggregator.toml:7:1: warning: 2 records have {MORE_TEXT} ({hint})" in out) == (0, True), out
    assert MORE_TEXT not in call("check", "_posts")[1]
    for tables in (
        {"records": f'preset = "{preset}"', "output": 'content = "full"'},
        {"records": f'preset = "{preset}"\nlink_template = "https://e.example/{{slug}}"'},
    ):
        shop.configure(**tables)
        assert MORE_TEXT not in call("check")[1]


def test_check_counts_only_published_records_whose_text_is_in_no_feed(shop: Shop, call: Call) -> None:
    shop.configure(**{"records.fields": 'expires_at = "expires"'})
    put_long(shop, "cut.md", excerpt="In short")
    put_long(shop, "hidden.md", published=False)
    put_long(shop, "expired.md", expires="2024-05-01T00:00:00Z")
    put_long(shop, "linked.md", webUrl="https://e.example/")
    put_long(shop, "whole.md", excerpt=LONG)
    put_long(shop, "in-full.md", topics=["AI"])
    shop.write("picture.md", f"---\ntitle: P\n---\nA.\n\n![](https://e.example/{'x' * 300}.png)\n")
    shop.add_to_config('[[feed]]\nslug = "ai"\ntopics.any = ["AI"]\n')
    assert f"2 records have {MORE_TEXT}" in call("check")[1]
    shop.add_to_config('content = "full"\n')
    assert f"1 record has {MORE_TEXT}" in call("check")[1]


def test_check_names_each_source_with_records_whose_text_can_be_read_nowhere(shop: Shop, call: Call) -> None:
    put_long(shop, "one/a.md")
    put_long(shop, "two/a.md", "two/b.md")
    put_long(shop, "linked/a.md")
    tables = [(name, "") for name in ("one", "two")]
    tables += [("linked", 'link_template = "https://e.example/{slug}"\n')]
    shop.add_to_config("".join(f'[[records]]\nname = "{n}"\npath = "../incoming/{n}"\n{more}' for n, more in tables))
    warnings = [line for line in call("check")[1].splitlines() if MORE_TEXT in line]
    assert [re.sub(r"^.*?:(\d+):1: warning: (\d+) .*", r"\1 \2", line) for line in warnings] == ["9 1", "12 2"]


@pytest.mark.parametrize(
    ("preset", "name", "others"),
    [
        ("hugo", "a.org", ["b.adoc", "sub/c.RST"]),
        ("jekyll", "_posts/2024-05-01-a.textile", ["_posts/2024-05-01-b.adoc", "_posts/sub/2024-05-02-c.org"]),
    ],
)
def test_check_names_pages_in_a_format_that_is_not_read(
    shop: Shop, call: Call, preset: str, name: str, others: list[str]
) -> None:
    shop.write("README.textile" if preset == "jekyll" else "notes.txt", "No page.\n")
    for path in (name, *others):
        shop.write(path, "---\ntitle: A\n---\n")  # whether it begins like a record or not
    shop.write(f"{name}.org", "#+title: A\n")
    shop.configure(records=f'preset = "{preset}"')
    line = f"incoming/{name}: notice: pages in a format that is not read: 4 (write them in Markdown or HTML)"
    assert call("check")[:2] == (0, f"{line}\n")
    assert call("check", "--format", "github")[1].startswith("::notice file=")
    shop.configure(records='preset = "smartable"')
    assert "format that is not read" not in call("check")[1]


def test_check_warns_of_files_that_begin_like_records_and_are_not_read(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    shop.record("b.html")
    shop.record("sub/c.html")
    shop.write("plain.html", "<p>no record</p>")
    shop.write(".hidden.html", "---\ntitle: Hidden\n---\n")
    code, out, _ = call("check")
    assert (code, out) == (
        0,
        (
            "config/aggregator.toml: warning: files that begin like records are not read, 2 in all: '*.html'"
            ' (add "*.html" to include of [records] if they are records)\n'
        ),
    )
    for keys in ('include = ["*.md", "*.html"]', 'exclude = ["*.html"]', 'include = ["*.md", "posts/*.html"]'):
        shop.configure(records=keys)
        assert "begin like records" not in call("check")[1]
    for name in ("note.txt", "b.MD", "b.Markdown"):
        shop.record(name)
        ending = name[name.index(".") :]
        assert f"'*{ending}' (add \"*{ending}\" to include of [records]" in call("check")[1]


UNREAD = (
    "config/aggregator.toml: {}2 records have no date, because 'date' and 'tags' are no keys of the preset: 'smartable'"
    ' (such as incoming/a.md; preset = "hugo" reads them; or name the keys that are meant in [records.fields]; entries'
    " keep the date of their release, so {})"
)
TAKE_BACK = "as long as nobody has subscribed, delete the store and the output folder, and run again"


def test_check_says_which_preset_records_need_whatever_the_others_are(shop: Shop, call: Call) -> None:
    shop.record("a.md", date="2026-05-20T00:00:00Z")
    shop.record("b.md", date="2026-05-20T00:00:00Z", tags=["Bread"])
    shop.record("c.md", topics=["Bread"], publishedDateTime="2026-05-20T00:00:00Z")
    line = UNREAD.format("warning: ", "choose before the first run")
    assert call("check")[:2] == (0, f"{line}\n")
    one = line.replace("2 records have", "1 record has").replace("'date' and 'tags' are no keys", "'date' is no key")
    assert call("check", "a.md")[:2] == (0, f"{one}\n")
    assert call("check", "c.md")[:2] == (0, "")
    shop.configure(records='preset = "hugo"')
    assert call("check")[1] == (
        "config/aggregator.toml:8:1: warning: 1 record has no date, because 'publishedDateTime' and 'topics' are no"
        " keys of the preset: 'hugo' (such as incoming/c.md; preset = \"smartable\" reads them; or name the"
        " keys that are meant in [records.fields]; entries keep the date of their release, so choose before the first run)\n"
    )
    shop.configure(
        records='[records.fields]\npublished_at = ["publishedDateTime", "date"]\ntopics = ["topics", "tags"]'
    )
    assert call("check")[:2] == (0, "")
    shop.record("d.md", tags=["Bread"])
    shop.configure(records='[records.fields]\npublished_at = "publishedDateTime"')
    assert "2 records have no topics, because 'tags' is no key of the preset" in call("check")[1]
    shop.configure(records='[records.fields]\npublished_at = "publishedDateTime"\ntopics = "topics"')
    assert call("check")[:2] == (0, "")


def test_a_preset_that_does_not_fit_is_said_when_records_are_stored_and_until_it_fits(shop: Shop, call: Call) -> None:
    shop.record("a.md", date="2026-05-20T00:00:00Z")
    shop.record("b.md", date="2026-05-20T00:00:00Z", tags=["Bread"])
    shop.record("c.md", topics=["Bread"], publishedDateTime="2026-05-20T00:00:00Z")
    line = UNREAD.format("", TAKE_BACK)
    for _ in range(2):
        code, _, err = call("build")
        assert (code, err) == (0, f"{line}\n")
    assert json.loads(call("status", "--json")[1])["problems"] == [line]
    assert UNREAD.format("warning: ", TAKE_BACK) in call("check")[1]
    shop.record("b.md", tags=[])
    shop.record("c.md", topics=["Bread"], publishedDateTime="2026-05-20T00:00:00Z", excerpt="More")
    one = line.replace("2 records have", "1 record has").replace("'date' and 'tags' are no keys", "'date' is no key")
    assert call("build")[2] == f"{one}\n"
    (shop.incoming / "a.md").unlink()
    assert (call("build")[2], json.loads(call("status", "--json")[1])["problems"]) == ("", [])


def test_check_says_how_to_take_back_releases_without_dates(shop: Shop, call: Call) -> None:
    for number in range(6):
        shop.record(f"{number}.md", date="2026-05-20")
    call("build")
    shop.configure(records='preset = "hugo"')
    assert call("build")[2] == ""
    what = "readers see no date, as at the release; so it is with 5 more records: '2026-05-20'"
    assert f"{what} (a date that changed has no effect; {TAKE_BACK})" in call("check")[1]


@pytest.mark.parametrize(
    ("preset", "front", "path"),
    [
        ("smartable", "topics: []\ntags: []\ndate:", "a.md"),
        ("smartable", "publishedDateTime: 2026-05-20T00:00:00Z\ntags: [Bread]", "a.md"),
        ("smartable", "topics: [Bread]\ntags: [Food]", "a.md"),
        ("jekyll", "topics: [Bread]", "_posts/2026-05-20-a.md"),
    ],
)
def test_keys_of_another_preset_are_not_missed_without_values_or_beside_own_ones(
    shop: Shop, call: Call, preset: str, front: str, path: str
) -> None:
    shop.configure(records=f'preset = "{preset}"')
    shop.write(path, f"---\ntitle: A\n{front}\n---\nText.\n")
    assert "of the preset" not in call("check")[1]


def test_check_says_nothing_of_the_preset_for_records_without_dates_and_topics(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    assert call("check")[1] == ""


def test_check_warns_of_a_feed_in_the_place_of_a_topic_only_if_its_rule_is_another(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["Big Data"])
    feed = '[[feed]]\nslug = "big-data"\ntopics = { any = ["big data"] }\n'
    config = shop.config.read_text()
    shop.config.write_text(config + feed)
    assert call("check")[:2] == (0, "")
    shop.config.write_text(config + feed + "min_quality = 3\n")
    assert 'the feed replaces the feed of the topic "Big Data"' in call("check")[1]


def test_records_folders_may_be_shared_by_patterns_of_paths(shop: Shop, call: Call) -> None:
    shop.record("a.md")
    shop.record("posts/b.md")
    table = '[[records]]\npath = "../incoming"\n'
    shop.config.write_text(f'{table}exclude = ["posts/*"]\n{table}name = "posts"\ninclude = ["posts/*.md"]\n')
    for paths in ((), ("posts/b.md",), ("posts",), ("incoming/posts/b.md", "a.md")):
        assert call("check", *paths)[:2] == (0, "")
    assert "\n1 record: " in call("check", "posts")[2]
    shop.run("build")
    for path in ("posts/b.md", "incoming/posts/b.md", str(shop.incoming / "posts" / "b.md")):
        answer = json.loads(call("explain", path, "--json")[1])
        assert (answer["published"]["value"], answer["others"]) == (True, [])
    shop.record("posts/new.md")
    assert json.loads(call("explain", "posts/new.md", "--json")[1])["published"]["cause"] == "new"
    shop.config.write_text(f'{table}{table}name = "posts"\n')
    assert "two records folders overlap" in call("check")[1]


def test_check_knows_the_slugs_that_topics_have(shop: Shop, call: Call) -> None:
    config = shop.config.read_text()
    shop.record("a.md", topics=["C++"])
    shop.record("b.md", topics=["Power Apps"])
    shop.config.write_text(config + '[topics.slugs]\n"Power Apps" = "tools"\n')
    call("build")
    shop.record("c.md", topics=["C#"])  # "c#" is before "c++", and the slug stays with the topic that has it
    shop.config.write_text(config)
    warning = "the slug c belongs to the topic \"C++\", so this topic gets a suffix: 'C#'"
    assert [line for line in call("check")[1].splitlines() if warning not in line] == []
    call("build")
    assert call("check")[1] == ""
    shop.config.write_text(config + '[[feed]]\nslug = "tools"\n[[feed]]\nslug = "power-apps"\n')
    found = [line.partition("warning: ")[2] for line in call("check")[1].splitlines()]
    assert found == [
        "the feed replaces the feed of the topic \"Power Apps\": 'tools' (choose another slug to have both)"
    ]


def test_check_warns_of_a_misspelt_parent_and_not_of_a_parent_that_no_record_states(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["Canvas apps"])
    shop.record("b.md", topics=["Power Apps"])
    shop.add_to_config('[topics.parent]\n"Canvas apps" = "Power Aps"\n"Power Apps" = "Microsoft"\n')
    out = call("check")[1].splitlines()
    assert [line.partition("warning: ")[2] for line in out] == [
        "no record has the topic: 'Power Aps' (did you mean \"Power Apps\"?)"
    ]


def test_check_warns_of_a_feed_that_replaces_the_feed_of_a_topic(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["Edge AI"], quality=70)
    text = shop.config.read_text()
    shop.config.write_text(text + '[[feed]]\nslug = "edge-ai"\nmin_quality = 60\n')
    line = len(shop.config.read_text().splitlines()) - 1
    assert call("check")[:2] == (
        0,
        (
            f'config/aggregator.toml:{line}:8: warning: the feed replaces the feed of the topic "Edge AI":'
            " 'edge-ai' (choose another slug to have both)\n"
        ),
    )
    shop.add_to_config("[topics]\nauto = false\n")
    assert call("check")[:2] == (0, "")


# URLs and bounds


def test_check_dry_run_build_and_status_name_a_url_that_the_config_ends(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["AI"])
    shop.add_to_config('[[feed]]\nslug = "picks"\ntopics.any = ["AI"]\n')
    call("build", "--now", NOW)
    assert "/picks/" not in "".join(call("check")[1:])
    shop.config.write_text(shop.config.read_text().replace('"picks"', '"best"'))
    line = 'keep it with moved_from = ["picks"] in the [[feed]] "best"'
    code, out, _ = call("check")
    assert code == 0
    assert f"warning: subscribers of this URL would get 410: '/picks/' ({line})" in out
    code, out, err = call("build", "--dry-run", "--now", NOW)
    assert f"/picks/: 410 ({line})" in out.splitlines()
    assert "answers 410" not in err  # it does not yet
    data = json.loads(call("build", "--dry-run", "--json", "--now", NOW)[1])["urls"]
    assert data == [{"url": "picks/", "status": 410, "target": None, "keep": line.removeprefix("keep it ")}]
    code, _, err = call("build", "--strict")
    assert (code, "/picks/ answers 410 since the config of" in err) == (0, True)
    assert "/picks/ answers 410 since" in " ".join(call("status")[1].split())
    shop.config.write_text(shop.config.read_text().replace('"best"', '"other"'))
    call("build")
    assert 'moved_from = ["picks"] in the [[feed]] that follows it)' in " ".join(call("status")[1].split())
    shop.add_to_config('moved_from = ["picks"]\n')
    call("build")
    assert "/picks/ answers" not in " ".join(call("status")[1].split())


def test_check_and_dry_run_name_an_old_url_of_a_topic_that_another_feed_takes(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["AI"])
    config = shop.config.read_text()
    call("build", "--now", NOW)
    moved = '[topics.slugs]\nAI = "machines"\n'
    shop.config.write_text(config + moved)
    call("build", "--now", NOW)
    shop.config.write_text(config + moved + '[[feed]]\nslug = "ai"\n')
    hint = "keep it by another slug for the new feed; it redirects to /machines/ now"
    assert f"warning: subscribers of this URL would get another feed: '/ai/' ({hint})" in call("check")[1]
    assert f"/ai/: another feed ({hint})" in call("build", "--dry-run", "--now", NOW)[1].splitlines()
    urls = json.loads(call("build", "--dry-run", "--json", "--now", NOW)[1])["urls"]
    assert urls == [{"url": "ai/", "status": 200, "target": None, "keep": hint.removeprefix("keep it ")}]
    call("build", "--now", NOW)
    assert "/ai/" not in call("build", "--dry-run", "--now", NOW)[1]
    shop.config.write_text(config + '[topics.slugs]\nAI = "ai"\n')  # the topic itself returns
    assert "another feed" not in "".join(call("check")[1:])


def test_a_feed_that_goes_back_to_its_old_slug_is_not_another_feed_there(shop: Shop, call: Call) -> None:
    shop.record("a.md", topics=["AI"])
    config = shop.config.read_text()

    def feed(slug: str, topic: str, more: str = "") -> str:
        return f'[[feed]]\nslug = "{slug}"\ntopics.any = ["{topic}"]\n{more}'

    shop.config.write_text(config + feed("old", "AI"))
    call("build", "--now", NOW)
    shop.config.write_text(config + feed("between", "AI", 'moved_from = ["old"]\n'))
    call("build", "--now", NOW)
    shop.config.write_text(config + feed("old", "AI") + feed("between", "Tea"))
    hint = "keep it by another slug for the new feed; the feed that it has now goes back to /old/"
    what = "warning: subscribers of this URL would get another feed: "
    lines = [line for line in call("check")[1].splitlines() if what in line]
    assert [line.partition(what)[2] for line in lines] == [f"'/between/' ({hint})"]
    assert f"/between/: another feed ({hint})" in call("build", "--dry-run", "--now", NOW)[1].splitlines()
    shop.config.write_text(config + feed("old", "Tea") + feed("between", "AI"))
    lines = [line for line in call("check")[1].splitlines() if what in line]
    assert [line.partition(what)[2].partition(" ")[0] for line in lines] == ["'/old/'"]


def test_build_and_status_name_an_entry_that_is_too_large_and_strict_does_not_fail(shop: Shop, call: Call) -> None:
    shop.configure(output='max_bytes = "10KB"')
    shop.record("small.md")
    shop.record("large.md", excerpt="x" * 6000)
    code, _, err = call("build", "--strict")
    assert (code, "large.md: the entry is larger than output.max_bytes and is left out of all" in err) == (0, True)
    assert "large.md: the entry is larger" in " ".join(call("status")[1].split())
    assert shop.titles() == ["small.md"]


# removals and a service


def test_a_running_service_accepts_removals_for_a_build(shop: Shop, call: Call) -> None:
    shop.configure(schedule='every = "1s"\nwatch = false')
    for number in range(30):
        shop.record(f"{number}.md")
    service = shop.start("run").wait_until_done()
    lose_most(shop)
    eventually(lambda: "25 of 30 files are missing at once" in service.log)
    assert len(service.titles()) == 30
    code, out, err = call("build", "--accept-removals")
    assert (code, err) == (0, ""), "it does not wait for the lease"
    assert re.fullmatch(
        rf"process {service.process.pid} on .* will withdraw the missing records in its next cycle\n", out
    )
    eventually(lambda: len(service.titles()) == 5)
    for number in range(30, 60):
        shop.record(f"{number}.md")
    eventually(lambda: len(service.titles()) == 35)
    for number in range(30, 60):
        (shop.incoming / f"{number}.md").unlink()
    eventually(lambda: "30 of 35 files are missing at once" in service.log)
    assert len(service.titles()) == 35, "one request accepts the removals of one cycle"
    assert json.loads(call("build", "--accept-removals", "--json")[1])["requested_of"].startswith("process ")


def test_removals_are_not_handed_to_another_build(shop: Shop, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "LEASE_WAIT_S", 0.3)
    shop.record("a.md")
    service = shop.start("run").wait_until_done()
    assert service.end()[0] == 0
    with holding(shop.store_url):
        code, out, err = call("build", "--accept-removals")
    assert (code, out) == (2, "")
    assert err.startswith("waiting for process ")


# records in a bucket


class Bucket:
    """Records in a bucket of the real server, which the config of a shop names."""

    def __init__(self, shop: Shop, storage: ObjectStorage) -> None:
        self.name, self._client = storage.make_bucket(), storage.client()
        self.url = f"s3://{self.name}/news"
        shop.configure(records=f'path = "{self.url}"')

    def write(self, path: str, text: str) -> None:
        self._client.put_object(Bucket=self.name, Key=f"news/{path}", Body=text.encode())

    def record(self, path: str, *lines: str) -> None:
        self.write(path, "\n".join(("---", f"title: {path}", *lines, "---", "Text.", "")))


@pytest.fixture
def bucket(shop: Shop, aws: ObjectStorage) -> Bucket:
    made = Bucket(shop, aws)
    made.record("2024/fine.md", "topics: [AI]")
    made.record("2024/bad.md", "published: yes please")
    return made


def test_check_reads_a_bucket_whole_or_at_a_path_or_a_url(call: Call, bucket: Bucket) -> None:
    bucket.write("page.html", "---\ntitle: Page\n---\n")
    rejected = f"{bucket.url}/2024/bad.md:3:12: 'published' is not true or false: 'yes please' (write true or false)"
    code, out, err = call("check")
    skipped = "warning: files that begin like records are not read, 1 in all: '*.html' (add"
    assert (code, out.splitlines()[0]) == (1, rejected)
    assert skipped in out.splitlines()[1]
    assert err == "2 records: 1 error, 1 warning, 0 unfinished\n"
    urls = [f"{bucket.url}{path}" for path in ("", "/", "/2024", "/2024/", "/2024/bad.md")]
    for place in ("2024", "2024/bad.md", *urls):
        assert call("check", place)[:2] == (1, f"{rejected}\n"), place
    assert call("check", f"{bucket.url}/2024/fine.md")[0] == 0
    for place in ("2023", f"{bucket.url}/2024/none.md", "s3://another/2024/bad.md"):
        code, out, _ = call("check", place)
        what = f"{place}: does not exist (name a record, or a folder in a records folder)\n"
        assert (code, out) == (1, what), place


def test_explain_finds_an_object_by_path_url_and_id(call: Call, bucket: Bucket) -> None:
    call("build")
    assert f"is no record: there is no such file in {bucket.url}" in call("explain", "none.md")[2]
    data = json.loads(call("explain", "2024/fine.md", "--json")[1])
    assert (data["path"], data["published"]["value"]) == (f"{bucket.url}/2024/fine.md", True)
    assert {feed["slug"]: feed["file"] for feed in data["feeds"]}["ai"] == f"{bucket.url}/2024/fine.md"
    for asked in (f"{bucket.url}/2024/fine.md", data["id"]):
        assert json.loads(call("explain", asked, "--json")[1]) == data
    assert "no cycle has read it yet" not in call("explain", "2024/bad.md")[1]
    bucket.record("new.md")
    assert "no cycle has read it yet" in call("explain", "new.md")[1]


def test_a_rehearsal_a_preview_and_the_status_are_of_the_bucket(call: Call, bucket: Bucket) -> None:
    call("build", "--now", NOW)
    bucket.record("new.md")
    code, out, _ = call("build", "--dry-run", "--now", NOW)
    assert (code, "all: 1 joins, 0 leave" in out or "+ new.md" in out) == (0, True)
    assert "2024/fine.md" in call("preview", "all")[1]
    code, out, _ = call("status", "--json")
    status = json.loads(out)
    assert (code, [problem["path"] for problem in status["rejected"]]) == (0, [f"{bucket.url}/2024/bad.md"])


def test_a_bucket_that_does_not_answer_is_said_by_every_command(
    call: Call, bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.files.bucket.ATTEMPTS", 1)
    call("build")
    with Proxy(aws.port) as proxy:
        proxy.decide = lambda *_: CUT
        use(aws, monkeypatch, endpoint=proxy.url)
        problem = f"{bucket.url}: the records folder cannot be read: "
        for command in (("build",), ("build", "--dry-run"), ("check",), ("status",)):
            code, out, err = call(*command)
            assert code == 1, command
            assert problem in out + err, command
        code, _, err = call("check", "2024/bad.md")
        assert (code, f"Error: {problem}" in err) == (2, True)
        data = json.loads(call("explain", "2024/fine.md", "--json")[1])
        assert (data["published"]["value"], len(data["problems"])) == (True, 1)
        assert "cannot be read" in data["problems"][0]


def test_a_build_that_waits_for_a_bucket_ends_on_sigterm(shop: Shop, bucket: Bucket, aws: ObjectStorage) -> None:
    with Proxy(aws.port) as proxy:
        proxy.decide = lambda *_: proxy.wait()
        command = [sys.executable, "-m", "aggregator", "build"]
        environment = os.environ | aws.environment(endpoint=proxy.url)
        with subprocess.Popen(command, cwd=shop.root, env=environment, stderr=subprocess.PIPE, text=True) as build:
            eventually(lambda: proxy.requests)
            build.terminate()
            _, err = build.communicate(timeout=bucket_files.TIMEOUT_S)  # it does not wait for the answer
        assert build.returncode == 130
        assert "stopped in the middle of a cycle" in err


def test_pages_show_the_day_that_a_name_of_a_post_says(shop: Shop) -> None:
    """East of UTC, the day begins the day before in UTC."""
    shop.configure(site='timezone = "Asia/Tokyo"', records='preset = "jekyll"')
    shop.write("_posts/2026-05-20-hello.md", "Text\n")
    assert shop.run("build").returncode == 0
    shown = '<time datetime="2026-05-19T15:00:00+00:00"'
    assert (
        f'{shown} title="20 May 2026, 00:00 +09:00">20 May 2026</time>'
        in (shop.output / "all" / "index.html").read_text()
    )
    assert f"newest {shown}>20 May 2026</time>" in (shop.output / "index.html").read_text()
