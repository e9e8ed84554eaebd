"""Tables of topics: aliases, parents, titles, descriptions and pinned slugs."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from conftest import SITE_ID, SiteFolder, at, cycle_at, stop_after
from documents import ATOM, atom_id, feed_updated, listed
from lxml import etree

from aggregator.config.topics import toml_text
from aggregator.errors import StoppedError
from aggregator.feeds import registry
from aggregator.feeds.feed_list import pinnable_slugs
from aggregator.feeds.registry import sync_configured_feeds
from aggregator.ids import IdMint
from aggregator.slugs import topic_slug

NOON = "2024-05-01 12:00"
LATER = "2024-05-01 13:00"
LATER_STILL = "2024-05-01 14:00"
LAST = "2024-05-01 15:00"


def publish(site: SiteFolder, *topics: list[str]) -> None:
    """A first cycle with records of these topics, the newest last."""
    for number, names in enumerate(topics):
        site.record(f"{number}.md", topics=names, publishedDateTime=f"2024-05-01T0{number}:00:00Z")
    site.run(NOON)


def terms(site: SiteFolder) -> dict[str, str]:
    """The category terms of topics in the Atom feed of all records, by name."""
    document = etree.fromstring((site.output / "all" / "atom.xml").read_bytes())
    return {found.get("label"): found.get("term") for found in document.iter(f"{ATOM}category") if found.get("label")}


def tags(site: SiteFolder, slug: str = "all") -> dict[str, list[str]]:
    """The topics of the entries of a feed, by title."""
    return {item["title"]: item.get("tags", []) for item in site.feed(slug)["items"]}


def slugs(site: SiteFolder) -> set[str]:
    """The folders of feeds, except `all`."""
    return {path.partition("/")[0] for path in site.documents() if path.endswith("/feed.json")} - {"all"}


def same_documents(site: SiteFolder, old: str, new: str) -> bool:
    """Whether both slugs have the same documents."""
    documents = [
        {path.removeprefix(slug): body for path, body in site.documents().items() if path.startswith(f"{slug}/")}
        for slug in (old, new)
    ]
    return documents[0] == documents[1] != {}


# aliases


def test_an_alias_is_its_topic_in_feeds_categories_and_rules(site: SiteFolder) -> None:
    site.configure('[topics.alias]\n"A.I." = "AI"\n"ml" = "a.i."\n[[feed]]\nslug = "x"\ntopics.any = ["ML"]\n')
    publish(site, ["A.I."], ["ai", "A.I.", "Maps"], ["ML"], ["Maps"])
    assert slugs(site) == {"ai", "maps", "x"}
    assert site.titles("ai") == site.titles("x") == ["2.md", "1.md", "0.md"]
    assert tags(site) == {"3.md": ["Maps"], "2.md": ["AI"], "1.md": ["ai", "Maps"], "0.md": ["AI"]}
    assert site.feed("ai")["title"] == "AI – Feeds"
    assert b'term="ai"' in (site.output / "all" / "atom.xml").read_bytes()


def test_the_feed_of_an_alias_redirects_to_its_topic_and_gets_its_entries_back(site: SiteFolder) -> None:
    publish(site, ["A.I."], ["AI"], ["A.I.", "AI"])
    ids, known = site.ids("a-i"), atom_id(site, "a-i")
    before = site.documents()
    site.run_with('[topics.alias]\n"A.I." = "AI"\n', LATER)
    assert site.titles("ai") == ["2.md", "1.md", "0.md"]
    assert listed(site) == {"ai"}
    assert same_documents(site, "a-i", "ai")
    assert tags(site) == {"2.md": ["AI"], "1.md": ["AI"], "0.md": ["AI"]}
    assert site.left_by("a.i.") == {"0.md": "topic", "2.md": "topic"}
    with site.untouched():
        site.run(LATER_STILL)
    site.run_with("", LAST)
    assert (site.ids("a-i"), site.titles("ai")) == (ids, ["2.md", "1.md"])
    assert (atom_id(site, "a-i"), listed(site)) == (known, {"ai", "a-i"})
    assert site.documents().keys() == before.keys()


def test_an_alias_that_is_taken_back_gives_the_feed_back_below_min_entries(site: SiteFolder) -> None:
    publish(site, ["A.I."], ["AI"], ["AI"])
    known = atom_id(site, "a-i")
    few = "[topics]\nmin_entries = 2\n"
    site.run_with(f'{few}[topics.alias]\n"A.I." = "AI"\n', LATER)
    assert listed(site) == {"ai"}
    site.configure(few)
    assert not site.run(LATER_STILL).notices
    assert (site.titles("a-i"), atom_id(site, "a-i"), listed(site)) == (["0.md"], known, {"ai", "a-i"})
    site.record("9.md", topics=["Maps"], publishedDateTime="2024-05-01T12:30:00Z")
    site.run(LAST)
    assert listed(site) == {"ai", "a-i"}  # a topic that never had a feed needs more


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("", "with the line below [topics.alias] that leads it to /ai/"),
        ("[topics]\nauto = false\n", 'with "auto = true"'),
    ],
)
def test_the_line_that_keeps_the_old_url_of_a_topic_is_one_for_topics(site: SiteFolder, config: str, line: str) -> None:
    publish(site, ["A.I."], ["AI"])
    site.run_with('[topics.alias]\n"A.I." = "AI"\n', LATER)
    site.remove("0.md")
    site.run(LATER_STILL)
    site.configure(config)
    assert [notice for notice in site.run(LAST).notices if notice.startswith("/a-i/") and line in notice]


def test_an_alias_never_gets_a_feed_of_its_own(site: SiteFolder) -> None:
    site.configure('[topics]\nmin_entries = 2\n[topics.alias]\n"A.I." = "AI"\n')
    publish(site, ["A.I."], ["A.I."], ["A.I."])
    site.record("9.md", topics=["A.I."], publishedDateTime="2024-05-01T12:30:00Z")
    site.run(LATER)
    assert slugs(site) == {"ai"}
    assert len(site.titles("ai")) == 4


def test_an_entry_that_joins_a_feed_by_a_new_alias_keeps_its_release_time(site: SiteFolder) -> None:
    publish(site, ["A.I."], ["AI"])
    site.run_with('[topics.alias]\n"A.I." = "AI"\n', LATER)
    assert site.titles("ai") == ["1.md", "0.md"]


def test_topics_are_shown_as_the_config_spells_them(site: SiteFolder) -> None:
    site.configure('[topics.alias]\n"A.I." = "AI"\n')
    publish(site, ["A.I."])
    site.run_with('[topics.alias]\n"A.I." = "Ai"\n', LATER)
    assert tags(site) == {"0.md": ["Ai"]}


# parents


def test_entries_of_a_topic_are_in_the_feeds_of_all_its_ancestors(site: SiteFolder) -> None:
    tables = '[topics.parent]\n"Canvas apps" = "Power Apps"\n"Power Apps" = "Microsoft"\n'
    rules = '[[feed]]\nslug = "x"\ntopics = { all = ["microsoft"], none = ["Power Apps"] }\n'
    site.configure(tables + rules)
    publish(site, ["Canvas apps"], ["Power Apps"], ["Microsoft"], ["Maps"])
    assert site.titles("canvas-apps") == ["0.md"]
    assert site.titles("power-apps") == ["1.md", "0.md"]
    assert site.titles("microsoft") == ["2.md", "1.md", "0.md"]
    assert site.titles("x") == ["2.md"]
    assert tags(site)["0.md"] == ["Canvas apps"]


def test_a_change_of_parents_updates_memberships_and_evaluates_rules_again(site: SiteFolder) -> None:
    rule = '[[feed]]\nslug = "x"\ntopics.any = ["Power Apps"]\n'
    site.configure(rule)
    publish(site, ["Canvas apps"], ["Power Apps"], ["Maps"])
    assert site.titles("x") == ["1.md"]
    site.run_with(rule + '[topics.parent]\n"Canvas apps" = "Power Apps"\nMaps = "Places"\n', LATER)
    assert site.titles("x") == site.titles("power-apps") == ["1.md", "0.md"]
    assert (site.titles("places"), site.feed("places")["title"]) == (["2.md"], "Places – Feeds")
    site.run_with(rule + '[topics.parent]\nMaps = "Canvas apps"\n', LATER_STILL)
    assert site.titles("x") == site.titles("power-apps") == ["1.md"]
    assert (site.titles("places"), site.titles("canvas-apps")) == ([], ["2.md", "0.md"])


def test_a_configured_feed_replaces_the_feed_of_a_parent(site: SiteFolder) -> None:
    tables = '[topics.parent]\n"Canvas apps" = "Power Apps"\n'
    publish(site, ["Canvas apps"], ["Power Apps"])
    site.run_with(tables + '[[feed]]\nslug = "power-apps"\nmin_quality = 50\n', LATER)
    assert site.titles("power-apps") == []
    site.run_with(tables, LATER_STILL)
    assert site.titles("power-apps") == ["1.md", "0.md"]


@pytest.mark.both_databases
def test_tables_are_evaluated_in_batches_and_again_after_an_interruption(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BATCH", 2)
    publish(site, ["A.I."], ["AI"], ["A.I."], ["AI"], ["A.I."])
    before = site.documents()
    site.configure('[topics.alias]\n"A.I." = "AI"\n')
    with pytest.raises(StoppedError):
        sync_configured_feeds(*cycle_at(site, at(LATER)), (), stop_after(2))
    site.run_with("", LATER)
    assert site.documents().keys() == before.keys()
    assert (site.titles("a-i"), site.titles("ai")) == (["4.md", "2.md", "0.md"], ["3.md", "1.md"])


def test_no_entry_is_evaluated_while_the_tables_are_unchanged(site: SiteFolder) -> None:
    tables = '[topics.alias]\nx = "AI"\ny = "AI"\n[topics.parent]\nAI = "Science"\n[topics.titles]\nAI = "All"\n'
    site.configure(tables)
    publish(site, ["AI"], ["x"])
    site.configure('[topics.parent]\nai = "Science"\n[topics.alias]\nY = "ai"\nX = "AI"\n[topics.titles]\nAI = "All"\n')
    forbid = Mock(side_effect=AssertionError("an entry is evaluated"))
    sync_configured_feeds(*cycle_at(site, at(LATER)), (), forbid)


def linked(site: SiteFolder, slug: str) -> dict[str, list[str]]:
    """Where the page of a feed leads, by the names of its lists of topics."""
    page = etree.HTML((site.output / slug / "index.html").read_bytes())
    lists = page.xpath("//nav[starts-with(@aria-label, 'Topics ')]")
    return {one.get("aria-label"): [link.get("href") for link in one.iter("a")] for one in lists}


PARENTS = '[topics.parent]\n"Street maps" = "Maps"\n"Sea maps" = "Maps"\n"Maps" = "Cities"\n'


def test_pages_of_topics_lead_up_and_down(site: SiteFolder) -> None:
    site.configure(PARENTS)
    publish(site, ["Street maps"], ["Sea maps"], ["AI"])
    assert linked(site, "cities") == {"Topics below": ["../maps/"]}
    assert linked(site, "maps") == {
        "Topics above": ["../cities/"],
        "Topics below": ["../sea-maps/", "../street-maps/"],
    }
    assert linked(site, "sea-maps") == {"Topics above": ["../cities/", "../maps/"]}
    assert linked(site, "ai") == linked(site, "all") == {}


def test_a_topic_without_a_feed_is_passed_over_on_the_way(site: SiteFolder) -> None:
    site.configure(f'[topics]\nmax_feeds = 2\n{PARENTS}[topics.slugs]\n"Sea maps" = "sea"\n')
    publish(site, ["Sea maps"])
    assert slugs(site) == {"cities", "sea"}
    assert linked(site, "cities") == {"Topics below": ["../sea/"]}
    assert linked(site, "sea") == {"Topics above": ["../cities/"]}


def test_a_page_is_written_again_when_a_topic_below_it_goes_and_comes_back(site: SiteFolder) -> None:
    table = 'keep_empty = "1h"\n'
    site.configure(f"[topics]\n{table}{PARENTS}")
    publish(site, ["Street maps"], ["Sea maps"], ["AI"])
    site.record("0.md", topics=["Maps"], publishedDateTime="2024-05-01T00:00:00Z")
    site.run(LATER)
    before = site.snapshot()
    site.run(LAST)
    after = site.snapshot()
    changed = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    lists = {"index.html", "opml.xml", "sitemap.xml", ".aggregator/manifest.json"}
    assert changed == {"maps/index.html", *lists}
    assert {path.partition("/")[0] for path in before.keys() - after.keys()} == {"street-maps"}
    assert linked(site, "maps")["Topics below"] == ["../sea-maps/"]
    site.record("0.md", topics=["Street maps"], publishedDateTime="2024-05-01T00:00:00Z")
    site.run("2024-05-01 16:00")
    assert linked(site, "maps")["Topics below"] == ["../sea-maps/", "../street-maps/"]


def test_pages_are_written_again_when_a_topic_above_or_below_is_renamed(site: SiteFolder) -> None:
    site.configure(PARENTS)
    publish(site, ["Street maps"], ["Sea maps"], ["AI"])
    before = site.documents()
    pins = '[topics.slugs]\n"Sea maps" = "charts"\n[topics.titles]\n"Sea maps" = "Charts"\n'
    site.run_with(PARENTS + pins, LATER)
    assert linked(site, "maps")["Topics below"] == ["../charts/", "../street-maps/"]
    assert linked(site, "charts") == {"Topics above": ["../cities/", "../maps/"]}
    after = site.documents()
    for path in ("street-maps/index.html", "ai/index.html", "maps/rss.xml", "cities/rss.xml"):
        assert after[path] == before[path], path


def test_a_story_of_a_topic_changes_no_page_of_its_neighbours(site: SiteFolder) -> None:
    site.configure(PARENTS)
    publish(site, ["Street maps"], ["Sea maps"], ["AI"])
    before = site.documents()
    site.record("new.md", topics=["AI"], publishedDateTime="2024-05-01T12:30:00Z")
    site.record("more.md", topics=["Street maps"], publishedDateTime="2024-05-01T12:30:00Z")
    site.run(LATER)
    after = site.documents()
    changed = {path for path in after if after[path] != before.get(path)}
    assert "sea-maps/index.html" not in changed
    assert {"all/index.html", "ai/index.html", "street-maps/index.html", "maps/index.html"} <= changed


# titles and descriptions


def test_a_feed_without_description_names_itself_and_the_site(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "good"\ntitle = "Good ones"\n')
    publish(site, ["AI"])
    for slug, expected in (
        ("all", "Everything from Feeds"),
        ("ai", "AI from Feeds"),
        ("good", "Good ones from Feeds"),
    ):
        assert site.feed(slug)["description"] == expected
        assert etree.parse(site.output / slug / "rss.xml").findtext("channel/description") == expected
        assert etree.parse(site.output / slug / "atom.xml").findtext(f"{ATOM}subtitle") == expected


def test_the_description_of_the_site_is_that_of_the_feed_of_everything(site: SiteFolder) -> None:
    publish(site, ["AI"])
    before, updated = site.documents(), feed_updated(site, "all")
    text = site.config_file.read_text()
    site.close()
    site.config_file.write_text(text.replace("[site]\n", '[site]\ndescription = "On <small> things"\n'))
    site.run(LATER)
    assert site.feed("all")["description"] == "On <small> things"
    assert etree.parse(site.output / "all" / "rss.xml").findtext("channel/description") == "On <small> things"
    assert etree.parse(site.output / "all" / "atom.xml").findtext(f"{ATOM}subtitle") == "On <small> things"
    assert feed_updated(site, "all") == updated
    home = site.documents()["index.html"].decode()
    assert '<meta name="description" content="On &lt;small&gt; things">' in home
    assert '<p class="lede" dir="auto">On &lt;small&gt; things</p>' in home
    site.close()
    site.config_file.write_text(text)
    site.run(LATER_STILL)
    assert site.documents() == before


def test_titles_and_descriptions_follow_the_tables(site: SiteFolder) -> None:
    publish(site, ["AI"], ["Maps"])
    before = site.documents()
    updated = feed_updated(site, "ai")
    site.configure('[topics.titles]\nai = "Artificial intelligence"\n[topics.descriptions]\nAI = "All about it"\n')
    site.run(LATER)
    assert (site.feed("ai")["title"], site.feed("ai")["description"]) == (
        "Artificial intelligence – Feeds",
        "All about it",
    )
    assert tags(site)["0.md"] == ["AI"]
    now = feed_updated(site, "ai")
    assert updated != now == "2024-05-01T13:00:00+00:00"
    assert site.documents()["maps/atom.xml"] == before["maps/atom.xml"]
    site.run_with("", LATER_STILL)
    assert site.documents()["ai/feed.json"] == before["ai/feed.json"]


def test_a_new_topic_has_the_title_of_the_table(site: SiteFolder) -> None:
    site.configure('[topics.titles]\nAI = "All of it"\n')
    publish(site, ["ai"])
    assert site.feed("ai")["title"] == "All of it – Feeds"
    site.run_with("", LATER)
    assert site.feed("ai")["title"] == "ai – Feeds"


def test_a_feed_that_replaces_a_topic_has_its_title_unless_it_states_its_own(site: SiteFolder) -> None:
    tables = '[topics.titles]\nAI = "All of it"\n'
    publish(site, ["AI"])
    for config, title in (
        (tables + '[[feed]]\nslug = "ai"\n', "All of it"),
        (tables + '[[feed]]\nslug = "ai"\ntitle = "Mine"\n', "Mine"),
        (tables, "All of it"),
        ("", "AI"),
    ):
        site.run_with(config, LATER)
        assert site.feed("ai")["title"] == f"{title} – Feeds"


# pinned slugs


def test_a_new_topic_has_its_pinned_slug(site: SiteFolder) -> None:
    site.configure('[topics.slugs]\n"C#" = "c-sharp"\n')
    publish(site, ["C#"], ["C"])
    assert slugs(site) == {"c-sharp", "c"}
    assert (site.feed("c-sharp")["title"], site.feed("c")["title"]) == ("C# – Feeds", "C – Feeds")
    assert atom_id(site, "c-sharp") == IdMint(SITE_ID).feed_id("c-sharp")
    assert b'term="c-sharp"' in (site.output / "all" / "atom.xml").read_bytes()


def test_a_pin_moves_a_feed_with_its_id_and_lasts_when_it_is_removed(site: SiteFolder) -> None:
    publish(site, ["C#"])
    known = atom_id(site, "c")
    site.run_with('[topics.slugs]\n"c#" = "c-sharp"\n', LATER)
    assert atom_id(site, "c-sharp") == known
    assert same_documents(site, "c", "c-sharp")
    assert listed(site) == {"c-sharp"}
    site.record("9.md", topics=["C"], publishedDateTime="2024-05-01T13:30:00Z")
    site.run(LATER_STILL)
    assert site.titles(topic_slug("c", {"c"})) == ["9.md"]  # no other topic gets a slug that leads to this one
    assert atom_id(site, topic_slug("c", {"c"})) != known
    with site.untouched():
        site.run_with("", LAST)


def test_a_pin_takes_the_slug_of_another_topic_which_keeps_its_id(site: SiteFolder) -> None:
    publish(site, ["C"])
    known = atom_id(site, "c")
    site.configure('[topics.slugs]\n"C#" = "c"\n')
    site.record("9.md", topics=["C#"], publishedDateTime="2024-05-01T12:30:00Z")
    site.run(LATER)
    other = topic_slug("c", {"c"})
    assert (site.titles("c"), site.titles(other)) == (["9.md"], ["0.md"])
    assert atom_id(site, other) == known
    assert atom_id(site, "c") != known


@pytest.mark.both_databases
def test_two_pins_that_are_swapped_keep_the_ids_of_their_topics(site: SiteFolder) -> None:
    publish(site, ["A"], ["B"])
    ids = {slug: atom_id(site, slug) for slug in "ab"}
    site.run_with('[topics.slugs]\nA = "b"\nB = "a"\n', LATER)
    assert (site.titles("a"), site.titles("b")) == (["1.md"], ["0.md"])
    assert (atom_id(site, "a"), atom_id(site, "b")) == (ids["b"], ids["a"])


def test_a_topic_gets_its_pinned_slug_back_from_a_feed_that_replaced_it(site: SiteFolder) -> None:
    pins = '[topics.slugs]\n"C#" = "c-sharp"\n'
    publish(site, ["C#"])
    known = atom_id(site, "c")
    site.run_with(pins, LATER)
    site.run_with('[[feed]]\nslug = "c-sharp"\nmin_quality = 9\n', LATER_STILL)
    assert (site.titles("c-sharp"), atom_id(site, "c-sharp")) == ([], known)
    site.run_with(pins, LAST)
    assert (site.titles("c-sharp"), atom_id(site, "c-sharp")) == (["0.md"], known)


def test_a_configured_feed_replaces_one_of_the_topics_with_its_slug_whatever_was_before(site: SiteFolder) -> None:
    feed = '[[feed]]\nslug = "c"\ntopics.any = ["C"]\n'
    site.configure(feed)
    publish(site, ["C++"], ["C#"], ["C"])
    others = {f"c-{digest}" for digest in ("951a", "cedb")}
    assert slugs(site) == {"c", *others}
    assert {title for slug in others for title in site.titles(slug)} == {"0.md", "1.md"}
    site.run_with("", LATER)
    site.run_with(feed, LATER_STILL)
    assert slugs(site) == {"c", *others}
    assert site.titles("c") == ["2.md"]


def test_a_pin_takes_the_slug_of_a_removed_feed(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "x"\n')
    publish(site, ["AI"])
    site.run_with('[topics.slugs]\nAI = "x"\n', LATER)
    assert (listed(site), site.feed("x")["title"]) == ({"x"}, "AI – Feeds")
    assert same_documents(site, "ai", "x")


def pins_of(site: SiteFolder) -> str:
    """The table that pins the present slugs."""
    with site.store.read() as connection:
        pairs = pinnable_slugs(connection, site.pipeline.policy)
    return "\n".join(["[topics.slugs]", *(f"{toml_text(name)} = {toml_text(slug)}" for name, slug in pairs), ""])


def test_pins_of_the_present_slugs_change_nothing_and_keep_them_without_the_store(
    site: SiteFolder, make_site: Any, make_store_url: Any
) -> None:
    tables = '[topics.alias]\n"A.I." = "AI"\n[topics.titles]\n"C#" = "See sharp"\n'
    publish(site, ["A.I.", 'Say "hi" \\ ok'], ["C#", "=[x]"], ["C", "日本語", "All"], ["C++"])
    site.run_with(tables + '[[feed]]\nslug = "c"\n', LATER)
    before = site.snapshot()
    printed = pins_of(site)
    site.run_with(tables + '[[feed]]\nslug = "c"\n' + printed, LATER_STILL)
    assert site.snapshot() == before
    assert pins_of(site) == printed
    site.configure(tables + '[[feed]]\nslug = "c"\n' + printed, url=make_store_url("sqlite"))
    site.run(LAST)
    assert slugs(site) == {path.partition("/")[0] for path in before if path.endswith("/feed.json")} - {"all", "a-i"}


# text


def test_a_feed_of_words_matches_title_and_summary(site: SiteFolder) -> None:
    site.configure('[[feed]]\nslug = "x"\ntext = { any = ["GPU", "re:TPU v[0-9]"], none = ["rumour"] }\n')
    for path, fields in {
        "0.md": {"title": "A new gpu"},
        "1.md": {"title": "Chips", "excerpt": "The TPU V5 is here"},
        "2.md": {"title": "GPUs"},
        "3.md": {"title": "GPU", "excerpt": "A Rumour."},
    }.items():
        site.record(path, publishedDateTime=f"2024-05-01T0{path[0]}:00:00Z", **fields)
    site.run(NOON)
    assert site.titles("x") == ["Chips", "A new gpu"]
    site.record("1.md", title="Chips", excerpt="The TPU is here", publishedDateTime="2024-05-01T01:00:00Z")
    site.run(LATER)
    assert site.titles("x") == ["A new gpu"]
    site.run_with('[[feed]]\nslug = "x"\ntext.any = ["GPUs"]\n', LATER_STILL)
    assert site.titles("x") == ["GPUs"]


def test_topics_without_a_feed_have_terms_of_their_own_that_stay(site: SiteFolder) -> None:
    """docs/spec.md#topics-and-slugs: readers know a category by its term."""
    site.configure("[topics]\nmin_entries = 2\n")
    publish(site, ["C#", "C++", "C", "Power Apps", "Power-Apps"])
    before = terms(site)
    assert before == {
        "C#": topic_slug("c#", {"c"}),
        "C++": topic_slug("c++", {"c"}),
        "C": "c",
        "Power Apps": "power-apps",
        "Power-Apps": topic_slug("power-apps", {"power-apps"}),
    }
    site.record("more.md", topics=["C#", "Power-Apps"], publishedDateTime="2024-05-01T09:00:00Z")
    site.run(LATER)  # they have feeds now, and no other topic's name
    assert slugs(site) == {before["C#"], before["Power-Apps"]}
    assert terms(site) == before
    site.record("last.md", topics=["C"], publishedDateTime="2024-05-01T10:00:00Z")
    site.run(LATER_STILL)
    assert "c" in slugs(site)
    assert terms(site) == before
