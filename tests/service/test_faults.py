"""The service under faults of its machine and its clients: it goes on, or it ends and says why."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commands import DEADLINE_S, Running, Shop, eventually, free_port

from aggregator.service.health import Health

FILES = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.record("a.md", "Story")
    return shop


def files_of(service: Running) -> int:
    return len(os.listdir(f"/proc/{service.process.pid}/fd"))


# files

linux_only = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux has prlimit and /proc")


@linux_only
def test_a_shortage_of_descriptors_is_survived(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    before = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (10, before[1]))
    shop.record("b.md", "New")
    eventually(lambda: "the cycle failed: the system refuses: Too many open files" in service.log)
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: "New" in service.titles())
    eventually(lambda: service.health() == "ok")
    assert service.get("healthz").json()["config"] == "ok"
    assert shop.json("status")["rejected"] == []
    assert service.log.count("Traceback") == 0


@linux_only
def test_the_service_raises_its_descriptor_limit(shop: Shop) -> None:
    service = shop.start("run", patch=FILES.format(soft=200, hard=1000))
    assert resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE) == (1000, 1000)


@linux_only
def test_idle_connections_leave_descriptors_for_publishing(shop: Shop) -> None:
    service = shop.start("run", patch=FILES.format(soft=256, hard=256)).wait_until_done()
    with contextlib.ExitStack() as held:
        for _ in range(400):
            held.enter_context(service.connect())
        shop.record("b.md", "New")
        eventually(lambda: "New" in service.titles())
        assert service.get("healthz").status == 200
        assert files_of(service) < 256


# threads

DIES = """
import {module} as patched
def die(*_, **__):
    raise {error}
patched.{name} = die
"""


@pytest.mark.parametrize(
    ("module", "name", "thread"),
    [
        ("aggregator.service.worker", "Worker._run_cycle", "worker"),
        ("aggregator.service.watch", "FolderWatch._watch_folders", "watch"),
        ("aggregator.service.monitor", "_clock_offset", "monitor"),
        ("aggregator.service.service", "run_servers", "HTTP"),
        ("apscheduler.schedulers.background", "BackgroundScheduler._main_loop", "APScheduler"),
    ],
)
def test_a_thread_that_dies_ends_the_process_with_a_reason(shop: Shop, module: str, name: str, thread: str) -> None:
    error = f"{'ValueError' if thread in ('HTTP', 'APScheduler') else 'SystemExit'}('of old age')"
    service = shop.start("run", patch=DIES.format(module=module, name=name, error=error))
    assert service.process.wait(DEADLINE_S) == 1
    assert f"Traceback: {error.partition('(')[0]} < " in service.log
    assert "of old age" not in service.log
    assert f"'{thread}'" in service.log or f"{thread} died" in service.log
    assert shop.run("build").returncode == 0, "the lease is free"


def test_the_renewal_of_the_lease_outlives_any_error(shop: Shop) -> None:
    patch = """
from aggregator.store import lease
lease.RENEW_S = 0.05
real = lease.Lease.assert_held
def assert_held(self, connection):
    from pathlib import Path
    import threading
    if threading.current_thread().name == "lease" and not Path("seen").exists():
        Path("seen").touch()
        raise ValueError("whatever")
    return real(self, connection)
lease.Lease.assert_held = assert_held
"""
    service = shop.start("run", patch=patch).wait_until_done()
    eventually((shop.root / "seen").exists)
    assert " lease" not in service.log
    shop.record("b.md", "New")
    eventually(lambda: "New" in service.titles())


# streams


@pytest.mark.parametrize("streams", [">>/dev/full 2>&1", "2>&-", ">&- 2>&- <&-", "2>&1 | sleep 60"])
def test_blocked_streams_lose_only_log_lines(shop: Shop, streams: str) -> None:
    if "/dev/full" in streams and not os.path.exists("/dev/full"):
        pytest.skip("only Linux has /dev/full")
    port = free_port()
    shop.configure(serve=f"port = {port}", site=f'id = "x"\nbase_url = "http://127.0.0.1:{port}/"')
    for number in range(300):  # a message each, more than a pipe takes
        shop.write(f"{'bad' * 60}{number}.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    shell = subprocess.Popen(
        ["sh", "-c", f'"$@" {streams}', "sh", *shop.command("run")],
        cwd=shop.root,
        env=shop.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shop._running.append(shell)
    service = Reached(f"http://127.0.0.1:{port}/")
    eventually(lambda: "Story" in service.titles())
    shop.record("b.md", "New")
    eventually(lambda: "New" in service.titles())
    assert service.health() == "ok"


class Reached(Running):
    """A service whose output goes elsewhere."""

    def __init__(self, url: str) -> None:
        self.url = url

    def titles(self, slug: str = "all") -> list[str]:
        try:
            return super().titles(slug)
        except OSError:  # it does not listen yet
            return []


# folders that are not watched


def start_without_rights(shop: Shop) -> Running:
    """The service as a user whom the rights of files bind, as they do not bind root."""
    if os.geteuid():
        return shop.start("run")
    if not shutil.which("setpriv"):
        pytest.skip("root can be denied nothing without setpriv (util-linux)")
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    return shop.start(patch=f"import os; os.execvp('setpriv', {[*bound, *shop.command('run')]!r})")


@pytest.fixture
def closed(shop: Shop) -> Iterator[Path]:
    """A folder that may not be read."""
    folder = shop.incoming / "closed"
    folder.mkdir()
    folder.chmod(0)
    yield folder
    folder.chmod(0o755)


@pytest.mark.skipif(not os.path.exists("/proc/self/fdinfo"), reason="only Linux says what is watched")
def test_an_unreadable_folder_leaves_the_others_watched_and_is_watched_once_readable(shop: Shop, closed: Path) -> None:
    shop.record("open/first.md", "First")
    service = start_without_rights(shop).wait_until_done()
    warning = f"not every records folder is watched: {closed} is not readable (all are scanned on schedule)"
    eventually(lambda: f"WARNING {warning}" in service.log)
    health = service.get("healthz")
    assert (health.status, health.json()["warnings"]) == (200, [warning])
    eventually(lambda: warning in shop.json("status")["problems"])
    shop.record("open/b.md", "Beside it")
    eventually(lambda: "Beside it" in service.titles())
    closed.chmod(0o755)
    eventually(lambda: f"INFO resolved: {warning}" in service.log)
    shop.record("closed/c.md", "In it")
    eventually(lambda: "In it" in service.titles())
    assert "warnings" not in service.get("healthz").json()
    eventually(lambda: warning not in shop.json("status")["problems"])


@pytest.mark.skipif(not os.path.exists("/proc/self/fdinfo"), reason="only Linux says what is watched")
def test_a_folder_that_becomes_readable_after_it_was_filled_is_watched(shop: Shop) -> None:
    """As `cp -a` makes it."""
    service = start_without_rights(shop).wait_until_done()
    folder = shop.incoming / "copied"
    folder.mkdir(0)
    eventually(lambda: f"{folder}/: cannot be read" in service.log)
    folder.chmod(0o755)
    for number in range(5):  # the first ones are seen for the change of its rights
        shop.record(f"copied/{number}.md", f"Copied {number}")
        eventually(lambda title=f"Copied {number}": title in service.titles())


# the time zone of the machine


@pytest.mark.parametrize("zone", ["UTC+3", "XYZ-5:30", "Nowhere/City", ":", "CET-1CEST,M3.5.0,M10.5.0/3"])
def test_the_time_zone_of_the_machine_has_no_effect(shop: Shop, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    shop.configure(site='id = "x"\ntimezone = "Asia/Kolkata"')
    service = shop.start("run").wait_until_done()
    eventually(lambda: "+05:30 INFO scanned 1" in service.log)
    assert "Traceback" not in service.log


# the store


def test_a_missing_store_is_noticed_and_used_again_once_it_is_back(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    away = shop.root / "away"
    shop.data.rename(away)
    eventually(lambda: service.get("healthz").status == 503)
    health = service.get("healthz").json()
    assert (health["status"], "the store's file is missing" in health["reason"]) == ("failing", True)
    shop.record("b.md", "New")
    eventually(lambda: 'aggregator_cycles_total{result="failed"} 0' not in service.get("metrics").body.decode())
    eventually(lambda: "ERROR the store's file is missing" in service.log)
    assert service.log.count("the store's file is missing") == 1, "one line for one cause"
    assert service.get("healthz").json()["reason"].count("the store's file is missing") == 1
    assert service.titles() == ["Story"], "what was published is served on"
    assert not shop.data.exists(), "nobody makes a new one"
    away.rename(shop.data)
    eventually(lambda: "New" in service.titles())
    eventually(lambda: service.get("healthz").status == 200)
    eventually(lambda: "resolved: the store's file is missing" in service.log)


def test_a_store_that_is_replaced_is_not_written_and_another_writer_is_noticed(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    shutil.rmtree(shop.data)
    assert shop.run("build").returncode == 0
    eventually(lambda: "is not the one that was opened" in service.log)
    assert service.get("healthz").status == 503
    shop.record("b.md", "New")
    eventually(lambda: 'aggregator_cycles_total{result="failed"} 0' not in service.get("metrics").body.decode())
    assert service.log.count("is not the one that was opened") == 1  # one cause, one line
    assert service.titles() == ["Story"]
    assert service.end()[0] == 0
    after = shop.start("run").wait_until_done()
    assert set(after.titles()) == {"New", "Story"}


# what is known to be wrong


def test_a_late_cycle_is_reported_until_one_succeeds(shop: Shop) -> None:
    shop.configure(schedule='every = "1s"\nwatch = false')
    patch = """
import time
from pathlib import Path
from aggregator.service import worker
worker.LATE_S = 0.2
real = worker.Worker._run_cycle
def run_cycle(self):
    while Path("wait").exists():
        time.sleep(0.05)
    real(self)
worker.Worker._run_cycle = run_cycle
"""
    service = shop.start("run", patch=patch).wait_until_done()
    (shop.root / "wait").touch()
    eventually(lambda: "ERROR no cycle has succeeded since" in service.log)
    health = service.get("healthz")
    assert (health.status, health.json()["status"]) == (503, "late")
    assert health.json()["reason"].startswith("no cycle has succeeded since")
    assert any("no cycle has succeeded since" in line for line in shop.json("status")["problems"])
    (shop.root / "wait").unlink()
    eventually(lambda: "resolved: no cycle has succeeded since" in service.log)
    eventually(lambda: service.health() == "ok")


def test_a_service_that_takes_the_lead_again_is_not_late_before_its_first_cycle() -> None:
    health, past = Health(), datetime.now(UTC) - timedelta(hours=1)
    health.succeed(past, past, 0.0)
    assert health.report()[1]["status"] == "late"
    health = Health()
    health.succeed(past, past, 0.0)
    health.lead()
    assert health.report()[1]["status"] == "starting"


# a cycle that hangs

HANG = """
import time
from pathlib import Path
from aggregator.service import hang_check
hang_check.HANG_S = 20
def hang(is_over):  # any other cycle may take long on a loaded machine
    hang_check.HANG_S = {hang_s}
    while not is_over():
        time.sleep(0.01)
    hang_check.HANG_S = 20
{patch}
"""
HANGS_IN = {
    "ingest": """
from aggregator.files.folder import FolderFiles
real = FolderFiles.read
def read(files, file, most):
    if file.path == "hangs.md":
        hang(Path("free").exists)
    return real(files, file, most)
FolderFiles.read = read
""",
    "output": """
from aggregator.output import publication
real = publication.Publication._place_all
def place_all(self):
    if Path("incoming/hangs.md").exists():
        hang(Path("free").exists)
    real(self)
publication.Publication._place_all = place_all
""",
}


def start_hanging(shop: Shop, stage: str, hang_s: float, patch: str = "") -> Running:
    service = shop.start("run", patch=HANG.format(hang_s=hang_s, patch=HANGS_IN[stage] + patch)).wait_until_done()
    shop.record("hangs.md", "Hangs")
    return service


@pytest.mark.parametrize("stage", HANGS_IN)
def test_a_cycle_that_hangs_is_reported_with_its_stage_until_it_goes_on(shop: Shop, stage: str) -> None:
    stays = "hang_check.end_process = lambda _: None"  # it can be looked at
    service = start_hanging(shop, stage, hang_s=6, patch=stays)
    reason = f"the cycle hangs in the stage {stage!r}: no progress for 0.1 minutes"
    eventually(lambda: service.get("healthz").status == 503)
    assert (service.health(), service.get("healthz").json()["reason"]) == ("failing", reason)
    eventually(lambda: reason in shop.json("status")["problems"])
    assert service.titles() == ["Story"], "what was published is served on"
    (shop.root / "free").touch()
    eventually(lambda: "Hangs" in service.titles())
    eventually(lambda: f"INFO resolved: {reason}" in service.log)
    assert service.get("healthz").status == 200


def test_a_cycle_that_hangs_for_twice_as_long_ends_the_process(shop: Shop) -> None:
    service = start_hanging(shop, "ingest", hang_s=0.6)
    assert service.process.wait(DEADLINE_S) == 1
    line = "CRITICAL the cycle hangs in the stage 'ingest': no progress for 0.02 minutes; the service ends"
    assert line in service.log
    assert shop.run("build").returncode == 0
    assert "Hangs" in shop.titles()


def test_neither_long_work_nor_a_stopped_process_is_a_cycle_that_hangs(shop: Shop) -> None:
    """Every file is a sign of progress."""
    patch = """
from aggregator import ingest
real = ingest._parse_file
parsed = []
def parse_file(raw, *rest):
    parsed.append(raw)
    hang_check.HANG_S = 3 if len(parsed) < 21 else 20
    Path("begun").touch()
    time.sleep(0.2)
    return real(raw, *rest)
ingest._parse_file = parse_file
"""
    for number in range(20):
        shop.record(f"{number}.md")
    service = shop.start("run", patch=HANG.format(hang_s=3, patch=patch))
    eventually((shop.root / "begun").exists)
    service.process.send_signal(signal.SIGSTOP)
    time.sleep(6.5)  # longer than twice the deadline
    service.process.send_signal(signal.SIGCONT)
    service.wait_until_done()
    assert "hangs" not in service.log
    assert len(service.titles()) == 21
