"""The status page for operators, made when somebody asks for it: docs/operating.md#the-status-page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aggregator.config import Config
from aggregator.errors import StoreError
from aggregator.problems import distance, shown_time, visible_data
from aggregator.serve.app import Page, Probe
from aggregator.status import advice_for, read_status
from aggregator.store.database import Store

KEEP_S = 1.0
"""How long a page answers further requests."""
MAX_PROBLEMS = 100
"""Problems of records that are listed."""
_HTML = b"text/html; charset=utf-8"


class StatusPage:
    """Answers `/status` and what the page loads. `config` returns the active config. Thread-safe."""

    def __init__(self, store: Store, health: Probe, config: Callable[[], Config]) -> None:
        self._store, self._health, self._config = store, health, config
        self._lock = threading.Lock()
        self._made: tuple[float, tuple[int, bytes, bytes]] | None = None

    def pages(self) -> dict[str, Page]:
        """The pages by URL path. The assets of the site are among them for `serve.admin_port`, which has no feeds."""
        from aggregator.documents import ASSETS
        from aggregator.render.assets import STATUS_ASSETS

        return {"/status": self.page} | {f"/{path}": partial(self._asset, path) for path in (*STATUS_ASSETS, *ASSETS)}

    def page(self) -> tuple[int, bytes, bytes]:
        """Status, media type and body of `/status`."""
        with self._lock:
            if self._made is None or time.monotonic() > self._made[0] + KEEP_S:
                page = self._make()
                self._made = time.monotonic(), page
            return self._made[1]

    def _make(self) -> tuple[int, bytes, bytes]:
        from aggregator.render.status_page import render_status_page

        config, now = self._config(), datetime.now(UTC)
        _, health = self._health()
        reasons, facts, status = [], None, 200
        try:
            facts = read_status(config, self._store, now, max_problems=MAX_PROBLEMS, has_lists=False)
            reasons += facts["wrong"]
        except StoreError as error:
            reasons.append(str(error))
            status = 503
        if health["status"] in ("failing", "late") and not reasons:
            reasons.append(health["reason"])

        def when(moment: str) -> dict[str, str]:
            at = datetime.fromisoformat(moment)
            return {"iso": moment, "exact": shown_time(at, config.site.timezone), "distance": distance(at, now)}

        body = render_status_page(
            config.site_facts(), config.output_options(), visible_data(facts),
            state=_state(facts, reasons, health), now=shown_time(now, config.site.timezone), when=when,
            reasons=visible_data([(reason, advice_for(reason)) for reason in reasons]),
            version=health["version"], role=health.get("role"), leader=health.get("leader"),
            is_shared=self._store.is_shared, max_problems=MAX_PROBLEMS,
        )  # fmt: skip
        return status, _HTML, body

    def _asset(self, path: str) -> tuple[int, bytes, bytes]:
        from aggregator.documents import content_type
        from aggregator.render.assets import render_assets, render_status_assets

        documents = (*render_status_assets(), *render_assets(self._config().site_facts().stylesheet))
        document = next(document for document in documents if document.path == path)
        return 200, content_type(path).encode(), document.body


def _state(facts: Mapping[str, Any] | None, reasons: list[str], health: Mapping[str, Any]) -> str:
    """What the head of the page says: `failing`, `starting`, `noted` if something is worth attention, or `well`."""
    if reasons or facts is None:
        return "failing"
    if health["status"] == "starting":
        return "starting"
    noted = (
        *(facts[name] for name in ("rejected", "unfinished", "problems", "advice")),
        facts["config"]["restart"],
        [hub for hub in facts["websub"] if hub["failed"]],
    )
    return "noted" if any(noted) else "well"
