"""What benchmarks measure with: records like real ones, and Hugo doing what we do. Nothing here is timed."""

from __future__ import annotations

import html
import importlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, NamedTuple

import pytest
import yaml
from corpus import SHARED

from benchmarks.builds import count_entries
from benchmarks.corpus import make_corpus, make_record, make_records
from benchmarks.processes import ROOT
from benchmarks.report import render_report
from benchmarks.sites import LEAN, HugoSite, OurSite
from benchmarks.stages import FUNCTIONS, MODULES

MANY = 2500


class Shape(NamedTuple):
    """What a corpus looks like from afar."""

    mean_bytes: float
    quartiles: list[float]
    published: float
    keys: dict[str, float]
    topics_a_record: dict[int, float]
    topics: list[float]


def shape_of(texts: list[str]) -> Shape:
    """The statistics of some records."""
    facts: list[dict[str, Any]] = [yaml.load(text.split("---\n", 2)[1], yaml.CSafeLoader) for text in texts]
    sizes = [len(text.encode()) for text in texts]
    keys = Counter(key for one in facts for key in one)
    topics = Counter(topic for one in facts for topic in one["topics"])
    numbers = Counter(len(one["topics"]) for one in facts)
    return Shape(
        fmean(sizes),
        quantiles(sizes),
        fmean(one["published"] for one in facts),
        {key: count / len(facts) for key, count in keys.items()},
        {number: count / len(facts) for number, count in numbers.items()},
        [count / len(facts) for _, count in topics.most_common()],
    )


@pytest.fixture(scope="module")
def shape() -> Shape:
    return shape_of([record.text for record in make_records(MANY)])


def test_records_have_the_size_topics_and_share_of_published_of_the_reference(shape: Shape) -> None:
    assert shape.mean_bytes == pytest.approx(2304, rel=0.05)
    assert shape.published == pytest.approx(0.85, abs=0.02)
    assert len(shape.topics) == 200
    assert [shape.topics_a_record[many] for many in (1, 2, 3, 4)] == pytest.approx([0.30, 0.35, 0.20, 0.15], abs=0.04)


@pytest.mark.skipif(not (SHARED / "bench").is_dir(), reason=f"the reference is not at {SHARED} (set AGGREGATOR_SHARED)")
def test_records_look_like_those_of_the_reference_generator(shape: Shape, tmp_path: Path) -> None:
    subprocess.run([sys.executable, SHARED / "bench" / "gen_corpus.py", str(MANY), tmp_path], check=True)
    theirs = shape_of([path.read_text(encoding="utf-8") for path in sorted(tmp_path.rglob("*.md"))])
    assert shape.mean_bytes == pytest.approx(theirs.mean_bytes, rel=0.05)
    assert shape.quartiles == pytest.approx(theirs.quartiles, rel=0.15)
    assert shape.published == pytest.approx(theirs.published, abs=0.02)
    assert shape.topics_a_record == pytest.approx(theirs.topics_a_record, abs=0.05)
    assert shape.topics[:20] == pytest.approx(theirs.topics[:20], rel=0.3)
    common = {key: share for key, share in theirs.keys.items() if share > 0.02}
    assert {key: shape.keys.get(key, 0) for key in common} == pytest.approx(common, abs=0.05)


def test_a_record_is_the_same_in_a_corpus_of_any_size(tmp_path: Path) -> None:
    few, more = make_corpus(20, tmp_path / "few"), make_corpus(40, tmp_path / "more")
    texts = {path.relative_to(few): path.read_bytes() for path in few.rglob("*.md")}
    assert len(texts) == 20
    assert all((more / path).read_bytes() == text for path, text in texts.items())
    assert len(list(more.rglob("*.md"))) == 40
    assert make_record(7).text == make_record(7).text


def test_hugo_and_we_write_the_same_entries_into_the_same_feeds(tmp_path: Path) -> None:
    records = make_corpus(600, tmp_path / "records")
    ours, hugo = OurSite(tmp_path / "ours", records, LEAN), HugoSite(tmp_path / "hugo", records)
    for site in (ours, hugo):
        subprocess.run(site.build_command(), cwd=ROOT, check=True, capture_output=True)
    counts = count_entries({"ours": ours, "Hugo": hugo})
    assert counts["ours"]["RSS"].feeds > 150
    topics = {topic for record in make_records(600) if record.published for topic in record.topics}
    for topic in topics:
        assert titles_of(ours.feed_of(topic)) == titles_of(hugo.feed_of(topic))


def titles_of(document: Path) -> list[str]:
    """The titles of the items of an RSS document, as readers see them."""
    items = document.read_text(encoding="utf-8").split("<item>")[1:]
    return sorted(html.unescape(re.findall("<title>(.*?)</title>", item)[0]) for item in items)


def test_sites_that_hold_different_entries_are_not_compared(tmp_path: Path) -> None:
    for name, items in (("one", 1), ("two", 2)):
        topic = tmp_path / name / "output" / "maps"
        topic.mkdir(parents=True)
        (topic / "rss.xml").write_text("<item>" * items)
    sites = {name: OurSite(tmp_path / name, tmp_path, LEAN) for name in ("one", "two")}
    with pytest.raises(ValueError, match="do not hold the same"):
        count_entries(sites)


def test_stages_name_modules_and_functions_that_are_there() -> None:
    for name in MODULES:
        importlib.import_module(name)
    for name in FUNCTIONS:
        module, _, function = name.rpartition(".")
        assert hasattr(importlib.import_module(module), function), name


def test_a_report_says_which_goals_are_met_and_what_was_not_measured() -> None:
    def cold(wall_s: float) -> dict[str, float]:
        return {"wall_s": wall_s, "cpu_s": wall_s, "peak_mb": 100}

    costs = {"lean": cold(1.5), "defaults": cold(2.5), "Hugo": cold(1.0)}
    figures = {
        "machine": {"CPU": "one"},
        "at": "today",
        "command": "python -m benchmarks",
        "minutes": 1.0,
        "builds": {"1000": {"costs": {"cold": costs}}},
    }
    figures["databases"] = {"10000": {"lean": {"SQLite": cold(2.0), "PostgreSQL": cold(2.3)}}}
    lines = render_report(figures).splitlines()
    postgresql = "cold build, 10,000 records, PostgreSQL | ≤ 1.1 × the time with SQLite"
    assert f"| {postgresql} | 1.15 × | **missed** | not measured | – |" in lines
    assert "| cold build, 1,000 records | ≤ 2 × Hugo's wall time | 1.50 × | met | 2.50 × | **missed** |" in lines
    assert "| 1,000,000 records | peak memory ≤ 400 MB | not measured | – | not measured | – |" in lines


def test_a_report_compares_the_load_with_nginx_or_says_what_is_missing() -> None:
    def rates(ours: float) -> dict[str, dict[str, float]]:
        return {name: {"per_s": per_s, "cpu_us": 1e6 / per_s} for name, per_s in (("ours", ours), ("nginx", 50_000.0))}

    load = {
        "nginx": "1.22.1",
        "feed_bytes": 50_000,
        "rounds": 5,
        "rates": {"200": rates(40_000), "200 gzip": rates(60_000), "304": rates(10_000)},
        "in_cycle": {"200": {"per_s": 30_000.0, "cpu_us": 1.0}, "304": {"per_s": 4_000.0, "cpu_us": 1.0}},
        "cycle_s": 4.0,
        "first_mb": 100.0,
        "last_mb": 104.0,
    }
    figures = {"machine": {"CPU": "one"}, "at": "today", "command": "python -m benchmarks", "minutes": 1.0}
    lines = render_report(figures | {"load": {"10000": load}}).splitlines()
    assert "| 200s per second | ≥ 0.62 × nginx | 0.80 × | met | not measured | – |" in lines
    assert "| 304s per second | ≥ 0.33 × nginx | 0.20 × | **missed** | not measured | – |" in lines
    assert any("half of that | 0.75 × | met" in line for line in lines)
    assert "| 304 | 10,000 · 100 µs | 50,000 · 20.0 µs | 0.20 × | 4,000 | 0.40 × |" in lines
    assert "Not measured: wrk was not installed." in render_report(figures | {"load": {"missing": ["wrk"]}})
