"""Bodies: the Markdown or HTML below a front matter -> HTML that is safe and useful inside a feed entry.

    text -> HTML (markdown-it-py) -> tags of the allow-list, each closed (here) -> sanitised (nh3) -> trimmed

The middle step is why the sanitiser's parser needs linear time: its cost, and the size of what it gives, rise with the
elements that are open and with the ones that it has to close or open again by itself (HTML, 13.2.4.3). It never has to.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

from aggregator.links import absolute_url
from aggregator.parse.texts import plain_text, player_url, unescape
from aggregator.unicode import few_marks, xml_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

MAX_STEPS = 40_000
"""Places of one body at which the rules of Markdown may be tried."""
MAX_TOKENS = 40_000
"""Tokens of blocks: a short line makes as many cells as its table has columns."""
MAX_LEVEL = 30
"""Blocks of Markdown inside each other; a list takes two levels."""
MAX_TAGS, MAX_DEPTH = 40_000, 64
"""Tags of one body that are kept, and how many elements may be open; what is in the others stays."""
MAX_ADDRESSES = 20_000
"""Addresses of one body that are kept."""
MAX_AMPERSANDS = 60_000
"""Of one body, since each takes the sanitiser 3 µs; with more of them it is shown as plain text."""
MAX_BASE = 2_000
"""Characters of a base, which every relative address takes up."""

_VOID = frozenset("br col hr img source wbr".split())
_ENDS_P = frozenset(
    "address article aside blockquote details div dl figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr main"
    " nav ol p pre section summary ul li dd dt table".split()
)
_NO_WALLS: frozenset[str] = frozenset()
_CELLS = frozenset(("td", "th", "caption"))
_TABLE = frozenset(("table",))
_WALLS = _CELLS | _TABLE
_ROWS = frozenset(("table", "colgroup", "thead", "tbody", "tfoot", "tr"))
_TABLE_PARTS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("caption", "colgroup", "thead", "tbody", "tfoot"), frozenset(("table",))),
    "col": frozenset(("table", "colgroup")),
    "tr": frozenset(("table", "thead", "tbody", "tfoot")),
    **dict.fromkeys(("td", "th"), frozenset(("table", "thead", "tbody", "tfoot", "tr"))),
}
"""The elements of a table and what each may stand in, right below or with what the parser puts between."""
_INLINE = frozenset(
    "a abbr b bdi bdo cite code del dfn em i ins kbd mark picture q rb rp rt ruby s samp small span strike strong sub"
    " sup time u var wbr br img audio video source".split()
)
_ELEMENTS = _ENDS_P | _TABLE_PARTS.keys() | _INLINE
_ITEMS: Mapping[str, frozenset[str]] = {
    "li": frozenset(("li",)),
    **dict.fromkeys(("dd", "dt"), frozenset(("dd", "dt"))),
}
_ITEM_WALLS = _ELEMENTS - _INLINE - frozenset(("address", "div", "p"))
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "*": frozenset(("dir", "lang", "title")),
    "a": frozenset(("href",)),
    "audio": frozenset(("src",)),
    "blockquote": frozenset(("cite",)),
    "col": frozenset(("span",)),
    "colgroup": frozenset(("span",)),
    "del": frozenset(("cite", "datetime")),
    "details": frozenset(("open",)),
    "img": frozenset(("src", "srcset", "sizes", "alt", "width", "height")),
    "ins": frozenset(("cite", "datetime")),
    "li": frozenset(("value",)),
    "ol": frozenset(("start", "reversed")),
    "q": frozenset(("cite",)),
    "source": frozenset(("src", "srcset", "sizes", "type", "media")),
    "td": frozenset(("colspan", "rowspan")),
    "th": frozenset(("colspan", "rowspan", "scope")),
    "time": frozenset(("datetime",)),
    "video": frozenset(("src", "poster", "width", "height")),
}
_ADDRESSES = frozenset(("cite", "href", "poster", "src"))

# Tags as HTML reads them (13.2.5). Each part takes all that it looks at, so the time is linear in any text.
_GAP = r"[\t\n\r ]"
_NAME = r"[^\t\n\r />][^\t\n\r />=]*+"
_VALUE = r"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\r >]*+)"""
_PAIR = re.compile(rf"({_NAME})(?:{_GAP}*+={_GAP}*+({_VALUE}))?")
_REST = rf"(?:(?:{_GAP}|/)++|{_NAME}(?:{_GAP}*+={_GAP}*+{_VALUE})?+)*+(?:>|\Z)"
_TOKEN = re.compile(
    rf"<!--(?:-?>|(?:[^-]++|-(?!-!?>))*+(?:--!?>|\Z))"
    rf"|<(script|style|svg|template|title|textarea|select|datalist|noembed|noframes)(?=[\t\n\r />]){_REST}"
    rf"(?:[^<]++|<(?!/?\1\b))*+(?:</\1{_REST})?+"
    rf"|<iframe(?=[\t\n\r />])(?P<player>{_REST})(?:(?:[^<]++|<(?!/?iframe\b))*+</iframe{_REST})?+"
    rf"|<(?P<end>/?)(?P<name>[a-z][^\t\n\r />]*+)(?P<rest>{_REST})"
    r"|<[!?/][^>]*+(?:>|\Z)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_BEFORE_CANDIDATE, _CANDIDATE_URL = re.compile(r"[\s,]*+"), re.compile(r"\S++")
_DESCRIPTOR = re.compile(r"(?:[^,(]++|\([^)]*+\)?+)*+")
_DENSITY = re.compile(r"[0-9]+(?:\.[0-9]+)?[wx]")
_BLANK_LINES = re.compile(r"\n[\t ]*+\n\s*+")

# Over what the sanitiser gives: there, `<` and `>` are those of its tags alone
_BESIDES = r"""(?: (?!{})[a-z]+="[^"]*+")*+>"""
_EMPTY = re.compile(rf"<img{_BESIDES.format('src=')}|<source{_BESIDES.format('src=|srcset=')}|<p></p>|(?<=<pre>)\n+")
_SILENT = re.compile(rf"<(audio|video){_BESIDES.format('src=')}\s*+</\1>")
_NOTHING = re.compile(r"(?:<(?!img |audio |video )[^<>]*+>|\s|&nbsp;)*+")


class _CostlyError(Exception):
    """A body is more than its Markdown may cost."""


def render_body(text: str, base: str | None) -> str:
    """The HTML of a body for a feed entry, or an empty string when it shows nothing.

    `text` is CommonMark with tables and strikethrough, or HTML, or both. `base` is the absolute http(s) address that
    relative ones are resolved against (RFC 3986, 5.2); without it they go, as does every address that is not http(s)
    or, in a link, mailto. A player of PLAYER_HOSTS becomes a link. Markdown that costs too much stays as it is
    written, in paragraphs.
    """
    text = xml_text(text)
    try:
        markup = _markdown().render(text)
    except _CostlyError:
        markup = _BLANK_LINES.sub("\n<p>", f"<p>{text}")
    markup = _Tags().balance(markup)
    if markup.count("&amp;") > MAX_AMPERSANDS:
        shown = few_marks(html.escape(plain_text(text), quote=False))
        return f"<p>{shown}</p>" if shown else ""
    clean = few_marks(xml_text(_sanitise(markup, base if base and len(base) <= MAX_BASE else None)))
    clean = _SILENT.sub("", _EMPTY.sub("", clean)).strip()
    return "" if _NOTHING.fullmatch(clean) else clean


@cache
def _markdown() -> MarkdownIt:
    """The Markdown parser, which gives up on a body that is too costly; addresses are left to the sanitiser."""
    from markdown_it import MarkdownIt  # importing it takes longer than the rest of this package

    # beyond `maxNesting` blocks would be dropped without a word
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": MAX_LEVEL + 2})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = _any_address  # type: ignore[assignment,method-assign]  # the library's own way
    parser.normalizeLink = str  # type: ignore[assignment,method-assign]
    terminates = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "budget", _spend_on_block, {"alt": terminates})
    parser.inline.ruler.before("text", "budget", _spend_on_inline)
    parser.core.ruler.before("inline", "budget", _spend)
    return parser


def _any_address(_: str) -> bool:
    return True


def _spend(state: StateBlock | StateInline | StateCore) -> None:
    steps = state.env["steps"] = state.env.get("steps", 0) + 1
    if steps > MAX_STEPS or len(state.tokens) > MAX_TOKENS:
        raise _CostlyError


def _spend_on_block(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:
    _spend(state)
    if state.level >= MAX_LEVEL:
        raise _CostlyError
    return False


def _spend_on_inline(state: StateInline, _silent: bool) -> bool:
    _spend(state)
    return False


class _Tags:
    """The tags of the allow-list as they are written, each element closed before the parser would have to do it."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._open: list[str] = []
        self._left = MAX_TAGS

    def balance(self, markup: str) -> str:
        """The markup with those tags only, what is in the others (but for scripts and the like), and no comments."""
        done = 0
        for token in _TOKEN.finditer(markup):
            self._out.append(_escaped(markup[done : token.start()]))
            done = token.end()
            if token["player"]:
                self._link_player(_pairs(token["player"]))
            elif token["end"]:
                self._end(token["name"].lower())
            elif token["name"]:
                self._start(token["name"].lower(), token["rest"])
        self._out.append(_escaped(markup[done:]))
        return "".join(self._out)

    def _start(self, name: str, attributes: str) -> None:
        if name not in _ELEMENTS or not self._make_room(name) or not self._left or len(self._open) >= MAX_DEPTH:
            return
        self._left -= 1
        allowed = _ATTRIBUTES["*"] | _ATTRIBUTES.get(name, frozenset())
        self._out.append(f"<{name}")
        for key, value in _pairs(attributes).items():
            if key in allowed:
                self._out.append(f' {key}="{_escaped(value)}"')
        self._out.append(">")
        if name not in _VOID:
            self._open.append(name)

    def _end(self, name: str) -> None:
        self._close(frozenset((name,)), _TABLE if name in _TABLE_PARTS or name == "table" else _WALLS)

    def _make_room(self, name: str) -> bool:
        """Closes what may not hold `name`; false if there is no place for it."""
        if name in _TABLE_PARTS:
            place = self._find(_TABLE_PARTS[name], _NO_WALLS)
            self._close_from(None if place is None else place + 1)
            return place is not None
        if self._open and self._open[-1] in _ROWS and name not in _VOID:
            return False  # what is between cells the parser would move to before the table
        if name in _ENDS_P:
            self._close(frozenset(("p",)), _WALLS)
        if name in _ITEMS:
            self._close(_ITEMS[name], _ITEM_WALLS)
        if name == "a":
            self._close(frozenset(("a",)), _WALLS)
        return True

    def _link_player(self, iframe: Mapping[str, str]) -> None:
        url = player_url(iframe.get("src", ""))
        if url is None:
            return
        alone = self._find(frozenset(("p",)), _WALLS) is None
        if alone:
            self._start("p", "")
        self._start("a", f'href="{_escaped(url)}"')
        self._out.append(_escaped(plain_text(iframe.get("title", "")).replace("&", "&amp;") or "Video"))
        self._end("a")
        if alone:
            self._end("p")

    def _close(self, names: frozenset[str], walls: frozenset[str]) -> None:
        self._close_from(self._find(names, walls))

    def _find(self, names: frozenset[str], walls: frozenset[str]) -> int | None:
        """The place of the innermost open element of `names`, if it is within the innermost of `walls`."""
        if names.isdisjoint(self._open):
            return None
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place] in names:
                return place
            if self._open[place] in walls:
                return None
        return None

    def _close_from(self, place: int | None) -> None:
        while place is not None and len(self._open) > place:
            self._out.append(f"</{self._open.pop()}>")


def _escaped(text: str) -> str:
    """The text or value of an attribute as markup that any parser reads alike."""
    if "&" in text:
        text = _REFERENCE.sub(lambda reference: unescape(reference[0]), text).replace("&", "&amp;")
    return text.replace("<", "&lt;").replace('"', "&quot;")


def _pairs(attributes: str) -> dict[str, str]:
    """The attributes of a tag as they are written, without quotes; of two with one name the first, as in HTML."""
    found: dict[str, str] = {}
    for pair in _PAIR.finditer(attributes):
        value = pair[2] or ""
        found.setdefault(pair[1].lower(), value.strip(value[0]) if value[:1] in ('"', "'") else value)
    return found


def _sanitise(markup: str, base: str | None) -> str:
    import nh3  # a library of some size, which most builds have no use for

    return nh3.clean(
        markup,
        tags=_ELEMENTS,
        attributes=_ATTRIBUTES,
        attribute_filter=_Attributes(base).filter,
        set_tag_attribute_values={"audio": {"controls": ""}, "video": {"controls": ""}},
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
    )


class _Attributes:
    """What the attributes of one body may say, with addresses absolute."""

    def __init__(self, base: str | None) -> None:
        self._base = base
        self._left = MAX_ADDRESSES

    def filter(self, element: str, name: str, value: str) -> str | None:
        """The value to keep, None if it has to go; decoded, as the sanitiser takes them."""
        if name == "srcset":
            return self._sources(value) or None
        if name not in _ADDRESSES:
            return value
        return self._absolute(value) or (_mail_url(value) if element == "a" else None)

    def _absolute(self, address: str) -> str | None:
        """The http(s) URL that a reference means."""
        self._left -= 1
        return absolute_url(address, self._base or "https:") if self._left >= 0 else None

    def _sources(self, srcset: str) -> str:
        """The candidates of a `srcset` (HTML, 4.8.4.2.1) that have an address."""
        found = []
        for address, density in islice(_candidates(srcset), self._left):
            url = self._absolute(address)
            if url and (not density or _DENSITY.fullmatch(density)):
                found.append(f"{url} {density}".strip())
        return ", ".join(found)


def _candidates(srcset: str) -> Iterator[tuple[str, str]]:
    """The URLs of a `srcset` and their descriptors, as HTML has them (4.8.4.2.1): one way, never back, so that the time
    is linear."""
    at = _before_candidate(srcset, 0)
    while at < len(srcset):
        url = _CANDIDATE_URL.match(srcset, at)[0]  # type: ignore[index]  # what begins with no space and no comma
        at += len(url)
        descriptor = ""
        if not url.endswith(","):
            descriptor = _DESCRIPTOR.match(srcset, at)[0]  # type: ignore[index]  # which may be empty
            at += len(descriptor)
        yield url.rstrip(","), descriptor.strip()
        at = _before_candidate(srcset, at)


def _before_candidate(srcset: str, at: int) -> int:
    return _BEFORE_CANDIDATE.match(srcset, at).end()  # type: ignore[union-attr]  # which may be empty


def _mail_url(address: str) -> str | None:
    scheme, _, rest = address.strip().partition(":")
    return f"mailto:{quote(rest, safe='!$%&*+,/:;=?@~')}" if scheme.lower() == "mailto" and rest else None
