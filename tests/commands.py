"""Real processes for the tests of commands: a site in a folder, commands run in it, a service and its HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from starts import Started, Starter

DEADLINE_S = 40.0
OLD = 1_700_000_000
Found = TypeVar("Found")
Call = Callable[..., tuple[int, str, str]]
"""Runs a command in this process: exit code, stdout, stderr."""
_CAREFUL = {"PYTHONWARNINGS": "error"}
_STARTER = Starter({**os.environ, **_CAREFUL})


def eventually(look: Callable[[], Found], *, within_s: float = DEADLINE_S) -> Found:
    """The first true result of `look`; fails after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"not true within {within_s} s: {found!r}"
        time.sleep(0.02)


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Reply:
    """The response to a request."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A command that serves; `url` is the URL that it prints."""

    def __init__(self, process: subprocess.Popen[str] | Started, stderr: Path) -> None:
        self.process, self._stderr = process, stderr
        self.printed = process.stdout.readline()
        match = re.search(r"http://\S+", self.printed)
        assert match, f"{self.printed!r} {self.log}"
        self.url = match[0]

    @property
    def log(self) -> str:
        return self._stderr.read_text()

    def get(self, path: str, **headers: str) -> Reply:
        request = urllib.request.Request(
            self.url + path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return Reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())

    def connect(self) -> socket.socket:
        """A connection on which nothing was sent."""
        url = urlsplit(self.url)
        return socket.create_connection((url.hostname or "", url.port or 80), timeout=DEADLINE_S)

    def titles(self, slug: str = "all") -> list[str]:
        reply = self.get(f"{slug}/feed.json")
        return [item["title"] for item in reply.json()["items"]] if reply.status == 200 else []

    def health(self) -> str:
        return str(self.get("healthz").json()["status"])

    def wait_until_done(self) -> Self:
        """The same, once the first cycle is complete."""
        eventually(lambda: self.health() == "ok")
        return self

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Sends the signal; the exit code and the seconds it took."""
        asked = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S), time.monotonic() - asked


class Shop:
    """The folder of an operator, and commands that run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming, self.output, self.data = root / "incoming", root / "output", root / "data"
        self.config = root / "config" / "aggregator.toml"
        self._running: list[subprocess.Popen[str] | Started] = []

    @property
    def store_url(self) -> str:
        """The store of the default config."""
        return f"sqlite:///{self.data}/aggregator.db"

    def configure(self, **tables: str) -> None:
        """Writes a config of these tables, each the lines below its name; by default nothing happens by the clock."""
        usual = {"site": 'id = "feeds.example.org"', "serve": "port = 0", "ingest": "workers = 0"}
        given = usual | tables | {"schedule": tables.get("schedule", 'every = "1h"')}
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text("".join(f"[{name}]\n{lines}\n" for name, lines in given.items()))
        self.incoming.mkdir(exist_ok=True)

    def add_to_config(self, lines: str) -> None:
        with self.config.open("a") as config:
            config.write(lines)

    def write(self, path: str, text: str | bytes, *, mtime: float = OLD) -> Path:
        """Writes a record; by default an old one."""
        target = self.incoming / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = self.root / "new"
        new.write_bytes(text.encode() if isinstance(text, str) else text)
        os.utime(new, (mtime, mtime))
        new.replace(target)
        return target

    def record(self, path: str, title: str = "", *, mtime: float = OLD, **fields: Any) -> Path:
        lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())
        return self.write(path, f"---\ntitle: {title or path}\n{lines}---\nText.\n", mtime=mtime)

    def many(self, number: int) -> None:
        """Writes that many records, in folders of a hundred, each with two topics."""
        for folder in range(-(-number // 100)):
            (self.incoming / f"{folder:03}").mkdir(parents=True)
        for index in range(number):
            stamp = f"2024-05-{index % 28 + 1:02}T{index // 28 % 24:02}:00:00Z"
            text = f"---\ntitle: Story {index}\ntopics: [All of it, T{index % 7}]\npublishedDateTime: {stamp}\n---\n"
            (self.incoming / f"{index // 100:03}" / f"{index:05}.md").write_text(text)

    def command(self, *arguments: str, patch: str = "") -> list[str]:
        """The command line; `patch` is Python text that runs in the process before the command."""
        program = f"{patch}\nfrom aggregator.cli import main\nmain()"
        return [sys.executable, *(("-c", program) if patch else ("-m", "aggregator")), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGGREGATOR_")}
        return kept | _CAREFUL | {"COLUMNS": "100", "AGGREGATOR_LOG__FORMAT": "text"} | more

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, patch: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        environment = self.environment(**env or {})
        if not patch and _STARTER.suits(environment):
            return _STARTER.run(arguments, cwd=self.root, environment=environment, timeout_s=60)
        return self.run_afresh(*arguments, env=env, patch=patch)

    def run_afresh(
        self, *arguments: str, env: dict[str, str] | None = None, patch: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """The same, in an interpreter that has imported nothing."""
        return subprocess.run(
            self.command(*arguments, patch=patch),
            check=False,
            cwd=self.root,
            env=self.environment(**env or {}),
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str, patch: str = "", **env: str) -> Running:
        """Starts a command that serves."""
        stderr = self.root / f"stderr{len(self._running)}"
        environment = self.environment(**env)
        with stderr.open("w") as file:
            process: subprocess.Popen[str] | Started
            if not patch and _STARTER.suits(environment):
                process = _STARTER.start(
                    arguments, cwd=self.root, environment=environment, stderr=file.fileno(), new_session=True
                )
            else:
                process = subprocess.Popen(
                    self.command(*arguments, patch=patch),
                    cwd=self.root,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    text=True,
                    start_new_session=True,
                )
        self._running.append(process)
        return Running(process, stderr)

    def close(self) -> None:
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()

    def json(self, *arguments: str) -> Any:
        """The data that a command prints with --json."""
        done = self.run(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def items(self, slug: str = "all") -> list[tuple[str, str]]:
        """Ids and titles of the entries of a feed in the output folder, in order."""
        items = json.loads((self.output / slug / "feed.json").read_bytes())["items"]
        return [(item["id"], item["title"]) for item in items]

    def titles(self, slug: str = "all") -> list[str]:
        return [title for _, title in self.items(slug)]

    def files(self, *below: Path) -> dict[str, bytes]:
        """The bytes of every file."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for top in below or (self.root,)
            for path in sorted(top.rglob("*"))
            if path.is_file() and not path.name.startswith("stderr")
        }
