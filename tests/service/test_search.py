"""Search over HTTP: in what is published, by the words of rules, for people and as a feed."""

from __future__ import annotations

import gc
import re
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import feedparser
import pytest
from commands import Running, Shop, eventually
from conftest import SiteFolder, at
from hypothesis import given
from hypothesis import strategies as st

from aggregator.feeds import search as feeds_search
from aggregator.feeds.search import QueryError, parse_query, search
from aggregator.render import frames
from aggregator.serve.files import ServedFile
from aggregator.service.search_page import Search

NOON = at("2026-03-01 12:00")
RECORDS = {
    "a.md": {"title": "New maps of the harbour", "excerpt": "Drawn by hand."},
    "b.md": {"title": "Straße und Maß", "excerpt": "A GPU in every\nkitchen"},
    "c.md": {"title": "Harbour maps", "excerpt": "mapsite", "topics": ["Ports"]},
    "d.md": {"title": "Kelvin K in maps", "excerpt": "日本語の見出し"},
    "draft.md": {"title": "Secret maps", "published": False},
    "later.md": {"title": "Future maps", "publishedDateTime": "2099-01-01T00:00:00Z"},
}


@pytest.fixture
def site(make_site: Callable[..., SiteFolder], store_url: str) -> SiteFolder:
    made = make_site(store_url)
    for day, (path, fields) in enumerate(RECORDS.items(), 1):
        made.record(path, **({"publishedDateTime": f"2026-02-{day:02}T00:00:00Z"} | fields))
    made.run(NOON)
    return made


def found(site: SiteFolder, text: str) -> list[str]:
    with site.store.read() as connection:
        result = search(connection, site.pipeline.loader, parse_query(text))
    assert result.back_to is None
    return [entry.content.title for entry in result.entries]


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("maps", ["Kelvin K in maps", "Harbour maps", "New maps of the harbour"]),
        ("MAPS harbour", ["Harbour maps", "New maps of the harbour"]),
        ('"harbour maps"', ["Harbour maps"]),
        ('"every kitchen"', ["Straße und Maß"]),
        ("maps -new", ["Kelvin K in maps", "Harbour maps"]),
        ('maps -"of the harbour"', ["Kelvin K in maps", "Harbour maps"]),
        ("map", []),
        ("strasse", ["Straße und Maß"]),
        ("re:^new|kelvin", ["Kelvin K in maps", "New maps of the harbour"]),
        ("re:GPU in .* kitchen", ["Straße und Maß"]),
        ("見出し", ["Kelvin K in maps"]),
        ("secret", []),
        ("future", []),
        ("%", []),
    ],
)
def test_a_search_finds_published_entries_by_the_words_of_rules_newest_first(
    site: SiteFolder, query: str, titles: list[str]
) -> None:
    assert found(site, query) == titles


def test_a_withdrawn_entry_is_not_found(site: SiteFolder) -> None:
    site.record("c.md", **RECORDS["c.md"], published=False)
    site.run("2026-03-01 13:00")
    assert found(site, "harbour") == ["New maps of the harbour"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('""', "write at least one word"),
        ("-maps", "write at least one word"),
        ("re:(", "the expression cannot be used: ) is missing in '(' (leave out re: to search for words)"),
        ("re:a**", "the expression cannot be used: bad repetition operator in '**'"),
        ("re:", "the expression cannot be used: it is empty"),
        ("x" * 201, "at most 200 characters"),
        (" ".join("abcdefghijk"), "at most 10 words"),
    ],
)
def test_a_query_that_cannot_be_searched_for_says_why(query: str, reason: str) -> None:
    with pytest.raises(QueryError, match=re.escape(reason)):
        parse_query(query)


@given(st.text(max_size=220))
def test_any_text_is_a_query_or_is_refused(text: str) -> None:
    try:
        query = parse_query(text)
    except QueryError:
        return
    assert query.all
    query.matches(("Any title", text))


def test_an_expression_is_kept_only_while_its_search_runs() -> None:
    """Visitors write expressions, and each may take a megabyte."""

    def compiled() -> int:
        return sum(type(kept).__name__ == "_Regexp" for kept in gc.get_objects())

    before = compiled()
    for number in range(20):
        assert not parse_query(f"re:\\pL{{40}}{number}").matches(("any title", "any text"))
    assert compiled() <= before + 2


def test_each_expression_of_a_query_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, compiled = list[str](), feeds_search.compile_expression

    def counted(phrase: str) -> Callable[[str], object]:
        made.append(phrase)
        return compiled(phrase)

    monkeypatch.setattr(feeds_search, "compile_expression", counted)
    query = parse_query("story -re:a1 -re:b2 -re:c3 -re:d4 -re:e5")
    assert all(query.matches((f"A story {number}", "")) for number in range(100, 150))
    assert sorted(made) == ["re:a1", "re:b2", "re:c3", "re:d4", "re:e5"]


def test_the_search_of_an_old_config_leaves_memory_at_once(site: SiteFolder) -> None:
    searches = Search(site.load_config(), site.store, lambda: "feeds.example.org")
    assert isinstance(searches.answer("/search/atom.xml", b"q=maps", None), ServedFile)
    kept = weakref.ref(searches)
    gc.disable()
    try:
        del searches
        assert kept() is None
    finally:
        gc.enable()


def test_a_search_as_a_feed_takes_no_place_in_the_caches_of_feeds(site: SiteFolder) -> None:
    searches = Search(site.load_config(), site.store, lambda: "feeds.example.org")
    before = frames._undated_frame.cache_info().currsize
    for number in range(3):
        assert isinstance(searches.answer("/search/atom.xml", b"q=maps%%20-%d" % number, None), ServedFile)
    assert frames._undated_frame.cache_info().currsize == before


@given(st.text(max_size=60), st.text(max_size=20))
def test_the_quick_check_misses_nothing_that_matches(title: str, text: str) -> None:
    from aggregator.model import Content, content_json

    try:
        query = parse_query(text)
    except QueryError:
        return
    content = Content(title, "", "", None, None, None, (), "", "", "", (), None, ())
    if query.matches((title, "")):
        assert feeds_search._may_match(content_json(content), query)


def test_a_search_stops_in_time_and_says_how_far_it_went(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        site.record(f"many/{number}.md", publishedDateTime=f"2026-01-01T00:{number % 60:02}:00Z")
    site.run("2026-03-01 13:00")
    with site.store.read() as connection:
        result = search(connection, site.pipeline.loader, parse_query("harbour"), seconds=0)
        assert "yield_per" not in connection.get_execution_options()  # it would hold for all later statements
    assert result.back_to is not None
    assert result.read < 100


# over HTTP


@pytest.fixture
def service(shop: Shop) -> Running:
    shop.configure(site='id = "x"\ntitle = "Notes"\nbase_url = "https://feeds.example.org/"')
    shop.record("a.md", "New <maps> & more", topics=["Ports"])
    shop.record("b.md", "Other")
    return shop.start("run").wait_until_done()


def test_a_search_is_a_page_and_a_feed_that_follows_it(shop: Shop, service: Running) -> None:
    page = service.get("search?q=maps")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    assert "New &lt;maps&gt; &amp; more" in text
    assert ">1 story.</p>" in text
    assert "https://feeds.example.org/search/rss.xml?q=maps" in text
    assert 'href="./ports/"' in text
    assert 'href="../ports/"' in service.get("search/?q=maps").body.decode()
    for name in ("rss.xml", "atom.xml"):
        feed = feedparser.parse(service.get(f"search/{name}?q=maps").body)
        assert not feed.bozo
        assert [entry.title for entry in feed.entries] == ["New <maps> & more"]
        assert f"https://feeds.example.org/search/{name}?q=maps" in {link.href for link in feed.feed.links}
    (item,) = service.get("search/feed.json?q=maps").json()["items"]
    assert item["id"] == shop.items()[[title for _, title in shop.items()].index("New <maps> & more")][0]


def test_an_answer_is_the_same_until_something_is_published(shop: Shop, service: Running) -> None:
    first = service.get("search/atom.xml?q=maps")
    assert service.get("search/atom.xml?q=maps", if_none_match=first.headers["etag"]).status == 304
    shop.record("c.md", "More maps")
    eventually(lambda: len(service.titles()) == 3)
    assert service.get("search/atom.xml?q=maps", if_none_match=first.headers["etag"]).status == 200
    assert len(service.get("search/feed.json?q=maps").json()["items"]) == 2


def test_an_entry_in_no_document_is_found_as_it_is_now(shop: Shop) -> None:
    shop.configure(output='limit = 1\nmin_stay = "0s"\narchive = false')
    shop.record("a.md", "Old maps", publishedDateTime="2024-04-01T08:00:00Z")
    shop.record("b.md", "New", publishedDateTime="2024-04-02T08:00:00Z")
    running = shop.start("run").wait_until_done()

    def titles() -> list[str]:
        return [item["title"] for item in running.get("search/feed.json?q=maps").json()["items"]]

    assert titles() == ["Old maps"]
    shop.record("a.md", "Older maps", publishedDateTime="2024-04-01T08:00:00Z")
    eventually(lambda: titles() == ["Older maps"])


def test_a_search_names_no_hub(shop: Shop) -> None:
    shop.configure(websub='hub = "https://hub.example.org/"')
    shop.record("a.md", "Maps")
    running = shop.start("run").wait_until_done()
    assert "hubs" in running.get("all/feed.json").json()
    assert "hubs" not in running.get("search/feed.json?q=maps").json()
    assert b"hub.example.org" not in running.get("search/atom.xml?q=maps").body


def test_bad_queries_are_answered_with_a_reason_that_no_cache_keeps(service: Running) -> None:
    assert service.get("search").status == 200
    reply = service.get(f"search?q={quote('re:(')}", if_none_match="*")
    assert (reply.status, reply.headers["cache-control"]) == (400, "no-store")
    assert reply.headers["content-type"].startswith("text/html")
    assert "The expression cannot be used" in service.get(f"search/rss.xml?q={quote('re:(')}").body.decode()
    assert b"<script>x" not in service.get(f"search?q={quote('<script>x</script>')}").body


def test_a_query_keeps_only_characters_that_xml_allows(service: Running) -> None:
    for path in ("search", "search/rss.xml"):
        body = service.get(f"{path}?q=%00%1b%7fmaps%ef%bf%be").body.decode()
        assert "maps" in body
        assert not set("\0\x1b\x7f\ufffe") & set(body)


def test_serve_has_no_search(shop: Shop, service: Running) -> None:
    service.end()
    assert shop.start("serve").get("search?q=maps").status == 404


def test_many_fields_and_many_searches_stop_nothing_else(service: Running) -> None:
    assert service.get(f"search?q=maps{'&a' * 50}").status == 200
    with ThreadPoolExecutor(30) as pool:
        searches = [pool.submit(service.get, f"search?q=re:m.{number}") for number in range(60)]
        asked = time.monotonic()
        assert service.get("healthz").status == 200
        assert time.monotonic() - asked < 20
        assert {search.result().status for search in searches} <= {200, 503}


def test_a_topic_does_not_take_the_place_of_the_search(shop: Shop, service: Running) -> None:
    shop.record("c.md", "About it", topics=["Search"])
    eventually(lambda: len(service.titles()) == 3)
    assert b"1 story" in service.get("search?q=about").body
