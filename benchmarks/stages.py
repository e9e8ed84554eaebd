"""Where the time of a cold build goes, by stage; `python -m benchmarks.stages CONFIG` prints the seconds as JSON.

The build is the command's own, looked at a thousand times a second from a timer signal: what has passed since the last
look goes to the stage that the main thread is in. That costs a per cent or two, and a stage of many small calls no more
than one of few, unlike a tracing profiler.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from types import FrameType

from benchmarks.processes import ROOT
from benchmarks.sites import OurSite

LOOK_S = 0.001
PLACES = 4
STARTED = "BENCHMARK_STARTED"
"""Names, in the environment, when the process was asked for, on the clock of time.monotonic."""
START, WALK, READ, PARSE, HAND_OVER = "start-up", "walk", "read and hash", "parse", "hand-over"
STORE, SETTLE, RENDER, PUBLISH, OTHER = "store", "settle", "render", "publish", "other"
STAGES = (START, WALK, READ, PARSE, HAND_OVER, STORE, SETTLE, RENDER, PUBLISH, OTHER)
MODULES = {
    "aggregator.config": START,
    "aggregator.scan": WALK,
    "aggregator.ingest": READ,
    "aggregator.parse": PARSE,
    "aggregator.store": STORE,
    "aggregator.feeds": STORE,
    "aggregator.render": RENDER,
    "aggregator.output": PUBLISH,
}
FUNCTIONS = {"ingest_files": HAND_OVER, "refresh_feeds": SETTLE, "refresh_index": SETTLE, "open_store": START}
"""What is another stage than the module that it is in."""
_WHOLE = (START, SETTLE)
"""Stages to which all belongs that they call."""
_IMPORTS = ("importlib._bootstrap", "_frozen_importlib")


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds by stage, and in each by function, their sum, and the CPU of the processes that read files."""

    stages: dict[str, float]
    places: dict[str, dict[str, float]]
    total_s: float
    workers_cpu_s: float


def profile_build(site: OurSite, rounds: int) -> Profile:
    """The cold build whose time is in the middle of some."""
    profiles = []
    for _ in range(rounds):
        site.clear()
        command = [sys.executable, "-m", "benchmarks.stages", str(site.config)]
        environment = os.environ | {STARTED: str(time.monotonic())}
        ended = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        profiles.append(Profile(**json.loads(ended.stdout)))
    return sorted(profiles, key=lambda profile: profile.total_s)[rounds // 2]


class Looker:
    """Adds up, while it is on, the seconds that pass in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {stage: defaultdict(float) for stage in STAGES}
        self._last = float(os.environ[STARTED])

    def start(self) -> None:
        """From here on, and before it the start of the process, which no look can be in."""
        self._add(START, "the interpreter")
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)

    def end(self) -> None:
        """Looks no more."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._add(OTHER, "")

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        self._add(*place_of(frame))

    def _add(self, stage: str, place: str) -> None:
        now = time.monotonic()
        self.seconds[stage][place] += now - self._last
        self._last = now


def place_of(frame: FrameType | None) -> tuple[str, str]:
    """The stage of the innermost function that belongs to one, or of the one that it is done for as a whole, and that
    function."""
    found, place = OTHER, ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_IMPORTS):
            return START, "imports"
        package = ".".join(module.split(".")[:2])
        stage = MODULES.get(package, OTHER)
        if stage is not OTHER:
            stage = FUNCTIONS.get(frame.f_code.co_name, stage)
            place = place or f"{module.removeprefix('aggregator.')}.{frame.f_code.co_qualname}"
        if found is OTHER or stage in _WHOLE:
            found = stage
        frame = frame.f_back
    return found, place


def _largest(places: dict[str, float]) -> dict[str, float]:
    return dict(sorted(places.items(), key=lambda place: -place[1])[:PLACES])


def main(config_path: str) -> Profile:
    """Does what `aggregator build` does, looked at."""
    looker = Looker()
    looker.start()
    from aggregator import cli

    sys.argv = ["aggregator", "build", "--config", config_path]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise
    looker.end()
    readers = resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = {stage: sum(places.values()) for stage, places in looker.seconds.items()}
    places = {stage: _largest(places) for stage, places in looker.seconds.items()}
    return Profile(stages, places, sum(stages.values()), readers.ru_utime + readers.ru_stime)


if __name__ == "__main__":
    print(json.dumps(asdict(main(sys.argv[1]))))
