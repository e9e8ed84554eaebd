"""The status page of a running service, over HTTP."""

from __future__ import annotations

import re
import socket
from unittest.mock import Mock

import httpx
import pytest
from commands import Reply, Running, Shop, eventually, free_port
from conftest import SiteFolder
from lxml import etree

from aggregator.service.status_page import StatusPage


class Page:
    """The text of a page, and its tags with their attributes."""

    def __init__(self, reply: Reply) -> None:
        assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
        root = etree.HTML(reply.body, etree.HTMLParser(encoding="utf-8"))
        self.text = " ".join(" ".join(root.itertext()).split())
        self.tags = [(node.tag, node.attrib) for node in root.iter(etree.Element)]


def shows(service: Running, *texts: str) -> Page:
    """The page once it shows all of the texts."""

    def look() -> Page | None:
        page = Page(service.get("status"))
        return page if all(text in page.text for text in texts) else None

    return eventually(look)


# what it shows


def test_all_is_well(shop: Shop) -> None:
    shop.record("a.md", topics=["AI"], publishedDateTime="2024-05-01T12:00:00Z")
    shop.record("draft.md", published=False)
    # while a cycle runs, the next one is "now"
    page = shows(shop.start("run").wait_until_done(), "All is well", "Next cycle in")
    for text in ("Published 1", "Hidden 1", "Rejected 0", "Feeds 2", "Last cycle", "Next cycle in", "Time by stage"):
        assert text in page.text
    assert f"Output {shop.output} rss, atom, json" in page.text
    assert "one for each topic" in page.text


def test_the_list_of_feeds_says_which_feeds_it_has(shop: Shop) -> None:
    """Of many, it has the few that changed last."""
    shop.record("a.md", topics=["AI"])
    page = shows(shop.start("run").wait_until_done(), "All is well", "Feeds that changed last")
    assert "Feeds that changed last" in [attributes.get("aria-label") for _, attributes in page.tags]


def test_charts_have_a_table_with_the_same_numbers(shop: Shop) -> None:
    from datetime import UTC, datetime

    shop.record("a.md", topics=["AI", "Maps"], publishedDateTime=datetime.now(UTC).isoformat())
    shop.record("b.md", topics=["AI"], publishedDateTime=datetime.now(UTC).isoformat())
    page = shows(shop.start("run").wait_until_done(), "Published 2")
    assert "Entries a day 2 released in 90 days" in page.text
    assert re.search(r"Topic Entries AI 2 Maps 1", page.text)
    charts = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(charts) == 6
    assert all(attrs["aria-hidden"] == "true" for attrs in charts)
    assert len([tag for tag, _ in page.tags if tag == "figure"]) == 5


def test_a_rejected_record_is_shown_with_its_place_line_and_hint(shop: Shop) -> None:
    shop.record("a.md", "Good")
    service = shop.start("run").wait_until_done()
    shop.write("a.md", "---\ntitle: A: b\n---\n")
    shop.write("b.md", "---\ntitle: Bad\npublished: yes please\n---\n")
    page = shows(service, "Rejected 2", "Needs attention")
    assert "incoming/a.md:2:9 Front matter is not valid YAML: unexpected ':' Quote the value" in page.text
    assert "'published' is not true or false: yes please published: yes please ^ Write true or false" in page.text
    assert "Its entry is still published, as it was before." in page.text


def test_scheduled_records_are_listed_by_date(shop: Shop) -> None:
    shop.record("b.md", "Later", publishedDateTime="2098-01-01T00:00:00Z")
    shop.record("a.md", "Much later", publishedDateTime="2099-01-01T00:00:00Z")
    page = shows(shop.start("run").wait_until_done(), "Scheduled 2")
    assert re.search(
        r"Record Released Later incoming/b\.md in \d+ years Much later incoming/a\.md in \d+ years", page.text
    )


def test_a_refused_config_is_shown_with_what_to_do_while_the_last_one_stays_in_force(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    text = shop.config.read_text()
    shop.config.write_text(text + "[output]\nlimti = 3\n")
    page = shows(service, "Something is wrong", "config/aggregator.toml:10")
    assert "The config is refused; the last good one stays active Correct the lines below" in page.text
    assert "limti" in page.text
    assert "Active config" in page.text
    shop.config.write_text(text)
    shows(service, "All is well")


def test_a_records_folder_that_cannot_be_read_is_what_is_wrong(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    shop.incoming.rename(shop.root / "elsewhere")
    shows(service, "Something is wrong", f"{shop.incoming}: the records folder cannot be read", "bring it back")


def test_pings_that_wait_are_counted_for_each_hub(shop: Shop) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        hub = f"http://127.0.0.1:{bound.getsockname()[1]}/hub"
        shop.configure(websub=f'hub = "{hub}"')
        shop.record("a.md")
        service = shop.start("run").wait_until_done()
        assert f"{hub} 0 0 –" in Page(service.get("status")).text
        shop.record("b.md")
        page = shows(service, "Needs attention")
        assert re.search(rf"{re.escape(hub)} [1-9]\d* [1-9]\d* (in|now)", page.text)


def test_texts_of_records_are_no_markup_and_no_control_characters(shop: Shop) -> None:
    shop.record("a<b>.md", "<script>alert(1)</script>Night\u202e", publishedDateTime="2098-01-01T00:00:00Z")
    shop.record("b.md", topics=["<b>Bold</b>"], publishedDateTime="2024-01-01T00:00:00Z")
    service = shop.start("run").wait_until_done()
    page = shows(service, "Scheduled 1")
    body = service.get("status").body.decode()
    assert "<script>alert" not in body
    assert "<b>Bold" not in body
    assert "\u202e" not in body
    assert "incoming/a<b>.md" in page.text


def test_the_page_has_nothing_inline_and_only_it_may_connect(shop: Shop) -> None:
    shop.record("a.md", topics=["AI"])
    service = shop.start("run").wait_until_done()
    page = shows(service, "All is well")
    assert [tag for tag, attrs in page.tags if tag == "style" or "style" in attrs] == []
    assert [attrs.get("src", "")[:9] for tag, attrs in page.tags if tag == "script"] == ["assets/sc", "status.js"]
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.endswith("connect-src 'self'")
    assert service.get("status").headers["content-security-policy"] == "frame-ancestors 'self'"
    assert "connect-src" not in service.get("").body.decode()


# who sees it


def test_only_requests_straight_from_this_machine_see_it(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    for path, kind in (("status", "html"), ("status.css", "css"), ("status.js", "javascript")):
        reply = service.get(path)
        assert (reply.status, reply.headers["content-type"]) == (200, f"text/{kind}; charset=utf-8")
        assert service.get(path, X_Forwarded_For="10.0.0.1").status == 404
        assert service.get(path, Host="feeds.example.org").status == 404
    assert not [path for path in shop.files(shop.output) if "status" in path]


def test_on_the_admin_port_it_has_all_that_it_loads(shop: Shop) -> None:
    port = free_port()
    site = 'id = "feeds.example.org"\nbase_url = "https://feeds.example.org/"'
    shop.configure(site=site, serve=f'host = "0.0.0.0"\nport = 0\nadmin_port = {port}', output="pages = false")
    service = shop.start("run")
    main = httpx.Client(base_url=service.url.replace("0.0.0.0", "127.0.0.1"), trust_env=False)
    admin = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    with main, admin:
        eventually(lambda: main.get("/healthz").status_code == 200)
        page = admin.get("/status")
        assert "All is well" in page.text
        assert admin.get("/").text.partition("as of")[0] == page.text.partition("as of")[0]
        loaded = re.findall(r'(?:href|src)="([^"#]+)"', page.text.partition("</head>")[0])
        assert len(loaded) == 6
        for path in loaded:
            assert admin.get(f"/{path}").status_code == 200, path
            assert main.get(f"/{path}").status_code == 404, path
        assert main.get("/status").status_code == 404


def test_a_folder_that_another_process_writes_has_no_status(shop: Shop) -> None:
    shop.record("a.md")
    shop.run("build")
    assert shop.start("serve").get("status").status == 404


# what it costs


@pytest.fixture
def status_page(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> StatusPage:
    site.record("a.md", topics=["AI"])
    site.run("2026-03-01 12:00")
    config = site.load_config()
    return StatusPage(site.store, lambda: (True, {"status": "ok", "version": "1"}), lambda: config)


def test_requests_within_a_second_share_one_page(status_page: StatusPage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("aggregator.service.status_page.time.monotonic", lambda: clock[0])
    first = status_page.page()
    assert first[0] == 200
    assert status_page.page() is first
    clock[0] += 1.1
    assert status_page.page() is not first


def test_a_first_cycle_that_runs_is_no_fault(site: SiteFolder) -> None:
    config = site.load_config()
    health = {"status": "starting", "version": "1", "reason": "the first cycle is not complete yet"}
    status, _, body = StatusPage(site.store, lambda: (False, health), lambda: config).page()
    assert status == 200
    assert b"Starting" in body
    assert b"The first cycle is not complete yet." in body
    assert b"none yet" in body


def test_what_only_the_service_knows_is_a_reason_too(site: SiteFolder) -> None:
    site.run("2026-03-01 12:00")
    config = site.load_config()
    health = {"status": "late", "version": "1", "reason": "no cycle has succeeded since 12:00"}
    body = StatusPage(site.store, lambda: (False, health), lambda: config).page()[2]
    assert b"Something is wrong" in body
    assert b"No cycle has succeeded since 12:00" in body


def test_a_store_that_cannot_be_read_is_what_is_wrong(status_page: StatusPage, monkeypatch: pytest.MonkeyPatch) -> None:
    from aggregator.errors import StoreError

    fail = Mock(side_effect=StoreError("the disk is on fire"))
    monkeypatch.setattr("aggregator.service.status_page.read_status", fail)
    status, _, body = status_page.page()
    assert status == 503
    assert b"Something is wrong" in body
    assert b"The disk is on fire" in body
