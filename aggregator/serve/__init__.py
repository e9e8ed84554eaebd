"""Serves the output folder over HTTP from memory.

    manifest -> load_snapshot -> Snapshot -> FeedsApp (ASGI) -> make_server (uvicorn)
    request  -> negotiation   -> one ServedFile, one Variant -> 200 or 304

A snapshot never changes: the service makes a new one after each cycle and assigns it to `FeedsApp.snapshot`, so a
request sees the folder either before or after, never between.
"""

from aggregator.serve.app import FeedsApp, SwitchedApp
from aggregator.serve.files import EMPTY_SNAPSHOT, ServedFile, Snapshot, load_snapshot
from aggregator.serve.server import FeedsServer, bind_socket, make_server

__all__ = [
    "EMPTY_SNAPSHOT",
    "FeedsApp",
    "FeedsServer",
    "ServedFile",
    "Snapshot",
    "SwitchedApp",
    "bind_socket",
    "load_snapshot",
    "make_server",
]
