"""Sketches: an estimate of how much text two records share, from a few hashes of each. Pure.

A sketch has the smallest hashes of the lines that a reader sees (bottom-k, "KMV"). From two sets of lines it keeps the
same part, so sketches share what the texts share. The hash is CRC-32, the cheapest that is the same on every machine.
Two different lines collide in one of four billion cases, and no pair depends on a single line. Forging a likeness is
pointless: copying the text has the same effect.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from zlib import adler32, crc32

SIZE = 32
"""Hashes in a sketch. A text with fewer lines has all of them."""
MIN_LINE = 20
"""Shortest line that distinguishes texts, in characters."""
ALIKE = 0.40
"""Least likeness of a missing and a new file that are one record. In four real histories, 70 of 72 renames with an edit
had 50 % or more, and two had 22 % and 37 % and the same title. Pairs that were not renames had at most 30 %."""
SAME_TITLE = 0.25
"""Added for equal titles: with it, 15 % of the lines are enough."""
CLEARLY = 0.10
"""Least distance to the second best pair, for both files. The error of an estimate from 32 hashes is about 0.08."""
BOILERPLATE = 2
"""A line that more records share is boilerplate and does not count."""
LINK_BYTES = 8
_ABOVE_ALL = 2**32


class Sketch(NamedTuple):
    """Hashes of lines: all of them up to `bound`."""

    hashes: frozenset[int]
    bound: int


class Candidate(NamedTuple):
    """A missing or a new file."""

    path: str
    title: str
    stated_id: str | None  # the id in its front matter
    sketch: Sketch


def make_sketch(link: str | None, title: str, summary: str, body: str) -> bytes:
    """The sketch of a record as stored: a hash of its stated link, or zero, then the smallest hashes of its lines."""
    lines = [line for line in map(str.strip, f"{title}\n{summary}\n{body}".split("\n")) if len(line) >= MIN_LINE]
    hashes = sorted({*map(crc32, "\n".join(lines).encode().split(b"\n"))})[:SIZE] if lines else ()
    url = (link or "").encode()
    return struct.pack(f">2I{len(hashes)}I", crc32(url), adler32(url) if url else 0, *hashes)


def link_part(stored: bytes | None) -> bytes:
    """The hash of the link in a stored sketch; empty without a link."""
    part = (stored or b"")[:LINK_BYTES]
    return part if any(part) else b""


def read_sketch(stored: bytes | None) -> Sketch:
    """The sketch of a stored record; empty if it was stored by a version without sketches."""
    lines = (stored or b"")[LINK_BYTES:]
    hashes = struct.unpack(f">{len(lines) // 4}I", lines)
    return Sketch(frozenset(hashes), hashes[-1] if len(hashes) == SIZE else _ABOVE_ALL)


def likeness(sketch: Sketch, other: Sketch, boilerplate: AbstractSet[int] = frozenset()) -> float:
    """Shared lines / all lines, without boilerplate (Jaccard), as far as both sketches reach."""
    bound = min(sketch.bound, other.bound)
    mine, theirs = ({line for line in lines.hashes if line <= bound} - boilerplate for lines in (sketch, other))
    return len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0


def is_alike(candidate: Candidate, other: Candidate) -> bool:
    """True if two files may be one record by their text."""
    return _score(candidate, other) >= ALIKE


def shared_lines(missing: Iterable[Sketch], new: Iterable[Sketch]) -> frozenset[int]:
    """The hashes of lines that both sides have."""
    theirs = {line for sketch in new for line in sketch.hashes}
    return frozenset(line for sketch in missing for line in sketch.hashes & theirs)


def pair_alike(
    missing: Mapping[int, Candidate], new: Mapping[int, Candidate], others: Mapping[int, int]
) -> list[tuple[int, int]]:
    """The keys of files that are one record by their text, most alike first, then by path.

    `others` has the number of other records with each line, by its hash, for the lines of `shared_lines`. A pair must
    be clearly the best for both files, and their stated ids must not differ.
    """
    boilerplate, holders = _boilerplate(missing, new, others)
    scores: dict[tuple[int, int], float] = {}
    for new_key, file in new.items():
        keys = {key for line in file.sketch.hashes - boilerplate for key in holders.get(line, ())}
        for key in keys:
            other = missing[key]
            if other.stated_id is None or file.stated_id is None or other.stated_id == file.stated_id:
                scores[key, new_key] = _score(other, file, boilerplate)
    ranked = sorted(
        scores, key=lambda pair: (-scores[pair], missing[pair[0]].path.encode(), new[pair[1]].path.encode())
    )
    return _clearly_best(ranked, scores)


def _score(candidate: Candidate, other: Candidate, boilerplate: AbstractSet[int] = frozenset()) -> float:
    title = SAME_TITLE if candidate.title == other.title else 0.0
    return likeness(candidate.sketch, other.sketch, boilerplate) + title


def _boilerplate(
    missing: Mapping[int, Candidate], new: Mapping[int, Candidate], others: Mapping[int, int]
) -> tuple[frozenset[int], Mapping[int, list[int]]]:
    """The lines that too many records have, before or after; and the missing files with each other line."""
    holders: dict[int, list[int]] = defaultdict(list)
    for key, file in missing.items():
        for line in file.sketch.hashes:
            holders[line].append(key)
    after = Counter(line for file in new.values() for line in file.sketch.hashes if line in holders)
    boilerplate = frozenset(
        line for line, count in after.items() if others.get(line, 0) + max(len(holders[line]), count) > BOILERPLATE
    )
    return boilerplate, holders


def _clearly_best(ranked: list[tuple[int, int]], scores: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """The pairs that are clearly better than any other pair of their files, best first."""
    by_missing: dict[int, list[int]] = defaultdict(list)
    by_new: dict[int, list[int]] = defaultdict(list)
    for missing_key, new_key in ranked:
        by_missing[missing_key].append(new_key)
        by_new[new_key].append(missing_key)
    paired_missing, paired_new, pairs = set[int](), set[int](), []
    for pair in ranked:
        missing_key, new_key = pair
        if scores[pair] < ALIKE:
            break
        if missing_key in paired_missing or new_key in paired_new:
            continue
        rivals = [(missing_key, key) for key in by_missing[missing_key] if key not in paired_new]
        rivals += [(key, new_key) for key in by_new[new_key] if key not in paired_missing]
        second_best = max((scores[rival] for rival in rivals if rival != pair), default=0.0)
        if scores[pair] - second_best >= CLEARLY:
            pairs.append(pair)
            paired_missing.add(missing_key)
            paired_new.add(new_key)
    return pairs
