"""The listening socket and the server on it; the only place that knows uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import uvicorn

from aggregator.errors import AggregatorError
from aggregator.http.app import FeedsApp, SwitchedApp

_STOP_WITHIN_S = 3
_TICK_S = 0.5
_BACKLOG = 2048
# More at once get a 503: below the usual limit of 1,024 open files, so that publishing can still open its own.
_MAX_CONNECTIONS = 800
_REASONS = {
    errno.EADDRINUSE: "is in use (stop the other program or set serve.port)",
    errno.EADDRNOTAVAIL: "is not an address of this machine (set serve.host)",
    errno.EACCES: "may not be listened on by this user (set serve.port to 1024 or more)",
}


class FeedsServer(uvicorn.Server):
    """A server on one socket that leaves signals to the service; set `should_exit` to stop it."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket) -> None:
        super().__init__(config)
        self._socket = sock

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves on the socket until `should_exit`."""
        await super().serve(sockets or [self._socket])

    async def main_loop(self) -> None:
        """Looks for the end twice a second; ten times, as it would, is half of what a service at rest costs."""
        while not await self.on_tick(0):  # noqa: ASYNC110 - what others set is a flag, which may come from any thread
            await asyncio.sleep(_TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def bind_socket(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that a second one fails here and early requests wait in line.

    A name is tried as IPv4 first. AggregatorError says what to do.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AggregatorError(f"{shown} cannot be listened on: {error.strerror} (set serve.host)") from error
    try:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = _REASONS.get(error.errno or 0, f"cannot be listened on: {error.strerror}")
        raise AggregatorError(f"{shown} {reason}") from error
    return sock


def make_server(app: FeedsApp | SwitchedApp, sock: socket.socket) -> FeedsServer:
    """A server for `app` on a socket of `bind_socket`; its private pages are on only if that is loopback."""
    host, port, *_ = sock.getsockname()
    if ip_address(host).is_loopback:
        app.private_ports.add(port)
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http="auto",  # httptools and uvloop where they are installed
        loop="auto",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=_BACKLOG,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )
    return FeedsServer(config, sock)
