"""A record that says it was changed in the future: it is warned of, not believed."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from conftest import SiteFolder, at

from aggregator.cli.check import Place, check_records

pytestmark = pytest.mark.both_databases

DATED = {"publishedDateTime": "2024-04-01T00:00:00Z"}
FAR = "2062-03-02T00:00:00Z"
NOON, LATER = at("2024-05-01 12:00"), at("2024-05-01 13:00")


def feed_updates(site: SiteFolder) -> tuple[str, str]:
    """When the feed `all` was last changed, as its Atom and its RSS document say."""
    atom, rss = ((site.output / "all" / name).read_text("utf-8") for name in ("atom.xml", "rss.xml"))
    return re.findall("<updated>(.*?)<", atom)[0], re.findall("<lastBuildDate>(.*?)<", rss)[0]


def entry_updates(site: SiteFolder) -> dict[str, str]:
    """When each entry was last changed, by its title."""
    return {item["title"]: item.get("date_modified", item["date_published"]) for item in site.feed()["items"]}


@pytest.mark.parametrize("far", [FAR, "9999-12-31T00:00:00Z", "9999-12-31"])
def test_an_update_in_the_future_is_warned_of_and_does_not_count(site: SiteFolder, far: str) -> None:
    site.record("a.md", updatedDateTime=far, **DATED)
    site.record("b.md", **DATED)
    site.run(NOON)

    assert "12:00:00" in feed_updates(site)[1]
    assert feed_updates(site)[0].startswith("2024-05-01T12:00:00")
    assert entry_updates(site) == dict.fromkeys(("a.md", "b.md"), "2024-04-01T00:00:00+00:00")
    late = [one for one in site.problems() if "future" in one]
    what = "the stated time of the last change is in the future and is ignored"
    assert late == [f"a.md:3:18: {what}: '{far[:10]}T00:00:00Z' (correct it)"]


def test_a_corrected_update_counts(site: SiteFolder) -> None:
    site.record("a.md", updatedDateTime=FAR, **DATED)
    site.run(NOON)
    site.record("a.md", updatedDateTime="2024-05-01T12:30:00Z", **DATED)
    site.run(LATER)

    assert entry_updates(site) == {"a.md": "2024-05-01T12:30:00+00:00"}
    assert feed_updates(site)[0].startswith("2024-05-01T12:30:00")
    assert site.problems() == []


def test_an_update_of_hugo_in_the_future_does_not_count(site: SiteFolder) -> None:
    site.configure('[records]\npreset = "hugo"\n')
    site.write("a.md", "---\ntitle: A\ndate: 2024-04-01T00:00:00Z\nlastmod: 2062-03-02\n---\n")
    site.run(NOON)

    assert entry_updates(site) == {"A": "2024-04-01T00:00:00+00:00"}
    assert feed_updates(site)[0].startswith("2024-05-01T12:00:00")


@pytest.mark.parametrize(("now", "warned"), [("2062-03-01 23:59", True), ("2062-03-02 00:00", False)])
def test_check_warns_of_an_update_in_the_future(site: SiteFolder, now: str, warned: bool) -> None:
    site.record("a.md", updatedDateTime=FAR, excerpt="More", **DATED)
    found = [str(one) for one in checked(site, at(now))]

    assert ["in the future" in one for one in found] == ([True] if warned else [])


def checked(site: SiteFolder, now: datetime) -> list[object]:
    """What a check finds at that time."""
    places = [Place(one, "") for one in site.load_config().sources]
    return list(check_records(places, 0, now, lambda _: None, lambda _: None))
