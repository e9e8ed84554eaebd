"""The Markdown or HTML of a body -> HTML that is safe and useful inside a feed entry.

    text -> HTML (markdown) -> allowed tags, balanced (here) -> sanitised (nh3) -> trimmed

Balancing tags first keeps the sanitiser linear: for elements that are left open, or that its parser must close or open
again (HTML, 13.2.4.3), both its time and the size of its output are quadratic.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from itertools import islice
from urllib.parse import quote

from aggregator.links import absolute_url
from aggregator.parse.markdown import CostlyError, render_markdown
from aggregator.parse.page_links import MARK, drop_empty_links, drop_marked, read_page_href, unmark_href
from aggregator.parse.texts import plain_text, player_url, unescape
from aggregator.settings import Layout
from aggregator.unicode import few_marks, xml_text

MAX_TAGS, MAX_DEPTH = 40_000, 64
"""Most tags of a body, and most open elements. The contents of elements beyond are kept."""
MAX_URLS = 20_000
"""Most URLs of a body."""
MAX_AMPERSANDS = 60_000
"""Most ampersands of a body: each costs the sanitiser 3 µs. A body with more is shown as plain text."""
MAX_BASE = 2_000
"""Longest base URL, because every relative URL repeats it."""

_VOID = frozenset("br col hr img source track wbr".split())
_ENDS_P = frozenset(
    "address article aside blockquote center details div dl figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr"
    " main nav ol p pre section summary ul li dd dt table".split()
)
# elements that an end tag, or the start of another element, does not look beyond (HTML, 13.2.4.2: scopes)
_NO_BOUNDARY: frozenset[str] = frozenset()
_TABLE = frozenset(("table",))
_CELL_BOUNDARY = frozenset(("td", "th", "caption", "table"))
_ROWS = frozenset(("table", "colgroup", "thead", "tbody", "tfoot", "tr"))
_TABLE_PARTS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("caption", "colgroup", "thead", "tbody", "tfoot"), frozenset(("table",))),
    "col": frozenset(("table", "colgroup")),
    "tr": frozenset(("table", "thead", "tbody", "tfoot")),
    **dict.fromkeys(("td", "th"), frozenset(("table", "thead", "tbody", "tfoot", "tr"))),
}
"""The parts of a table, and the elements that can contain each, directly or with parts that the parser adds."""
_INLINE = frozenset(
    "a abbr b bdi bdo cite code del dfn em i ins kbd mark picture q rb rp rt ruby s samp small span strike strong sub"
    " sup time track u var wbr br img audio video source".split()
)
_ELEMENTS = _ENDS_P | _TABLE_PARTS.keys() | _INLINE
_SHOWN = {"center": "div"}
"""What obsolete elements are written as."""
_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
"""The end tag of any heading ends the open one."""
_ITEM_BOUNDARY = _ELEMENTS - _INLINE - frozenset(("address", "div", "p"))
_ENDS_LIKE: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "a": (frozenset(("a",)), _CELL_BOUNDARY),
    "li": (frozenset(("li",)), _ITEM_BOUNDARY),
    **dict.fromkeys(("dd", "dt"), (frozenset(("dd", "dt")), _ITEM_BOUNDARY)),
}
"""Elements that end an open one of the same kind, and what they do not look beyond."""
_ATTRIBUTES_OF = {
    "*": "dir lang title",
    "a": "href",
    "audio": "src",
    "blockquote q": "cite",
    "code": "class",
    "col colgroup": "span",
    "del ins": "cite datetime",
    "details": "open",
    "img": "src srcset sizes alt width height",
    "li": "value",
    "ol": "start reversed",
    "source": "src srcset sizes type media",
    "td": "align colspan rowspan",
    "th": "align colspan rowspan scope",
    "time": "datetime",
    "track": "src kind srclang label default",
    "video": "src poster width height",
}
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    element: frozenset(attributes.split())
    for elements, attributes in _ATTRIBUTES_OF.items()
    for element in elements.split()
}
_URL_ATTRIBUTES = frozenset(("cite", "href", "poster", "src"))
_WORDS: Mapping[str, frozenset[str]] = {
    "align": frozenset(("left", "center", "right", "justify")),
    "kind": frozenset(("subtitles", "captions", "descriptions", "chapters", "metadata")),
}
"""Attributes with a word as their value, and the words of each."""
_SPANS: Mapping[str, tuple[int, int]] = {"colspan": (1, 1000), "rowspan": (0, 65_534), "span": (1, 1000)}
"""Attributes that count columns or rows, and the least and the most that HTML allows (4.9.3, 4.9.11)."""
_TEXT_ALIGN = re.compile(r"(?:\A|;)\s*+text-align\s*+:\s*+([a-z]+)", re.IGNORECASE)
_LANGUAGE = re.compile(r"language-[\w+#-]{1,40}", re.ASCII)

# Tags as in HTML, 13.2.5. Possessive quantifiers: matching is linear.
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
# a candidate of a `srcset` (HTML, 4.8.4.2.1): its URL, which no comma ends, and its descriptor unless a comma follows
_CANDIDATE = re.compile(r"([^\s,]\S*(?<!,))(?:,|((?:[^,(]++|\([^)]*+\)?+)*+))")
_DENSITY = re.compile(r"[0-9]+(?:\.[0-9]+)?[wx]")
_BLANK_LINES = re.compile(r"\n[\t ]*+\n\s*+")

# These match the output of the sanitiser, in which `<` and `>` belong to its tags only.
_OTHER_ATTRIBUTES = r"""(?: (?!{})[a-z]+="[^"]*+")*+>"""
_EMPTY = re.compile(
    rf"<(?:img|track){_OTHER_ATTRIBUTES.format('src=')}|<source{_OTHER_ATTRIBUTES.format('src=|srcset=')}|<p></p>|(?<=<pre>)\n+"
)
_NO_MEDIA = re.compile(rf"<(audio|video){_OTHER_ATTRIBUTES.format('src=')}(?:\s|<track [^<>]*+>)*+</\1>")
_BLANK = re.compile(r"(?:<(?!img |audio |video )[^<>]*+>|\s|&nbsp;)*+")


def render_body(text: str, base: str | None, layout: Layout = "plain", *, is_html: bool = False) -> str:
    """The HTML of a body for a feed entry, or an empty string if it shows nothing.

    `text` is the Markdown of the layout, or HTML, or both; only HTML if `is_html`. The marks in it are those of page
    links: a body that is not expanded yet must have none. Relative URLs are resolved against the absolute http(s) URL
    `base` (RFC 3986, 5.2) and removed without it. URLs that are neither http(s) nor page links, or mailto in a link,
    are removed too, and a link without URL is its text. A player of PLAYER_HOSTS becomes a link. Markdown that is too
    expensive is shown as written, in paragraphs.
    """
    text = MARK.join(map(xml_text, text.split(MARK)))
    try:
        markup = text if is_html else render_markdown(text, layout)
    except CostlyError:
        markup = _BLANK_LINES.sub("\n<p>", f"<p>{text}")
    markup = _TagBalancer().balance(markup)
    if markup.count("&amp;") > MAX_AMPERSANDS:
        shown = few_marks(html.escape(plain_text(text), quote=False))
        return f"<p>{shown}</p>" if shown else ""
    clean = few_marks(xml_text(_sanitise(markup, base if base and len(base) <= MAX_BASE else None)))
    clean = _NO_MEDIA.sub("", _EMPTY.sub("", drop_empty_links(clean))).strip()
    return "" if _BLANK.fullmatch(clean) else clean


class _TagBalancer:
    """Writes allowed tags, and closes every element explicitly."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._open: list[str] = []
        self._left = MAX_TAGS

    def balance(self, markup: str) -> str:
        """The markup without comments and other tags. Their contents are kept, except of scripts and the like."""
        done = 0
        for token in _TOKEN.finditer(markup):
            self._out.append(_escaped(markup[done : token.start()]))
            done = token.end()
            name = (token["name"] or "").lower()
            if token["player"]:
                self._link_player(_pairs(token["player"]))
            elif token["end"] and name != "br":  # `</br>` is a break too
                self._end_tag(name)
            elif name:
                self._start_tag(name, token["rest"])
        self._out.append(_escaped(markup[done:]))
        return "".join(self._out)

    def _start_tag(self, name: str, attributes: str) -> None:
        if name not in _ELEMENTS or not self._make_room(name) or not self._left or len(self._open) >= MAX_DEPTH:
            return
        self._left -= 1
        allowed = _ATTRIBUTES["*"] | _ATTRIBUTES.get(name, frozenset())
        self._out.append(f"<{_SHOWN.get(name, name)}")
        pairs = _pairs(attributes)
        if "align" in allowed and (aligned := _TEXT_ALIGN.search(pairs.get("style", ""))):
            pairs = {"align": aligned[1]} | pairs  # as Markdown and site generators align columns
        for key, value in pairs.items():
            shown = _shown_value(key, value) if key in allowed else None
            if shown is not None:
                self._out.append(f' {key}="{shown}"')
        self._out.append(">")
        if name not in _VOID:
            self._open.append(name)

    def _end_tag(self, name: str) -> None:
        names = _HEADINGS if name in _HEADINGS else frozenset((name,))
        self._close(names, _TABLE if name in _TABLE_PARTS or name == "table" else _CELL_BOUNDARY)

    def _make_room(self, name: str) -> bool:
        """Closes elements that cannot contain `name`. False if `name` is not allowed here."""
        if name in _TABLE_PARTS:
            index = self._find(_TABLE_PARTS[name], _NO_BOUNDARY)
            self._close_from(None if index is None else index + 1)
            return index is not None
        if self._open and self._open[-1] in _ROWS and name not in _VOID:
            return False  # the parser would move it to before the table
        if name in _ENDS_P:
            self._close(frozenset(("p",)), _CELL_BOUNDARY)
        if name in _ENDS_LIKE:
            self._close(*_ENDS_LIKE[name])
        return True

    def _link_player(self, iframe: Mapping[str, str]) -> None:
        url = player_url(iframe.get("src", ""))
        if url is None:
            return
        alone = self._find(frozenset(("p",)), _CELL_BOUNDARY) is None
        if alone:
            self._start_tag("p", "")
        self._start_tag("a", f'href="{_escaped(url)}"')
        self._out.append(_escaped(plain_text(iframe.get("title", "")).replace("&", "&amp;") or "Video"))
        self._end_tag("a")
        if alone:
            self._end_tag("p")

    def _close(self, names: frozenset[str], boundary: frozenset[str]) -> None:
        self._close_from(self._find(names, boundary))

    def _find(self, names: frozenset[str], boundary: frozenset[str]) -> int | None:
        """The index of the innermost open element of `names`, unless one of `boundary` is inside it."""
        if names.isdisjoint(self._open):
            return None
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index] in names:
                return index
            if self._open[index] in boundary:
                return None
        return None

    def _close_from(self, index: int | None) -> None:
        while index is not None and len(self._open) > index:
            name = self._open.pop()
            self._out.append(f"</{_SHOWN.get(name, name)}>")


def _shown_value(key: str, value: str) -> str | None:
    """The attribute value as markup; None if there is a page link where none can be."""
    value = _decoded(value)
    if key == "href":
        return _encoded(href) if (href := unmark_href(value)) is not None else None
    return None if MARK in value else _encoded(value)


def _escaped(text: str) -> str:
    """The text as markup that every parser reads alike."""
    return _encoded(_decoded(drop_marked(text)))


def _decoded(text: str) -> str:
    return _REFERENCE.sub(lambda reference: unescape(reference[0]), text) if "&" in text else text


def _encoded(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _pairs(text: str) -> dict[str, str]:
    """The attributes of a tag as written, without quotes. Of two with one name the first counts, as in HTML."""
    attributes: dict[str, str] = {}
    for pair in _PAIR.finditer(text):
        value = pair[2] or ""
        attributes.setdefault(pair[1].lower(), value.strip(value[0]) if value[:1] in ('"', "'") else value)
    return attributes


def _sanitise(markup: str, base: str | None) -> str:
    import nh3  # slow to import, and most builds do not need it

    return nh3.clean(
        markup,
        tags=_ELEMENTS,
        attributes=_ATTRIBUTES,
        attribute_filter=_AttributeFilter(base).filter,
        set_tag_attribute_values={"audio": {"controls": ""}, "video": {"controls": ""}},
        url_schemes={"http", "https", "mailto", "page"},
        link_rel=None,
    )


class _AttributeFilter:
    """Filters the attributes of a body, and makes URLs absolute."""

    def __init__(self, base: str | None) -> None:
        self._base = base
        self._left = MAX_URLS

    def filter(self, element: str, name: str, value: str) -> str | None:
        """The new value, None to remove the attribute; both decoded, as the sanitiser expects them."""
        if name == "srcset":
            return self._sources(value) or None
        if name not in _URL_ATTRIBUTES:
            return _checked(name, value)
        if element == "a" and read_page_href(value):
            return value
        return self._absolute(value) or (_mail_url(value) if element == "a" else None)

    def _absolute(self, url: str) -> str | None:
        """The absolute http(s) URL, if there are not too many."""
        self._left -= 1
        return absolute_url(url, self._base or "https:") if self._left >= 0 else None

    def _sources(self, srcset: str) -> str:
        """The candidates of a `srcset` with a valid URL."""
        candidates = []
        for candidate in islice(_CANDIDATE.finditer(srcset), max(self._left, 0)):
            url, density = self._absolute(candidate[1]), (candidate[2] or "").strip()
            if url and (not density or _DENSITY.fullmatch(density)):
                candidates.append(f"{url} {density}".strip())
        return ", ".join(candidates)


def _checked(name: str, value: str) -> str | None:
    """The value of an attribute without a URL; None if it cannot be used."""
    if name == "class":
        return next((word for word in value.split() if _LANGUAGE.fullmatch(word)), None)
    if name in _WORDS:
        return value.lower() if value.lower() in _WORDS[name] else None
    return _span(value, *_SPANS[name]) if name in _SPANS else value


def _span(value: str, least: int, most: int) -> str | None:
    """A number of columns or rows within its limits; None if it is no number or too small."""
    if not (value.isascii() and value.isdigit()):
        return None
    number = most if len(value) > 9 else min(int(value), most)
    return str(number) if number >= least else None


def _mail_url(url: str) -> str | None:
    scheme, _, rest = url.strip().partition(":")
    return f"mailto:{quote(rest, safe='!$%&*+,/:;=?@~')}" if scheme.lower() == "mailto" and rest else None
