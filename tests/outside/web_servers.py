"""Web servers of others that a test starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from commands import eventually

from benchmarks.nginx import find_program


def program(name: str) -> str:
    """The path of a program; the test is skipped without it."""
    found = find_program(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def start_web_server(
    command: Sequence[str], folder: Path, client: httpx.Client, environment: Mapping[str, str] = os.environ
) -> subprocess.Popen[bytes]:
    """Starts a web server and waits until `client` gets answers from it. Its log is in `folder`."""
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def is_up() -> bool:
        assert started.poll() is None, (folder / "log").read_text()
        try:
            client.get("/")
        except httpx.TransportError:
            return False
        return True

    eventually(is_up)
    return started
