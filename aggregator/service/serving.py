"""HTTP over the output folder or bucket, until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from aggregator import __version__
from aggregator.config import Config
from aggregator.errors import crash_report
from aggregator.links import is_loopback
from aggregator.serve.app import FeedsApp, Probe, Searcher, ServedState, hub_links, make_state
from aggregator.serve.bodies import Bodies
from aggregator.serve.files import EMPTY_SNAPSHOT, load_snapshot
from aggregator.serve.server import FeedsServer, bind_socket, make_server
from aggregator.serve.source import make_source
from aggregator.service.metrics import HttpMetrics
from aggregator.service.process import start_thread, watch_threads
from aggregator.service.systemd import notify, report

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SWITCH_S = 0.0005
"""How long another thread may run Python code while requests wait. With Python's 5 ms, a thread that runs nothing
else leaves a quarter of the responses per second. Without requests it makes no difference."""
_log = logging.getLogger(__name__)


class Listeners(NamedTuple):
    """The listening sockets."""

    public: socket.socket
    admin: socket.socket | None  # of `serve.admin_port`

    @property
    def shows_private(self) -> bool:
        """Whether the public socket may show what is not public: nothing but this machine can reach it."""
        return is_loopback(self.public.getsockname()[0])


@contextmanager
def open_listeners(config: Config, port_key: str = "serve.port") -> Iterator[Listeners]:
    """The listening sockets of a config. Raises AggregatorError; `port_key` is what sets the port, for its hint."""
    with ExitStack() as opened:
        public = opened.enter_context(bind_socket(config.serve.host, config.serve.port, port_key))
        port, admin = config.serve.admin_port, None
        if port is not None:
            admin = opened.enter_context(bind_socket("127.0.0.1", port, "serve.admin_port"))
        yield Listeners(public, admin)


def serve_folder(config: Config, listeners: Listeners, stop: threading.Event) -> None:
    """Serves an output folder or bucket that another process writes, until SIGTERM, SIGINT, SIGHUP or `stop`."""

    def ready() -> tuple[bool, dict[str, Any]]:
        filled = bool(app.state.snapshot.files)
        facts = {"status": "ok" if filled else "empty", "version": __version__}
        return filled, facts if filled else facts | {"reason": "no feeds are published yet"}

    def health() -> tuple[bool, dict[str, Any]]:
        if problem := app.state.snapshot.problem:
            return False, {"status": "failing", "version": __version__, "reason": problem}
        return ready()

    app = make_app(config, health, ready)
    app.private["/metrics"] = HttpMetrics(app.responses).page

    def poll_folder() -> None:
        failed = ""
        while not stop.wait(app.state.source.poll_s):
            try:
                reload_snapshot(app, config, is_polled=True)
                failed = ""
            except Exception as error:  # noqa: BLE001 - the previous files are still served, and the next poll may work
                if str(error) != failed:
                    _log.error("%s cannot be checked; the last files stay. %s", config.output.path, crash_report(error))
                failed = str(error)

    watch_threads()
    start_thread("poll", poll_folder, stop.is_set)
    try:
        run_servers(make_servers(app, listeners), stop)
    finally:
        stop.set()


def make_app(config: Config, health: Probe, ready: Probe, searcher: Searcher | None = None) -> FeedsApp:
    """The app over the output folder of a config."""
    return FeedsApp(load_state(config, searcher=searcher), health=health, ready=ready)


def load_state(config: Config, previous: ServedState | None = None, searcher: Searcher | None = None) -> ServedState:
    """What is served by this config. Files of `previous`, and what is in memory of them, are reused. Caches may keep
    responses for half the time between two cycles."""
    redirects = config.redirects()
    bodies = previous.bodies if previous else Bodies(config.serve.cache)
    source = previous.source if previous else None
    if source is None or source.where != str(config.output.path):
        source = make_source(config.output.path)
    return make_state(
        load_snapshot(source, previous.snapshot if previous else EMPTY_SNAPSHOT, bodies),
        bodies=bodies,
        source=source,
        max_age_s=config.max_age_s,
        moved=redirects.urls,
        moved_folders=redirects.slugs,
        site=config.site_facts(),
        options=config.output_options(),
        searcher=searcher,
    )


def reload_snapshot(app: FeedsApp, config: Config, *, is_polled: bool) -> None:
    """Serves what the manifest of the output folder names now. `is_polled`: another process writes the folder, and this
    is called a few times a second."""
    snapshot = load_snapshot(app.state.source, app.state.snapshot, app.state.bodies, is_polled=is_polled)
    if snapshot is not app.state.snapshot:
        app.state = replace(app.state, snapshot=snapshot, links=hub_links(snapshot, config.site_facts()))


def make_servers(app: FeedsApp, listeners: Listeners) -> tuple[FeedsServer, ...]:
    """The servers of an application whose private pages are complete."""
    app.shows_private = listeners.shows_private
    public = make_server(app, listeners.public)
    return (public, make_server(app.admin_app(), listeners.admin)) if listeners.admin else (public,)


def run_servers(
    servers: Sequence[FeedsServer],
    stop: threading.Event,
    *,
    ends_on_hangup: Callable[[], bool] = lambda: True,
    status: Callable[[], str] = lambda: "serving",
) -> float:
    """Serves until SIGTERM, SIGINT, or a SIGHUP for which `ends_on_hangup` returns true; these set `stop`. Returns the
    monotonic time of the signal. Does not serve if `stop` is already set. `status` is for the
    supervisor.
    """
    stopped_at = time.monotonic()
    sys.setswitchinterval(_SWITCH_S)

    def exit_all() -> None:
        for server in servers:
            server.should_exit = True

    async def serve(server: FeedsServer) -> None:
        try:
            await server.serve()
        finally:  # without one of them, the process ends
            exit_all()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            nonlocal stopped_at
            stopped_at = time.monotonic()
            stop.set()
            notify("STOPPING=1")
            exit_all()

        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, end)
        loop.add_signal_handler(signal.SIGHUP, lambda: end() if ends_on_hangup() else None)
        if stop.is_set():  # by a signal before the loop had its handlers
            return
        reporting = asyncio.create_task(report(status))
        try:
            await asyncio.gather(*map(serve, servers))
        finally:
            reporting.cancel()

    with asyncio.Runner(loop_factory=servers[0].config.get_loop_factory()) as runner:
        runner.run(main())
    return stopped_at
