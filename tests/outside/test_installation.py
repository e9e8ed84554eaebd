"""The commands of docs/operating.md#install-with-systemd, run as they are below a folder that takes the place of /.

What only a booted system can do has a stand-in: systemd itself, and another user. `pip install` is `make wheel-test`'s.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import OLD, eventually
from corpus import CHECKOUT

PAGE = (CHECKOUT / "docs" / "operating.md").read_text()
SECTION = re.search(r"^## Install with systemd\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL) for line in block.splitlines()]
TOP = re.compile(r"^/(?=(?:etc|opt|var)/)")


class Machine:
    """Runs the commands of the page in the checkout, with the folders of a machine below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._service: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
            self._ports = {"8000": str(first.getsockname()[1]), "8001": str(second.getsockname()[1])}

    def path(self, path: str) -> Path:
        return Path(TOP.sub(f"{self.root}/", path))

    def run(self, line: str) -> str:
        """Runs a command of the page; its output. Fails for one that is not known here."""
        words = shlex.split(line, comments=True)
        words = words[1:] if words[0] == "sudo" else words
        words = words[2:] if words[0] == "-u" else words
        program, *arguments = words
        if words[:3] == ["python3", "-m", "venv"]:
            return self._make_environment(self.path(arguments[-1]))
        if program == "/opt/aggregator/bin/pip":
            assert arguments[-1] == ".[postgres]"
            return ""
        if program == "rm":
            assert arguments == ["-rf", "build/lib"]
            return ""
        if words[:2] == ["systemctl", "restart"]:
            self.stop()
            return self._start()
        if program.startswith("systemd-"):
            words.insert(1, f"--root={self.root}")
        elif words[:3] == ["systemctl", "enable", "--now"]:
            words = ["systemctl", f"--root={self.root}", "enable", arguments[-1]]
        else:
            assert program in ("install", "/opt/aggregator/bin/aggregator"), f"a test must know how to run: {line}"
            words = [TOP.sub(f"{self.root}/", word) for word in words]
        if arguments[0] == "health":  # says `starting` at first
            eventually(lambda: self._call(words).returncode == 0)
        done = self._call(words)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if words[-1].endswith("aggregator.toml") and program == "install":
            self._localise(Path(words[-1]))
        return self._start() if words[0] == "systemctl" else done.stdout

    def _call(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=CHECKOUT, env=self._environment(), capture_output=True, text=True, check=False)

    def _make_environment(self, folder: Path) -> str:
        (folder / "bin").mkdir(parents=True)
        command = folder / "bin" / "aggregator"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m aggregator "$@"\n')
        command.chmod(0o755)
        return ""

    def _localise(self, config: Path) -> None:
        """The config as it is, with the folders of this machine and free ports."""
        text = config.read_text().replace("/var/lib", f"{self.root}/var/lib")
        for port, free in self._ports.items():
            text = text.replace(f"port = {port}", f"port = {free}")
        config.write_text(text)

    def _start(self) -> str:
        """What systemd would do: the command of the installed unit, until it says that it is ready."""
        unit = self.path("/etc/systemd/system/aggregator.service").read_text()
        (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        address = self.root / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(address))
            listener.settimeout(40)
            words = [TOP.sub(f"{self.root}/", word) for word in shlex.split(command)]
            self._service = subprocess.Popen(
                words,
                cwd=self.path("/var/lib/aggregator"),
                env=self._environment() | {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "300000000"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            assert b"READY=1" in listener.recv(4096)
        return ""

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGGREGATOR_")}
        return kept | {"PYTHONPATH": str(CHECKOUT)}

    def stop(self) -> None:
        if self._service is not None:
            self._service.terminate()
            self._service.wait(20)
        self._service = None


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if missing := [name for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles") if not shutil.which(name)]:
        pytest.skip(f"needs {' and '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Machine(tmp_path)
    yield made
    made.stop()


def test_the_installation_of_the_page_gives_a_service_that_publishes(machine: Machine) -> None:
    assert len(COMMANDS) > 10
    for line in COMMANDS:
        machine.run(line)
    wanted = machine.path("/etc/systemd/system/multi-user.target.wants/aggregator.service")
    assert os.readlink(wanted) == "/etc/systemd/system/aggregator.service"
    record = machine.path("/var/lib/aggregator/incoming") / "a.md"
    record.write_text("---\ntitle: Installed\n---\n")
    os.utime(record, (OLD, OLD))
    feed = machine.path("/var/lib/aggregator/output") / "all" / "rss.xml"
    eventually(lambda: feed.exists() and b"Installed" in feed.read_bytes())
    assert (feed.parent.stat().st_mode & 0o005, feed.stat().st_mode & 0o004) == (0o005, 0o004)
    store = machine.path("/var/lib/aggregator/data/aggregator.db")
    assert store.stat().st_mode & 0o077 == 0
