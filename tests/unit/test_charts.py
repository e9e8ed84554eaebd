"""Charts of the status page."""

from __future__ import annotations

from lxml import etree

from aggregator.render.charts import bar_chart, column_chart
from aggregator.render.status_page import duration

SVG = "{http://www.w3.org/2000/svg}"


def texts(chart: str, tag: str = "text") -> list[str]:
    return [node.text for node in etree.fromstring(chart).iter(SVG + tag)]


def test_a_bar_chart_has_names_from_top_to_bottom_and_values() -> None:
    chart = bar_chart(["AI & <b>", "Maps"], [1200, 3])
    places = {node.text: float(node.get("y")) for node in etree.fromstring(chart).iter(f"{SVG}text")}
    assert set(places) == {"AI & <b>", "Maps", "1,200", "3"}
    assert places["AI & <b>"] < places["Maps"]
    assert abs(places["1,200"] - places["AI & <b>"]) < 10
    assert texts(chart, "title") == ["Maps: 3", "AI & <b>: 1,200"]


def test_a_column_chart_names_some_columns_and_titles_all() -> None:
    chart = column_chart([f"{day} May" for day in range(1, 15)], list(range(14)), width=400, named_every=7)
    assert {"1 May", "8 May"} <= set(texts(chart))
    assert "2 May" not in texts(chart)
    assert "2 May: 1" in texts(chart, "title")


def test_charts_have_no_styles_and_no_scripts() -> None:
    for chart in (bar_chart(["a"], [0]), column_chart(["a", "b"], [0, 0], width=300, named_every=1)):
        root = etree.fromstring(chart)
        assert all("style" not in node.attrib for node in root.iter())
        assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {"svg", "g", "rect", "path", "text", "title"}
        assert root.get("aria-hidden") == "true"


def test_the_same_numbers_give_the_same_chart() -> None:
    assert bar_chart(["a"], [1]) == bar_chart(["a"], [1])


def test_durations_have_a_unit_that_fits() -> None:
    shown = [duration(seconds) for seconds in (0, 1e-9, 0.9996, 59.97, 3599, 86_399, 99.7 * 86_400, 400 * 86_400)]
    assert shown == ["0 ms", "0 ms", "1 s", "1 min", "1 h", "1 d", "100 d", "400 d"]
    shown = [duration(seconds) for seconds in (0.0304, 1.234, 90, 7200, 200_000)]
    assert shown == ["30.4 ms", "1.23 s", "1.5 min", "2 h", "2.3 d"]
