"""WebSub: hubs are told of each document that changed, once, whatever happens in between."""

from __future__ import annotations

import errno
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from unittest.mock import Mock
from urllib.parse import parse_qs

import pytest
from commands import OLD, Shop, eventually
from conftest import SiteFolder, at
from http_servers import LoopbackServer, QuietHandler

from aggregator.cycle import pipeline
from aggregator.service import websub
from aggregator.service.websub import send_pings

NOON = at("2026-03-01 12:00")
HOUR = timedelta(hours=1)
BASE = "https://feeds.example.org/"


class Hub(LoopbackServer):
    """A hub that notes what it is told and answers with `status`, and redirects to `location`. While it `drips`, it
    sends its answer byte by byte and never ends it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.status, self.location = 202, ""
        self.asked, self.drips = 0, False
        hub = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:  # noqa: N802 - a name of the library
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                hub.asked += 1
                if hub.drips:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while hub.drips and not hub.closed.wait(0.05):
                        self.wfile.write(b"x")
                    return
                if hub.status < 300:
                    assert (form["hub.mode"], form["hub.url"]) == (["publish"], form["hub.topic"])
                    hub.told += form["hub.url"]
                self.send_response(hub.status)
                if hub.location:
                    self.send_header("Location", hub.location)
                self.end_headers()

            def do_GET(self) -> None:  # noqa: N802 - a name of the library
                self.send_response(200)
                self.end_headers()

        self.closed = threading.Event()
        super().__init__(Handler)
        self.url += "/"

    def close(self) -> None:
        self.closed.set()
        super().close()

    def take(self, base: str = BASE) -> list[str]:
        """The paths that it was told of since the last call, sorted."""
        told, self.told = self.told, []
        return sorted(url.removeprefix(base) for url in told)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        yield made


@pytest.fixture
def site(make_site: Callable[..., SiteFolder], store_url: str, hub: Hub) -> SiteFolder:
    made = make_site(store_url, f'[websub]\nhub = "{hub.url}"\n')
    made.record("a.md", topics=["AI"])
    made.record("b.md", topics=["Maps"])
    return made


@pytest.fixture
def edited(site: SiteFolder) -> SiteFolder:
    """The site after a first cycle and one with an edit, of which nobody was told yet."""
    site.run(NOON)
    site.record("a.md", title="Edited", topics=["AI"])
    site.run(NOON + HOUR)
    return site


def send(site: SiteFolder) -> tuple[str, float | None]:
    return send_pings(site.pipeline.site, site.store, lambda: False)


def documents(*slugs: str) -> list[str]:
    return sorted(f"{slug}/{name}" for slug in slugs for name in ("rss.xml", "atom.xml", "feed.json"))


@pytest.mark.both_databases
def test_a_first_import_pings_nobody_and_each_change_is_one_ping_for_each_changed_document(
    site: SiteFolder, hub: Hub
) -> None:
    site.run(NOON)
    assert send(site) == ("", None)
    assert hub.take() == []
    site.record("a.md", title="Edited", topics=["AI"])
    site.run(NOON + HOUR)
    assert send(site) == ("", None)
    assert hub.take() == documents("ai", "all")
    site.run(NOON + 2 * HOUR)
    assert send(site) == ("", None)
    assert hub.take() == [], "nothing changed"


def test_a_feed_that_is_new_has_no_subscriber_to_tell(site: SiteFolder, hub: Hub) -> None:
    site.run(NOON)
    site.record("c.md", topics=["New"])
    site.run(NOON + HOUR)
    send(site)
    assert hub.take() == documents("all")


def test_changes_before_a_ping_are_one_ping(site: SiteFolder, hub: Hub) -> None:
    site.run(NOON)
    for number in range(3):
        site.record("a.md", title=f"Edit {number}", topics=["AI"])
        site.run(NOON + (1 + number) * HOUR)
    send(site)
    assert hub.take() == documents("ai", "all")


@pytest.mark.both_databases
def test_a_hub_that_fails_is_asked_again_later_and_then_told_once(
    edited: SiteFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.status = 503
    problem, wait_s = send(edited)
    assert problem == f"the WebSub hub {hub.url} did not accept a ping: HTTP status 503 (it is tried again)"
    assert 5 < wait_s <= websub.FIRST_RETRY_S, "one refusal holds back all pings to the hub"
    hub.status = 202
    assert send(edited)[0] == "", "it is too early"
    assert hub.take() == []
    monkeypatch.setattr(websub, "_now", lambda real=websub._now: real() + 20_000_000)
    assert send(edited) == ("", None)
    assert hub.take() == documents("ai", "all")


def test_a_refused_document_does_not_hold_back_the_others(edited: SiteFolder, hub: Hub) -> None:
    hub.status = 400
    assert "HTTP status 400" in send(edited)[0]
    edited.record("b.md", title="Edited too", topics=["Maps"])
    edited.run(NOON + 2 * HOUR)
    hub.status = 202
    send(edited)
    assert hub.take() == documents("all", "maps"), "those that changed since are told at once"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_hub_is_a_failure_and_the_ping_is_sent_again(
    edited: SiteFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    hub.status, hub.location = status, f"{hub.url}elsewhere"
    assert f"HTTP status {status}" in send(edited)[0]
    assert hub.take() == []
    hub.status = 202
    monkeypatch.setattr(websub, "_now", lambda real=websub._now: real() + 20_000_000)
    assert send(edited) == ("", None)
    assert hub.take() == documents("ai", "all")


def test_a_hub_that_is_not_there_is_a_problem_and_no_error(
    make_site: Callable[..., SiteFolder], store_url: str
) -> None:
    site = make_site(store_url, '[websub]\nhub = "http://127.0.0.1:9/"\n')
    site.record("a.md")
    site.run(NOON)
    site.record("a.md", title="Edited")
    assert site.run(NOON + HOUR).problems == ()
    assert "did not accept a ping: [Errno 111] Connection refused" in send(site)[0]


def test_each_hub_is_told_and_a_new_hub_only_of_later_changes(
    make_site: Callable[..., SiteFolder], store_url: str, hub: Hub
) -> None:
    second = Hub()
    site = make_site(store_url, f'[websub]\nhub = "{hub.url}"\n')
    site.record("a.md")
    site.run(NOON)
    site.run_with(f'[websub]\nhub = ["{hub.url}", "{second.url}"]\n', NOON + HOUR)
    send(site)
    assert second.take() == []
    hub.take()
    site.record("a.md", title="Edited")
    site.run(NOON + 2 * HOUR)
    send(site)
    assert hub.take() == second.take() == documents("all")
    second.close()


@pytest.fixture
def two_hubs(make_site: Callable[..., SiteFolder], store_url: str, hub: Hub) -> Iterator[tuple[SiteFolder, Hub, Hub]]:
    """A site with pings for two hubs; the first one never ends its answer."""
    with Hub() as slow:
        slow.drips = True
        site = make_site(store_url, f'[websub]\nhub = ["{slow.url}", "{hub.url}"]\n')
        site.record("a.md")
        site.run(NOON)
        site.record("a.md", title="Edited")
        site.run(NOON + HOUR)
        yield site, slow, hub


def test_a_slow_hub_does_not_keep_another_one_waiting(two_hubs: tuple[SiteFolder, Hub, Hub]) -> None:
    site, slow, quick = two_hubs
    problem, _ = send_pings(site.pipeline.site, site.store, lambda: len(quick.told) == 3)
    assert (quick.take(), problem) == (documents("all"), ""), "the slow hub still has time"
    assert slow.asked == 1


def test_a_hub_that_answers_byte_by_byte_is_given_up_and_is_not_asked_again_meanwhile(
    two_hubs: tuple[SiteFolder, Hub, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, slow, quick = two_hubs
    monkeypatch.setattr(websub, "TIMEOUT_S", 0.3)
    answered = threading.Event()
    outbox = websub._Outbox(site.store, lambda _: None, answered.set, 0)

    def problem() -> str:
        outbox.advance(site.pipeline.site)
        return outbox.problem(site.pipeline.site)

    refused = f"the WebSub hub {slow.url} did not accept a ping: no answer within 10 s (it is tried again)"
    assert eventually(problem) == refused
    monkeypatch.setattr(websub, "_now", lambda real=websub._now: real() + 20_000_000)
    assert problem() == refused
    eventually(lambda: problem() and len(quick.told) == 3)
    assert (slow.asked, outbox.is_sending) == (1, False)
    slow.drips = False
    eventually(lambda: not problem())
    assert slow.take() == quick.take() == documents("all")


def test_a_build_ends_although_a_hub_never_ends_its_answer(
    two_hubs: tuple[SiteFolder, Hub, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websub, "TIMEOUT_S", 0.3)
    assert "no answer within 10 s" in send(two_hubs[0])[0]
    assert two_hubs[1].asked == 1, "all its pings wait"


def test_a_running_service_and_a_build_send_pings_and_name_their_hub(shop: Shop, hub: Hub) -> None:
    shop.configure(site=f'id = "x"\nbase_url = "{BASE}"', websub=f'hub = "{hub.url}"')
    shop.record("a.md", "Story")
    service = shop.start("run").wait_until_done()
    shop.record("b.md", "New")
    eventually(lambda: len(hub.told) >= 3)
    assert service.get("all/atom.xml").headers["link"] == (f'<{hub.url}>; rel="hub", <{BASE}all/atom.xml>; rel="self"')
    assert service.get("all/").headers["link"] is None
    service.end()
    assert hub.take() == documents("all")
    shop.record("c.md", "Newer")
    done = shop.run("build")
    assert (done.returncode, Counter(hub.take())) == (0, Counter(documents("all")))


def test_a_build_prints_its_summary_before_it_sends_pings(shop: Shop, hub: Hub) -> None:
    shop.configure(websub=f'hub = "{hub.url}"')
    shop.record("a.md", "Story")
    shop.run("build")
    shop.record("a.md", "Edited", mtime=OLD + 1)
    hub.drips = True
    command = shop.command("build")
    with subprocess.Popen(command, cwd=shop.root, env=shop.environment(), stdout=subprocess.PIPE, text=True) as build:
        assert build.stdout
        assert build.stdout.readline().startswith("scanned 1, new 0, changed 1")
        assert build.poll() is None
        eventually(lambda: hub.asked)
        hub.drips = False
    assert build.returncode == 0


@pytest.mark.parametrize("fails", ["the publish after its renames", "the outbox", "the outbox, and the process ends"])
def test_pings_are_queued_by_the_next_cycle_if_a_cycle_fails(
    site: SiteFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    site.run(NOON)
    site.record("a.md", title="Edited", topics=["AI"])
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch:
        if fails != "the publish after its renames":
            patch.setattr(pipeline, "queue_pings", Mock(side_effect=ZeroDivisionError))
            with pytest.raises(ZeroDivisionError):
                site.run(NOON + HOUR)
        else:
            patch.setattr("aggregator.output.folder._OpenFolder.replace_manifest", full)
            assert not site.run(NOON + HOUR).published
    if "process ends" in fails:
        site.close()
    site.run(NOON + 2 * HOUR)
    send(site)
    assert hub.take() == documents("ai", "all")
