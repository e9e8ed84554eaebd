"""What only kramdown reads, Jekyll's Markdown: attribute lists, extensions, abbreviations, HTML across blank lines, `*`
beside punctuation, URLs with blanks.

<https://kramdown.gettalong.org/syntax.html>
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from types import SimpleNamespace
from typing import Any, NamedTuple

from markdown_it import MarkdownIt, helpers
from markdown_it.common.utils import unescapeAll
from markdown_it.rules_block import StateBlock, list_block, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, emphasis

from aggregator.links import MAX_URL

MAX_LIST = 1_000
"""Characters of an attribute list, or of the tag that begins an extension in a line."""
MAX_CELLS = 10_000
"""Cells of a table; a larger one is read as any system reads it."""
MAX_CUT_OFF = 20
"""Tags without an end, each of which is looked for in all of the text; behind them no tag is seen."""

_EXTENSION = re.compile(r"\{::(comment|nomarkdown|options)(?:\s[^{}]*+)?+\}")
_EXTENSION_END = re.compile(r"\{:/(?:comment|nomarkdown|options)?+\}")
_ATTRIBUTE_LIST = re.compile(r"\{:(?![:/])[^{}\n]++\}")
_SELF_CLOSED = re.compile(r"\{::(?:comment|nomarkdown|options)(?:\s(?:[^{}/]|/(?!\}))*+)?+/\}")
_ITEM_LIST = re.compile(r"\{:(?![:/])[^{}\n]++\}[ \t]*+")
_ABBREVIATION = re.compile(r"\*\[[^\]\n]++\]:")
_TAG = re.compile(
    r"<(/?)(address|article|aside|blockquote|body|center|dd|details|dir|div|dl|dt|fieldset|figcaption|figure|footer|form"
    r"|h[1-6]|header|hgroup|html|iframe|li|main|menu|nav|noscript|object|ol|p|pre|section|summary|table|tbody|td|tfoot|th"
    r"|thead|tr|ul|video|audio)(?=[\s/>])(?:[^\"'>]|\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))*+(?:(>)|\Z)",
    re.IGNORECASE,
)
_URL = re.compile(r"""(?:[^()\s]|\s(?!["'])|\((?:[^()]|\([^()]*+\))*+\))*+(?=[)\s])""")
_PARENTHESIS = re.compile(r"[0-9]{1,9}\)")
_IN_CELL = re.compile(
    r"(?<!\S)`(?=\s)|(`++)(?:(?!\1)[^\n]){1,1000}+\1|`++|(?P<code><code\b[^<>\n]{0,200}+>)|\\.|(?P<bar>\|)"
)
_SEPARATOR, _FOOT_SEPARATOR = re.compile(r"(?=[^-]*-)[+|: \t-]++"), re.compile(r"(?=[^=]*=)[+|: \t=]++")
_ALIGNED = re.compile(r"(:?)-++(:?)")
_ALIGNMENTS = {(":", ":"): "center", (":", ""): "left", ("", ":"): "right"}
_MARKDOWN = re.compile(r"""\smarkdown=["']?(?:1|block|span)\b""")


def add_lists(parser: MarkdownIt) -> None:
    """Attribute lists of blocks and spans, extensions, abbreviations, and `^` between blocks."""
    terminates = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "attribute_list", _read_line, {"alt": terminates})
    parser.block.ruler.before("table", "extension", _read_extension)
    parser.inline.ruler.before("link", "attribute_list", _read_span_list)
    parser.inline.ruler.before("link", "extension", _read_span_extension)
    parser.core.ruler.after("block", "item_attributes", _drop_item_lists)


def _read_line(state: StateBlock, start: int, _end: int, silent: bool) -> bool:
    """A line with an attribute list or its like, which shows nothing. A list with `toc` replaces the list above it."""
    begin, end = state.bMarks[start] + state.tShift[start], state.eMarks[start]
    if end - begin > MAX_LIST or state.is_code_block(start):
        return False
    line = state.src[begin:end].rstrip()
    is_list = _ATTRIBUTE_LIST.fullmatch(line) is not None
    ends_paragraph = is_list or line == "^" or _SELF_CLOSED.fullmatch(line) is not None
    if not ends_paragraph and (silent or not _ABBREVIATION.match(line)):
        return False
    if not silent:
        if is_list and "toc" in line[2:-1].split():
            _drop_list(state)
        state.line = start + 1
    return True


def _drop_list(state: StateBlock) -> None:
    """Removes the list above, which a table of contents replaces."""
    if state.tokens and state.tokens[-1].type in ("bullet_list_close", "ordered_list_close"):
        level = state.tokens.pop().level
        while state.tokens and state.tokens[-1].level > level:
            state.tokens.pop()
        state.tokens.pop()


def _read_extension(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`{::comment}` … `{:/comment}` shows nothing, `{::nomarkdown}` … its HTML."""
    begin = state.bMarks[start] + state.tShift[start]
    opening = _EXTENSION.match(state.src, begin, state.eMarks[start])
    if opening is None or silent:
        return False
    unclosed: int = state.env.get("unclosed_extension", len(state.src))
    closing = _EXTENSION_END.search(state.src, opening.end()) if begin < unclosed else None
    if closing is None:
        state.env["unclosed_extension"] = min(begin, unclosed)
        return False
    last = bisect_left(state.eMarks, closing.end(), start, end)
    if last >= end:
        return False
    if opening[1] == "nomarkdown":
        state.push("html_block", "", 0).content = state.src[opening.end() : closing.start()]
    state.line = last + 1
    return True


def _read_span_list(state: StateInline, silent: bool) -> bool:
    """An attribute list right after a span; after text it is text. A code span never gets here."""
    if silent or state.pending or not state.tokens or not state.src.startswith("{:", state.pos):
        return False
    last = state.tokens[-1].type
    if last == "softbreak" or (last == "text" and not _ends_span(state)):
        return False
    attributes = _ATTRIBUTE_LIST.match(state.src, state.pos, min(state.posMax, state.pos + MAX_LIST))
    if attributes is None:
        return False
    state.pos = attributes.end()
    return True


def _ends_span(state: StateInline) -> bool:
    delimiter = state.delimiters[-1] if state.delimiters else None
    return delimiter is not None and delimiter.close and delimiter.token == len(state.tokens) - 1


def _read_span_extension(state: StateInline, silent: bool) -> bool:
    """An extension in a line."""
    opening = _EXTENSION.match(state.src, state.pos, min(state.posMax, state.pos + MAX_LIST))
    closing = _end_of_extension(state, opening.end()) if opening else None
    if opening is None or closing is None:
        return False
    if not silent and opening[1] == "nomarkdown":
        state.push("html_inline", "", 0).content = state.src[opening.end() : closing.start()]
    state.pos = closing.end()
    return True


def _end_of_extension(state: StateInline, start: int) -> re.Match[str] | None:
    """The first end of an extension behind `start`. All in the text are found once, or each beginning would look for
    its own."""
    text, ends = state.env.get("extension_ends", ("", []))
    if text is not state.src:
        ends = list(_EXTENSION_END.finditer(state.src))
        state.env["extension_ends"] = state.src, ends
    index = bisect_left(ends, start, key=lambda end: end.start())
    return ends[index] if index < len(ends) and ends[index].end() <= state.posMax else None


def _drop_item_lists(state: StateCore) -> None:
    """Removes the attribute list at the start of a list item."""
    for item, _, line in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if item.type == "list_item_open" and line.type == "inline":
            line.content = _ITEM_LIST.sub("", line.content, count=1) if line.content.startswith("{:") else line.content


def add_spans(parser: MarkdownIt) -> None:
    """Stars beside punctuation, as in scripts without blanks, and URLs with blanks."""
    parser.inline.ruler.at("emphasis", _read_emphasis)
    parser.helpers = SimpleNamespace(**vars(helpers) | {"parseLinkDestination": _read_url})  # type: ignore[assignment]


def _read_emphasis(state: StateInline, silent: bool) -> bool:
    """The rule of CommonMark; but only white space beside it keeps a `*` from beginning or ending a span."""
    start, count = state.pos, len(state.delimiters)
    if not emphasis.tokenize(state, silent):
        return False
    if state.src[start] == "*":
        before, after = state.src[start - 1 : start] or " ", state.src[state.pos : state.pos + 1] or " "
        for delimiter in state.delimiters[count:]:
            delimiter.open, delimiter.close = not after.isspace(), not before.isspace()
    return True


def _read_url(text: str, start: int, end: int) -> Any:
    """The URL of a link or an image: up to the `)` that closes, or to a blank before a title."""
    in_parentheses = text[start - 1] == "(" and text[start] != "<"
    url = _URL.match(text, start, min(end, start + MAX_URL)) if in_parentheses else None
    if url is None:
        return helpers.parseLinkDestination(text, start, end)
    return SimpleNamespace(ok=True, pos=url.end(), str=unescapeAll(url[0].strip()))


def limit_lists(parser: MarkdownIt) -> None:
    """`1)` begins no list."""
    parser.block.ruler.at("list", _read_list, {"alt": ["paragraph", "reference", "blockquote"]})


def _read_list(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    begin = state.bMarks[start] + state.tShift[start]
    return not _PARENTHESIS.match(state.src, begin) and list_block(state, start, end, silent)


def add_tables(parser: MarkdownIt) -> None:
    """Lines with a `|` each are a table, with or without a head and a foot. No `|` in code ends a cell."""
    parser.disable("table")
    parser.block.ruler.before("paragraph", "kramdown_table", _read_table)
    parser.block.ruler.before("paragraph", "other_table", table, {"alt": ["paragraph", "reference"]})


class _Part(NamedTuple):
    """A part of a table."""

    tag: str
    rows: list[list[str]]


def _read_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if silent or start < state.env.get("no_table_before", 0):
        return False
    lines, behind = _lines_of_table(state, start, end)
    parts, alignments = _parts(lines)
    follows_block = state.tokens and state.tokens[-1].nesting != 1 and not state.isEmpty(start - 1)
    width = max((len(cells) for part in parts for cells in part.rows), default=0)
    has_body = any(part.tag == "tbody" for part in parts)
    if not has_body or not 0 < width * len(lines) <= MAX_CELLS or (follows_block and parts[0].tag != "thead"):
        state.env["no_table_before"] = behind  # or each of these lines would read the others
        return False
    alignments += [""] * (width - len(alignments))
    state.push("table_open", "table", 1)
    for part in parts:
        state.push(f"{part.tag}_open", part.tag, 1)
        for cells in part.rows:
            _push_row(state, "th" if part.tag == "thead" else "td", cells, alignments[:width])
        state.push(f"{part.tag}_close", part.tag, -1)
    state.push("table_close", "table", -1)
    state.line = behind
    return True


def _lines_of_table(state: StateBlock, start: int, end: int) -> tuple[list[str], int]:
    """The lines that may be a table, up to a blank one or an attribute list, and the number of the line behind them.
    There are none if one of them has no `|`."""
    lines: list[str] = []
    for number in range(start, end):
        line = state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].strip()
        if not line or state.sCount[number] < state.blkIndent or _ATTRIBUTE_LIST.fullmatch(line, 0, MAX_LIST):
            return lines, number
        if "|" not in line or len(lines) > MAX_CELLS:
            return [], number
        lines.append(line)
    return lines, end


def _parts(lines: list[str]) -> tuple[list[_Part], list[str]]:
    """The head, bodies and foot in the lines, each with rows, and how columns are aligned; no parts if there is a line
    without cells."""
    parts: list[_Part] = []
    alignments: list[str] = []
    rows: list[list[str]] = []
    has_foot, left = False, MAX_CELLS
    for line in lines:
        is_foot = _FOOT_SEPARATOR.fullmatch(line) is not None
        if is_foot or _SEPARATOR.fullmatch(line):
            if rows and not has_foot:
                is_head = not parts and not is_foot
                parts.append(_Part("thead" if is_head else "tbody", rows))
                alignments = [_ALIGNMENTS.get(sides, "") for sides in _ALIGNED.findall(line)] if is_head else alignments
                rows = []
            has_foot = has_foot or is_foot
        else:
            cells = _cells(line, left)
            left -= len(cells)
            if len(cells) < 2 or left <= 0:
                return [], []
            rows.append(cells[lines[0].startswith("|") and not cells[0] : len(cells) - (not cells[-1])])
    return [*parts, *([_Part("tfoot" if has_foot else "tbody", rows)] if rows else [])], alignments


def _push_row(state: StateBlock, tag: str, cells: list[str], alignments: list[str]) -> None:
    state.push("tr_open", "tr", 1)
    for cell, alignment in zip_longest(cells, alignments, fillvalue=""):
        opening = state.push(f"{tag}_open", tag, 1)
        opening.attrs = {"style": f"text-align:{alignment}"} if alignment else {}
        token = state.push("inline", "", 0)
        token.content, token.children = cell, []
        state.push(f"{tag}_close", tag, -1)
    state.push("tr_close", "tr", -1)


def _cells(line: str, most: int) -> list[str]:
    """The cells of a line, at most so many; those at its ends are empty if a `|` is there."""
    bars = list(islice(_bars(line), most))
    starts, ends = [0, *(bar + 1 for bar in bars)], [*bars, len(line)]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]


def _bars(line: str) -> Iterator[int]:
    """Where the `|` are that part cells: not in code, and not escaped."""
    at, last_code = 0, line.rfind("</code>")
    while part := _IN_CELL.search(line, at):
        at = part.end()
        if part["bar"]:
            yield part.start()
        elif part["code"] and at <= last_code:
            at = line.index("</code>", at)


def add_html(parser: MarkdownIt) -> None:
    """HTML blocks that end with their end tag, not with a blank line; in some, `markdown="1"` asks for Markdown."""
    alt = ["paragraph", "reference", "blockquote"]
    parser.block.ruler.before("html_block", "html_element", _read_element, {"alt": alt})


def _read_element(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    begin = state.bMarks[start] + state.tShift[start]
    if state.level or state.blkIndent or not state.src.startswith("<", begin) or state.is_code_block(start):
        return False
    opening, closing = _elements(state).get(begin, (None, None))
    if opening is None or closing is None or state.env.get("inside"):
        return False
    if silent:
        return True
    last = bisect_left(state.eMarks, closing.end(), start, end)
    if last >= end:
        return False
    if not _MARKDOWN.search(opening[0]):
        state.push("html_block", "", 0).content = state.src[begin : state.eMarks[last]] + "\n"
    else:
        _read_inside(state, opening, closing, start, last)
    state.line = last + 1
    return True


def _read_inside(state: StateBlock, opening: re.Match[str], closing: re.Match[str], start: int, last: int) -> None:
    """The Markdown inside an element: blocks if its tags have lines of their own, else a line."""
    state.push("html_block", "", 0).content = opening[0] + "\n"
    inside = state.src[opening.end() : closing.start()]
    if inside.startswith("\n") and not state.src[state.bMarks[last] : closing.start()].strip():
        line_max, state.lineMax = state.lineMax, last
        state.env["inside"] = True  # no deeper: each element could contain another
        state.md.block.tokenize(state, start + 1, last)
        state.env["inside"] = False
        state.lineMax = line_max
    else:
        token = state.push("inline", "", 0)
        token.content, token.children, token.map = inside.strip(), [], [start, last]
    state.push("html_block", "", 0).content = state.src[closing.start() : state.eMarks[last]] + "\n"


def _elements(state: StateBlock) -> Mapping[int, tuple[re.Match[str], re.Match[str]]]:
    """The tags of the elements that have an end tag, by where the start tag is."""
    found: dict[int, tuple[re.Match[str], re.Match[str]]] | None = state.env.get("elements")
    if found is None:
        found = state.env["elements"] = {}
        unclosed: dict[str, list[re.Match[str]]] = {}
        at, cut_off = 0, 0
        while cut_off < MAX_CUT_OFF and (tag := _TAG.search(state.src, at)):
            at = tag.end()
            if not tag[3]:  # a quote without an end, up to that of the text
                at = tag.start() + 1
                cut_off += 1
                continue
            same = unclosed.setdefault(tag[2].lower(), [])
            if not tag[1]:
                same.append(tag)
            elif same:
                opening = same.pop()
                found[opening.start()] = opening, tag
    return found
