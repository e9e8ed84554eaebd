"""Random sites: names, folders, front matter and bodies, made from parts so that a post that differs can be made small."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

Part = Callable[["Author"], str]

WORDS = "rain field Market window paper seven Stone river northern bread quiet harbour light".split()
LETTERS = "abzXYZ0189" + "  --__..,;!?()[]{}'&+=@#%~$^*|<>:" + "éÜßñİœ日本語Привет한글ά½№🎉\u0301\u00a0"


@dataclass(frozen=True)
class GeneratedPost:
    """A post as the lines of its front matter and the blocks of its body."""

    path: str
    front: tuple[tuple[str, str], ...]
    blocks: tuple[str, ...]
    syntax: str = "yaml"

    @property
    def text(self) -> str:
        if self.syntax == "toml":
            front = "+++\n" + "".join(f"{key} = {value}\n" for key, value in self.front) + "+++\n"
        elif self.syntax == "json":
            front = "{" + ",\n".join(f"{json.dumps(key)}: {value}" for key, value in self.front) + "}\n"
        else:
            front = "---\n" + "".join(f"{key}: {value}\n" for key, value in self.front) + "---\n"
        return front + "\n\n".join(self.blocks) + "\n"

    def smaller(self) -> list[GeneratedPost]:
        """Posts with fewer lines of front matter or fewer blocks, the smallest first."""
        count = len(self.blocks)
        runs = [self.blocks[start : start + size] for size in range(1, count) for start in range(count - size + 1)]
        less = [replace(self, blocks=run) for run in runs]
        return less + [
            replace(self, front=self.front[:at] + self.front[at + 1 :])
            for at in range(len(self.front))
            if self.front[at][0].lower() not in ("title", "url")
        ]


class Author:
    """Writes parts of posts, always the same for one seed."""

    def __init__(self, seed: int, inlines: Sequence[str], blocks: Sequence[Part]) -> None:
        self.random = random.Random(seed)
        self._inlines, self._blocks = inlines, blocks
        self._notes = 0

    def word(self) -> str:
        return self.random.choice(WORDS)

    def name(self) -> str:
        """A part of a path."""
        return "".join(self.random.choice(LETTERS) for _ in range(self.random.randint(1, 8)))

    def inline(self) -> str:
        """A piece of text, mostly with markup; `W` in it is a word."""
        return self.filled(self.random.choice(self._inlines))

    def code(self) -> str:
        """A piece of code. We show code as it is written, so a shortcode in it is escaped and no link is filled in: Hugo
        and Jekyll would do both there too."""
        while True:
            part = self.random.choice(self._inlines)
            if "/*" in part or not any(tag in part for tag in ("{{<", "{{%", "post_url", "% link")):
                return self.filled(part)

    def filled(self, part: str) -> str:
        while "W" in part:
            part = part.replace("W", self.word().replace("W", "w"), 1)
        return part

    def line(self) -> str:
        """The text of a paragraph, in one line."""
        pieces = [self.word().capitalize()]
        for _ in range(self.random.randint(1, 4)):
            pieces += [self.inline(), self.word()]
        return " ".join(pieces) + "."

    def note(self) -> str:
        """The label of a new footnote."""
        self._notes += 1
        return f"n{self._notes}"

    def body(self) -> tuple[str, ...]:
        return tuple(self.random.choice(self._blocks)(self) for _ in range(self.random.randint(1, 5)))


def paragraph(author: Author) -> str:
    return "\n".join(author.line() for _ in range(author.random.randint(1, 3)))


def heading(author: Author) -> str:
    return f"{'#' * author.random.randint(2, 4)} {author.line().rstrip('.')}"


def heading_with_id(author: Author) -> str:
    return f"{heading(author)} {{#{author.word()}}}"


def bullets(author: Author) -> str:
    return "\n".join(f"- {author.line()}" for _ in range(author.random.randint(1, 3)))


def numbers(author: Author) -> str:
    return "\n".join(f"{at}. {author.line()}" for at in range(1, author.random.randint(2, 4)))


def loose_list(author: Author) -> str:
    return f"- {author.line()}\n\n  {author.line()}\n\n- {author.line()}"


def nested_list(author: Author) -> str:
    return f"- {author.line()}\n  - {author.line()}\n  - {author.line()}\n- {author.line()}"


def fence(author: Author) -> str:
    lines = "\n".join(f"{'  ' * (at % 2)}{author.code()} # {author.word()}" for at in range(2))
    return f"```{author.random.choice(['', 'sh', 'python'])}\n{lines}\n```"


def tilde_fence(author: Author) -> str:
    return f"~~~\n# {author.code()}\n```\n~~~"


def list_with_fence(author: Author) -> str:
    return f"- {author.line()}\n\n  ```\n  {author.code()}\n  ```\n\n- {author.line()}"


def indented_code(author: Author) -> str:
    # after a list it would be part of the list
    return f"{paragraph(author)}\n\n    {author.code()}\n    # {author.word()}"


def quote(author: Author) -> str:
    return f"> {author.line()}\n> {author.line()}"


def table(author: Author) -> str:
    cells: list[str] = []
    while len(cells) < 3:
        if "|" not in (cell := author.inline()) and cell != "--":  # it would end the cell, or the head
            cells.append(cell)
    return f"| {cells[0]} | {author.word()} |\n|---|---|\n| {cells[1]} | {cells[2]} |"


def definitions(author: Author) -> str:
    return f"{author.word()}\n: {author.line()}"


def html_block(author: Author) -> str:
    return f'<div class="x">\n<p>{author.word()} <em>{author.word()}</em></p>\n</div>'


def html_comment(author: Author) -> str:
    return f"<!-- {author.word()} {author.word()} -->"


def rule(author: Author) -> str:
    return "***"


def footnote(author: Author) -> str:
    label = author.note()
    return f"{author.line().rstrip('.')}.[^{label}]\n\n[^{label}]: {author.line()}"


def reference(author: Author) -> str:
    label = author.note()
    return f"See [{author.word()}][{label}].\n\n[{label}]: https://a.example/{author.word()}"


def more(author: Author) -> str:
    return f"<!--more-->\n\n{paragraph(author)}"


def wrapped(before: str, after: str, inner: Part) -> Part:
    """A block inside of two lines. A theme reads the shortcodes in it again, so it has no escaped ones."""

    def write(author: Author) -> str:
        while "/*" in (text := inner(author)):
            pass
        return f"{author.filled(before)}\n{text}\n{author.filled(after)}"

    return write


def literal(text: str) -> Part:
    return lambda author: author.filled(text)


def code_lines(author: Author) -> str:
    return f'# {author.word()}\n  if a < b: print("*{author.word()}*")\n\n{author.word()}_{author.word()} = `x`'


MARKDOWN_INLINES = [
    "W", "*W*", "W", "**W**", "_W_", "~~W~~", "`W`", "``W`W``", "`{{ W }}`", "`{% W %}`", "`{:W, W}`", "[W](/W/)",
    "[*W*](https://a.example/W)", "[W](/W#W)", "![W](/W.png)", "<https://a.example/W>", "https://b.example/W", "<b>W</b>",
    "<kbd>W</kbd>", "&amp;", "&lt;", "W's", '"W"', "'W'", "--", "...", "{W}", "W_W_W", "2*3*4", "\\*W\\*", "5 $5", "(W)",
    "W/W", "W@W", "<br>", "W:W", "#W", "50%", "W!", "a<b", "a < b", "`a  b`", '<span class="x">W</span>', "<!-- W -->",
    '[W W](/W/ "W")', "`{{`", "`}}`",
]  # fmt: skip
MARKDOWN_BLOCKS: list[Part] = [
    paragraph, paragraph, paragraph, heading, heading_with_id, bullets, numbers, loose_list, nested_list, fence,
    tilde_fence, list_with_fence, indented_code, quote, table, definitions, html_block, html_comment, rule, footnote,
    reference,
]  # fmt: skip
HUGO_INLINES = [
    *MARKDOWN_INLINES,
    "{{< tip >}}", '{{< tip "W" >}}', "{{% tip %}}", "{{< span >}}W{{< /span >}}", "{{< span />}}", "{{</* tip */>}}",
    "{{%/* tip W */%}}", "`{{</* tip */>}}`", '[W]({{< ref "first.md" >}})', '[W]({{% relref "/posts/first" %}})', "{{ W }}",
    "{% W %}", "{{< param title >}}", "{{}}",
]  # fmt: skip
HUGO_BLOCKS: list[Part] = [
    *MARKDOWN_BLOCKS,
    more,
    wrapped("{{< note >}}", "{{< /note >}}", paragraph),
    wrapped("{{% note %}}", "{{% /note %}}", paragraph),
    wrapped('{{< note a="b }" >}}', "{{< /note >}}", fence),
    wrapped("{{< highlight python >}}", "{{< /highlight >}}", code_lines),
    literal("{{< tip >}}"),
    literal('{{< figure src="/W.png" alt="W" caption="W *W*" >}}'),
    literal("- [ ] W\n- [x] W"),
]
JEKYLL_INLINES = [
    *MARKDOWN_INLINES,
    "{{ site.nothing }}", "{{ 'W' | upcase }}", "{% raw %}{{ W }}{% endraw %}", "`{% raw %}{{ W }} {% W %}{% endraw %}`",
    "{% comment %}W{% endcomment %}", "{% if site.nothing %}W{% else %}W{% endif %}", "{% include nothing.html %}",
    "[W]({% post_url 2026-01-05-first %})", "[W]({% link _posts/2026-01-05-first.md %})", "{{ page.title }}",
    "[W]({{ '/W/' | relative_url }})", "*W*{: .W}", '[W](/W/){:target="_blank"}', "{% assign x = 'W' %}{{ x }}",
    "![W]({{ site.baseurl }}/W.png)",
]  # fmt: skip
JEKYLL_INLINES = [part for part in JEKYLL_INLINES if part not in ("`{{ W }}`", "`{% W %}`", "`{{`")]
JEKYLL_BLOCKS: list[Part] = [
    *MARKDOWN_BLOCKS,
    wrapped("{% raw %}", "{% endraw %}", literal("```\n{{ W }} {% W %}\n```")),
    wrapped("{% highlight python %}", "{% endhighlight %}", code_lines),
    wrapped("{% if true %}", "{% endif %}", paragraph),
    wrapped("{% comment %}", "{% endcomment %}", paragraph),
    lambda author: f"{paragraph(author)}\n{{: .{author.word()}}}",
    lambda author: f"{heading(author)}\n{{:.no_toc}}",
    literal("{% include nothing.html %}"),
]
