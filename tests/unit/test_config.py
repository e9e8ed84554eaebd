"""The config: what loads, what is refused with which message, and the positions of keys."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from aggregator.config import (
    SCHEMA_NAME,
    Config,
    config_schema,
    default_config,
    init_text,
    load_config,
    partial_config,
)
from aggregator.config.errors import SYNONYMS
from aggregator.config.presets import FIELDS, PRESETS
from aggregator.config.schema import describe
from aggregator.config.values import BadValueError, read_cron, read_duration, read_size, shortest_gap_minutes
from aggregator.errors import ConfigError
from aggregator.links import quoted_path
from aggregator.model import Document
from aggregator.output.redirects import Redirects
from aggregator.service.triggers import CronTrigger
from aggregator.settings import Clause, OutputOptions, Rule
from aggregator.toml_positions import Locator

CHECKOUT = Path(__file__).parents[2]
CONTRACT = Path(os.environ.get("AGGREGATOR_SHARED", CHECKOUT.parent / "shared")) / "contract.md"


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short path, because messages show 80 characters of a value."""
    return tmp_path_factory.mktemp("c")


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Load a text as the config file of a site in `tmp_path`."""
    path = tmp_path / "config" / "aggregator.toml"
    path.parent.mkdir()

    def load_text(text: str | bytes, **env: str) -> Config:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path, env=env)

    return load_text


@pytest.fixture
def problems(load: Any, tmp_path: Path) -> Any:
    """Load a text that cannot be used; the lines that say why, with the file as FILE and its site as SITE."""

    def load_text(text: str | bytes, **env: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **env)
        lines = str(caught.value).replace(str(tmp_path / "config" / "aggregator.toml"), "FILE")
        return lines.replace(str(tmp_path), "SITE").splitlines()

    return load_text


# what loads


def test_an_empty_file_gives_every_default_of_the_contract(load: Any, tmp_path: Path) -> None:
    config = load("")
    assert (config.site.id, config.site.title, config.site.base_url) == (None, "Feeds", "http://127.0.0.1:8000/")
    assert (config.site.language, config.site.timezone) == ("en", ZoneInfo("UTC"))
    assert (config.site.author, config.site.icon, config.site.copyright) == (None, None, None)
    (source,) = config.sources
    assert (source.name, source.root, source.include) == ("", str(tmp_path / "incoming"), ("*.md", "*.markdown"))
    assert (source.default_published, source.max_bytes, source.max_depth) == (True, 1_000_000, 32)
    assert (source.max_nodes, source.removal_grace, source.topics) == (20_000, timedelta(minutes=10), ())
    assert (source.link_template, source.timezone) == (None, ZoneInfo("UTC"))
    assert (config.schedule.every, config.schedule.cron) == (timedelta(seconds=60), None)
    assert (config.schedule.watch, config.schedule.rescan) == (True, timedelta(minutes=15))
    assert config.store.url == f"sqlite:///{tmp_path}/data/aggregator.db"
    assert (config.output.path, config.output.formats) == (tmp_path / "output", ("rss", "atom", "json"))
    assert (config.output.limit, config.output.min_stay) == (50, timedelta(hours=24))
    assert (config.output.max_bytes, config.output.late) == (1_000_000, timedelta(days=30))
    assert (config.output.archive, config.output.pages) == (True, True)
    assert config.output.tombstones == timedelta(days=30)
    assert (config.serve.host, config.serve.port, config.serve.admin_port) == ("127.0.0.1", 8000, None)
    assert config.serve.cache == 256_000_000
    assert (config.topics.auto, config.topics.min_entries, config.ingest.workers) == (True, 1, None)
    assert config.path == tmp_path / "config" / "aggregator.toml"
    assert config.warnings == ()


def test_the_default_preset_reads_the_fields_of_a_news_pipeline(load: Any) -> None:
    fields = dict(load("").sources[0].fields)
    assert fields["title"] == ("title", "name")
    assert fields["link"] == ("webUrl", "originalUrl")
    assert fields["expires_at"] == ()
    assert fields["video"] == ("featuredContent",)
    assert fields["language"] == ("locale",)
    assert len(fields) == 29


def test_no_file_is_like_an_empty_one(load: Any, tmp_path: Path) -> None:
    empty = load("")
    absent = default_config(tmp_path / "config" / "aggregator.toml", env={})
    assert absent.path is None
    assert (absent.sources, absent.output, absent.store) == (empty.sources, empty.output, empty.store)


def test_a_relative_config_path_still_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = default_config(Path("config/aggregator.toml"), env={})
    assert config.sources[0].root == str(tmp_path / "incoming")
    assert config.output.path == tmp_path / "output"


def test_fields_override_single_fields_of_the_preset(load: Any) -> None:
    config = load('[records.fields]\ntitle = ["headline", "meta.title"]\nsummary = "lead"\nheat = []\n')
    fields = dict(config.sources[0].fields)
    assert fields["title"] == ("headline", "meta.title")
    assert fields["summary"] == ("lead",)
    assert fields["heat"] == ()
    assert fields["link"] == ("webUrl", "originalUrl")


def test_an_array_of_one_source_is_fine(load: Any) -> None:
    assert load('[[records]]\nname = "news"\npath = "/srv/news"\n').sources[0].name == "news"


def test_several_sources_each_have_their_own_folder_preset_and_topics(load: Any) -> None:
    news, blog = load(
        '[[records]]\npath = "/srv/news"\n'
        '[[records]]\nname = "blog"\npath = "/srv/blog"\npreset = "jekyll"\ntopics = ["Blog"]\n'
    ).sources
    assert (news.name, news.root, news.layout, news.topics) == ("", "/srv/news", "plain", ())
    assert (blog.name, blog.root, blog.layout, blog.topics) == ("blog", "/srv/blog", "jekyll", ("Blog",))


def test_a_folder_in_two_sources_gives_a_warning(load: Any) -> None:
    config = load('[[records]]\npath = "/srv/a"\n[[records]]\nname = "b"\npath = "/srv/a/b"\n')
    assert [(problem.line, problem.what, problem.value, problem.level) for problem in config.warnings] == [
        (5, "two records folders overlap: a file in both is two entries", "/srv/a/b", "warning")
    ]


def test_every_preset_has_keys_for_every_field() -> None:
    assert {tuple(preset) for preset in PRESETS.values()} == {FIELDS}


def test_a_link_template_may_have_the_slug_and_the_date(load: Any) -> None:
    template = "https://example.org/{year}/{month}/{day}/{slug}/"
    assert load(f'[records]\nlink_template = "{template}"\n').sources[0].link_template == template


def test_a_link_template_of_jekyll_may_have_every_key_of_a_permalink(load: Any) -> None:
    template = "https://example.org/{categories}/{year}/{y_day}/{title}{output_ext}"
    text = f'[records]\npreset = "jekyll"\nlink_template = "{template}"\nsite_url = "https://example.org"\n'
    source = load(text).sources[0]

    assert (source.link_template, source.site_url) == (template, "https://example.org/")


def test_a_source_takes_the_time_zone_of_the_site(load: Any) -> None:
    assert load('[site]\ntimezone = "Europe/Berlin"\n').sources[0].timezone == ZoneInfo("Europe/Berlin")


def test_base_url_always_ends_with_a_slash(load: Any) -> None:
    assert load('[site]\nbase_url = "https://example.org/feeds"\n').site.base_url == "https://example.org/feeds/"


@pytest.mark.parametrize(
    ("written", "published"),
    [
        ("https://münchen.example/für/", "https://xn--mnchen-3ya.example/f%C3%BCr/"),
        ("https://example.org/a>b/", "https://example.org/a%3Eb/"),
        ("https://example.org/100%/", "https://example.org/100%25/"),
        # in the characters of RFC 3986, so every byte stays
        ("HTTP://Example.ORG:8080/A%c3;x=(1)/", "HTTP://Example.ORG:8080/A%c3;x=(1)/"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
    ],
)
def test_urls_that_are_published_have_the_characters_of_urls(load: Any, written: str, published: str) -> None:
    """docs/spec.md#config: subscribers, hubs and header fields get them."""
    text = f"""
        site = {{ base_url = "{written}", icon = "{written}i.png" }}
        websub = {{ hub = "{written}?a=b" }}
        records = {{ site_url = "{written}" }}
        feed = [{{ slug = "a", image = "{written}a.png" }}]
    """
    config = load(text)

    assert (config.site.base_url, config.site.icon) == (published, f"{published}i.png")
    assert config.websub.hub == (f"{published}?a=b",)
    assert (config.sources[0].site_url, config.feeds[0].image) == (published, f"{published}a.png")


def test_a_postgresql_url_and_an_absolute_sqlite_path_are_kept(load: Any) -> None:
    for url in (
        "postgresql+psycopg://u:p@db/feeds",
        "postgresql+psycopg://u@site:p@db/feeds",
        "sqlite:////var/lib/aggregator/a.db?timeout=5",
    ):
        assert load(f'[store]\nurl = "{url}"\n').store.url == url


def test_a_store_below_a_folder_with_odd_characters_is_the_file_that_sqlalchemy_opens(tmp_path: Path) -> None:
    for name in ("a b", "100%", "%20", "what?", "a#b@c"):
        url = default_config(tmp_path / name / "config" / "aggregator.toml", env={}).store.url
        assert make_url(url).database == str(tmp_path / name / "data" / "aggregator.db")


def test_empty_tables_of_unsupported_keys_are_allowed(load: Any) -> None:
    assert load("[websub]\n[topics.slugs]\n[topics.alias]\n[ingest]\n").warnings == ()


@pytest.mark.parametrize("address", ["tcp://scheduler:8786", "tls://10.0.0.7:8786", "tcp://[::1]:8786"])
def test_the_scheduler_of_a_cluster_is_an_address(load: Any, address: str) -> None:
    assert load(f'[ingest]\ndask = "{address}"\n').ingest.dask == address


@pytest.mark.parametrize("wrong", ["scheduler:8786", "http://scheduler:8786", "tcp://scheduler", "tcp://a b:1", ""])
def test_another_address_of_a_cluster_is_refused(problems: Any, wrong: str) -> None:
    (line,) = problems(f'[ingest]\ndask = "{wrong}"\n')
    assert "is not the address of a Dask scheduler" in line
    assert "(write one such as tcp://scheduler:8786)" in line


def test_a_format_named_twice_counts_once(load: Any) -> None:
    assert load('[output]\nformats = ["json", "rss", "json"]\n').output.formats == ("json", "rss")


def test_a_byte_order_mark_and_crlf_are_fine(load: Any) -> None:
    assert load("[site]\r\ntitle = 'News'\r\n".encode("utf-8-sig")).site.title == "News"


def test_config_is_frozen(load: Any) -> None:
    config = load("")
    with pytest.raises(ValueError, match="frozen"):
        config.output.limit = 3


def test_the_stylesheet_of_a_site_is_read_with_the_config(load: Any, problems: Any, tmp_path: Path) -> None:
    assert load("").site_facts().stylesheet == ""
    css = tmp_path / "config" / "site.css"
    css.write_text("h1 { color: red }")
    assert load('[site]\nstylesheet = "site.css"\n').site_facts().stylesheet == "h1 { color: red }"
    for body, reason in (
        (None, "No such file or directory"),
        (b"\xff", "it is not UTF-8"),
        (b" " * 100_001, "over 100"),
    ):
        css.unlink(missing_ok=True)
        if body is not None:
            css.write_bytes(body)
        [line] = problems('[site]\nstylesheet = "site.css"\n')
        assert line.startswith("FILE:2:14: 'stylesheet' names a file ")
        assert reason in line
    css.write_bytes(b"a {}\r\nb {}\r")
    assert load('[site]\nstylesheet = "site.css"\n').site_facts().stylesheet == "a {}\nb {}\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_config_and_a_stylesheet_are_regular_files(problems: Any, tmp_path: Path, make: Any) -> None:
    [line] = problems('[site]\nstylesheet = "site.css"\n')
    assert "No such file" in line
    path = tmp_path / "config" / "site.css"
    make(path)
    with pytest.raises(ConfigError, match="the file cannot be read: it is not a regular file"):
        load_config(path, env={})
    [line] = problems('[site]\nstylesheet = "site.css"\n')
    assert "names a file that cannot be read: it is not a regular file" in line


def test_the_description_of_a_site_is_a_line_of_text(load: Any, problems: Any) -> None:
    assert load("").site_facts().description == ""
    assert load('[site]\ndescription = "Small things"\n').site_facts().description == "Small things"
    [line] = problems('[site]\ndescription = " "\n')
    assert line.startswith("FILE:2:15: 'description' is empty")


def test_a_title_of_feeds_names_the_feed(load: Any, problems: Any) -> None:
    assert load("").site_facts().feed_title == "{title} – {site}"
    assert load('[site]\nfeed_title = "{title}"\n').site_facts().feed_title == "{title}"
    [line] = problems('[site]\nfeed_title = "News"\n')
    assert "'feed_title' has no {title}, so all feeds would have one title: 'News'" in line


# what it says to the stages


@pytest.mark.parametrize(
    ("schedule", "ttl"),
    [
        ("", 15),
        ('every = "90m"', 90),
        ('every = "1s"', 15),
        ('cron = "*/5 * * * *"', 15),
        ('cron = "0 */2 * * *"', 120),
        ('cron = "30 6 * * 1-5"', 1440),
        ('cron = "0 6,18 * * *"', 720),
        ('cron = "0 1,23 * * *"', 120),
    ],
)
def test_ttl_is_the_shortest_gap_of_the_schedule_and_at_least_a_quarter_of_an_hour(
    load: Any, schedule: str, ttl: int
) -> None:
    assert load(f"[schedule]\n{schedule}\n").site_facts().ttl == ttl


@pytest.mark.parametrize(
    ("schedule", "max_age_s"),
    [
        ("", 30),
        ('every = "20s"', 15),
        ('every = "3m"', 90),
        ('every = "1h"', 300),
        ('cron = "0 * * * *"', 300),
        ('cron = "*/2 * * * *"', 60),
    ],
)
def test_caches_keep_documents_for_half_the_time_between_cycles(load: Any, schedule: str, max_age_s: int) -> None:
    assert load(f"[schedule]\n{schedule}\n").max_age_s == max_age_s


def test_site_facts_and_output_options_come_from_the_file(load: Any) -> None:
    config = load(
        '[site]\ntitle = "T"\nauthor = "A"\nicon = "https://e.org/i.png"\ncopyright = "C"\nlanguage = "de"\n'
        '[output]\nformats = ["atom"]\npages = false\nmax_bytes = "2KiB"\n'
    )
    facts, options = config.site_facts(), config.output_options()
    assert (facts.title, facts.author, facts.icon) == ("T", "A", "https://e.org/i.png")
    assert (facts.copyright, facts.language, facts.hub_urls) == ("C", "de", ())
    assert (options.formats, options.pages, options.max_bytes) == (("atom",), False, 2048)


# feeds


def test_a_feed_without_clauses_matches_every_entry(load: Any) -> None:
    (feed,) = load('[[feed]]\nslug = "a"\n').feeds
    assert feed.rule == Rule()
    assert (feed.title, feed.description, feed.image, feed.language) == ("", "", "", "")
    assert (feed.limit, feed.full, feed.moved_from) == (None, False, ())


def test_values_of_clauses_are_folded_as_topics_are(load: Any) -> None:
    (feed,) = load('[[feed]]\nslug = "a"\ntopics.all = ["Power  Apps"]\nprovider.none = ["Example.ORG"]\n').feeds
    assert feed.rule == Rule(
        topics=Clause(all=frozenset({"power apps"})), provider=Clause(none=frozenset({"example.org"}))
    )


def test_phrases_are_folded_and_expressions_are_not(load: Any) -> None:
    (feed,) = load('[[feed]]\nslug = "a"\ntext = { any = ["Edge  AI", "RE: TPU v[0-9]"], none = ["X"] }\n').feeds
    assert feed.rule.text == Clause(any=frozenset({"edge ai", "re:TPU v[0-9]"}), none=frozenset({"x"}))


def test_tables_of_topics_are_read_by_key_and_through_aliases(load: Any) -> None:
    config = load(
        '[topics.alias]\n"A.I." = "Machine  AI"\n"machine ai" = "AI"\n'
        '[topics.parent]\n"Edge AI" = "a.i."\n"AI" = "Science"\n'
        '[topics.titles]\n"Machine AI" = "All AI"\n[topics.descriptions]\nai = "About"\n[topics.slugs]\n"a.i." = "the-ai"\n'
        '[[feed]]\nslug = "a"\ntopics.any = ["A.I.", "Maps"]\n'
    )
    tables = config.feed_policy().tables
    assert tables.alias == {"a.i.": "ai", "machine ai": "ai"}
    assert tables.names == {"ai": "AI", "science": "Science"}
    assert tables.lineage("edge ai") == ("edge ai", "ai", "science")
    assert tables.lineage("a.i.") == ("ai", "science")
    assert (tables.titles, tables.descriptions, tables.slugs) == ({"ai": "All AI"}, {"ai": "About"}, {"ai": "the-ai"})
    assert config.feeds[0].rule == Rule(topics=Clause(any=frozenset({"ai", "maps"})))


@pytest.mark.parametrize("expression", ["re:", "re:" + "x" * 501, r"re:(\pL{100}){9}", "re:(?=a)"])
def test_an_expression_that_is_empty_or_too_large_or_not_linear_is_refused(problems: Any, expression: str) -> None:
    (line,) = problems(f"[[feed]]\nslug = 'a'\ntext.none = ['{expression}']")
    assert line.startswith("FILE:3:14: 'none' contains an invalid expression (")


def test_language_is_a_text_or_a_clause_that_knows_the_language_of_the_site(load: Any) -> None:
    text = '[site]\nlanguage = "de-AT"\n[[feed]]\nslug = "a"\nlanguage = '
    (feed,) = load(text + '"fr"').feeds
    assert (feed.language, feed.rule) == ("fr", Rule())
    (feed,) = load(text + '{ any = ["EN"] }').feeds
    assert (feed.language, feed.rule) == (
        "",
        Rule(language=Clause(any=frozenset({"en"})), default_language="de-at"),
    )


def test_bodies_are_kept_only_if_a_feed_is_full(load: Any) -> None:
    feeds = '[[feed]]\nslug = "a"\n[[feed]]\nslug = "b"\n'
    assert load(feeds).sources[0].body_base is None
    assert load(f'{feeds}content = "full"\n').sources[0].body_base == "http://127.0.0.1:8000/"
    assert load('[output]\ncontent = "full"\n').sources[0].body_base == "http://127.0.0.1:8000/"


@pytest.mark.parametrize("content", ["summary", "full"])
def test_a_feed_that_does_not_say_its_content_has_that_of_the_output(load: Any, content: str) -> None:
    feeds = '[[feed]]\nslug = "a"\n[[feed]]\nslug = "b"\ncontent = "full"\n[[feed]]\nslug = "c"\ncontent = "summary"\n'
    policy = load(f'[output]\ncontent = "{content}"\n{feeds}').feed_policy()
    full = {slug for slug in ("all", "a", "b", "c", "topic") if policy.is_full(slug)}
    assert full == ({"all", "a", "b", "topic"} if content == "full" else {"b"})


def test_the_policy_of_feeds_has_those_of_the_config_by_slug(load: Any) -> None:
    config = load('[output]\narchive = false\n[[feed]]\nslug = "a"\n[[feed]]\nslug = "b"\n')
    assert config.feed_policy().specs == dict(zip("ab", config.feeds, strict=True))
    assert config.feed_policy().archive is False
    assert load("").feed_policy().archive is True


ALL_FORMATS = OutputOptions(formats=("rss", "atom", "json"), pages=True, max_bytes=1000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tags/ai/index.xml", "new/rss.xml"),
        ("feed.rss", "new/rss.xml"),
        ("index.rdf", "new/rss.xml"),
        ("feed/", "new/rss.xml"),
        ("blog/feed", "new/rss.xml"),
        ("tags/ai/atom.xml", "new/atom.xml"),
        ("blog/feed/atom/", "new/atom.xml"),
        ("tags/ai/index.json", "new/feed.json"),
        ("atom.json", "new/feed.json"),
        ("tags/ai/index.html", "new/"),
        ("atomic.html", "new/"),
        ("tags/ai", "new/"),
        ("tags/ai/", "new/"),
    ],
)
def test_an_old_path_redirects_to_the_format_that_its_name_suggests(load: Any, old: str, new: str) -> None:
    redirects = load(f'[[feed]]\nslug = "new"\nmoved_from = ["{old}"]\n').redirects()
    assert redirects.urls[old] == new
    assert set(redirects.urls.values()) == {new}


def test_an_old_page_redirects_from_each_of_its_urls(load: Any) -> None:
    for old in ("tags/ai", "tags/ai/", "tags/ai/index.html"):
        redirects = load(f'[[feed]]\nslug = "new"\nmoved_from = ["{old}"]\n').redirects()
        assert redirects.urls.keys() == {"tags/ai", "tags/ai/", "tags/ai/index.html"}


@pytest.mark.parametrize(
    ("formats", "old", "new"),
    [
        (("json", "atom"), "old/index.xml", "new/atom.xml"),
        (("json",), "old/atom.xml.gz", "new/feed.json"),
        (("json", "rss"), "old/atom.xml.gz", "new/rss.xml"),
        (("atom",), "old/page.html", "new/atom.xml"),
    ],
)
def test_a_format_that_is_not_published_is_replaced_by_the_first_published_format(
    load: Any, formats: tuple[Any, ...], old: str, new: str
) -> None:
    (spec,) = load(f'[[feed]]\nslug = "new"\nmoved_from = ["{old}"]\n').feeds
    options = OutputOptions(formats, pages=False, max_bytes=1000)
    assert Redirects((spec,), options).urls[old] == new


def test_documents_are_copied_to_old_slugs_and_to_old_paths_with_a_suffix(load: Any) -> None:
    config = load('[[feed]]\nslug = "new"\nmoved_from = ["old", "tags/ai/index.xml", "t/feed", "p"]\n')
    redirects = config.redirects()
    assert redirects.slugs == {"old": "new", "p": "new"}
    assert redirects.paths(("new/rss.xml", "new/index.html", "other/rss.xml")) == (
        *("new/rss.xml", "old/rss.xml", "p/rss.xml", "tags/ai/index.xml"),
        *("new/index.html", "old/index.html", "p/index.html"),
        "other/rss.xml",
    )
    page = Document("new/archive/0001.xml", b"<feed/>")
    assert [(copy.path, copy.body) for copy in redirects.documents([page])] == [
        ("new/archive/0001.xml", b"<feed/>"),
        ("old/archive/0001.xml", b"<feed/>"),
        ("p/archive/0001.xml", b"<feed/>"),
    ]


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ("tags/C%23/index.xml", "tags/C#/index.xml"),
        ("tags/Power%20Apps/", "tags/Power Apps/"),
        ("tags/k%C3%BCnste/index.xml", "tags/künste/index.xml"),
        ("tags/künste/index.xml", "tags/künste/index.xml"),
        ("100%25.xml", "100%.xml"),
    ],
)
def test_an_old_path_may_be_percent_encoded(load: Any, stated: str, path: str) -> None:
    (spec,) = load(f'[[feed]]\nslug = "new"\nmoved_from = ["{stated}"]\n').feeds
    assert spec.moved_from == (path,)
    assert load(f'[[feed]]\nslug = "new"\nmoved_from = ["{quoted_path(path)}"]\n').feeds == (spec,)


@pytest.mark.parametrize("stated", ["a%2Fb", "%2e%2e/x", "a/%2Eb", "a%00", "a%5Cb", "%FF", "a%0A"])
def test_an_old_path_hides_nothing_behind_its_encoding(load: Any, stated: str) -> None:
    with pytest.raises(ConfigError, match="is not an old URL path"):
        load(f'[[feed]]\nslug = "new"\nmoved_from = ["{stated}"]\n')


def test_an_old_page_is_copied_only_if_there_are_pages(load: Any) -> None:
    (spec,) = load('[[feed]]\nslug = "new"\nmoved_from = ["tags/ai/", "ai.html"]\n').feeds
    assert Redirects((spec,), ALL_FORMATS).paths(["new/index.html"]) == (
        *("new/index.html", "tags/ai/index.html", "ai.html"),
    )
    without = OutputOptions(("rss",), pages=False, max_bytes=1000)
    assert Redirects((spec,), without).paths(["new/rss.xml"]) == ("new/rss.xml",)


# messages for invalid configs


@pytest.mark.parametrize(
    "case",
    [
        # topics and expressions
        ('[topics.alias]\nx = "AI"\nX = "ML"', '3:1: [topics.alias] names this topic twice, also as "x": \'X\' (keep one of them)'),
        ('[topics.alias]\nx = "AI"\n[topics.titles]\nx = "One"\nai = "Two"', '5:1: [topics.titles] names this topic twice, also as "x": \'ai\' (keep one of them)'),
        ('[topics.alias]\nx = "y"\ny = "X"', "2:1: a topic is its own alias: 'x > y > x' (remove one of the lines; case and white space are ignored)"),
        ('[topics.alias]\n"A.I." = "AI"\n[topics.parent]\nb = "c"\nai = "a.i."\nc = "d"\nd = "b"', "4:1: a topic is its own parent: 'b > c > d > b' (remove one of the lines; case and white space are ignored)", "5:1: a topic is its own parent: 'ai > ai' (remove one of the lines; case and white space are ignored)"),
        ('[[feed]]\nslug = "a"\n[topics.slugs]\nx = "a"', "4:5: a [[feed]] has this slug: 'a' (choose another, or remove the line)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["b"]\n[topics.slugs]\nx = "b"', "5:5: the slug is an old URL of a [[feed]]: 'b' (choose another)"),
        ('[topics.slugs]\nx = "a"\ny = "a"', "3:5: the slug is given twice: 'a' (choose another)"),
        ('[[feed]]\nslug = "a"\ntext.any = ["ok", "re:TPU v[0-9"]', "3:19: 'any' contains an invalid expression (] is missing in '[0-9'): 're:TPU v[0-9' (write it as https://github.com/google/re2/wiki/Syntax says, or without re: to look for words)"),
        # single keys
        ('[site]\ntitel = "x"', "2:1: unknown key: 'titel' (did you mean 'title'?)"),
        ('[[feed]]\nslug = "a"\nwords = ["GPU"]', "3:1: unknown key: 'words' (did you mean 'text'?)"),
        ('[[feed]]\nslug = "a"\nMax-Items = 5', "3:1: unknown key: 'Max-Items' (did you mean 'limit'?)"),
        ('[site]\nurl = "https://example.org"', "2:1: unknown key: 'url' (did you mean 'base_url'?)"),
        ("[server]\nport = 1", "1:2: unknown key: 'server' (did you mean 'serve'?)"),
        ("[sitee]", "1:2: unknown key: 'sitee' (did you mean 'site'?)"),
        ('title = "x"', "1:1: unknown key: 'title' (write it below [site] or [[feed]])"),
        ("[site]\npath = 'in'", "2:1: unknown key: 'path' (write it below [records] or [output])"),
        ("[records]\nbase_url = 'https://example.org/'", "2:1: unknown key: 'base_url' (write it below [site])"),
        ("[alias]\nx = 'AI'", "1:2: unknown key: 'alias' (write it below [topics])"),
        ("[records]\n[records.fields]\ntitle = 'name'\ndefault_topics = ['News']", "4:1: 'default_topics' is not a field (write it above [records.fields])"),
        ("[topics.slugs]\n'C#' = 'c-sharp'\nauto = false", "3:8: the slug of 'auto' is not a text: 'false' (write it above [topics.slugs])"),
        ("[topics.slugs]\nauto = 'Auto'", "2:8: the slug of 'auto' is not a slug: 'Auto' (use lower-case letters a-z, digits and single hyphens, such as ai-hardware)"),
        ('[[feed]]\nslug = "a"\n[feed.topics]\nany = ["AI"]\nlimit = 3', "5:1: unknown key: 'limit' (write it above [feed.topics])"),
        ("[websub]\nxyz = 1", "2:1: unknown key: 'xyz' (known here: hub)"),
        ("[site]\ntitle = 3", "2:9: 'title' is not a text: '3' (write it in quotes)"),
        ("[[records]]\npath = 'in'\nname = 5", "3:8: 'name' is not a text: '5' (write it in quotes)"),
        ('[site]\ntitle = " "', "2:9: 'title' is empty: ' ' (write a text, or remove the line)"),
        ('[site]\ntitle = "a\\u0000b"', "2:9: 'title' contains a control character: 'a\\x00b' (write it as one line of plain text)"),
        ('[site]\nbase_url = "example.org"', "2:12: 'base_url' is not an absolute http or https URL: 'example.org' (write it in full, such as https://example.org/)"),
        ('[site]\nbase_url = "https://example.org/?a=1"', "2:12: 'base_url' has a user, a query or a fragment: 'https://example.org/?a=1' (write scheme, host and path alone)"),
        ('[site]\nbase_url = "https://straße.example/"', "2:12: 'base_url' has 'ß' in its host, which programs read in two ways: 'https://straße.example/' (write the host as xn--…)"),
        ('[site]\nicon = "https://bü cher.example/"', "2:8: 'icon' is not an absolute http or https URL: 'https://bü cher.example/' (write it in full, such as https://example.org/)"),
        ('[site]\nicon = "https://bü$cher.example/"', "2:8: 'icon' is not an absolute http or https URL: 'https://bü$cher.example/' (write it in full, such as https://example.org/)"),
        ('[site]\nicon = "https://me:secret@example.org/"', "2:8: 'icon' has a user or a password (remove it, because readers would see it)"),
        ('[websub]\nhub = ["https://hub.example.org/", "https://me:secret@example.org/"]', "2:36: 'hub' has a user or a password (remove it, because readers would see it)"),
        ('[websub]\nhub = "https://me@hub.example.org/"', "2:1: 'hub' has a user or a password (remove it, because readers would see it)"),
        ('[site]\ntimezone = "Mars/Base"', '2:12: \'timezone\' is not a time zone: \'Mars/Base\' (write a name such as "UTC" or "Europe/Berlin")'),
        ('[site]\nlanguage = "e n"', "2:12: 'language' is not a language tag: 'e n' (write one such as en or pt-BR)"),
        ('[records]\npath = "~/in"', "2:8: 'path' begins with '~', which is not expanded: '~/in' (write the path in full, or put ./ before a name that begins so)"),
        ('[output]\npath = "$HOME/out"', "2:8: 'path' begins with '$', which is not expanded: '$HOME/out' (write the path in full, or put ./ before a name that begins so)"),
        ('[store]\nurl = "sqlite:///~/a.db"', "2:7: 'url' begins with '~', which is not expanded (write the path in full, or put ./ before a name that begins so)"),
        ('[records]\npath = ""', "2:8: 'path' is not a path: '' (write it in quotes, relative to the config file or from the root)"),
        ("[records]\ninclude = []", "2:11: 'include' is an empty list: '[]' (name at least one, or remove the line)"),
        ('[records]\ninclude = "*.md"', '2:11: \'include\' is not a list: \'*.md\' (write a list, such as ["*.md", "*.markdown"])'),
        ('[records]\ninclude = [\n  "*.md",\n  4,\n]', "4:3: 'include' is not a text: '4' (write it in quotes)"),
        ('[records]\npreset = "jekyl"', "2:10: 'preset' is not known: 'jekyl' (use 'smartable', 'jekyll' or 'hugo')"),
        ("[records]\ndefault_published = 1", "2:21: 'default_published' is not true or false: '1' (write true or false, without quotes)"),
        ('[records]\nmax_bytes = "1 apple"', '2:13: \'max_bytes\' is not a size: \'1 apple\' (write a number of bytes, or one with KB, MB, GB, KiB, MiB or GiB such as "1MB")'),
        ("[records]\nmax_depth = 0", "2:13: 'max_depth' is not a whole number from 1 to 256: '0' (write a number, such as 32)"),
        ("[records]\nmax_nodes = true", "2:13: 'max_nodes' is not a whole number from 1 to 1000000000: 'true' (write a number, such as 20000)"),
        ('[records]\nlink_template = "https://example.org/{year}"', "2:17: 'link_template' has no placeholder that tells pages apart: 'https://example.org/{year}' (write one such as https://example.org/{path})"),
        ('[records]\nlink_template = "https://example.org/{titel}"', "2:17: 'link_template' has an unknown placeholder {titel}: 'https://example.org/{titel}' (use some of {categories}, {collection}, {day}, {hour}, {i_day}, {i_month}, {long_day}, {long_month}, {minute}, {month}, {name}, {output_ext}, {path}, {second}, {short_day}, {short_month}, {short_year}, {slugified_categories}, {slug}, {title}, {w_day}, {w_year}, {week}, {y_day}, {year})"),
        ('[records]\nlink_template = "https://example.org/{path"', "2:17: 'link_template' has an unknown placeholder {path: 'https://example.org/{path' (use some of {categories}, {collection}, {day}, {hour}, {i_day}, {i_month}, {long_day}, {long_month}, {minute}, {month}, {name}, {output_ext}, {path}, {second}, {short_day}, {short_month}, {short_year}, {slugified_categories}, {slug}, {title}, {w_day}, {w_year}, {week}, {y_day}, {year})"),
        ('[records]\nlink_template = "https://example.org/{title}"', "2:17: only the preset 'jekyll' has '{title}': 'https://example.org/{title}' (use {path} or {slug})"),
        ('[records]\nsite_url = "example.org"', "2:12: 'site_url' is not an absolute http or https URL: 'example.org' (write it in full, such as https://example.org/)"),
        ('[records.fields]\ntitel = "a"', "2:1: 'titel' is not a field (use one of title, summary, link, original_link, published_at, updated_at, expires_at, published, draft, deleted, removed, visibility, id, provider, topics, category, type, images, video, enclosures, related, quality, heat, language, path, link_date, slug, excerpt_separator, templates)"),
        ('[records.fields]\ntopics = ["a + b"]\ntitle = "a + b"', "3:9: 'title' has keys that are combined: 'a + b' (only topics combine keys; write [\"a\", \"b\"])"),
        ('[records.fields]\ntopics = "tags+topics"', "2:10: 'topics' needs a blank on both sides of '+': 'tags+topics' (write \"tags + topics\")"),
        ('[records.fields]\ntopics = ["x", "a  + b+c"]', "2:16: 'topics' needs a blank on both sides of '+': 'a  + b+c' (write \"a + b + c\")"),
        ('[records.fields]\ntitle = ["headline ", "titel"]', "2:10: 'title' has a key with a blank at an end: 'headline ' (write \"headline\")"),
        ('[records.fields]\nlink = ["x", "a + b"]', "2:14: 'link' has keys that are combined: 'a + b' (only topics combine keys; write [\"a\", \"b\"])"),
        ('[records]\nmax_bytes = "1000"', "2:13: 'max_bytes' is not a size: '1000' (write a number of bytes without quotes: 1000)"),
        ("[records.fields]\nlink = 3", '2:8: \'link\' is not a list: \'3\' (write a list, such as ["title", "name"])'),
        ("[schedule]\nevery = 60", '2:9: \'every\' is not a duration: \'60\' (write a number with s, m, h, d or w, such as "10m" or "1h30m")'),
        ('[schedule]\nevery = "0s"', '2:9: \'every\' is less than a second: \'0s\' (write a duration of at least "1s")'),
        ('[schedule]\nevery = "60s"\ncron = "0 * * * *"', "3:1: 'every' and 'cron' are both given (remove one of them)"),
        ('[schedule]\ncron = "0 * * *"', '2:8: \'cron\' is not five fields: \'0 * * *\' (write minute, hour, day of the month, month and weekday, such as "*/5 * * * *")'),
        ('[output]\nformats = ["rss", "xml"]', "2:19: 'formats' is not known: 'xml' (use 'rss', 'atom' or 'json')"),
        ("[serve]\nhost = 'http://127.0.0.1/'", "2:8: 'host' is not a host name or an IP address: 'http://127.0.0.1/' (write one such as 127.0.0.1, :: or feeds.example.org; the port is serve.port)"),
        ("[site]\nfeed_title = '{title} of {name}'", "2:14: 'feed_title' has an unknown placeholder {name}: '{title} of {name}' (use {title} and {site})"),
        ('[topics.slugs]\nA = "all"', "2:5: the slug of 'A' is a reserved slug: 'all' (choose another; reserved: all, archive, assets, healthz, index, metrics, opml, readyz, search, status, theme)"),
        ('[topics.titles]\n"A B" = " "', "2:9: the title of 'A B' is empty: ' ' (write a text, or remove the line)"),
        ('[store]\nurl = "sqlite:///../output/x.db"', "2:7: the output folder contains the store: 'SITE/output' (choose another folder; everything in it is public)"),
        ('[output]\nlimit = "many"', "2:9: 'limit' is not a whole number from 1 to 5000: 'many' (write a number, such as 50)"),
        ("[serve]\nport = 65536", "2:8: 'port' is not a whole number from 0 to 65535: '65536' (write a number, such as 8000)"),
        ("[serve]\nport = 8000.0", "2:8: 'port' is not a whole number from 0 to 65535: '8000.0' (write a number, such as 8000)"),
        ("site = 5", "1:8: 'site' is not a table: '5' (write its keys below a line [site])"),
        ("records = 5", "1:11: 'records' is not an array of tables: '5' (write its keys below a line [[records]])"),
        # keys of [[feed]]
        ("[[feed]]\n", '1:3: \'slug\' is missing (add a line such as slug = "ai")'),
        ('[[feed]]\nslug = "AI"', "2:8: 'slug' is not a slug: 'AI' (use lower-case letters a-z, digits and single hyphens, such as ai-hardware)"),
        ('[[feed]]\nslug = "opml"', "2:8: 'slug' is a reserved slug: 'opml' (choose another; reserved: all, archive, assets, healthz, index, metrics, opml, readyz, search, status, theme)"),
        ('[[feed]]\nslug = "a"\ntopics = { any = ["AI"], nnoe = [] }', "3:26: unknown key: 'nnoe' (did you mean 'none'?)"),
        ('[[feed]]\nslug = "a"\ntopics = ["AI"]', '3:10: \'topics\' is not a table: \'["AI"]\' (write topics = { any = ["AI"] })'),
        ('[[feed]]\nslug = "a"\ntopics = 1', "3:10: 'topics' is not a table: '1' (write topics = { any = [\"AI\"] })"),
        ('[[feed]]\nslug = "a"\ntopics = []', "3:10: 'topics' is not a table: '[]' (write topics = { any = [\"AI\"] })"),
        ('[[feed]]\nslug = "a"\ntopics = [1, "B"]', "3:10: 'topics' is not a table: '[1, \"B\"]' (write topics = { any = [\"B\"] })"),
        ("[websub]\nhub = 0", "2:7: 'hub' is neither a text nor a list of texts: '0' (write it in quotes, such as \"https://hub.example.org/\")"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["a b/ü.xml"]', "3:15: 'moved_from' is not an old URL path: 'a b/ü.xml' (write it as in the address bar: a%20b/%C3%BC.xml)"),
        ('[[feed]]\nslug = "a"\nprovider = "{AI}"', '3:12: \'provider\' is not a table: \'{AI}\' (write provider = { any = ["{AI}"] })'),
        ('[[feed]]\nslug = "a"\n[feed.text]\nany = []', "4:7: 'any' is an empty list: '[]' (name at least one, or remove the line)"),
        ('[[feed]]\nslug = "a"\nlanguage = { all = [1] }', "3:21: 'all' is not a text: '1' (write it in quotes)"),
        ('[[feed]]\nslug = "a"\nlanguage = 1', "3:12: 'language' is not a text: '1' (write it in quotes)"),
        ('[[feed]]\nslug = "a"\nmin_quality = "x"', "3:15: 'min_quality' is not a number from 0 to 1000000000: 'x' (write a number, such as 70)"),
        ('[[feed]]\nslug = "a"\nmin_heat = nan', "3:12: 'min_heat' is not a number from 0 to 1000000000: 'NaN' (write a number, such as 70)"),
        ('[[feed]]\nslug = "a"\norder = "up"', "3:9: 'order' is not known: 'up' (use 'released' or 'published')"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["x/' + "ü" * 126 + '/"]', f"3:15: 'moved_from' has a part of over 250 bytes: 'x/{'ü' * 77}…' (remove it, because no folder can have it)"),
        ('[[feed]]\nslug = "' + "a" * 101 + '"', f"2:8: 'slug' is over 100 characters: '{'a' * 79}…' (write a shorter one)"),
        ('[site]\nbase_url = "https://x.example/../b/"', "2:12: 'base_url' has a part '.' or '..': 'https://x.example/../b/' (write the URL that readers end up at)"),
        ('[site]\nbase_url = "https://x.example/a/%2e%2E/b/"', "2:12: 'base_url' has a part '.' or '..': 'https://x.example/a/%2e%2E/b/' (write the URL that readers end up at)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["/x"]', "3:15: 'moved_from' is not an old URL path: '/x' (write what follows base_url, such as old-slug or tags/ai/index.xml)"),
        ('[[feed]]\nslug = "a"\n[[feed]]\nslug = "a"', "4:8: the slug of a feed is given twice: 'a' (choose another)"),
        # old URLs
        ('[[feed]]\nslug = "a"\nmoved_from = ["opml.xml"]', "3:15: an old URL is in use: 'opml.xml' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["index.html"]', "3:15: an old URL is in use: 'index.html' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["all"]', "3:15: an old URL is in use: 'all' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["all/rss.xml"]', "3:15: an old URL is in use: 'all/rss.xml' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["x", "status"]', "3:20: an old URL is in use: 'status' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["a"]', "3:15: an old URL belongs to the feed 'a': 'a' (remove it, or give that feed another slug)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["opml.xml/"]', "3:15: an old URL is in use: 'opml.xml/' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["robots.txt"]', "3:15: an old URL is in use: 'robots.txt' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["sitemap.xml"]', "3:15: an old URL is in use: 'sitemap.xml' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["sitemap.xml/index.html"]', "3:15: an old URL is in use: 'sitemap.xml/index.html' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["assets/style.css"]', "3:15: an old URL is in use: 'assets/style.css' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["assets/"]', "3:15: an old URL is in use: 'assets/' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["all/archive"]', "3:15: an old URL is in use: 'all/archive' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["all/rss.xml/"]', "3:15: an old URL is in use: 'all/rss.xml/' (remove it)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["a/archive"]', "3:15: an old URL belongs to the feed 'a': 'a/archive' (remove it, or give that feed another slug)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["a/archive/"]', "3:15: an old URL belongs to the feed 'a': 'a/archive/' (remove it, or give that feed another slug)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["a/feed.json/x.xml"]', "3:15: an old URL belongs to the feed 'a': 'a/feed.json/x.xml' (remove it, or give that feed another slug)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["b/archive/0001.xml"]\n[[feed]]\nslug = "b"\nmoved_from = ["taken"]', "3:15: an old URL belongs to the feed 'b': 'b/archive/0001.xml' (remove it, or give that feed another slug)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["x/atom.xml"]', "3:15: an old URL is one document of a feed with several: 'x/atom.xml' (write its old slug: x)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["x/"]', "3:15: an old URL is one document of a feed with several: 'x/' (write its old slug: x)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["x", "x"]', "3:20: an old URL is given twice: 'x' (keep it in one place)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["t/x", "t/x/"]', "3:22: an old URL is given twice: 't/x/' (keep it in one place)"),
        ('[[feed]]\nslug = "a"\nmoved_from = ["taken"]\n[[feed]]\nslug = "b"\nmoved_from = ["taken"]', "6:15: an old URL is given twice: 'taken' (keep it in one place)"),
        ('[[feed]]\nslug = "a"\nmoved_from = [".aggregator/manifest.json"]', "3:15: 'moved_from' is not an old URL path: '.aggregator/manifest.json' (write what follows base_url, such as old-slug or tags/ai/index.xml)"),
        ('[records]\nlanguages = ["de", "e n"]', "2:20: 'languages' is not a language tag: 'e n' (write one such as en or pt-BR)"),
        ('[records]\npath = "s3://n"', "2:8: 'path' does not name a bucket: 's3://n' (write it as s3://bucket/prefix)"),
        ('[records]\npath = "s3://key:secret@news/a"', "2:8: 'path' does not name a bucket (write it as s3://bucket/prefix)"),
        ('[output]\npath = "s3://b/prefix"', "2:8: 'path' does not name a bucket: 's3://b/prefix' (write it as s3://bucket/prefix)"),
        ('[output]\npath = "s3://bucket/a//b"', "2:8: 'path' has a prefix that is not a path: 's3://bucket/a//b' (write names joined by single slashes, without a dot first)"),
        # not TOML
        ("[site]\ntitle = ", "2:9: a value is missing or is not TOML (put texts in quotes)"),
        ("[site]\ntitle = News", "2:9: a value is missing or is not TOML (put texts in quotes)"),
        ("[site]\ntitle = 'a\n", "2:9: a text without its closing quote (close it on the same line)"),
        ('[site]\ntitle = "a\n', "2:9: a text without its closing quote (close it on the same line)"),
        ("[site]\ntitle = 'a\nicon = 'b'", "2:9: a text without its closing quote (close it on the same line)"),
        ('a = """x\nb = 1\n', '1:5: a text without its closing quote (close it with """)'),
        ('a = """x\nb = """y"""\n', '1:5: a text without its closing quote (close it with """)'),
        ("a = [1,\n2\n\nb = [3]\n", "1:5: a list or table without its closing bracket (close it)"),
        ("a = [[1, 2],\n[3\n]\nb = 1", "1:5: a list or table without its closing bracket (close it)"),
        ("a = {b = [1, 2}\n", "1:10: a list or table without its closing bracket (close it)"),
        ("a = {b = 1\n}\n", "1:5: a list or table without its closing bracket (close it on the same line)"),
        ("a = [\n'x'\n'y'\n]\n", "3:1: a ',' is missing (put a ',' between values)"),
        ('[topics.slugs]\nPower Apps = "x"', "2:7: a key with other characters than A-Z a-z 0-9 _ - (put it in quotes)"),
        ('[topics.slugs]\n  C# = "x"', "2:4: a key with other characters than A-Z a-z 0-9 _ - (put it in quotes)"),
        ('[topics.slugs]\nKünstlich = "x"', "2:2: a key with other characters than A-Z a-z 0-9 _ - (put it in quotes)"),
        ('[topics.slugs]\n.NET = "x"', "2:1: a key with other characters than A-Z a-z 0-9 _ - (put it in quotes)"),
        ('a = "x"\npath = “../out”', '2:8: a value is missing or is not TOML (write straight quotes: ")'),
        ('[records]\npath = "a"\n[[records]]\npath = "b"', "3:10: a table is given as [table] and as [[table]] (write [[table]] each time)"),
        ('[topics.slugs]\n"" = "x"', "2:1: a topic is empty (write its name, or remove the line)"),
        ('[[feed]]\nslug = "a"\ntopics = {}', "3:10: 'topics' names nothing (write topics = { any = [\"…\"] }, or remove it)"),
        ("a = 1\na = 2", "2:6: a key is given twice (remove one of them)"),
        ("[site]\n[site]", "2:6: a table is given twice (put its keys below one header)"),
        ("[site", "1:6: a header without its closing bracket (write [table] or [[table]])"),
        ("a = [1,", "1:5: a list or table without its closing bracket (close it)"),
        ("a = [yes,\nb = 1", "1:6: a value is missing or is not TOML (put texts in quotes)"),
        ("title", "1:6: a key without '=' (write key = value)"),
        ("a = 1 2", "1:7: extra text after a value (begin a new line; put texts in quotes)"),
        ('a = "c:\\data"', "1:10: a text with a wrong escape (write \\\\ for a backslash)"),
        ("a = " + "9" * 5000, "FILE: not valid TOML (see https://toml.io)"),
        (b'a = 1\nb = "\xff"\n', "2:6: the file is not UTF-8 (save it as UTF-8)"),
        # keys that contradict each other
        ('[output]\npath = "../incoming"', "2:8: the output folder and a records folder overlap: 'SITE/incoming' (choose separate folders)"),
        ('[output]\npath = "../incoming/output"', "2:8: the output folder and a records folder overlap: 'SITE/incoming' (choose separate folders)"),
        ('[records]\npath = "../output/records"', "2:8: the output folder and a records folder overlap: 'SITE/output/records' (choose separate folders)"),
        ('[output]\npath = "."', "2:8: the output folder contains the config file: 'SITE/config' (choose another folder; everything in it is public)"),
        ('[output]\npath = "../data"', "2:8: the output folder contains the store: 'SITE/data' (choose another folder; everything in it is public)"),
        ('[[records]]\nname = "a"\n[[records]]\nname = "a"', "3:3: two records folders overlap: a file in both is two entries: 'SITE/incoming' (choose separate folders)", "4:8: the name of a source is given twice: 'a' (choose another)"),
        ("[[records]]\n[[records]]", "2:3: a second source without a name (give it a name)", "2:3: two records folders overlap: a file in both is two entries: 'SITE/incoming' (choose separate folders)"),
    ],
    ids=lambda case: case[0][:50],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_its_value_and_what_to_do(problems: Any, case: tuple[Any, ...]) -> None:
    text, *expected = case
    assert [
        problem.removeprefix("FILE:") if problem[5:6].isdigit() else problem for problem in problems(text)
    ] == expected


def test_a_key_of_front_matter_may_have_a_plus_or_a_blank_itself(load: Any) -> None:
    fields = 'topics = ["c++", "c++ + d+", "a.b + c"]\ntitle = ["a+b", "a b"]'
    (source,) = load(f"[records.fields]\n{fields}").sources
    assert dict(source.fields)["topics"] == ("c++", "c++ + d+", "a.b + c")
    assert dict(source.fields)["title"] == ("a+b", "a b")


def test_a_hint_repeats_no_long_text(problems: Any) -> None:
    (problem,) = problems(f'[[feed]]\nslug = "a"\ntext = "{"x" * 5_000}"')
    assert problem.endswith('(write text = { any = ["AI"] })')
    assert len(problem) < 300


def test_all_problems_come_at_once_in_the_order_of_the_file(problems: Any) -> None:
    lines = problems(
        '[output]\nlimit = 0\npath = "../incoming/out"\n[websub]\nhub = "h.example"\n[site]\ntitel = "x"\n'
        '[schedule]\nevery = "5s"\ncron = "61 * * * *"\n',
        AGGREGATOR_SERVE__PORT="x",
        AGGREGATOR_SERVE__PROT="80",
    )
    places = [re.match(r"(\w+(:\d+)?)", line)[1] for line in lines]  # type: ignore[index]
    assert places == ["AGGREGATOR_SERVE__PROT", "AGGREGATOR_SERVE__PORT", *(f"FILE:{n}" for n in (2, 3, 5, 7, 10))]


def test_a_missing_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.toml", env={})
    todo = "write one with `aggregator init`, or name another with --config"
    assert str(caught.value) == f"{tmp_path}/none.toml: there is no such file ({todo})"


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the file cannot be read: "):
        load_config(tmp_path, env={})


@pytest.mark.parametrize(
    "text",
    [
        '[store]\nurl = "postgresql://user:hunter2@db/x"',
        '[store]\nurl = ["hunter2"]',
        'store = "hunter2"',
        '[store]\nurl = "postgresql+psycopg://u:hunter2@db/x"\nulr = "hunter2"',
        '[site]\nbase_url = "https://user:hunter2@example.org/"',
        'site = { base_url = "hunter2',
    ],
)
def test_no_message_shows_a_password(problems: Any, text: str) -> None:
    assert "hunter2" not in "\n".join(problems(text))


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://h/x", "postgresql://h/x", "x"]
)
def test_a_store_is_a_sqlite_file_or_postgresql_with_its_driver(problems: Any, url: str) -> None:
    assert problems(f'[store]\nurl = "{url}"\n') == [
        "FILE:2:7: 'url' is not the URL of a store (write sqlite:///path or postgresql+psycopg://user@host/name)"
    ]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite:///a.db?mode=ro", "'url' has the option 'mode', which the store does not know (leave it out)"),
        (
            "postgresql+psycopg://u@h:bad/x",
            "'url' has a port that is no number from 0 to 65535 (write …@host:5432/name)",
        ),
        ("postgresql+psycopg://u:p@ss@h/x", "'url' has an '@' in the password (write it as %40)"),
    ],
)
def test_the_url_of_a_store_that_cannot_be_opened_is_refused(problems: Any, url: str, problem: str) -> None:
    assert problems(f'[store]\nurl = "{url}"\n') == [f"FILE:2:7: {problem}"]


# folders and ports


def test_folders_are_compared_where_links_lead(problems: Any, tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    (tmp_path / "web").symlink_to(tmp_path / "incoming")
    (line,) = problems('[output]\npath = "../web"\n')
    assert "overlap" in line


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("s3://news/a", "s3://news/a/b/", True),
        ("s3://news", "s3://news/a", True),
        ("s3://news/a", "s3://news/ab", False),
        ("s3://news/a", "s3://old/a", False),
        ("s3://news/a", "../incoming", False),
    ],
)
def test_records_in_buckets_overlap_by_their_prefixes(load: Any, one: str, other: str, overlap: bool) -> None:
    config = load(f'[[records]]\npath = "{one}"\n[[records]]\nname = "b"\npath = "{other}"\n')
    assert config.sources[0].root == one
    assert [source.is_bucket for source in config.sources] == [True, other.startswith("s3:")]
    assert any("two records folders overlap" in str(warning) for warning in config.warnings) == overlap


def test_folders_whose_names_only_begin_alike_do_not_overlap(load: Any, tmp_path: Path) -> None:
    assert load('[output]\npath = "../incoming-feeds"\n').output.path == tmp_path / "incoming-feeds"


def test_the_admin_port_differs_from_the_main_port(problems: Any) -> None:
    assert "FILE:2:1: 'admin_port' equals 'port': '8000' (choose another)" in problems("[serve]\nadmin_port = 8000\n")


# the environment


def test_the_environment_overrides_the_file(load: Any, tmp_path: Path) -> None:
    config = load(
        '[output]\nlimit = 5\n[site]\ntitle = "File"\n',
        AGGREGATOR_OUTPUT__LIMIT="30",
        AGGREGATOR_OUTPUT__PAGES="false",
        AGGREGATOR_OUTPUT__FORMATS='["atom"]',
        AGGREGATOR_OUTPUT__PATH="../web",
        AGGREGATOR_OUTPUT__MAX_BYTES="2MB",
        AGGREGATOR_RECORDS__MAX_BYTES="2000",
        AGGREGATOR_RECORDS__FIELDS='{ title = "headline" }',
        AGGREGATOR_SITE__TITLE="2024",
        AGGREGATOR_STORE__URL="sqlite:///../var/a.db",
        AGGREGATOR_SCHEDULE__EVERY="5m",
        AGGREGATOR_INGEST__WORKERS="0",
    )
    assert (config.output.limit, config.output.pages, config.output.formats) == (30, False, ("atom",))
    assert (config.output.path, config.output.max_bytes) == (tmp_path / "web", 2_000_000)
    assert (config.sources[0].max_bytes, config.site.title) == (2000, "2024")
    assert dict(config.sources[0].fields)["title"] == ("headline",)
    assert config.store.url == f"sqlite:///{tmp_path}/var/a.db"
    assert (config.schedule.every, config.ingest.workers) == (timedelta(minutes=5), 0)


@pytest.mark.parametrize("depth", [5000, 200])
def test_a_deep_value_in_the_environment_is_a_problem_of_its_variable(problems: Any, depth: int) -> None:
    value = "[" * depth + "]" * depth
    [line] = problems("", AGGREGATOR_OUTPUT__FORMATS=value)
    assert line.startswith("AGGREGATOR_OUTPUT__FORMATS: 'formats' ")


def test_the_environment_reaches_the_one_source_of_an_array(load: Any) -> None:
    config = load('[[records]]\nname = "news"\n', AGGREGATOR_RECORDS__PATH="/srv/news")
    assert (config.sources[0].name, config.sources[0].root) == ("news", "/srv/news")


def test_other_variables_are_ignored(load: Any) -> None:
    load("", AGGREGATOR_SHARED="/x", AGGREGATOR_="", OTHER_OUTPUT__LIMIT="x", HOME="/")


def test_what_people_write_instead_of_a_key_is_no_key_beside_it() -> None:
    tables = [(), *((name, 0) for name in describe(())["properties"])]
    known = [set(describe(path).get("properties", {})) for path in tables]
    assert SYNONYMS.keys() <= set().union(*known)
    for keys in known:
        for key in keys & SYNONYMS.keys():
            assert not keys.intersection(SYNONYMS[key].split()), key


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OUTPUT__LIMIT", "0", "'limit' is not a whole number from 1 to 5000: '0' (write a number, such as 50)"),
        (
            "OUTPUT__LIMIT",
            "1\nx = 2\n]",
            ("'limit' is not a whole number from 1 to 5000: '1\\nx = 2\\n]' (write a number, such as 50)"),
        ),
        (
            "OUTPUT__PATH",
            ".",
            (
                "the output folder contains the config file: 'SITE/config' "
                "(choose another folder; everything in it is public)"
            ),
        ),
        ("OUTPUT__PAGES", "yes", "'pages' is not true or false: 'yes' (write true or false, without quotes)"),
        ("OUTPUT__LIMT", "3", "unknown variable (did you mean 'AGGREGATOR_OUTPUT__LIMIT'?)"),
        (
            "output__limit",
            "3",
            ("unknown variable (write AGGREGATOR_<TABLE>__<KEY> with a table and a key of the config)"),
        ),
        ("FEED__SLUG", "x", "no variable sets a key of [[feed]] (set it in the file)"),
        (
            "WEBSUB__HUB",
            "ftp://h.example/",
            "'hub' is not an absolute http or https URL: 'ftp://h.example/' (write it in full, such as https://example.org/)",
        ),
        (
            "SITE__TITLE",
            "\udcff",
            ("'title' contains a control character: '\\udcff' (write it as one line of plain text)"),
        ),
    ],
)
def test_a_wrong_override_names_its_variable(problems: Any, name: str, value: str, expected: str) -> None:
    assert problems("[output]\nlimit = 3\n", **{f"AGGREGATOR_{name}": value}) == [f"AGGREGATOR_{name}: {expected}"]


def test_a_variable_with_a_single_underscore_is_a_warning(load: Any) -> None:
    config = load("", AGGREGATOR_STORE_URL="postgresql+psycopg://u:secret@h/n", AGGREGATOR_PORT="tcp://10.0.0.1:8000")
    expected = "AGGREGATOR_STORE_URL: no variable of the config (did you mean 'AGGREGATOR_STORE__URL'?)"
    assert [(str(warning), warning.level) for warning in config.warnings] == [(expected, "warning")]


def test_an_override_of_several_sources_is_refused(problems: Any) -> None:
    lines = problems('[[records]]\n[[records]]\nname = "b"\n', AGGREGATOR_RECORDS__PATH="x")
    assert "AGGREGATOR_RECORDS__PATH: the file has 2 tables [[records]] (set the key in the file)" in lines


# the sample


def test_the_sample_in_the_repository_is_what_init_writes() -> None:
    written = (CHECKOUT / "config" / "aggregator.toml").read_text(encoding="utf-8")
    assert written == init_text(tomllib.loads(written)["site"]["id"])


def test_the_schema_that_the_sample_names_lies_beside_it() -> None:
    named = (CHECKOUT / "config" / SCHEMA_NAME).read_text(encoding="utf-8")
    assert init_text("x").startswith(f"#:schema ./{SCHEMA_NAME}\n")
    assert json.loads(named) == json.loads(json.dumps(config_schema())), (
        "write it anew: aggregator schema > config/aggregator.schema.json"
    )


def test_the_sample_loads_without_a_warning_and_changes_no_default(load: Any) -> None:
    sample, empty = load(init_text("news.example.org")), load("")
    assert sample.warnings == ()
    assert sample.site.id == "news.example.org"
    assert sample.site.model_copy(update={"id": None}) == empty.site
    for name in ("sources", "schedule", "store", "output", "serve", "topics", "feeds", "ingest"):
        assert getattr(sample, name) == getattr(empty, name)


def test_every_key_that_the_sample_shows_is_known(problems: Any, tmp_path: Path) -> None:
    (tmp_path / "config" / "site.css").write_text("")
    commented = re.compile(r"^# (?=[a-z_]+ = |\"[^\"]+\" = |\[)", re.MULTILINE)
    lines = problems(commented.sub("", init_text("news.example.org")))
    assert len(lines) == 1
    assert all("'every' and 'cron'" in line for line in lines)


def test_the_sample_shows_every_key_of_the_schema() -> None:
    sample = init_text("x")
    for table in config_schema()["$defs"].values():
        for key in table["properties"]:
            assert re.search(rf"\b{key}\b", sample), key


@pytest.mark.parametrize("site_id", ["feeds.example.org", 'a"b\\c', "日本.example", "x'y"])
def test_any_site_id_can_stand_in_the_sample(site_id: str) -> None:
    assert tomllib.loads(init_text(site_id))["site"]["id"] == site_id


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not beside the checkout (AGGREGATOR_SHARED)")
def test_the_block_of_the_contract_is_understood_whole(load: Any) -> None:
    block = re.search(r"```toml\n(.*?)```", CONTRACT.read_text(encoding="utf-8"), re.DOTALL)[1]  # type: ignore[index]
    config = load(block)
    assert config.warnings == ()
    assert config.output == load("").output
    (feed,) = config.feeds
    assert (feed.slug, feed.title, feed.limit, feed.full) == ("ai-hardware", "AI hardware", 30, False)
    assert (feed.max_age, feed.per_provider) == (timedelta(days=90), 3)
    assert feed.rule == Rule(
        topics=Clause(any=frozenset({"ai", "edge ai"}), none=frozenset({"facebook ai"})),
        type=Clause(any=frozenset({"article", "video"})),
        min_quality=70,
        text=Clause(any=frozenset({"gpu", "re:TPU v[0-9]"})),
    )
    assert (feed.old_slugs, feed.old_paths) == (("old-slug",), ("tags/ai/index.xml",))


def test_the_config_knows_the_lines_of_its_keys_after_the_file_has_changed(load: Any) -> None:
    config = load(
        '[[records]]\n[[records]]\nname = "b"\ntopics = ["X"]\n[topics.parent]\n"Edge AI" = "AI"\n'
        '[topics.alias]\n"A.I." = "ai"\n[[feed]]\nslug = "a"\ntopics = { none = ["Y"], any = [\n  "A.I."] }\n'
    )
    config.path.write_text("")
    positions = config.positions
    assert positions.file == str(config.path)
    assert (positions.clause("a", "topics.any"), positions.clause("a", "max_age")) == (11, 9)
    assert (positions.record_key("b", "topics"), positions.line(("site", "id"))) == (4, None)
    assert positions.topic("parent", "edge ai") == 6
    assert list(positions.feed_slugs()) == [("a", 10, 8)]
    assert [tuple(mention) for mention in positions.mentions()] == [
        *[("A.I.", 8, 1, True), ("ai", 8, 10, False), ("Edge AI", 6, 1, False), ("AI", 6, 13, False)],
        *[("A.I.", 12, 3, False), ("Y", 11, 20, False)],
    ]


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not beside the checkout (AGGREGATOR_SHARED)")
def test_every_key_of_the_contract_is_known(problems: Any) -> None:
    block = re.search(r"```toml\n(.*?)```", CONTRACT.read_text(encoding="utf-8"), re.DOTALL)[1]  # type: ignore[index]
    lines = re.sub(r"^# (?=[a-z_]+ = |\[)", "", block, flags=re.MULTILINE)
    lines = re.sub(r"^# author, .*\+ stylesheet$", 'stylesheet = "site.css"', lines, flags=re.MULTILINE)
    text = re.sub(r"^(\[topics\.[a-z]+\]) {2,}(?=\")", r"\1\n", lines, flags=re.MULTILINE)
    text = re.sub(r"^\[topics\.titles\].*", "", text, flags=re.MULTILINE)
    assert not [line for line in problems(text) if "unknown key" in line]


# the JSON Schema


def test_the_json_schema_describes_every_key() -> None:
    schema = config_schema()
    assert schema["title"] == "Config of aggregator"
    assert schema["additionalProperties"] is False
    for table in schema["$defs"].values():
        assert table["additionalProperties"] is False
        for key, schema_of_key in table["properties"].items():
            assert schema_of_key["description"], key


def test_the_json_schema_takes_one_table_of_records_or_several() -> None:
    one, several = config_schema()["properties"]["records"]["anyOf"]
    assert several == {"type": "array", "items": one}


def test_the_json_schema_states_defaults_as_they_are_written() -> None:
    output = config_schema()["$defs"]["OutputTable"]["properties"]
    assert (output["min_stay"]["default"], output["max_bytes"]["default"]) == ("24h", "1MB")


# durations and sizes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600), ("1h30m", 5_400), ("0s", 0)],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: int) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@given(st.dictionaries(st.sampled_from("wdhms"), st.integers(0, 700), min_size=1))
def test_a_duration_is_the_sum_of_its_parts(parts: dict[str, int]) -> None:
    text = "".join(f"{parts[unit]}{unit}" for unit in "wdhms" if unit in parts)
    seconds = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
    assert read_duration(text) == timedelta(seconds=sum(seconds[unit] * count for unit, count in parts.items()))


@pytest.mark.parametrize(
    ("unit", "size"),
    [("B", 1), ("KB", 10**3), ("MB", 10**6), ("GB", 10**9), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30)],
)
@given(count=st.integers(1, 10**6))
def test_a_size_is_a_number_of_its_unit(unit: str, size: int, count: int) -> None:
    assert read_size(f"{count}{unit}") == read_size(f"{count} {unit}") == read_size(count * size)


NO_DURATIONS = ["", "90", "s", "1.5h", "-1s", "1 h", "30m1h", "1h1h", "1H", "\u0661s", 60, 1.5, True, None]
TOO_LONG = ["36526d", "9" * 30 + "s", "9" * 5000 + "w"]
NO_SIZES = ["", "1", "MB", "1.5MB", "1mb", "0B", "-1KB", 0, -5, 1.0, True, None, []]


@pytest.mark.parametrize(
    ("read", "values", "why"),
    [
        (read_duration, NO_DURATIONS, "is not a duration"),
        (read_duration, TOO_LONG, "is longer than a hundred years"),
        (read_size, NO_SIZES, "is not a size"),
    ],
)
def test_any_other_value_is_refused(read: Any, values: list[object], why: str) -> None:
    for value in values:
        with pytest.raises(BadValueError, match=why):
            read(value)


# cron


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("0 6 * * 0", "Sun 4, Sun 11, Sun 18"),
        ("0 6 * * 7", "Sun 4, Sun 11, Sun 18"),
        ("0 6 * * 1-5/2", "Fri 2, Mon 5, Wed 7"),
        ("0 6 * * MON,Fri", "Fri 2, Mon 5, Fri 9"),
        ("0 6 * * fri-sun", "Fri 2, Sat 3, Sun 4"),
        ("0 6 5 * 1", "Mon 5, Mon 12, Mon 19"),
        ("0 6 6 * fri", "Fri 2, Tue 6, Fri 9"),
        ("0 6 */10 * *", "Sun 11, Wed 21, Sat 31"),
        ("  0   6 14 jan-jun/2 *  ", "Wed 14, Sat 14, Thu 14"),
    ],
)
def test_a_cron_expression_fires_when_cron_would(text: str, fires: str) -> None:
    trigger = CronTrigger(read_cron(text), UTC)
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    days = []
    for _ in range(3):
        moment = trigger.get_next_fire_time(None, moment)
        days.append(f"{moment:%a} {moment.day}")
    assert ", ".join(days) == fires
    assert (moment.hour, moment.minute) == (6, 0)


def test_cron_counts_in_the_time_zone_of_the_site_and_from_now_when_the_clock_was_set_back() -> None:
    trigger = CronTrigger("30 2 * * *", ZoneInfo("Europe/Berlin"))
    winter = trigger.get_next_fire_time(None, datetime(2026, 1, 1, tzinfo=UTC))
    assert winter == datetime(2026, 1, 1, 1, 30, tzinfo=UTC)
    assert trigger.get_next_fire_time(winter, winter) == winter + timedelta(days=1)
    assert trigger.get_next_fire_time(winter, winter - timedelta(days=30)) == winter - timedelta(days=29)
    summer = trigger.get_next_fire_time(None, datetime(2026, 7, 1, tzinfo=UTC))
    assert summer == datetime(2026, 7, 1, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("@daily", "is not five fields"),
        ("0 0 0 * * *", "is not five fields"),
        ("60 * * * *", "is wrong in its minute, '60'"),
        ("* 24 * * *", "is wrong in its hour, '24'"),
        ("* * 0 * *", "is wrong in its day of the month, '0'"),
        ("* * * 13 *", "is wrong in its month, '13'"),
        ("* * * * 8", "is wrong in its weekday, '8'"),
        ("* * * * foo", "is wrong in its weekday, 'foo'"),
        ("9" * 5000 + " * * * *", "is wrong in its minute, '" + "9" * 5000 + "'"),
        ("* * * jan1 *", "is wrong in its month, 'jan1'"),
        ("mon * * * *", "is wrong in its minute, 'mon'"),
        ("1,,2 * * * *", "is wrong in its minute, '1,,2'"),
        ("10-5 * * * *", "is wrong in its minute, '10-5'"),
        ("*/0 * * * *", "is wrong in its minute, '*/0'"),
        ("*/60 * * * *", "has a step that does not fit in its minute, '*/60'"),
        ("0 0 31 2,4 *", "names a day that never comes"),
        ("0 0 */30 * mon#4", "names a day that never comes"),
    ],
)
def test_a_cron_expression_that_would_not_fire_as_written_is_refused(text: str, what: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read_cron(text)
    assert caught.value.what == what
    assert caught.value.hint


@given(
    st.text("0123456789*/,-#L sunmojaw", max_size=20)
    | st.lists(st.text("0123456789*/,-#LW", min_size=1), min_size=5, max_size=5).map(" ".join)
)
def test_any_text_is_a_cron_expression_that_fires_or_is_refused(text: str) -> None:
    try:
        expression = read_cron(text)
    except BadValueError:
        return
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert CronTrigger(expression, UTC).get_next_fire_time(None, now) > now
    assert 1 <= shortest_gap_minutes(expression) <= 1440


# positions of keys

TRICKY = '''# [site]
"top level" = "x = 1"  # a = 2
[site]
title = """
[output]
limit = 3 "quoted" \\""" """
note = \'\'\'
it\'\'s [x]
\'\'\'
[ records . "fields" ]
'ti"tle' = ["a # b", 'c',
  "d"]
"\\u0061b" = 1
[output]
a.b . "c d" = { e = 1, "f.g" = [ { h = 2 } ], i = {} }
when = 1979-05-27 07:32:00
\t limit=5
[[feed]]
slug = """"a""""
[[feed]]
slug = \'b\'
topics = { any = [
  "A",  # one
  "B"
], none = [] }
[feed.text]
any = []
[[feed.deep]]
x = 1
[[feed.deep]]
x = 2
'''


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("top level",), (2, 1), (2, 15)),
        (("site",), (3, 2), (3, 2)),
        (("site", "title"), (4, 1), (4, 9)),
        (("site", "note"), (7, 1), (7, 8)),
        (("records",), (10, 3), (10, 3)),
        (("records", 0, "fields"), (10, 13), (10, 13)),
        (("records", "fields", 'ti"tle', 2), (12, 3), (12, 3)),
        (("records", "fields", "ab"), (13, 1), (13, 13)),
        (("output", "a"), (15, 1), (15, 1)),
        (("output", "a", "b"), (15, 3), (15, 3)),
        (("output", "a", "b", "c d"), (15, 7), (15, 15)),
        (("output", "a", "b", "c d", "e"), (15, 17), (15, 21)),
        (("output", "a", "b", "c d", "f.g", 0, "h"), (15, 36), (15, 40)),
        (("output", "a", "b", "c d", "i"), (15, 47), (15, 51)),
        (("output", "limit"), (17, 3), (17, 9)),
        (("feed",), (18, 3), (18, 3)),
        (("feed", 0, "slug"), (19, 1), (19, 8)),
        (("feed", 1), (20, 3), (20, 3)),
        (("feed", 1, "topics", "any", 1), (24, 3), (24, 3)),
        (("feed", 1, "topics", "none"), (25, 4), (25, 11)),
        (("feed", 1, "text", "any"), (27, 1), (27, 7)),
        (("feed", 1, "deep", 1, "x"), (31, 1), (31, 5)),
        (("feed", 1, "missing"), (20, 3), (20, 3)),
        (("output", "limit", "deeper"), (17, 3), (17, 3)),
        (("nowhere",), (0, 0), (0, 0)),
        ((), (0, 0), (0, 0)),
    ],
)
def test_keys_and_values_are_found_in_any_spelling(
    path: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]
) -> None:
    tomllib.loads(TRICKY)
    locator = Locator(TRICKY)
    assert locator.find(path) == key
    assert locator.find(path, value=True) == value


_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=4)
_TEXTS = st.text(st.sampled_from("ab\"'#=[]{}\\\n,. é"), max_size=8)
_VALUES = st.recursive(
    st.one_of(_TEXTS, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


def _basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x7f", "\\u007f") + '"'


def _toml(value: object) -> str:
    """A spelling of the value as TOML; texts with line ends as multi-line strings."""
    if isinstance(value, str):
        if "\n" in value:
            return '"""' + value.replace("\\", "\\\\").replace('"""', '""\\"') + '\\n"""'
        return f"'{value}'" if "'" not in value and '"' in value else _basic(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[ # x = [\n" + ",\n".join(map(_toml, value)) + "\n]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_basic(key)} = {_toml(part)}" for key, part in value.items()) + "}"
    return repr(value)


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [deeper for key, part in pairs for deeper in ((*path, key), *_paths(part, (*path, key)))]


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=3), max_size=3))
@example({"": {"": "\n"}})
def test_every_key_that_tomllib_reads_is_found(tables: dict[str, dict[str, object]]) -> None:
    text = "".join(
        f"[{_basic(name)}]\n" + "".join(f"{_basic(key)} = {_toml(value)} # {name}\n" for key, value in table.items())
        for name, table in tables.items()
    )
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    locator = Locator(text)
    for path in _paths(data):
        line, column = locator.find(path)
        rest = text.split("\n")[line - 1][column - 1 :]
        assert not isinstance(path[-1], str) or rest.startswith(_basic(path[-1]))
        assert locator.find(path) not in ((0, 0), locator.find(path[:-1])) or isinstance(path[-1], int)


_KEYS = sorted({key for table in config_schema()["$defs"].values() for key in table["properties"]})
_TABLES = st.dictionaries(st.sampled_from(_KEYS), _VALUES)


@given(
    st.dictionaries(
        st.sampled_from([*config_schema()["properties"], "other"]), st.one_of(_VALUES, _TABLES, st.lists(_TABLES))
    )
)
def test_any_toml_is_a_config_or_gives_problems_with_positions(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in data.items())
    path.write_text(text, encoding="utf-8")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        load_config(path, env={})
    except ConfigError as error:
        for problem in error.problems:
            assert problem.line or "folder" in problem.what
            assert problem.what
            assert problem.hint


# the valid parts of an invalid config


@pytest.mark.parametrize(
    "broken",
    [
        '[[feed]]\nslug = "a"\ntitle = "Unclosed\n',
        "[output]\nlimit = = 3\n",
        "[output]\nlimit = 0\nlimt = 3\n[unknown]\n",
        "[[feed]]\n",
        "[output]\n[output]\n",
    ],
)
def test_the_store_url_is_read_from_an_invalid_config(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "aggregator.toml"
    path.write_text(f'{broken}[store]\nurl = "sqlite:///kept.db"\n[site]\ntitle = "Kept"\n')
    with pytest.raises(ConfigError):
        load_config(path, env={})
    usable = partial_config(path, env={})
    assert (usable.store.url, usable.site.title) == (f"sqlite:///{tmp_path}/kept.db", "Kept")


@pytest.mark.parametrize(
    "broken",
    [
        "[store]\nurl = 3\n",
        "[store]\nurl = \n",
        '[store]\nurl = "mysql://x"\n',
        '["store"]\nurl = \n',
        "[ 'store' ]\nurl = \n",
        '# c\nstore.url = "sqlite:///a.db\n',
        '# c\n"store" = { url = "sqlite:///a.db" \n',
    ],
)
def test_an_invalid_store_url_is_not_replaced_by_the_default(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "aggregator.toml"
    path.write_text(broken)
    with pytest.raises(ConfigError, match="2:"):
        partial_config(path, env={})


def test_the_rest_of_a_large_invalid_config_is_not_parsed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds = [f'[[feed]]\nslug = "f{number}"\ntopics = {{ any = ["t"] }}\n' for number in range(200)]
    feeds[150] += "title = \n"
    path = tmp_path / "aggregator.toml"
    path.write_text(text := "".join(feeds))
    parsed, loads = list[int](), tomllib.loads
    monkeypatch.setattr("tomllib.loads", lambda part: parsed.append(len(part)) or loads(part))
    assert len(partial_config(path, env={}).feeds) == 199
    assert sum(parsed) < 5 * len(text)


NUMBERS = (
    "records.max_bytes records.max_depth records.max_nodes output.limit output.max_bytes serve.port serve.cache"
    " serve.admin_port topics.min_entries topics.max_feeds ingest.workers feed.min_quality feed.min_heat"
    " feed.per_provider feed.limit"
).split()
DURATIONS = (
    "records.removal_grace schedule.every schedule.rescan output.min_stay output.late output.tombstones"
    " topics.keep_empty feed.max_age"
).split()


def test_numbers_and_durations_are_all_there_are() -> None:
    def keys(table: str, schema: dict[str, Any]) -> Iterator[str]:
        for name, key in schema["properties"].items():
            kinds = {part.get("type") for part in key.get("anyOf", [key])}
            if kinds & {"integer", "number"} or key.get("pattern", "").startswith("^([0-9]+w)?"):
                yield f"{table}.{name}"

    found = {
        key
        for table in ("records", "schedule", "store", "output", "serve", "topics", "feed", "ingest", "log")
        for key in keys(table, describe(("feed", 0) if table == "feed" else (table,)))
    }
    assert found == {*NUMBERS, *DURATIONS}


@pytest.mark.parametrize("key", [*NUMBERS, *DURATIONS])
def test_a_number_out_of_its_range_is_refused_with_its_line_and_what_to_write(problems: Any, key: str) -> None:
    table, name = key.split(".")
    head = '[[feed]]\nslug = "a"' if table == "feed" else f"[{table}]\n"
    wrong = ('"40000d"', '"99999999999999999999w"') if key in DURATIONS else (str(2**63), "1" + "0" * 400, "-1")
    for value in wrong:
        (line,) = problems(f"{head}\n{name} = {value}\n")
        assert re.match(rf"FILE:3:{len(name) + 4}: '{name}' is .*: '.*' \((write|choose) .*\)$", line), line


@pytest.mark.parametrize("host", ["127.0.0.1", "::", "::1", "fe80::1%eth0", "localhost", "feeds.example.org.", "a_b"])
def test_names_and_addresses_are_hosts(load: Any, host: str) -> None:
    assert load(f'[serve]\nhost = "{host}"\n').serve.host == host


@pytest.mark.parametrize(
    "host", ["a b", " localhost", "127.0.0.1:80", "[::1]", "*", "example.org/x", "a..b", "http://a"]
)
def test_other_texts_are_no_hosts(problems: Any, host: str) -> None:
    (line,) = problems(f'[serve]\nhost = "{host}"\n')
    assert line.startswith(f"FILE:2:8: 'host' is not a host name or an IP address: '{host}' (")
