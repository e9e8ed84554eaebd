"""The listening socket and the server; the only module that imports uvicorn.

uvicorn limits neither the size of a request head (with httptools) nor the time to send one, and counts connections only
when a request is complete. `_Connection` does that where bytes arrive, and sends most responses without a task. For
this it overrides private members: `HttpToolsProtocol` with its callbacks, `cycle`, `expect_100_continue`, `flow`,
`headers`, `parser`, `pipeline`, `server_state`, `url` and `_unsupported_upgrade_warning`, and `Server.main_loop`.
uvicorn options for head size, head timeout, idle timeout and tick interval would replace the limits. Its
`timeout_keep_alive` limits only the time between two requests, after responses that took a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import resource
import socket
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import islice, takewhile
from types import SimpleNamespace
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from aggregator.errors import AggregatorError
from aggregator.serve.app import Application
from aggregator.serve.bodies import Headers

_STOP_WITHIN_S = 3
_TICK_S = 0.5
_BACKLOG = 2048
_MAX_CONNECTIONS = 10_000
_OWN_FILES = 32  # open files of the service besides connections
MAX_HEAD_BYTES = 32 * 1024
_MAX_BODY_BYTES = 1024 * 1024  # bodies are ignored: the response does not wait for them
_WAIT_S = 10.0  # from the start of a connection, or its last response, to the end of the next head
_MAX_STALLS = 3  # intervals of _WAIT_S in which a client reads nothing of its response
_MAX_SEARCHED = 100  # connections with a running response that are skipped in the search for an idle one
_CLOSE = b"connection: close\r\n\r\n"
_HOST = re.compile(rb"[^\x00-\x20\"#/<>?@\\^`{|}\x7f]*+")
_TOO_LARGE = 431, b"The head of the request is too large.\n"
_OTHER_VERSION = 505, b"Only HTTP/1.0 and HTTP/1.1 work here.\n"
_REASONS = {
    errno.EADDRINUSE: "is in use (stop the other program, or choose another port: {key})",
    errno.EADDRNOTAVAIL: "is not a network address of this machine (set serve.host)",
    errno.EACCES: "needs privileges (set {key} to 1024 or more)",
}


class _Connections:
    """The open connections, at most `limit`, ordered by their last response, or by their start if they had none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._since: OrderedDict[_Connection, float] = OrderedDict()

    def add(self, connection: _Connection, now: float) -> None:
        """Adds a connection. If there are too many, closes the one that has been idle for longest."""
        self._since[connection] = now
        if len(self._since) > self._limit:
            idle = (other for other in islice(self._since, _MAX_SEARCHED) if not other.is_responding)
            self._close(next(idle, connection))

    def renew(self, connection: _Connection, now: float) -> None:
        """Restarts the time of a connection: its response is complete, or makes progress."""
        if connection in self._since:
            self._since[connection] = now
            self._since.move_to_end(connection)

    def discard(self, connection: _Connection) -> None:
        """Removes a closed connection."""
        self._since.pop(connection, None)

    def close_late(self, now: float) -> None:
        """Closes connections whose clients sent no request, or read nothing of the response, in time."""
        for connection, _ in list(takewhile(lambda item: now - item[1] >= _WAIT_S, self._since.items())):
            if connection.may_continue():
                self.renew(connection, now)
            else:
                self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self.discard(connection)
        connection.transport.abort()


class _Connection(HttpToolsProtocol):
    """One connection. Its requests have a deadline, a limited head, and exactly one valid Host."""

    def __init__(self, application: Application, connections: _Connections, **options: Any) -> None:
        super().__init__(**options)
        self._application, self._all = application, connections
        self._bytes = 0  # received of the current message
        self._in_head, self._has_ended_head = True, False
        self._hosts = 0  # fields of the current head
        self._refusal: tuple[int, bytes] | None = None  # of the current head: status and text
        self._refused = False
        self._has_ended = False  # the client sends nothing more
        self._unsent = self._stalls = 0

    @property
    def is_responding(self) -> bool:
        """True if a request is complete and its response is not."""
        return self.cycle is not None and not self.cycle.response_complete

    def may_continue(self) -> bool:
        """True while the application works, or the client reads the response."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        self._stalls = self._stalls + 1 if self._unsent and self._unsent == before else 0
        return (self._unsent > 0 and self._stalls < _MAX_STALLS) or (self.is_responding and not self._unsent)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all.add(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses in parts of MAX_HEAD_BYTES, because httptools copies an incomplete head for each call. Data after a
        refusal is discarded, because closing at once could lose the response."""
        start = 0
        while start < len(data) and not self._refused and not self.transport.is_closing():
            part = data[start : start + MAX_HEAD_BYTES] if len(data) > MAX_HEAD_BYTES else data
            start += len(part)
            self._has_ended_head = False
            super().data_received(part)
            self._bytes = 0 if self._has_ended_head else self._bytes + len(part)
            if self._in_head and self._bytes > MAX_HEAD_BYTES:
                self._refuse(*_TOO_LARGE)
            elif self._bytes > _MAX_BODY_BYTES:
                self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection for the responses to requests that are complete; asyncio would close it. A client may
        end its side after its request (RFC 9112 section 9.6)."""
        self._has_ended = True
        return self.is_responding or bool(self.pipeline)

    def on_message_begin(self) -> None:
        """Makes no `scope`: most responses need none."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._in_head, self._bytes, self._hosts = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name == b"host":
            self._hosts += 1 if _HOST.fullmatch(value) else 2
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Raises ValueError, which makes uvicorn call `send_400_response`, for a head that is too large, a version of
        HTTP that is not 1.0 or 1.1, and a request without exactly one valid Host (RFC 9112 section 3.2)."""
        self._in_head, self._has_ended_head = False, True
        if self._bytes:  # otherwise the head came in one part, which is small enough
            fields = sum(len(name) + len(value) + 4 for name, value in self.headers)  # ": " and CRLF
            if len(self.url) + fields > MAX_HEAD_BYTES:
                self._refusal = _TOO_LARGE
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refusal = _OTHER_VERSION
        if self._refusal:
            raise ValueError("refused")
        if self._hosts != 1 and (self._hosts or version != "1.0"):
            raise ValueError("not one Host")
        if self.url[:1] != b"/":
            self.url, host = _origin_form(self.url)
            if host:  # which counts before the field (RFC 9112 section 3.2.2)
                self.headers = [(name, host if name == b"host" else value) for name, value in self.headers]
        if not self._respond_at_once():
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expects
            self.headers += headers
            super().on_headers_complete()

    def _respond_at_once(self) -> bool:
        """Sends a response that needs no thread. uvicorn's cycle, its task, its timer and the two messages of ASGI
        would take more CPU time than everything else."""
        if self.cycle is not _RESPONDED and (self.is_responding or self.pipeline):
            return False
        if self.flow.write_paused or b"%" in self.url or not self.url.isascii():
            return False  # while the client does not read, each response would start the next, ever deeper
        method = self.parser.get_method().decode()
        path, _, query = self.url.partition(b"?")
        scope: Any = {"method": method, "path": path.decode(), "raw_path": path, "query_string": query}
        scope["headers"] = self.headers
        try:
            response = self._application.respond_at_once(scope)
        except Exception:  # noqa: BLE001 - the task meets the same error and logs it
            response = None
        if response is None:
            return False
        status, headers, body = response
        self._application.responses[status] += 1
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        date = _date(*self.server_state.default_headers[0])
        fields = (_document_fields if status in (200, 304) else _fields)(headers)
        head = STATUS_LINE[status] + fields + date + (b"\r\n" if keep_alive else _CLOSE)
        self.transport.writelines((head, body) if body and method != "HEAD" else (head,))
        self.cycle = _RESPONDED
        if keep_alive:
            self._all.renew(self, self.loop.time())
        else:
            self.transport.close()
        return True

    def on_response_complete(self) -> None:
        self._all.renew(self, self.loop.time())
        super().on_response_complete()
        if self._has_ended and not (self.is_responding or self.pipeline):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        if self._refusal:
            self._refuse(*self._refusal)
        else:
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Logs nothing: Java's client offers HTTP/2 with each request, and gets a normal response."""

    def _refuse(self, status: int, text: bytes) -> None:
        self._refused = True
        date = _date(*self.server_state.default_headers[0])
        fields = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + date + fields % len(text) + text)
        self.transport.write_eof()


def _fields(headers: Headers) -> bytes:
    return b"".join([b"%s: %s\r\n" % field for field in headers])


# Only of documents: in the fields of a redirect is what a client sent.
_document_fields = lru_cache(maxsize=1024)(_fields)


@lru_cache(maxsize=1)
def _date(name: bytes, value: bytes) -> bytes:
    return b"%s: %s\r\n" % (name, value)


def _origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a target in absolute form, which clients send to proxies (RFC 9112 section 3.2.2), and its
    host with the port; of another target itself, and nothing."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target, b""
    parsed = httptools.parse_url(target)
    authority = re.split(rb"[/?#]", target.partition(b"//")[2], maxsplit=1)[0]
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b""), authority.rpartition(b"@")[2]


# In place of uvicorn's cycle: the response to the last request is sent. uvicorn sets the event if the client leaves.
_RESPONDED: Any = SimpleNamespace(response_complete=True, message_event=asyncio.Event())


class FeedsServer(uvicorn.Server):
    """A server on one socket. The service handles signals; `should_exit` stops the server."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, connections: _Connections) -> None:
        super().__init__(config)
        self._socket = sock
        self._connections = connections

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the socket."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves on the socket until `should_exit`."""
        await super().serve(sockets or [self._socket])

    async def main_loop(self) -> None:
        """Checks `should_exit` twice a second. uvicorn's ten times would be half of the idle CPU of the service."""
        while not await self.on_tick(0):
            self._connections.close_late(asyncio.get_running_loop().time())
            await asyncio.sleep(_TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures no signals."""
        yield


def bind_socket(host: str, port: int, key: str = "serve.port") -> socket.socket:
    """A listening socket: a port in use fails here, and early requests queue. A host name prefers IPv4. The
    `key` of the config names the port.

    Raises AggregatorError with a hint.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(addresses, key=lambda info: info[0] != socket.AF_INET)
    except OSError as error:
        raise AggregatorError(f"{shown} cannot be used: {error.strerror} (set serve.host)") from error
    try:
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()  # "::" is every address, also of IPv4
        return socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"cannot be used: {os.strerror(error.errno or 0)}").format(key=key)
        raise AggregatorError(f"{shown} {reason}") from error


def make_server(app: Application, sock: socket.socket) -> FeedsServer:
    """A server for `app` on a socket from `bind_socket`."""
    limit = _connection_limit()
    connections = _Connections(limit)
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=partial(_Connection, app, connections),  # type: ignore[arg-type] # typed as a class, but only called
        loop="auto",  # uvloop where it is installed
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # warnings are about requests that are not HTTP
        timeout_keep_alive=round(_WAIT_S),
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=max(128, min(_BACKLOG, limit // 8)),  # that many are accepted before the first is counted
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )
    return FeedsServer(config, sock, connections)


def _connection_limit() -> int:
    """The most connections: less than three quarters of the descriptor limit, so that publishing and the store can
    open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(1, min(_MAX_CONNECTIONS, soft * 3 // 4 - _OWN_FILES))
