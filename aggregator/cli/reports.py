"""What commands tell of a cycle and of a check: facts for --json, and lines that people read. Prints nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from aggregator.display import stamp, visible
from aggregator.model import CycleResult, FeedMoves, UrlChange
from aggregator.problems import Problem

if TYPE_CHECKING:
    from aggregator.cli.checking import Finding


def summary_line(result: CycleResult) -> str:
    """One cycle in one line."""
    return (
        f"scanned {result.scanned}, new {result.new}, changed {result.changed}, removed {result.removed},"
        f" rejected {result.rejected}, feeds written {result.feeds_written}, {result.seconds:.2f} s"
    )


def result_facts(result: CycleResult) -> dict[str, Any]:
    """One cycle for --json."""
    return asdict(result) | {"seconds": round(result.seconds, 3), "due": stamp(result.due)}


def moves_lines(moves: list[FeedMoves], urls: Sequence[UrlChange]) -> list[str]:
    """What a cycle would put in (+) and take out (-), feed by feed, and the URLs that would go or move."""
    lines = []
    for feed in moves:
        lines.append(f"{feed.slug}: {len(feed.joins)} in, {len(feed.leaves)} out")
        lines += [f"  + {title}  {uid}" for uid, title in feed.joins]
        lines += [f"  - {title}  {uid}" for uid, title in feed.leaves]
    for one in urls:
        lines.append(f"/{one.url}: 301 to /{one.target}" if one.target else f"/{one.url}: 410 (keep it {one.keep})")
    return lines


def moves_facts(moves: list[FeedMoves], urls: Sequence[UrlChange]) -> dict[str, Any]:
    """The same for --json."""
    return {
        "feeds": [
            {
                "slug": feed.slug,
                "in": [{"id": uid, "title": title} for uid, title in feed.joins],
                "out": [{"id": uid, "title": title} for uid, title in feed.leaves],
            }
            for feed in moves
        ],
        "urls": [{"url": one.url, "status": 301 if one.target else 410} | asdict(one) for one in urls],
    }


def count_line(records: int, kinds: list[str]) -> str:
    """What a check found, in one line."""
    words = [_counted(records, "record", "records"), _counted(kinds.count("error"), "error", "errors")]
    words += [_counted(kinds.count("warning"), "warning", "warnings"), f"{kinds.count('unfinished')} unfinished"]
    return f"{words[0]}: {', '.join(words[1:])}"


def finding_facts(found: Finding) -> dict[str, Any]:
    """A finding of a check for --json."""
    return problem_facts(found.problem) | {"kind": found.kind}


def github_line(problem: Problem) -> str:
    """A problem as an annotation of a GitHub workflow."""
    level = "error" if problem.level == "error" else "warning"
    place = f"file={_github_value(visible(problem.path))},line={problem.line or 1},col={problem.column or 1}"
    text = str(replace(problem, path="", line=0)).removeprefix(": ")
    return f"::{level} {place}::{_github_text(text)}"


def problem_facts(problem: Problem) -> dict[str, Any]:
    """A problem for --json."""
    return asdict(problem) | {"text": str(problem)}


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_value(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")
