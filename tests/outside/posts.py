"""Posts as a site generator and as this program publish them, and how the two differ.

Both sides go through the same reading, so it hides no difference but these: white space, the spelling of quotation
marks, dashes and ellipses (each system has rules of its own for them), what marks a footnote, and what no feed may
carry (scripts, styles, frames).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import unquote, urljoin

BLOCKS = frozenset(
    "address article aside blockquote body br button caption center dd details dialog dir div dl dt fieldset figcaption"
    " figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html img input legend li main menu nav ol optgroup option p"
    " pre section select summary table tbody td textarea tfoot th thead tr ul video audio".split()
)
"""Elements that end a word."""
UNSEEN = frozenset("script style template iframe object noscript title svg".split())
"""Elements whose text is no text of a post."""
LINE_NUMBERS = frozenset("ln lnt lineno rouge-gutter gl".split())
"""Classes of elements that number the lines of code."""
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
OUTLINE = "markdown-toc"
"""The id of a table of contents, which is no text of a post."""
FOOTNOTES = "footnotes"
"""The class of the footnotes, which are in no summary of ours."""
HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
LESS: tuple[AbstractSet[str], ...] = (frozenset(), HEADINGS, frozenset({"pre"}), HEADINGS | {"pre"})
_SPELLINGS = str.maketrans(
    {**dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("‘’‚‛′‹›", "'"), **dict.fromkeys("–—―−‑", "-")}
    | {
        "…": "...",
        "\u00a0": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\u200b": "",
        "\u2060": "",
        "\ufe0e": "",
        "↩": " ",
        "☐": " ",
        "☑": " ",
    }
)
_DASHES = re.compile(r"--+")
_ANGLES = re.compile(r"<<|>>")
_MATH = re.compile(r"\$\$|\\[()\[\]]")
"""What encloses a formula: kramdown writes `$$` as `\\(` and `\\[`."""
_REFERENCE = re.compile(r"\[?[0-9]+\]?")
"""What refers to a footnote, in a `sup`."""
_FOOTNOTE = re.compile(r"#(?:user-content-)?fn(?:ref)?[:\d-]")


@dataclass(frozen=True)
class Post:
    """What a reader sees of a post."""

    url: str
    title: str
    date: str
    topics: tuple[tuple[str, ...], ...]
    """Without their case: spellings of one topic are one."""
    summary: tuple[str, ...] = ()
    summaries: tuple[tuple[str, ...], ...] = ((),)
    """The summary with and without its headings and its code, which say nothing alone."""
    is_cut: bool = False
    """The summary is cut from the text by a count of words: more than its first paragraph, which is what ours is."""
    text: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    """The text of each `pre`, line by line."""
    links: tuple[str, ...] = ()
    """Where links and images lead, those to the post itself aside."""


class Difference(NamedTuple):
    path: str
    field: str
    theirs: str
    ours: str

    def __str__(self) -> str:
        return f"{self.path}: {self.field}\n    theirs: {self.theirs}\n    ours:   {self.ours}"


def make_post(
    *, url: str, title: str, date: str, topics: Iterable[str], summary: str, is_cut: bool = False, html: str
) -> Post:
    """The post; `summary` is HTML too."""
    read = _Reading(html)
    page = unquote(url)
    links = (unquote(urljoin(page, link)) for link in read.links)
    return Post(
        url=page,
        title=" ".join(words_of(title)),
        date=date,
        topics=tuple(sorted({words_of(topic.casefold()) for topic in topics if topic})),
        summary=words_of(_Reading(summary, unseen=frozenset({FOOTNOTES})).text),
        summaries=tuple(words_of(_Reading(summary, unseen={FOOTNOTES, *less}).text) for less in LESS),
        is_cut=is_cut,
        text=words_of(read.text),
        code=tuple(_lines(code) for code in read.code if code.strip()),
        links=tuple(sorted(link for link in links if link.partition("#")[0] != page)),
    )


def words_of(text: str) -> tuple[str, ...]:
    """The words of a plain text in one spelling."""
    text = unicodedata.normalize("NFC", text).translate(_SPELLINGS)
    return tuple(_MATH.sub("", _ANGLES.sub('"', _DASHES.sub("-", text))).split())


def differences(theirs: Mapping[str, Post], ours: Mapping[str, Post]) -> list[Difference]:
    """How the posts of this program differ from those of a site generator, both by path.

    Where a site has no title ours stands in, for an entry needs one. So does our summary where all of theirs is headings
    and code, and for a text without words.
    """
    found = [Difference(path, "published", "yes", "no") for path in sorted(theirs.keys() - ours.keys())]
    found += [Difference(path, "published", "no", "yes") for path in sorted(ours.keys() - theirs.keys())]
    for path in sorted(theirs.keys() & ours.keys()):
        found += _differences(path, theirs[path], ours[path])
    return found


def _differences(path: str, theirs: Post, ours: Post) -> Iterator[Difference]:
    if theirs.title and theirs.title != ours.title:
        yield Difference(path, "title", repr(theirs.title), repr(ours.title))
    if not _is_summary(theirs, ours):
        yield Difference(path, "summary", *_excerpts(theirs.summary, ours.summary))
    for name in ("url", "date", "topics", "text", "code", "links"):
        one, other = getattr(theirs, name), getattr(ours, name)
        if one != other and not (name == "text" and not one and other == ours.summary):
            yield Difference(path, name, *_excerpts(one, other))


def _is_summary(theirs: Post, ours: Post) -> bool:
    if not theirs.summaries[-1] or ours.summary in theirs.summaries:
        return True
    return theirs.is_cut and bool(ours.summary) and any(_is_within(ours.summary, whole) for whole in theirs.summaries)


def _is_within(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def _excerpts(one: str | tuple[str, ...], other: str | tuple[str, ...]) -> tuple[str, str]:
    """Both sides from shortly before the place where they part."""
    if isinstance(one, str) or isinstance(other, str):
        return repr(one), repr(other)
    start = next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )
    start = max(0, start - 3)
    return tuple(
        f"{'… ' if start else ''}{' '.join(map(str, side[start : start + 14]))!r}{' …' if len(side) > start + 14 else ''}"
        for side in (one, other)
    )  # type: ignore[return-value]


def _lines(code: str) -> str:
    return "\n".join(line.rstrip() for line in code.rstrip().lstrip("\n").split("\n"))


class _Reading(HTMLParser):
    """Text, code and links of HTML."""

    def __init__(self, html: str, *, unseen: AbstractSet[str] = frozenset()) -> None:
        super().__init__(convert_charrefs=True)
        self._unseen_tags = UNSEEN | unseen
        self._unseen_classes = LINE_NUMBERS | unseen
        self._text: list[str] = []
        self._unseen = 0
        self._pre = 0
        self._footnote = self._raised = False
        self.links: list[str] = []
        self.code: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return "".join(self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if (
            self._unseen
            or tag in self._unseen_tags
            or said.get("id") == OUTLINE
            or self._unseen_classes.intersection(str(said.get("class")).split())
        ):
            self._unseen += tag not in _VOID
            return
        if tag in BLOCKS:
            self._text.append(" ")
        if tag == "pre":
            self._pre += 1
            if self._pre == 1:
                self.code.append("")
        if tag == "sup":
            self._raised = True
        if tag == "a" and said.get("href"):
            self._footnote = bool(_FOOTNOTE.search(str(said["href"])))
            if not self._footnote:
                self.links.append(str(said["href"]))
        if tag == "img" and said.get("src"):
            self.links.append(str(said["src"]))

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            self._unseen -= tag not in _VOID
            return
        if tag in BLOCKS:
            self._text.append(" ")
        if tag == "pre":
            self._pre = max(0, self._pre - 1)
        if tag == "a":
            self._footnote = False
        if tag == "sup":
            self._raised = False

    def handle_data(self, data: str) -> None:
        if self._unseen or self._footnote or (self._raised and _REFERENCE.fullmatch(data.strip())):
            return
        self._text.append(data)
        if self._pre:
            self.code[-1] += data
