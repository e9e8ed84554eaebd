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
from benchmarks.report import render_goals, render_report, with_goals
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


RUN = {
    "machine": {"CPU": "one", "aggregator": "1.0"},
    "at": "today",
    "command": "python -m benchmarks",
    "minutes": 1.0,
}
"""What every run has."""


def cost(wall_s: float) -> dict[str, float]:
    """The cost of a command that takes so long."""
    return {"wall_s": wall_s, "cpu_s": wall_s, "peak_mb": 100}


def builds(lean: float, defaults: float) -> dict[str, object]:
    """Builds of 1,000 records, which take Hugo a second each."""
    costs = {"lean": cost(lean), "defaults": cost(defaults), "Hugo": cost(1.0)}
    return {"1000": {"costs": dict.fromkeys(("cold", "nothing changed", "one new record"), costs)}}


def test_goals_are_met_or_missed_or_not_measured() -> None:
    measured = {
        "builds": builds(1.5, 3.0),
        "quiet": {"100000": {name: {"cycle_s": 0.7, "floor_s": 0.4} for name in ("lean", "defaults")}},
        "arrivals": {"100000": {"defaults": {"seconds": [0.04] * 19 + [0.2]}, "lean": {"seconds": [0.06]}}},
        "commands": {"100000": {name: {"status": cost(0.25), "build": cost(0.4)} for name in ("lean", "defaults")}},
        "databases": {"10000": {"defaults": {"SQLite": cost(2.0), "PostgreSQL": cost(2.1)}}},
    }
    lines = render_goals(RUN | measured).splitlines()
    assert (
        "| cold build, 1,000 records | ≤ 2.5 × Hugo's wall time, lean ≤ 2 × | 3.00 × | **missed** | 1.50 × | met |"
        in lines
    )
    assert any("| 1.75 × (700 ms to 400 ms) | met | 1.75 × (700 ms to 400 ms) | **missed** |" in line for line in lines)
    arriving = "| one new record among 100,000, service watching |"
    assert f"{arriving} ≤ 50 ms median | 40.0 ms | met | 60.0 ms | **missed** |" in lines
    assert f"{arriving} ≤ 100 ms at the 95th percentile | 40.0 ms | met | 60.0 ms | met |" in lines
    assert any(line.startswith("| `status`") and line.endswith("| 250 ms | met | 250 ms | met |") for line in lines)
    assert any(line.startswith("| `build` without changes") and "**missed**" in line for line in lines)
    assert any(line.endswith("| 1.05 × | met | not measured | – |") for line in lines)
    assert "| 1,000,000 records | peak memory ≤ 400 MB | not measured | – | not measured | – |" in lines


def test_new_goals_replace_the_last_ones() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    once = with_goals(readme, "| one |\n")
    twice = with_goals(once, "| two |\n")
    assert "| two |" in twice
    assert "| one |" not in twice
    assert twice.replace("| two |", "| one |") == once
    assert twice.partition("## Run")[2] == readme.partition("## Run")[2] != ""


def test_a_report_begins_with_what_users_get_and_has_no_goals() -> None:
    measured = {
        "builds": builds(1.5, 2.5),
        "commands": {"1000": {"defaults": {"status": cost(0.25), "build": cost(0.3)}}},
        "databases": {"1000": {name: {"SQLite": cost(2.0), "PostgreSQL": cost(2.2)} for name in ("lean", "defaults")}},
    }
    report = render_report(RUN | measured)
    assert "| 1,000 | 2.50 s | 400 | 100 MB | 2.50 s | 2.50 s |" in report.splitlines()
    assert "| `aggregator build`, nothing changed, process start included | 1,000 | 300 ms |" in report.splitlines()
    assert "| 1,000 | lean | 2.00 s | 2.20 s | 1.10 × |" in report.splitlines()
    assert report.index("## What you get") < report.index("## Beside Hugo") < report.index("## How it is measured")
    assert "missed" not in report


def test_the_load_is_compared_with_nginx_or_says_what_is_missing() -> None:
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
    figures = RUN | {"load": {"10000": load}}
    goals = render_goals(figures).splitlines()
    assert "| 200s per second | ≥ 0.62 × nginx | not measured | – | 0.80 × | met |" in goals
    assert "| 304s per second | ≥ 0.33 × nginx | not measured | – | 0.20 × | **missed** |" in goals
    in_cycle = [line for line in goals if "while 10,000 changed records are read" in line]
    assert [line.partition("| not measured | – ")[2] for line in in_cycle] == [
        "| 0.60 × | met |",
        "| 0.08 × | **missed** |",
    ]
    assert "| 304 | 10,000 · 100 µs | 50,000 · 20.0 µs | 0.20 × | 4,000 | 0.40 × |" in render_report(figures)
    assert "Not measured: wrk was not installed." in render_report(RUN | {"load": {"missing": ["wrk"]}})


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("[!_t]*.py")), ids=lambda path: path.stem)
def test_every_module_but_the_micro_benchmarks_can_be_imported(path: Path) -> None:
    importlib.import_module(f"benchmarks.{path.stem}")
