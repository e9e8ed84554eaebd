"""Metrics for Prometheus: docs/reference.md#metrics. The only module that imports prometheus_client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from aggregator import __version__
from aggregator.cycle.stage_clock import STAGES
from aggregator.errors import StoreError
from aggregator.model import CycleResult
from aggregator.store.database import Store
from aggregator.store.queries import count_records

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
"""Upper bounds of the buckets of both histograms."""

_log = logging.getLogger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call] # series with the start time of every counter


class HttpMetrics(Collector):
    """The version and the responses; all that `aggregator serve` has."""

    def __init__(self, responses: Mapping[int, int]) -> None:
        self._responses, self.registry = responses, CollectorRegistry()
        Info("aggregator_build", "1; the version that runs is a label", registry=self.registry).info(
            {"version": __version__}
        )
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The metrics that are read when Prometheus asks."""
        family = CounterMetricFamily(
            "aggregator_http_requests", "Responses of the main port, by status", labels=["code"]
        )
        for status, count in sorted(dict(self._responses).items()):
            family.add_metric([str(status)], count)
        yield family

    def page(self) -> tuple[int, bytes, bytes]:
        """Status, media type and body of /metrics."""
        return 200, CONTENT_TYPE_PLAIN_0_0_4.encode(), generate_latest(self.registry)


class ServiceMetrics(HttpMetrics):
    """Also what the cycles of a service do, and what its store has. `oldest_unread_s` returns how many seconds the
    oldest request for a scan waits."""

    def __init__(self, responses: Mapping[int, int], store: Store, oldest_unread_s: Callable[[], float]) -> None:
        super().__init__(responses)
        registry = self.registry
        Gauge("aggregator_leads", "1 if this service leads, 0 if it follows", registry=registry).set_function(
            lambda: float(store.lease.is_held)
        )
        self._cycles = Counter(
            "aggregator_cycles",
            "Cycles; failed: with an error, a folder that could not be read, or an output that could not be written",
            ["result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "aggregator_cycle_seconds", "How long cycles took", buckets=SECONDS, registry=registry
        )
        stage_seconds = Histogram(
            "aggregator_stage_seconds",
            "How long cycles spent in each stage",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._stages = {stage: stage_seconds.labels(stage) for stage in STAGES}
        self._last_success = Gauge(
            "aggregator_last_success_timestamp_seconds",
            "When the last cycle succeeded; 0 before the first",
            registry=registry,
        )
        self._documents = Counter("aggregator_documents_written", "Documents that changed", registry=registry)
        Gauge(
            "aggregator_oldest_unread_seconds",
            "How long the oldest change or scheduled scan waits to be published; 0 if none does",
            registry=registry,
        ).set_function(oldest_unread_s)
        self._pings = Counter("aggregator_websub_pings", "Pings to WebSub hubs", ["result"], registry=registry)
        for result in ("ok", "failed"):
            self._cycles.labels(result)
            self._pings.labels(result)
        self._store = store
        # Counts of the store are read when Prometheus asks and a cycle ended since.
        self._ended_cycles = 0
        self._counted: tuple[int, dict[str, int]] | None = None

    def count_cycle(self, result: CycleResult, *, is_success: bool) -> None:
        """Counts a cycle without an error; it failed if a folder could not be read or nothing could be written."""
        self._cycles.labels("ok" if is_success else "failed").inc()
        self._seconds.observe(result.seconds)
        for stage, seconds in result.stages:
            self._stages[stage].observe(seconds)
        self._documents.inc(result.files_written)
        if is_success:
            self._last_success.set_to_current_time()
        self._ended_cycles += 1

    def count_followed(self, documents: int | None) -> None:
        """The output folder is as the leader's cycles say; `documents` changed for that, None: nothing was new."""
        self._last_success.set_to_current_time()
        if documents is not None:
            self._documents.inc(documents)
            self._ended_cycles += 1

    def count_failure(self) -> None:
        """Counts a cycle that an error ended."""
        self._cycles.labels("failed").inc()
        self._ended_cycles += 1

    def count_ping(self, result: Literal["ok", "failed"]) -> None:
        """Counts a ping to a hub."""
        self._pings.labels(result).inc()

    def collect(self) -> Iterator[Metric]:
        """Also the numbers of records and feeds; not while the store cannot be read."""
        yield from super().collect()
        ended_cycles = self._ended_cycles
        if self._counted is None or self._counted[0] != ended_cycles:
            try:
                with self._store.read() as connection:
                    self._counted = ended_cycles, count_records(connection)
            except StoreError as error:
                _log.debug("the metrics lack records and feeds: %s", error)
                return
        counts = dict(self._counted[1])
        yield GaugeMetricFamily("aggregator_feeds", "Published feeds", counts.pop("feeds"))
        records = GaugeMetricFamily("aggregator_records", "Records, without withdrawn ones", labels=["state"])
        for state, count in counts.items():
            records.add_metric([state], count)
        yield records
