"""The service where the system lets it watch fewer folders than there are, in a user namespace with a limit of its own."""

from __future__ import annotations

import subprocess

import pytest
from commands import Shop, eventually

LIMIT = "/proc/sys/user/max_inotify_watches"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.configure(schedule='every = "2s"\nrescan = "1h"')
    return shop


def test_folders_beyond_the_limit_are_scanned_on_schedule_until_they_are_watched(shop: Shop) -> None:
    if subprocess.run(["unshare", "-Ur", "test", "-w", LIMIT], check=False).returncode:
        pytest.skip("needs a user namespace that may set its own limit of inotify")
    for number in range(20):
        shop.record(f"{number}/a.md", f"First {number}")
    limit = shop.root / "limit"
    limit.write_text("8")
    follow = f"while sleep 0.2; do cat {limit} > {LIMIT}; done"
    shell = f"cat {limit} > {LIMIT}; ({follow}) & exec {' '.join(shop.command('run'))}"
    service = shop.start(
        patch=f"import os; os.execvp('unshare', ['unshare', '-Ur', 'sh', '-c', {shell!r}])"
    ).wait_until_done()
    eventually(lambda: "WARNING not every records folder is watched: " in service.log)
    assert "max_user_watches" in service.get("healthz").json()["warnings"][0]
    assert service.get("healthz").status == 200
    for number in range(20):
        shop.record(f"{number}/b.md", f"Second {number}")
    eventually(lambda: sum(title.startswith("Second") for title in service.titles()) == 20)
    limit.write_text("1000")
    eventually(lambda: "INFO resolved: not every records folder" in service.log, within_s=40)
    assert "warnings" not in service.get("healthz").json()
