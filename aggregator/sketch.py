"""Sketches: how much of their text two records have in common, told from a few hashes of each. Pure.

A sketch is the smallest hashes of the lines that a reader sees (bottom-k, "KMV"): of two sets of lines it keeps the
same part, so what the sketches share is what the texts share. The hash is CRC-32, because it is the cheapest that is
the same on every machine. Two different lines have the same one in four billion cases, and no pair depends on one line
of many; whoever wants to forge a likeness can copy the text itself.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from zlib import adler32, crc32

SIZE = 32
"""Hashes in a sketch; a text with fewer lines is kept whole."""
MIN_LINE = 20
"""Characters from which on a line tells texts apart."""
ALIKE = 0.40
"""Share of lines in common from which on a vanished file and a new one are one record. In four real histories all but
2 of 72 renames with an edit had 50 % or more, and those two 22 % and 37 % and one title; what was no rename had 30 % at
most."""
SAME_TITLE = 0.25
"""What a title in common adds: with it, 15 % of the lines are enough."""
CLEARLY = 0.10
"""How much better than any other for both files a pair must be; the estimate from 32 hashes errs by some 0.08."""
BOILERPLATE = 2
"""Other records from which on a line that they have too is boilerplate, and tells nothing of a pair."""
LINK_BYTES = 8
_ABOVE_ALL = 2**32


class Sketch(NamedTuple):
    """The hashes of lines, all that there are up to `bound`."""

    hashes: frozenset[int]
    bound: int


class Candidate(NamedTuple):
    """A file that has gone or come; `stated_id` is the id in its front matter."""

    path: str
    title: str
    stated_id: str | None
    sketch: Sketch


def make_sketch(link: str | None, title: str, summary: str, body: str) -> bytes:
    """The sketch of a record as it is stored: a hash of the link that it states, zero without one, then the smallest
    hashes of its lines."""
    lines = [line for line in map(str.strip, f"{title}\n{summary}\n{body}".split("\n")) if len(line) >= MIN_LINE]
    hashes = sorted({*map(crc32, "\n".join(lines).encode().split(b"\n"))})[:SIZE] if lines else ()
    return struct.pack(f">2I{len(hashes)}I", *_link_hashes(link), *hashes)


def _link_hashes(link: str | None) -> tuple[int, int]:
    if not link:
        return 0, 0
    url = link.encode()
    return crc32(url), adler32(url)


def link_part(stored: bytes | None) -> bytes:
    """What is the same in the stored sketches of records that state one link; empty without a link."""
    part = (stored or b"")[:LINK_BYTES]
    return part if any(part) else b""


def read_sketch(stored: bytes | None) -> Sketch:
    """The hashes of a stored sketch; none of a record that was stored before there were sketches."""
    lines = (stored or b"")[LINK_BYTES:]
    hashes = struct.unpack(f">{len(lines) // 4}I", lines)
    return Sketch(frozenset(hashes), hashes[-1] if len(hashes) == SIZE else _ABOVE_ALL)


def likeness(one: Sketch, other: Sketch, boilerplate: AbstractSet[int] = frozenset()) -> float:
    """Lines in common / all lines of both, boilerplate aside (Jaccard), as far as both sketches go."""
    bound = min(one.bound, other.bound)
    mine, theirs = ({line for line in sketch.hashes if line <= bound} - boilerplate for sketch in (one, other))
    return len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0


def is_alike(one: Candidate, other: Candidate) -> bool:
    """Whether two files may be one record by what they say."""
    return likeness(one.sketch, other.sketch) + (SAME_TITLE if one.title == other.title else 0.0) >= ALIKE


def shared_lines(gone: Iterable[Candidate], new: Iterable[Candidate]) -> frozenset[int]:
    """The hashes that some of both sides have."""
    mine = {line for one in gone for line in one.sketch.hashes}
    return frozenset(line for one in new for line in one.sketch.hashes if line in mine)


def pair_alike(
    gone: Mapping[int, Candidate], new: Mapping[int, Candidate], others: Mapping[int, int]
) -> list[tuple[int, int]]:
    """The keys of files that are one record by what they say, in order of likeness, then of path.

    `others` is how many other records have a line, by its hash, of those that `shared_lines` names. A pair must be
    clearly the best for both, and its stated ids must not differ.
    """
    boilerplate, holders = _boilerplate(gone, new, others)
    found: dict[tuple[int, int], float] = {}
    for new_key, one in new.items():
        keys = {key for line in one.sketch.hashes - boilerplate for key in holders.get(line, ())}
        for key in keys:
            other = gone[key]
            if other.stated_id is None or one.stated_id is None or other.stated_id == one.stated_id:
                title = SAME_TITLE if one.title == other.title else 0.0
                found[key, new_key] = likeness(other.sketch, one.sketch, boilerplate) + title
    ranked = sorted(found, key=lambda pair: (-found[pair], gone[pair[0]].path.encode(), new[pair[1]].path.encode()))
    return _clearly_best(ranked, found)


def _boilerplate(
    gone: Mapping[int, Candidate], new: Mapping[int, Candidate], others: Mapping[int, int]
) -> tuple[frozenset[int], Mapping[int, list[int]]]:
    """The lines that too many records have, before or after; and which vanished files have each other line."""
    holders: dict[int, list[int]] = defaultdict(list)
    for key, one in gone.items():
        for line in one.sketch.hashes:
            holders[line].append(key)
    after = Counter(line for one in new.values() for line in one.sketch.hashes if line in holders)
    boilerplate = frozenset(
        line for line, count in after.items() if others.get(line, 0) + max(len(holders[line]), count) > BOILERPLATE
    )
    return boilerplate, holders


def _clearly_best(ranked: list[tuple[int, int]], found: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """The pairs that no other, of files that are in no better pair, comes near."""
    of_gone: dict[int, list[int]] = defaultdict(list)
    of_new: dict[int, list[int]] = defaultdict(list)
    for gone_key, new_key in ranked:
        of_gone[gone_key].append(new_key)
        of_new[new_key].append(gone_key)
    taken_gone, taken_new, pairs = set[int](), set[int](), []
    for pair in ranked:
        gone_key, new_key = pair
        if found[pair] < ALIKE:
            break
        if gone_key in taken_gone or new_key in taken_new:
            continue
        rivals = [found[gone_key, one] for one in of_gone[gone_key] if one != new_key and one not in taken_new]
        rivals += [found[one, new_key] for one in of_new[new_key] if one != gone_key and one not in taken_gone]
        if found[pair] - max(rivals, default=0.0) >= CLEARLY:
            pairs.append(pair)
            taken_gone.add(gone_key)
            taken_new.add(new_key)
    return pairs
