"""Markdown as CommonMark, Hugo, Zola and Jekyll read it -> HTML, or its blocks. The home of markdown-it-py.

A layout adds its dialect: Goldmark's and pulldown-cmark's for Hugo and Zola, kramdown's (parse/kramdown) for Jekyll. A
plugin is used for texts with its sign only, so that it costs other texts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from html import escape, unescape
from itertools import takewhile
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.footnote.index import footnote_ref

from aggregator.parse import kramdown
from aggregator.parse.page_links import mark_page_href
from aggregator.parse.texts import drop_unknown_tags
from aggregator.settings import Layout

MAX_STEPS = 40_000
"""Most steps of the Markdown parser for one body."""
MAX_TOKENS = 40_000
"""Most block tokens: a short line of a table makes as many cells as the table has columns."""
MAX_LEVEL = 30
"""Most nested blocks of Markdown; a list takes two levels."""
MAX_MATH, MAX_MATH_LINES = 10_000, 500
"""Characters of a formula in a line, and lines of one in a block."""
MAX_TERMS = 100
"""Terms of one definition."""
MAX_LABEL = 200
"""Characters of the label of a footnote."""

_HEADING_ATTRIBUTES = re.compile(
    r"""\s*+(?:[#.][\w:-]++|[\w:-]++=(?:"[^"]*+"|'[^']*+'|[^\s"'{}]++))(?:\s++|(?=[#.]|\Z)|\Z)"""
)
_CLOSING_SIGNS = re.compile(r"(?:^|(?<=[ \t]))#++\Z")
_BARE_URL = re.compile(
    r"(?<![\w/.@&+-])(?:(?:(?:https?|ftp)://|(www\.))[\w.:@%+~#=-]{1,256}\.[a-z]++(?::[0-9]++)?+"
    r"(?:[/#?](?:(?![<>\"\[\]])[!-~])*+)?+|([\w.+-]++@[\w-]++(?:\.[\w-]++)++))",
    re.ASCII,
)
"""As in Goldmark, no sign beyond ASCII is part of a URL: many scripts have no blank behind it."""
_LINK_TAG = re.compile(r"<(/?)a[\s>]", re.IGNORECASE)
_FORMULAS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))


class CostlyError(Exception):
    """The Markdown of a body is too expensive."""


class Block(NamedTuple):
    """A block of a text that is in no other block."""

    type: str  # of its first token, without `_open`: `paragraph`, `heading`, `fence`
    tokens: list[Token]
    parser: MarkdownIt
    env: dict[str, object]

    def render(self) -> str:
        """The HTML of the block without marks of footnotes and unknown tags."""
        for token in self.tokens:
            if token.type == "inline":
                children: list[Token] = []
                self.parser.inline.parse(token.content, self.parser, self.env, children)
                token.children = [child for child in children if child.type != "footnote_ref"]
            for part in token.children or (token,):
                if part.type in ("html_inline", "html_block"):
                    part.content = drop_unknown_tags(part.content)
                elif part.type == "text_special":  # a rule for whole texts joins these
                    part.type = "text"
        return str(self.parser.renderer.render(self.tokens, self.parser.options, self.env))


def render_markdown(text: str, layout: Layout) -> str:
    """The HTML of a Markdown text, with the HTML in it as written. Raises CostlyError."""
    return render_counted(text, layout)[0]


def render_counted(text: str, layout: Layout) -> tuple[str, int]:
    """The HTML of a Markdown text, and the steps of the parser that it took. Raises CostlyError."""
    env: dict[str, int] = {"steps": 0}
    return str(_parser_for(text, layout).render(text, env)), env["steps"]


def render_line(text: str) -> str:
    """The HTML of a line of Markdown, such as a caption; that of its text as written if it is too expensive."""
    try:
        return str(_parser_for(text, "plain").renderInline(text))
    except CostlyError:
        return escape(unescape(text), quote=False)


def read_blocks(text: str, layout: Layout) -> Iterator[Block]:
    """The blocks of a Markdown text without footnotes; what is in a line is not parsed yet. Raises CostlyError."""
    parser, env = _parser_for(text, layout), dict[str, object]()
    state = StateCore(text, parser, env)
    rules = zip(parser.core.ruler.get_active_rules(), parser.core.ruler.getRules(""), strict=True)
    for _, rule in takewhile(lambda named: named[0] != "budget", rules):
        rule(state)
    start = 0
    for index, token in enumerate(state.tokens):
        if token.level == 0 and token.nesting != 1 and token.type != "inline":
            block = Block(state.tokens[start].type.removesuffix("_open"), state.tokens[start : index + 1], parser, env)
            start = index + 1
            if block.type != "footnote_reference":
                yield block


class _Plugin(NamedTuple):
    signs: tuple[str, ...]  # a text without any of these does not need it
    add: Callable[[MarkdownIt], None]


def _parser_for(text: str, layout: Layout) -> MarkdownIt:
    plugins = _PLUGINS.get(layout, ())
    return _parser(layout, tuple([any(map(text.__contains__, plugin.signs)) for plugin in plugins]))


@cache
def _parser(layout: Layout, needed: tuple[bool, ...]) -> MarkdownIt:
    """The Markdown parser with the plugins that are needed. It leaves URLs to the sanitiser."""
    # beyond `maxNesting` the library drops blocks silently
    options = {"html": True, "maxNesting": MAX_LEVEL + 2, "tasklists": layout != "plain"}
    parser = MarkdownIt("commonmark", {**options, "strikethrough_single_tilde": layout == "hugo"})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = lambda _: True  # type: ignore[assignment,method-assign]  # as the library documents
    parser.normalizeLink = _page_link if layout == "hugo" else str  # type: ignore[assignment,method-assign]
    parser.add_render_rule("list_item_open", _render_item)
    for plugin, is_needed in zip(_PLUGINS.get(layout, ()), needed, strict=True):
        if is_needed:
            plugin.add(parser)
    terminates = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "budget", _spend_on_block, {"alt": terminates})
    parser.inline.ruler.before("text", "budget", _spend_on_inline)
    parser.core.ruler.before("inline", "budget", _spend)
    return parser


def _page_link(url: str) -> str:
    return mark_page_href("zola", url) if url.startswith("@/") else url


def _spend(state: StateBlock | StateInline | StateCore) -> None:
    steps = state.env["steps"] = state.env.get("steps", 0) + 1
    if steps > MAX_STEPS or len(state.tokens) > MAX_TOKENS:
        raise CostlyError


def _spend_on_block(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:
    _spend(state)
    if state.level >= MAX_LEVEL:
        raise CostlyError
    return False


def _spend_on_inline(state: StateInline, _silent: bool) -> bool:
    _spend(state)
    return False


def _render_item(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """The start of an item; a box, which a feed cannot tick, is a sign."""
    checked = tokens[index].meta.get("checked")
    box = "" if checked is None else "\u2611 " if checked else "\u2610 "
    return renderer.renderToken(tokens, index, options, env) + box


# footnotes: feeds show many pages in one, so marks and notes have numbers and no ids
def _add_footnotes(parser: MarkdownIt) -> None:
    footnote_plugin(parser, inline=False)
    parser.inline.ruler.at("footnote_ref", _footnote_mark)
    for name, markup in {
        "footnote_block_open": "<hr>\n<ol>\n",
        "footnote_block_close": "</ol>\n",
        "footnote_open": "<li>",
        "footnote_close": "</li>\n",
        "footnote_anchor": "",
    }.items():
        parser.add_render_rule(name, lambda *_, markup=markup: markup)
    parser.add_render_rule("footnote_ref", _render_mark)


def _render_mark(_parser: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    return f"<sup>{tokens[index].meta['id'] + 1}</sup>"


def _footnote_mark(state: StateInline, silent: bool) -> bool:
    """The plugin's rule, which looks for the end of a label in the whole text."""
    if not state.src.startswith("[^", state.pos) or state.src.find("]", state.pos, state.pos + MAX_LABEL) < 0:
        return False
    return footnote_ref(state, silent)


# formulas are kept as written, because the page lets a script show them
def _add_formulas(parser: MarkdownIt, formulas: Sequence[tuple[str, str]] = _FORMULAS) -> None:
    def keep(state: StateInline, silent: bool) -> bool:
        is_sign = state.src[state.pos] in "$\\"
        return is_sign and any(_keep_formula(state, silent, *signs) for signs in formulas)

    parser.inline.ruler.before("escape", "formula", keep)
    parser.block.ruler.before("fence", "formula_block", _formula_block)


def _keep_formula(state: StateInline, silent: bool, opening: str, closing: str) -> bool:
    start = state.pos + len(opening)
    if not state.src.startswith(opening, state.pos):
        return False
    end = state.src.find(closing, start, min(start + MAX_MATH, state.posMax))
    if end <= start:
        return False
    if closing == "$":  # as in Pandoc, so that prices are no formulas
        inside = state.src[start:end]
        if inside[0].isspace() or inside[-1].isspace() or state.src[end + 1 : end + 2].isdigit():
            return False
    if not silent:
        state.append_pending(state.src[state.pos : end + len(closing)])
    state.pos = end + len(closing)
    return True


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`$$`, or lines from `$$` to `$$` without a blank one."""
    begin = state.bMarks[start] + state.tShift[start]
    if state.is_code_block(start) or not state.src.startswith("$$", begin):
        return False
    for line in range(start, min(end, start + MAX_MATH_LINES)):
        text = state.src[begin + 2 if line == start else state.bMarks[line] : state.eMarks[line]].rstrip()
        if state.isEmpty(line):
            return False
        if text.endswith("$$") or (line > start and "$$" in text):
            break
        if "$$" in text:
            return False
    else:
        return False
    if not silent:
        token = state.push("html_block", "", 0)
        token.content = f"<p>{escapeHtml(state.getLines(start, line + 1, state.blkIndent, False))}</p>\n"
        state.line = line + 1
    return True


def _add_definitions(parser: MarkdownIt) -> None:
    """Definition lists as in PHP Markdown Extra: the plugin's, which are Pandoc's, and several terms in a row."""
    deflist_plugin(parser)
    read_list = parser.block.ruler.getRules("")[parser.block.ruler.get_active_rules().index("deflist")]

    def read(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        last = _last_term(state, start, end)
        before = len(state.tokens)
        if silent or last == start or not read_list(state, last, end, False):
            return False
        terms = [state.getLines(line, line + 1, state.blkIndent, False).strip() for line in range(start, last)]
        state.tokens[before + 1 : before + 1] = [token for term in terms for token in _term(term, state.level + 1)]
        if before and state.tokens[before - 1].type == "dl_close":
            del state.tokens[before - 1 : before + 1]
        return True

    parser.block.ruler.before("deflist", "terms", read)


def _last_term(state: StateBlock, start: int, end: int) -> int:
    """The last of the lines from `start` that are a paragraph, if a definition may follow; else `start`."""
    last = start
    for line in range(start + 1, min(end, start + MAX_TERMS)):
        if state.isEmpty(line) or state.sCount[line] < state.blkIndent or _begins_with_colon(state, line):
            break
        last = line
    after = last + 1 + (last + 1 < end and state.isEmpty(last + 1))
    if last == start or after >= end or not _begins_with_colon(state, after):
        return start
    terminates = state.md.block.ruler.getRules("paragraph")
    ended = any(rule(state, line, end, True) for line in range(start + 1, last + 1) for rule in terminates)
    return start if ended else last


def _begins_with_colon(state: StateBlock, line: int) -> bool:
    return state.src.startswith(":", state.bMarks[line] + state.tShift[line])


def _term(text: str, level: int) -> tuple[Token, Token, Token]:
    line = Token("inline", "", 0, content=text, level=level + 1, children=[], block=True)
    return (
        Token("dt_open", "dt", 1, level=level, block=True),
        line,
        Token("dt_close", "dt", -1, level=level, block=True),
    )


def _add_sign(parser: MarkdownIt, sign: str, before: str, show: Callable[[StateInline], object]) -> None:
    """A sign that `show` shows, before the rule of that name sees it."""

    def read(state: StateInline, silent: bool) -> bool:
        if not state.src.startswith(sign, state.pos):
            return False
        if not silent:
            show(state)
        state.pos += len(sign)
        return True

    parser.inline.ruler.before(before, "sign", read)


def _add_heading_attributes(parser: MarkdownIt) -> None:
    parser.core.ruler.after("block", "heading_attributes", _drop_heading_attributes)


def _drop_heading_attributes(state: StateCore) -> None:
    lines: list[str] = []
    for heading, line in zip(state.tokens, state.tokens[1:], strict=False):
        if heading.type == "heading_open" and line.content.endswith("}"):
            text, brace, attributes = line.content[:-1].rpartition("{")
            if brace and not text.endswith("\\") and _are_attributes(attributes):
                lines = lines or state.src.split("\n")
                if heading.markup[0] != "#":
                    line.content = text.rstrip()
                elif heading.map and lines[heading.map[0]].rstrip().endswith("}"):  # no closing `#` behind it
                    line.content = _CLOSING_SIGNS.sub("", text.rstrip()).rstrip()


def _are_attributes(text: str) -> bool:
    at = 0
    while match := _HEADING_ATTRIBUTES.match(text, at):
        at = match.end()
    return 0 < at == len(text)


def _add_links(parser: MarkdownIt) -> None:
    parser.core.ruler.after("inline", "bare_urls", _link_bare_urls)


def _link_bare_urls(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and token.children and _may_have_url(token.content):
            in_link, children = False, list[Token]()
            for child in token.children:
                if child.type in ("link_open", "link_close"):
                    in_link = child.nesting > 0
                elif child.type == "html_inline" and (tag := _LINK_TAG.match(child.content)):
                    in_link = not tag[1]
                if child.type == "text" and not in_link and _may_have_url(child.content):
                    children += _with_links(child)
                else:
                    children.append(child)
            token.children = children


def _may_have_url(text: str) -> bool:
    return "://" in text or "www." in text or "@" in text  # the expression is slow


def _with_links(text: Token) -> Iterator[Token]:
    done = 0
    for match in _BARE_URL.finditer(text.content):
        url = match[0].rstrip("?!.,:*_~'\";")
        if url.endswith(")") and "(" not in url:
            url = url.rstrip(")").rstrip("?!.,:*_~'\";")
        yield Token("text", "", 0, content=text.content[done : match.start()])
        scheme = "https://" if match[1] else "mailto:" if match[2] else ""
        yield Token("link_open", "a", 1, attrs={"href": scheme + url})
        yield Token("text", "", 0, content=url)
        yield Token("link_close", "a", -1)
        done = match.start() + len(url)
    yield Token("text", "", 0, content=text.content[done:]) if done else text


_FOOTNOTES = _Plugin(("[^",), _add_footnotes)
_DEFINITIONS = _Plugin(("\n:", "\n :", "\n  :", "\n   :", "> :"), _add_definitions)
_HEADINGS = _Plugin(("}",), _add_heading_attributes)
# two `<` are an opening quotation mark, so no tag begins there; two backslashes at the end of a line break it
_QUOTES = _Plugin(
    ("<<",), partial(_add_sign, sign="<<", before="autolink", show=lambda state: state.append_pending("<<"))
)
_BREAKS = _Plugin(
    ("\\\\\n",), partial(_add_sign, sign="\\\\\n", before="escape", show=lambda state: state.push("hardbreak", "br", 0))
)
_PLUGINS: dict[Layout, tuple[_Plugin, ...]] = {
    "hugo": (
        _FOOTNOTES,
        _DEFINITIONS,
        _HEADINGS,
        _QUOTES,
        _Plugin(("$", "\\(", "\\["), _add_formulas),
        _Plugin(("://", "www.", "@"), _add_links),
    ),
    "jekyll": (
        _FOOTNOTES,
        _DEFINITIONS,
        _HEADINGS,
        _QUOTES,
        _Plugin(("$$",), partial(_add_formulas, formulas=_FORMULAS[:1])),
        _Plugin(("*", "]("), kramdown.add_spans),
        _Plugin(("{:", "*[", "\n^"), kramdown.add_lists),
        _Plugin(("|",), kramdown.add_tables),
        _Plugin(("<",), kramdown.add_html),
        _BREAKS,
        _Plugin(tuple(f"{digit})" for digit in range(10)), kramdown.limit_lists),
    ),
}
