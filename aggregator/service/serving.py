"""HTTP over the output folder, until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aggregator import __version__
from aggregator.config import Config
from aggregator.errors import crash_report
from aggregator.serve import FeedsApp, FeedsServer, Snapshot, load_snapshot
from aggregator.service.process import start_thread, watch_threads

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
_log = logging.getLogger(__name__)


def serve_folder(config: Config, stop: threading.Event, server_of: Callable[[FeedsApp], FeedsServer]) -> None:
    """Serves an output folder that another process writes, until SIGTERM, SIGINT, SIGHUP or `stop`."""

    def is_filled() -> tuple[bool, dict[str, Any]]:
        filled = bool(app.snapshot.files)
        facts = {"status": "ok" if filled else "empty", "version": __version__}
        return filled, facts if filled else facts | {"reason": "the output folder holds no feeds yet"}

    app = make_app(config, is_filled, is_filled)

    def follow() -> None:
        failed = ""
        while not stop.wait(1.0):
            try:
                app.snapshot = load_snapshot(config.output.path, app.snapshot)
                failed = ""
            except Exception as error:  # noqa: BLE001 - what was read before is served on, and the next look may do
                if str(error) != failed:
                    _log.error("the output folder cannot be read; the last snapshot stays. %s", crash_report(error))
                failed = str(error)

    watch_threads()
    start_thread("follow", follow, stop.is_set)
    try:
        run_server(server_of(app), stop)
    finally:
        stop.set()


def make_app(
    config: Config, health: Callable[[], Any], ready: Callable[[], Any], *, previous: Snapshot | None = None
) -> FeedsApp:
    """The app over the output folder; caches may keep an answer for half the time between cycles. What `previous` has
    is not read again."""
    moves = config.moves()
    half = config.schedule.every // timedelta(seconds=2) if config.schedule.every else 60
    return FeedsApp(
        snapshot=load_snapshot(config.output.path, previous),
        max_age_s=max(15, min(300, half)),
        health=health,
        ready=ready,
        moved=moves.addresses,
        moved_folders=moves.folders,
        folder=config.output.path,
    )


def run_server(server: FeedsServer, stop: threading.Event, hang_up: Callable[[], bool] = lambda: True) -> float:
    """Serves until SIGTERM or SIGINT, which set `stop`, or not at all if it is set; when that was (time.monotonic).

    SIGHUP ends it too if `hang_up`, which it calls, says so.
    """
    asked_at = time.monotonic()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            nonlocal asked_at
            asked_at = time.monotonic()
            stop.set()
            server.should_exit = True

        for number in STOP_SIGNALS:
            try:
                loop.add_signal_handler(number, end)
            except NotImplementedError:  # Windows has none; there Ctrl-C raises
                signal.signal(number, lambda *_: end())
        if HANGUP is not None:
            loop.add_signal_handler(HANGUP, lambda: end() if hang_up() else None)
        if stop.is_set():  # a signal that came before the loop could take it
            return
        await server.serve()

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(main())
    return asked_at
