"""Where the time of a cold build goes, by stage. `python -m benchmarks.stages CONFIG` prints the seconds as JSON.

A sampling profiler around the real command: a timer signal, 1,000 times a second, adds the time since the last sample
to the stage that the main thread is in. That costs one or two per cent, and unlike a tracing profiler it does not slow
down stages with many small calls.
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

SAMPLE_S = 0.001
PLACES = 4
STARTED = "BENCHMARK_STARTED"
"""The environment variable with the time.monotonic() at which the process was started."""
START, SCAN, READ, PARSE, HAND_OVER = "start-up", "scan", "read and hash", "parse", "hand-over"
STORE, REFRESH, RENDER, PUBLISH, OTHER = "store", "refresh", "render", "publish", "other"
STAGES = (START, SCAN, READ, PARSE, HAND_OVER, STORE, REFRESH, RENDER, PUBLISH, OTHER)
MODULES = {
    "aggregator.config": START,
    "aggregator.scan": SCAN,
    "aggregator.ingest": READ,
    "aggregator.parse": PARSE,
    "aggregator.store": STORE,
    "aggregator.feeds": STORE,
    "aggregator.render": RENDER,
    "aggregator.output": PUBLISH,
}
FUNCTIONS = {
    "aggregator.ingest.ingest_files": HAND_OVER,
    "aggregator.feeds.versions.refresh_feeds": REFRESH,
    "aggregator.feeds.versions.refresh_index": REFRESH,
    "aggregator.store.database.open_store": START,
}
"""Functions that belong to another stage than their module."""
_WHOLE = (START, REFRESH)
"""Stages that include everything that they call."""
_IMPORTS = ("importlib._bootstrap", "_frozen_importlib")


@dataclass(frozen=True, slots=True)
class Profile:
    """Seconds by stage, and in each stage by function; their sum; CPU seconds of the worker processes."""

    stages: dict[str, float]
    places: dict[str, dict[str, float]]
    total_s: float
    workers_cpu_s: float


def profile_build(site: OurSite, rounds: int) -> Profile:
    """The profile of the cold build with the median time."""
    profiles = []
    for _ in range(rounds):
        site.clear()
        command = [sys.executable, "-m", "benchmarks.stages", str(site.config)]
        environment = os.environ | {STARTED: str(time.monotonic())}
        ended = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
        profiles.append(Profile(**json.loads(ended.stdout)))
    return sorted(profiles, key=lambda profile: profile.total_s)[rounds // 2]


class Sampler:
    """Adds up the seconds in each stage between `start` and `end`."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {stage: defaultdict(float) for stage in STAGES}
        self._last = float(os.environ[STARTED])

    def start(self) -> None:
        """Starts sampling. The time until now, in which no sample was possible, is the start of the process."""
        self._add(START, "the interpreter")
        signal.signal(signal.SIGALRM, self._sample)
        signal.setitimer(signal.ITIMER_REAL, SAMPLE_S, SAMPLE_S)

    def end(self) -> None:
        """Stops sampling."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._add(OTHER, "")

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        self._add(*place_of(frame))

    def _add(self, stage: str, place: str) -> None:
        now = time.monotonic()
        self.seconds[stage][place] += now - self._last
        self._last = now


def place_of(frame: FrameType | None) -> tuple[str, str]:
    """The stage of the innermost function that belongs to a stage, and that function. An outer stage that includes
    everything that it calls takes precedence."""
    result, place = OTHER, ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_IMPORTS):
            return START, "imports"
        package = ".".join(module.split(".")[:2])
        stage = MODULES.get(package, OTHER)
        if stage is not OTHER:
            stage = FUNCTIONS.get(f"{module}.{frame.f_code.co_name}", stage)
            place = place or f"{module.removeprefix('aggregator.')}.{frame.f_code.co_qualname}"
        if result is OTHER or stage in _WHOLE:
            result = stage
        frame = frame.f_back
    return result, place


def _largest(places: dict[str, float]) -> dict[str, float]:
    return dict(sorted(places.items(), key=lambda place: -place[1])[:PLACES])


def main(config_path: str) -> Profile:
    """Profiles `aggregator build`."""
    sampler = Sampler()
    sampler.start()
    from aggregator import cli

    sys.argv = ["aggregator", "build", "--config", config_path]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise
    sampler.end()
    readers = resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = {stage: sum(places.values()) for stage, places in sampler.seconds.items()}
    places = {stage: _largest(places) for stage, places in sampler.seconds.items()}
    return Profile(stages, places, sum(stages.values()), readers.ru_utime + readers.ru_stime)


if __name__ == "__main__":
    print(json.dumps(asdict(main(sys.argv[1]))))
