"""A real Prometheus scrapes the service, on its main port and on the admin port."""

from __future__ import annotations

import shutil
import subprocess

import httpx
import pytest
from commands import Shop, eventually, free_port

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: aggregator
    static_configs: [{{targets: ["{target}"]}}]
"""
FILES = ["prometheus", "promtool"]


@pytest.fixture
def shop(shop: Shop) -> Shop:
    if missing := [name for name in FILES if shutil.which(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")
    return shop


@pytest.mark.parametrize("has_admin_port", [False, True])
def test_prometheus_scrapes_the_metrics(shop: Shop, has_admin_port: bool) -> None:
    admin = free_port()
    shop.configure(serve=f"port = 0\nadmin_port = {admin}" if has_admin_port else "port = 0")
    shop.record("a.md", topics=["AI"])
    service = shop.start("run").wait_until_done()
    target = f"127.0.0.1:{admin}" if has_admin_port else service.url.removeprefix("http://").rstrip("/")
    text = httpx.get(f"http://{target}/metrics", trust_env=False).content
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")

    config, port = shop.root / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(target=target))
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={shop.root}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (shop.root / "prometheus.log").open("wb") as log:
        prometheus = subprocess.Popen(command, stdout=log, stderr=log)

    def value(query: str) -> float | None:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, trust_env=False)
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # it is still starting
            return None
        found = answer.json().get("data", {}).get("result", [])
        return float(found[0]["value"][1]) if found else None

    try:
        eventually(lambda: value('aggregator_records{state="published"}') == 1)
        assert value("up") == 1
        assert value("aggregator_feeds") == 2
        assert value('aggregator_cycles_total{result="ok"}') >= 1
        assert value('aggregator_stage_seconds_count{stage="render"}') >= 1
        assert value("time() - aggregator_last_success_timestamp_seconds") < 60
        shop.record("b.md", topics=["Maps"])
        eventually(lambda: value("aggregator_feeds") == 3)
    finally:
        prometheus.terminate()
        prometheus.wait(20)
    service.end()
