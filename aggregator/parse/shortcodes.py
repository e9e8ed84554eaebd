"""Shortcodes of Hugo (`{{< name >}}`, `{{% name %}}`) and Zola (`{{ name() }}`, `{% name() %}`) in a body.

    text -> tags -> pairs -> Markdown and HTML

What a site's own shortcodes show is in its templates, which nobody sees here: the text inside a pair stays, a tag
without an end vanishes. Those that come with Hugo mean what they mean there.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from html import escape
from typing import Literal, NamedTuple

from aggregator.links import http_url
from aggregator.parse.page_links import mark_page_href
from aggregator.parse.template import (
    MAX_PROBLEMS,
    Expanded,
    TemplateProblem,
    code_html,
    inert_html,
    template_problem,
)

MAX_TAG = 500_000
"""Characters of a tag, which can have a picture in it."""
MAX_UNREADABLE = 500
"""Most tags that cannot be read; what follows is shown as written."""
MAX_DEPTH = 20
"""Most pairs in each other; deeper tags vanish."""
MAX_INDENTATION = 100
"""Characters before a tag that has its line for itself."""

_SIGN = re.compile(r"\{\{[<%]|(?<!\$)\{\{(?=/\*|\s*+\w++\s*+\()|\{%(?=/\*|-?\s*+(?:\w++\s*+\(|end\s*+-?%\}))")
_NAME = re.compile(r"\s*+(/?)\s*+(\w[\w.-]*+(?:/[\w.-]++)*+)(?=[\s/>%])")
_ARGUMENT = re.compile(
    r"\s++(?:([\w-]++)=)?+"
    r"(?:\"((?:[^\"\\]|\\.)*+)\"|`([^`]*+)`|((?:(?!/?[>%]\}\})[^\s\"`=<>{}\\])++))(?=[\s/>%])",
    re.DOTALL,
)
_END = re.compile(r"\s*+(/?)([<>%])\}\}")
_CALL = re.compile(r"-?\s*+(\w++)\s*+\(")
_CALL_ARGUMENT = re.compile(
    r"\s*+(\w++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|`([^`]*+)`|\[[^\]]*+\]|([\w.+-]++))\s*+(?:,|(?=\)))"
)
_CALL_END = re.compile(r"\s*+\)\s*+(-?%\}|\}\})")
_BODY_END = re.compile(r"-?\s*+end\s*+-?%\}")
_ESCAPED_END = re.compile(r"\s*+end\s*+\*/")
_CODE = re.compile(r"^[ \t>]*+(`{3,}+(?=[^`\n]*+$)|~{3,}+)[^\n]*+|(`++)|\n[ \t]*+(?=\n)", re.MULTILINE)
_Match = Callable[[str, int, int], re.Match[str] | None]


class _Arguments(NamedTuple):
    named: dict[str, str]
    positional: list[str]

    def get(self, name: str, position: int | None = None) -> str:
        """The argument with that name, else at that position; empty if there is none."""
        if name in self.named or position is None or position >= len(self.positional):
            return self.named.get(name, "")
        return self.positional[position]


class _Tag(NamedTuple):
    kind: Literal["start", "single", "end", "text"]
    name: str  # of Zola's pairs, which end alike, with `%` before it
    start: int
    end: int
    arguments: _Arguments = _Arguments({}, [])
    text: str = ""  # what a `text` shows


class _UnreadableError(Exception):
    """A tag cannot be read."""


def expand_shortcodes(body: str, known: Mapping[str, object], *, is_part: bool = False) -> Expanded:
    """The body with its shortcodes replaced. `known` are the values of the page that `param` can show. `is_part`: it is
    the start of a body, whose pairs may end behind it.
    """
    if "{{" not in body and "{%" not in body:
        return Expanded(body, ())
    return _Expander(body, known, is_part=is_part).expand()


class _Expander:
    def __init__(self, body: str, known: Mapping[str, object], *, is_part: bool) -> None:
        self._body = body
        self._known = known
        self._is_part = is_part
        self._problems: list[TemplateProblem] = []
        self._unreadable = 0

    def expand(self) -> Expanded:
        tags = list(self._tags())
        ends = self._pair(tags)
        if self._is_part:
            tags += self._missing_ends(tags, ends)
            ends = self._pair(tags)
        opened: list[_Tag] = []
        texts: list[list[str]] = [[]]  # inside of each open pair, the outermost first
        done = 0
        deep = 0  # open pairs beyond MAX_DEPTH
        for index, tag in enumerate(tags):
            texts[-1].append(self._body[done : tag.start])
            done = tag.end
            if tag.kind == "text":
                texts[-1].append(tag.text)
            elif index not in ends:
                texts[-1].append(self._show_alone(tag))
            elif tag.kind == "start":
                if deep or len(texts) > MAX_DEPTH:
                    deep += 1
                else:
                    opened.append(tag)
                    texts.append([])
            elif deep:
                deep -= 1
            else:
                inside = "".join(texts.pop())
                texts[-1].append(self._show(opened.pop(), inside, tag.end))
        texts[-1].append(self._body[done:])
        return Expanded("".join(texts[-1]), tuple(self._problems))

    def _tags(self) -> Iterator[_Tag]:
        at = 0
        while self._unreadable < MAX_UNREADABLE and (sign := _SIGN.search(self._body, at)):
            is_hugo = sign[0][2:] != ""
            at = sign.end()
            if not is_hugo and self._is_code(sign.start()):
                continue
            try:
                tag = self._read_tag(sign) if is_hugo else self._read_call(sign)
            except _UnreadableError as error:
                self._unreadable += 1
                self._tell(sign.start(), str(error), "write it as in {{< name argument >}}")
                continue
            if tag:
                yield tag
                at = tag.end

    def _tell(self, at: int, what: str, hint: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(template_problem(self._body, at, what, hint))

    def _read_tag(self, sign: re.Match[str]) -> _Tag:
        body, start, at = self._body, sign.start(), sign.end()
        closing = ">}}" if sign[0][2] == "<" else "%}}"
        limit = start + MAX_TAG
        if body.startswith("/*", at):
            return self._read_escaped(sign, f"*/{closing}")
        name = _NAME.match(body, at, limit)
        if name is None:
            raise _UnreadableError("a shortcode without a name")
        arguments, at = self._read_arguments(_ARGUMENT.match, name.end(), limit)
        end = _END.match(body, at, limit)
        if end is None or end[2] != closing[0]:
            raise _UnreadableError("a shortcode that cannot be read")
        kind: Literal["start", "single", "end"] = "end" if name[1] else "single" if end[1] else "start"
        return _Tag(kind, name[2], start, end.end(), arguments)

    def _read_arguments(self, match: _Match, at: int, limit: int) -> tuple[_Arguments, int]:
        """The arguments that begin at a position, and where they end."""
        arguments = _Arguments({}, [])
        while argument := match(self._body, at, limit):
            name, quoted, *others = argument.groups()
            value = next(filter(None, others), "") if quoted is None else quoted.replace('\\"', '"')
            if name:
                arguments.named[name] = value
            else:
                arguments.positional.append(value)
            at = argument.end()
        return arguments, at

    def _read_escaped(self, sign: re.Match[str], closing: str) -> _Tag:
        inside = sign.end() + 2
        end = self._body.find(closing, inside, inside + MAX_TAG)
        if end < 0:
            raise _UnreadableError("an escaped shortcode without an end")
        text = f"{sign[0]}{self._body[inside:end]}{closing[2:]}"
        return _Tag("text", "", sign.start(), end + len(closing), text=text)

    def _read_call(self, sign: re.Match[str]) -> _Tag | None:
        """A shortcode of Zola; None for what only looks like an escaped one, which Hugo shows."""
        body, start, at = self._body, sign.start(), sign.end()
        limit = start + MAX_TAG
        closing = "}}" if sign[0] == "{{" else "%}"
        if body.startswith("/*", at):
            is_call = _CALL.match(body, at + 2, limit) or _ESCAPED_END.match(body, at + 2, limit)
            return self._read_escaped(sign, f"*/{closing}") if is_call else None
        if end := _BODY_END.match(body, at, limit):
            return _Tag("end", "%", start, end.end())
        name = _CALL.match(body, at, limit)
        if name is None:
            return None
        arguments, at = self._read_arguments(_CALL_ARGUMENT.match, name.end(), limit)
        end = _CALL_END.match(body, at, limit)
        if end is None or not end[1].endswith(closing):
            raise _UnreadableError("a shortcode that cannot be read")
        return _Tag("start" if closing == "%}" else "single", f"%{name[1]}", start, end.end(), arguments)

    @cached_property
    def _code(self) -> list[tuple[int, int]]:
        return list(_code_ranges(self._body))

    def _is_code(self, at: int) -> bool:
        index = bisect_right(self._code, (at, len(self._body))) - 1
        return index >= 0 and at < self._code[index][1]

    def _pair(self, tags: list[_Tag]) -> frozenset[int]:
        """The indexes of the tags that are paired. A start without an end has no pair."""
        paired: set[int] = set()
        starts: list[int] = []
        waiting: dict[str, int] = {}  # how many of each name are among the starts
        keys = ["%" if tag.name.startswith("%") else tag.name for tag in tags]
        for index, (tag, key) in enumerate(zip(tags, keys, strict=True)):
            if tag.kind == "start":
                starts.append(index)
                waiting[key] = waiting.get(key, 0) + 1
            elif tag.kind == "end" and waiting.get(key):
                while True:
                    start = starts.pop()
                    waiting[keys[start]] -= 1
                    if keys[start] == key:
                        break
                paired.update((start, index))
        return frozenset(paired)

    def _missing_ends(self, tags: list[_Tag], paired: frozenset[int]) -> list[_Tag]:
        """Ends for the pairs that are open where this part of a body ends."""
        unpaired = [tag for index, tag in enumerate(tags) if tag.kind == "start" and index not in paired]
        end = len(self._body)
        return [tag._replace(kind="end", start=end, end=end) for tag in reversed(unpaired) if _needs_end(tag)]

    def _show_alone(self, tag: _Tag) -> str:
        """What a tag without its other half shows."""
        name = tag.name.lstrip("%")
        if tag.kind == "end":
            self._tell(tag.start, "the end of a shortcode that does not begin", "remove it, or write its beginning")
        elif tag.kind == "start" and _needs_end(tag):
            self._tell(tag.start, f"the shortcode {name[:40]!r} has no end", "write its end")
        elif name in _SHOWN or name == "param" or not self._is_code(tag.start):
            return self._show(tag, "", tag.end)
        return self._body[tag.start : tag.end]

    def _show(self, tag: _Tag, inside: str, end: int) -> str:
        """What a shortcode shows. A block that has its line for itself is kept apart from the next line."""
        name = tag.name.lstrip("%")
        if name == "param":
            value = self._known.get(tag.arguments.get("name", 0).lower())
            return value if isinstance(value, str) else ""
        show = _SHOWN.get(name)
        before = self._body[max(0, tag.start - MAX_INDENTATION) : tag.start].rpartition("\n")[2]
        begins_line = not before.strip()
        if show is None:
            return f"\n{inside}\n" if begins_line and "\n" in inside else inside
        shown = show(tag.arguments, inside)
        is_alone = begins_line and self._body[end : end + 1] in ("", "\n")
        return f"{shown}\n" if is_alone and shown.startswith("<") else shown


def _needs_end(start: _Tag) -> bool:
    return start.name in _PAIRS or start.name.startswith("%")


def _code_ranges(text: str) -> Iterator[tuple[int, int]]:
    """Where code is in a Markdown text: fences and spans, in order."""
    ticks: list[re.Match[str]] = []  # of one paragraph
    fence: re.Match[str] | None = None
    for sign in _CODE.finditer(text):
        if fence is not None:
            if sign[1] and sign[1].startswith(fence[1]) and sign[0].rstrip().endswith(sign[1]):
                yield fence.start(), sign.end()
                fence = None
        elif sign[2]:
            ticks.append(sign)
        else:
            yield from _span_ranges(ticks)
            ticks = []
            fence = sign if sign[1] else None
    yield from _span_ranges(ticks)
    if fence is not None:
        yield fence.start(), len(text)


def _span_ranges(ticks: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    following: dict[str, list[int]] = {}
    for index in range(len(ticks) - 1, -1, -1):
        following.setdefault(ticks[index][2], []).append(index)
    index = 0
    while index < len(ticks):
        same = following[ticks[index][2]]
        while same and same[-1] <= index:
            same.pop()
        if same:
            yield ticks[index].start(), ticks[same[-1]].end()
        index = same[-1] + 1 if same else index + 1


def _highlight(arguments: _Arguments, inside: str) -> str:
    return code_html(inside.strip("\n"), arguments.get("lang", 0) or arguments.get("type"))


def _figure(arguments: _Arguments, _inside: str) -> str:
    from aggregator.parse.markdown import render_line  # slow to import

    source, link = arguments.get("src", 0), arguments.get("link")
    caption = render_line(arguments.get("caption"))
    shown = f'<img src="{escape(source)}" alt="{escape(arguments.get("alt"))}">' if source else ""
    if link:
        shown = f'<a href="{escape(link)}">{shown}</a>'
    source_text = render_line(arguments.get("attr"))
    if source_text and (source_link := arguments.get("attrlink")):
        source_text = f'<a href="{escape(source_link)}">{source_text}</a>'
    title = escape(arguments.get("title"))
    words = (f"<h4>{title}</h4>" if title else "") + (
        f"<p>{' '.join(filter(None, (caption, source_text)))}</p>" if caption or source_text else ""
    )
    return inert_html(f"<figure>{shown}{f'<figcaption>{words}</figcaption>' if words else ''}</figure>")


def _details(arguments: _Arguments, inside: str) -> str:
    from aggregator.parse.markdown import render_line  # slow to import

    summary = inert_html(render_line(arguments.get("summary") or arguments.get("title") or "Details"))
    return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>\n"


def _reference(arguments: _Arguments, _inside: str) -> str:
    reference = arguments.get("path", 0)
    if reference.startswith("#") or http_url(reference):
        return reference
    return mark_page_href("hugo", reference)


def _player(url: str) -> Callable[[_Arguments, str], str]:
    def show(arguments: _Arguments, _inside: str) -> str:
        video = arguments.get("id", 0)
        title = arguments.get("title") or "Video"
        return inert_html(f'<iframe src="{url}{escape(video)}" title="{escape(title)}"></iframe>') if video else ""

    return show


def _linked(url: str) -> Callable[[_Arguments, str], str]:
    """A link to a URL with arguments in braces."""
    names = re.findall(r"\{(\w+)\}", url)

    def show(arguments: _Arguments, _inside: str) -> str:
        values = {name: arguments.get(name, position) for position, name in enumerate(names)}
        address = http_url(url.format(**values)) if all(values.values()) else None
        return inert_html(f'<a href="{escape(address)}">{escape(address)}</a>') if address else ""

    return show


_PAIRS = frozenset(("comment", "details", "highlight"))
"""Hugo's own shortcodes that need an end."""
_SHOWN: Mapping[str, Callable[[_Arguments, str], str]] = {
    "comment": lambda _arguments, _inside: "",
    "highlight": _highlight,
    "figure": _figure,
    "details": _details,
    "ref": _reference,
    "relref": _reference,
    "youtube": _player("https://www.youtube.com/embed/"),
    **dict.fromkeys(("vimeo", "vimeo_simple"), _player("https://player.vimeo.com/video/")),
    "gist": _linked("https://gist.github.com/{user}/{id}"),
    **dict.fromkeys(("instagram", "instagram_simple"), _linked("https://www.instagram.com/p/{id}/")),
    **dict.fromkeys(("x", "x_simple", "tweet", "twitter"), _linked("https://x.com/{user}/status/{id}")),
    "qr": _linked("{text}"),
}
