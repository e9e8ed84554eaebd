"""What small sites of Hugo and of Jekyll have alike: posts, and Markdown that both read."""

from __future__ import annotations

Files = dict[str, str | bytes]


def post(body: str = "Words.", **front_matter: str) -> str:
    """A post; the values are YAML as they stand."""
    lines = "".join(f"{key}: {value}\n" for key, value in front_matter.items())
    return f"---\n{lines}---\n{body}\n"


MARKDOWN = {
    "footnote": "The [survey][s] says so.[^1]\n\n[^1]: Forty people.\n\n[s]: https://survey.example.org/",
    "footnote_later": "One.[^a]\n\nTwo.[^b]\n\n[^a]: First note.\n[^b]: Second *note* with `code`.",
    "footnote_unused": "One.\n\n[^a]: Never used.",
    "footnote_missing": "One.[^zz] Two.",
    "footnote_twice": "One.[^a] Two.[^a]\n\n[^a]: Note.",
    "heading_id": "## Why {#why}\n\nText.",
    "definition_list": "Term\n: Definition one.\n: Definition two.\n\nOther term\n\n: Spaced definition.",
    "pipe_in_heading": "## One | two\n\nText.",
    "pipe_in_list": "- one | two\n- three",
    "table_plain": "a | b\n--|--\n1 | 2",
    "strike": "This ~~old~~ and ~one~ text.",
    "money": "It costs $5 and $10, or $a$.",
    "emphasis": "Some *one* _two_ **three** __four__ ***five*** in_word_under and 2*3*4.",
    "quotes": "\"Double\" and 'single' and it's -- so --- much... <<here>>.",
    "emoji": "A :smile: and :tada: here.",
    "html_block": 'Before.\n\n<div class="x">\n\nInner *text*.\n\n</div>\n\nAfter.',
    "html_block_tight": "Before.\n\n<div>\nInner *text*.\n</div>\n\nAfter.",
    "html_details": "<details><summary>More</summary>\n\nInner *text*.\n\n</details>\n\nAfter.",
    "html_indented": "<div>\n\n    <p>Indented</p>\n\n</div>",
    "html_comment": "One.\n\n<!-- a comment -->\n\nTwo.",
    "html_script": "One.\n\n<script>var x = 1 < 2;</script>\n\nTwo.",
    "html_entities": "A &amp; B &lt; C &copy; D &nbsp; E &#8212; F.",
    "less_than": "If a < b and c > d or x<y.",
    "ordered": "3. three\n4. four\n   1. inner\n\n   text",
    "nested_list": "- a\n  - b\n    - c\n- d",
    "loose_list": "- a\n\n- b\n\n  second",
    "quote": "> Quoted *text*\n> more\n\nAfter.",
    "list_first": "- one\n- two\n\nAfter.",
    "code_first": "```\ncode\n```\n\nAfter.",
    "image_first": "![The map](/map.png)\n\nAfter.",
    "rule_first": "---\n\nAfter.",
    "html_first": "<p>First <em>one</em>.</p>\n\nAfter.",
    "alert": "> [!NOTE]\n> Useful words.\n\nAfter.",
    "link_definition_first": "[a]: https://a.example/\n\nSee [a].",
    "abbreviation": "The HTML text.\n\n*[HTML]: Hyper Text",
    "long_words": "A" * 200 + " end.",
    "crlf": "One.\r\n\r\nTwo *three*.\r\n\r\n```\r\ncode\r\n```",
    "tabs": "-\ttab item\n\n\tinside",
    "cjk": "これは*テスト*です。\n次の行です。",
    "two_paragraphs": "One\nline two.\n\nThree.",
    "numbered_paren": "1) one\n2) two",
    "html_unclosed": "One <b>bold.\n\nTwo.",
}
"""Bodies by names."""
