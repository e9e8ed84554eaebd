"""The listening socket and the server on it; the only place that knows uvicorn, private members included.

uvicorn bounds neither the size of a request's head (with httptools) nor the time that a client takes to send one, and
counts connections only when a request is complete. `_Connection` does that where the bytes arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from aggregator.errors import AggregatorError
from aggregator.serve.app import FeedsApp, SwitchedApp

_STOP_WITHIN_S = 3
_TICK_S = 0.5
_BACKLOG = 2048
_MAX_CONNECTIONS = 10_000
_OWN_FILES = 32  # that the service has open at any time
MAX_HEAD_BYTES = 32 * 1024
_MAX_BODY_BYTES = 1024 * 1024  # none is wanted: the answer is there before it
_WAIT_S = 10.0  # for a request, from the opening or the last answer to the end of the head; and for any byte to go out
_STALLS = 3  # times _WAIT_S without one
_LOOK_AT = 100  # connections that answer, in the search for an idle one
_REASONS = {
    errno.EADDRINUSE: "is in use (stop the other program or set serve.port)",
    errno.EADDRNOTAVAIL: "is not an address of this machine (set serve.host)",
    errno.EACCES: "may not be listened on by this user (set serve.port to 1024 or more)",
}


class _Connections:
    """The open connections, at most `limit`; first the one whose last answer, or else its opening, is longest ago."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since: OrderedDict[_Connection, float] = OrderedDict()

    def add(self, connection: _Connection, now: float) -> None:
        """Counts a new connection; when there are too many, the one that has been idle for longest ends."""
        self._since[connection] = now
        if len(self._since) > self._limit:
            oldest = (one for one, _ in zip(self._since, range(_LOOK_AT), strict=False) if not one.is_answering)
            self._end(next(oldest, connection))

    def move(self, connection: _Connection, now: float) -> None:
        """Notes that an answer is complete, or goes on."""
        if connection in self._since:
            self._since[connection] = now
            self._since.move_to_end(connection)

    def discard(self, connection: _Connection) -> None:
        """Counts it no more."""
        self._since.pop(connection, None)

    def end_late(self, now: float) -> None:
        """Ends those whose clients have sent no request, or read nothing of the answer, in time."""
        late = []
        for connection, since in self._since.items():
            if now - since < _WAIT_S:
                break
            late.append(connection)
        for connection in late:
            if connection.is_waited_for():
                self.move(connection, now)
            else:
                self._end(connection)

    def _end(self, connection: _Connection) -> None:
        self.discard(connection)
        connection.transport.abort()


class _Connection(HttpToolsProtocol):
    """One connection: its requests have a deadline and a bounded head, and say once which host they are for."""

    def __init__(self, connections: _Connections, **options: Any) -> None:
        super().__init__(**options)
        self._all = connections
        self._bytes = 0  # of this message, or of the next one's head
        self._in_head, self._has_ended_head = True, False
        self._is_too_large = self._refused = False
        self._unsent = self._stalls = 0

    @property
    def is_answering(self) -> bool:
        """Whether a request is complete and its answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    def is_waited_for(self) -> bool:
        """Whether it may go on as it is: the application is at work, or the client takes some of the answer."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        self._stalls = self._stalls + 1 if self._unsent and self._unsent == before else 0
        return (self._unsent > 0 and self._stalls < _STALLS) or (self.is_answering and not self._unsent)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all.add(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses no more at once than a head may have: what comes before the end of a head is copied again and again.
        What comes after a refusal is thrown away, so that the client gets to read it."""
        start = 0
        while start < len(data) and not self._refused and not self.transport.is_closing():
            part = data[start : start + MAX_HEAD_BYTES] if len(data) > MAX_HEAD_BYTES else data
            start += len(part)
            self._has_ended_head = False
            super().data_received(part)
            self._bytes = 0 if self._has_ended_head else self._bytes + len(part)
            if self._in_head and self._bytes > MAX_HEAD_BYTES:
                self._refuse()
            elif self._bytes > _MAX_BODY_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._bytes = True, 0

    def on_headers_complete(self) -> None:
        """Raises ValueError, which the parser passes on to `send_400_response`, for a head that is too large, and for
        a request that does not say once which host it is for (RFC 9112 section 3.2)."""
        self._in_head, self._has_ended_head = False, True
        if self._bytes:  # else all of it came at once, and so much is not parsed at once
            fields = sum(len(name) + len(value) + 4 for name, value in self.headers)  # ": " and the end of the line
            self._is_too_large = len(self.url) + fields > MAX_HEAD_BYTES
        if self._is_too_large:
            raise ValueError("too large")
        hosts = 0
        for name, _ in self.headers:
            if name == b"host":
                hosts += 1
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            raise ValueError("not one Host")
        if self.url[:1] != b"/":
            self.url = _origin_form(self.url)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self._all.move(self, self.loop.time())
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if self._is_too_large:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: Java's client offers HTTP/2 with each request, and gets its answer."""

    def _refuse(self) -> None:
        self._refused = True
        text = b"The head of the request is too large.\n"
        date = b"".join(b"%s: %s\r\n" % field for field in self.server_state.default_headers)
        fields = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[431] + date + fields % len(text) + text)
        self.transport.write_eof()


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target in absolute form, as clients send it to a proxy (RFC 9112 section 3.2.2)."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target
    parsed = httptools.parse_url(target)
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")


class FeedsServer(uvicorn.Server):
    """A server on one socket that leaves signals to the service; set `should_exit` to stop it."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, connections: _Connections) -> None:
        super().__init__(config)
        self._socket = sock
        self._connections = connections

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves on the socket until `should_exit`."""
        await super().serve(sockets or [self._socket])

    async def main_loop(self) -> None:
        """Looks for the end twice a second; ten times, as it would, is half of what a service at rest costs."""
        while not await self.on_tick(0):
            self._connections.end_late(asyncio.get_running_loop().time())
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
    limit = _connection_limit()
    connections = _Connections(limit)
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=partial(_Connection, connections),  # type: ignore[arg-type] # it wants a class, and only calls it
        loop="auto",  # uvloop where it is installed
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # its warnings are of requests that are no HTTP
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=max(128, min(_BACKLOG, limit // 8)),  # so many may be accepted before the first of them is counted
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )
    return FeedsServer(config, sock, connections)


def _connection_limit() -> int:
    """How many connections may be open: less than three quarters of the files that the process may open, so that
    publishing and the store can always open theirs."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(1, min(_MAX_CONNECTIONS, soft * 3 // 4 - _OWN_FILES))
