"""Bar charts as SVG. The only module that imports pygal.

pygal writes styles and scripts into a chart, which the Content-Security-Policy of the pages forbids. They are removed:
the chart has the classes of pygal, and the stylesheet of the page gives them colours for light and dark.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from markupsafe import Markup
from pygal import Bar, HorizontalBar
from pygal.etree import etree
from pygal.style import Style

# pygal imports maps by a finder of an old kind, of which Python 3.11 warns at each later import of anything
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

BAR_HEIGHT, TEXT_SIZE = 30, 13
_OPTIONS = {
    "show_legend": False,
    "no_prefix": True,
    "js": [],
    "css": [],
    "margin": 4,
    "no_data_text": "",
    "style": Style(label_font_size=TEXT_SIZE, value_font_size=TEXT_SIZE, major_label_font_size=TEXT_SIZE),
}
_UNUSED = frozenset(("defs", "desc", "title"))


def column_chart(names: Sequence[str], values: Sequence[float], *, width: int, named_every: int) -> Markup:
    """A chart of upright bars, of which every `named_every`th has its name below it. `width` is in pixels."""
    chart = Bar(
        **_OPTIONS, width=width, height=190, spacing=2, rounded_bars=1, max_scale=4, min_scale=2,
        x_labels_major_every=named_every, show_minor_x_labels=False, show_x_guides=False, truncate_label=-1,
        range=(0, max(*values, 4)), value_formatter=_whole,
    )  # fmt: skip
    return _draw(chart, names, values, _whole)


def bar_chart(names: Sequence[str], values: Sequence[float], *, shown: Callable[[float], str] | None = None) -> Markup:
    """A chart of lying bars, the first on top, each with its name and its value."""
    chart = HorizontalBar(
        **_OPTIONS, width=390, height=BAR_HEIGHT * len(names) + 12, margin_right=54, spacing=6, rounded_bars=2,
        print_values=True, print_values_position="top", show_x_labels=False, show_x_guides=False, truncate_label=24,
        range=(0, max(*values, 1e-6)), value_formatter=shown or _whole,
    )  # fmt: skip
    return _draw(chart, list(reversed(names)), list(reversed(values)), shown or _whole)


def _draw(chart: Any, names: Sequence[str], values: Sequence[float], shown: Callable[[float], str]) -> Markup:
    chart.x_labels = list(names)
    chart.add("", list(values))
    root = chart.render_tree()
    titles = [f"{name}: {shown(value)}" for name, value in zip(names, values, strict=True)]
    _strip(root, iter(titles))
    for name in ("id", "class"):
        root.attrib.pop(name, None)
    root.attrib.update({"class": "chart", "aria-hidden": "true", "focusable": "false"})
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704 (the library escapes the names)


def _strip(root: Any, titles: Iterator[str]) -> None:
    """Removes what the page does not need, and gives each bar a title that browsers show when it is pointed at."""
    for node in list(root.iter()):
        node.attrib.pop("style", None)
        if _is_unused(node):
            node.getparent().remove(node)
        elif node.get("class") == "bar":
            etree.SubElement(node, "title").text = next(titles)


def _is_unused(node: Any) -> bool:
    """Whether a node is a comment, a style, a script, a text for the scripts, or a background."""
    is_comment = not isinstance(node.tag, str)
    return is_comment or node.tag in _UNUSED or node.get("class") in ("background", "plot tooltip-overlay")


def _whole(value: float) -> str:
    return f"{value:,.0f}"
