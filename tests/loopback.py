"""An output folder as the publisher writes it, and a real server over it on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx

from aggregator.serve import files
from aggregator.serve.app import FeedsApp, make_state
from aggregator.serve.bodies import Bodies
from aggregator.serve.files import EMPTY_SNAPSHOT, Snapshot
from aggregator.serve.server import bind_socket, make_server
from aggregator.serve.source import FolderSource
from aggregator.settings import OutputOptions, Site

NOWHERE = Path("/nowhere")
WRITTEN = 1_700_000_000
SITE = Site("Notes", "https://feeds.example/", "en", "", "", "", 15)
OPTIONS = OutputOptions(("rss", "atom", "json"), pages=True, max_bytes=1_000_000)
CACHING = "public, max-age=30, stale-while-revalidate=30, stale-if-error=86400"
RSS = b"<rss>" + b"<item>story</item>" * 200 + b"</rss>"


def digest(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def write(path: Path, body: bytes) -> None:
    """As the publisher writes: whole, under another name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(body)
    os.utime(part, (WRITTEN, WRITTEN))
    part.replace(path)


def publish(folder: Path, files: dict[str, bytes], gone: tuple[str, ...] = (), *, modified: int = 0) -> None:
    for path, body in files.items():
        write(folder / path, body)
    facts = {"version": 1} | ({"modified": modified} if modified else {})
    lines = {path: {"feed": path.split("/")[0], "digest": digest(body)} | facts for path, body in files.items()}
    manifest = {"format": 1, "store": "s", "fingerprint": "f", "files": lines, "gone": list(gone)}
    write(folder / ".aggregator/manifest.json", json.dumps(manifest).encode())


def fine() -> tuple[bool, dict[str, Any]]:
    return True, {"fine": True}


def load_snapshot(
    folder: Path, previous: Snapshot | None, bodies: Bodies | None = None, *, is_polled: bool = False
) -> Snapshot:
    source, bodies = FolderSource(folder), bodies or Bodies()
    return files.load_snapshot(source, previous or EMPTY_SNAPSHOT, bodies, is_polled=is_polled)


def make_app(folder: Path | None = None, **options: Any) -> FeedsApp:
    """The app over a folder; without one, nothing is published."""
    probes = {name: options.pop(name, fine) for name in ("health", "ready")}
    facts = {
        "source": FolderSource(folder or NOWHERE),
        "bodies": Bodies(),
        "max_age_s": 30,
        "site": SITE,
        "options": OPTIONS,
    }
    facts |= {"moved": {}, "moved_folders": {}} | options
    snapshot = load_snapshot(folder, None, facts["bodies"]) if folder else Snapshot(stamp="nothing")
    return FeedsApp(make_state(snapshot, **facts), **probes)


def reload(app: FeedsApp) -> None:
    """Serves what the manifest names now."""
    state = app.state
    app.state = replace(state, snapshot=files.load_snapshot(state.source, state.snapshot, state.bodies))


@contextlib.contextmanager
def running(app: FeedsApp, host: str = "127.0.0.1") -> Iterator[httpx.Client]:
    sock = bind_socket(host, 0)
    port = sock.getsockname()[1]
    server = make_server(app, sock)
    thread = threading.Thread(target=server.run)
    thread.start()
    address = f"[{host}]" if ":" in host else "127.0.0.1"
    try:
        # The socket listens already: the first request waits until the server takes it.
        with httpx.Client(
            base_url=f"http://{address}:{port}", headers={"accept-encoding": "identity"}, trust_env=False, timeout=40
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=40)
        assert not thread.is_alive()


def connect(client: httpx.Client) -> socket.socket:
    """A connection to the server of a client, on which nothing was sent."""
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=40)


def read_all(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def ask(client: httpx.Client, request: bytes) -> bytes:
    """All that comes back for what is sent as it is."""
    with connect(client) as sock:
        sock.sendall(request)
        return read_all(sock)


def redirects(client: httpx.Client, paths: Iterable[str]) -> dict[str, str]:
    """The paths that answer 301, each with the path that it redirects to."""
    answers = {path: client.get(path) for path in paths}
    moved = {path: answer for path, answer in answers.items() if answer.status_code == 301}
    return {path: client.base_url.join(path).join(answer.headers["location"]).path for path, answer in moved.items()}
