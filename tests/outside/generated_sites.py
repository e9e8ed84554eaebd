"""Whole random sites of Hugo and Jekyll."""

from __future__ import annotations

import json
import posixpath

from generated import HUGO_BLOCKS, HUGO_INLINES, JEKYLL_BLOCKS, JEKYLL_INLINES, Author, GeneratedPost

DAYS = ["2026-03-01", "2026-02-28T10:00:00Z", "2026-03-01T23:30:00-05:00", "2025-12-31T01:02:03.5+05:30"]
FUTURE = "2062-03-01"


class HugoAuthor(Author):
    """Writes posts of a Hugo site."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, HUGO_INLINES, HUGO_BLOCKS)

    def site(self, size: int) -> list[GeneratedPost]:
        """Posts in sections with cascades, bundles with resources, and files with odd names."""
        pick = self.random
        sections = ["posts"]
        for number in range(size // 8):
            above = pick.choice(sections) if pick.random() < 0.5 else ""
            sections.append(posixpath.join(above, f"s{number}{pick.choice(['', ' b', '_C', '.d', 'É'])}"))
        made = [GeneratedPost("posts/first.md", (("date", "2026-01-01"),), ("First.",))]
        made += [self.list_page(section) for section in sections[1:] if pick.random() < 0.7]
        if pick.random() < 0.3:
            made.append(self.list_page(""))
        for number in range(size):
            section = pick.choice(sections)
            name = f"{pick.choice([''] * 8 + ['2026-04-05-', '.', '#', '_', '20260405'])}n{number}{self.name()}{pick.choice([''] * 20 + ['~'])}"
            form = pick.random()
            if form < 0.15:
                made.append(self.post(f"{section}/{name}/index.md"))
                made += [
                    self.post(f"{section}/{name}/{inner}.md") for inner in ("part", "deep/part")[: pick.randint(0, 2)]
                ]
            else:
                made.append(self.post(f"{section}/{name}.{pick.choice(['md', 'md', 'md', 'markdown'])}"))
        return made

    def list_page(self, section: str) -> GeneratedPost:
        """An `_index.md`, which may hand values down."""
        pick = self.random
        values = {
            "draft": ["true", "false"],
            "build": ["{list: never, render: never}", "{list: never}", "{render: never}", "{list: always}"],
            "expiryDate": ["2026-02-01", FUTURE],
            "publishDate": [FUTURE, "2026-01-15"],
            "tags": ["[from-above]"],
            "categories": ["[Above, Over]"],
            "title": ["From above"],
            "description": ["Described above"],
            "date": ["2026-01-20", FUTURE],
            "params": ["{x: 1}"],
            "lastmod": ["2026-02-20"],
        }
        if not section:  # what hides the home page hides the site
            values = {key: values[key] for key in ("tags", "categories", "description", "params", "lastmod")}
        maps = []
        for _ in range(pick.randint(0, 2)):
            keys = pick.sample(sorted(values), pick.randint(1, 2))
            lines = [f"{key}: {pick.choice(values[key])}" for key in keys]
            path = f"/{section.lower().replace(' ', '-')}"
            targets = [
                f"{{path: '{path}/**'}}",
                f"{{path: '{path}/n?2*'}}",
                "{kind: page}",
                "{kind: section}",
                "{path: '/posts/*'}",
            ]
            targets += [
                "{path: '{/posts,/s1*}/**'}",
                "{path: '**[0-4]*'}",
                "{environment: production}",
                "{kind: '{page,section}'}",
            ]
            target = pick.choice(["", "", "", *targets])
            maps.append("{" + ", ".join(([f"target: {target}"] if target else []) + lines) + "}")
        front = [("title", "A list")]
        if section and pick.random() < 0.1:
            front.append(("draft", "true"))
        if len(maps) == 1:
            front.append(("cascade", maps[0]))
        elif maps:
            front.append(("cascade", "[" + ", ".join(maps) + "]"))
        return GeneratedPost(posixpath.join(section, "_index.md"), tuple(front), ("A list.",))

    def post(self, path: str) -> GeneratedPost:
        pick = self.random
        # in TOML a dated name could be Zola's
        syntax = pick.choice(["yaml", "yaml", "yaml" if "/2026-" in path else "toml", "json"])
        quoted = syntax == "json"
        front: list[tuple[str, str]] = []

        def say(key: str, value: str, chance: float) -> None:
            if pick.random() < chance:
                front.append((pick.choice([key] * 12 + [key.capitalize(), key.upper(), key.lower()]), value))

        def date(value: str) -> str:
            return f'"{value}"' if quoted or not value else value

        say("date", date(pick.choice([*DAYS, *DAYS, *DAYS, FUTURE])), 0.85)
        say("title", json.dumps(self.title(), ensure_ascii=False), 0.8)
        say("draft", pick.choice(["true", "false"]), 0.15)
        say("publishDate", date(pick.choice([*DAYS, FUTURE, "" if syntax != "toml" else "2026-01-01"])), 0.15)
        say("expiryDate", date(pick.choice(["2026-03-02", FUTURE, FUTURE])), 0.15)
        say("lastmod", date(pick.choice(["2026-03-02", FUTURE])), 0.1)
        say("slug", json.dumps(self.title(), ensure_ascii=False), 0.15)
        say(
            "url",
            json.dumps(
                f"/u/{path.split('/')[-2][:3]}{len(path)}/{self.word()}{pick.choice(['', '/', '.html', ' x/'])}"
            ),
            0.08,
        )
        say("tags", json.dumps([self.word() for _ in range(pick.randint(0, 3))]), 0.5)
        say("categories", pick.choice([json.dumps(self.word()), json.dumps(["One Two", self.word()])]), 0.3)
        say("description", json.dumps(f"{self.word()} {self.word()}"), 0.15)
        say("summary", json.dumps(f"{self.word()} {self.word()}"), 0.1)
        if syntax == "yaml":
            say(
                "build",
                pick.choice(["{list: never}", "{render: never}", "{list: local}", "{list: always, render: link}"]),
                0.1,
            )
            say("headless", "true", 0.03)
            say("aliases", "[/old/place/]", 0.1)
        body = self.body()
        if any("param title" in block for block in body) and "title" not in {key.lower() for key, _ in front}:
            front.append(("title", '"Named"'))
        return GeneratedPost(path, tuple(front or [("weight", "1")]), body, syntax)

    def title(self) -> str:
        return self.random.choice(
            [
                self.word(),
                f"{self.word()} {self.word()}",
                f"{self.word()}'s: {self.word()}? & {self.word()}!",
                "Über C++ 2.0",
            ]
        )


class JekyllAuthor(Author):
    """Writes posts of a Jekyll site."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, JEKYLL_INLINES, JEKYLL_BLOCKS)

    def site(self, size: int) -> list[GeneratedPost]:
        pick = self.random
        made = [GeneratedPost("_posts/2026-01-05-first.md", (("title", "First"),), ("First.",))]
        for number in range(size):
            above = pick.choice(["", "", "", "news/", "News Room/", "a/b/"])
            below = pick.choice(["", "", "", "sub/", "_sub/", "2025/"])
            day = pick.choice(["2026-03-01-"] * 8 + ["2026-3-1-", "2062-03-01-", "", "26-03-01-", "2026-03-01 "])
            mark = pick.choice([""] * 12 + ["_", "#", "."])
            ending = pick.choice(["md"] * 6 + ["markdown", "html"])
            path = f"{above}_posts/{below}{mark}{day}n{number}{self.name()}.{ending}"
            made.append(self.post(path))
        return made

    def post(self, path: str) -> GeneratedPost:
        pick = self.random
        front: list[tuple[str, str]] = [("layout", "null")]

        def say(key: str, value: str, chance: float) -> None:
            if pick.random() < chance:
                front.append((key, value))

        say("title", json.dumps(f'{self.word()} "{self.word()}" & {self.word()}'), 0.8)
        say(
            "date",
            pick.choice(
                ["2026-02-03", "2026-02-03 10:20:30", "2026-02-03 23:20 -0500", "2026-02-03T01:00:00+05:30", FUTURE]
            ),
            0.3,
        )
        say("published", pick.choice(["true", "false"]), 0.1)
        say("categories", pick.choice(["one two", "[A B, c]", "[Übung, C++]", "[]"]), 0.3)
        say("category", pick.choice(["Solo Cat", "x"]), 0.1)
        say("tags", pick.choice(["red green", "[Red, dark blue]", "[]", "[2026]"]), 0.4)
        say("slug", json.dumps(pick.choice(["a-slug", "A Slug's", "v1.2"]), ensure_ascii=False), 0.1)
        say("permalink", pick.choice(["/p/:year/:title/", "/p/:categories/:slug.html", "/fixed/:title"]), 0.1)
        say("excerpt", json.dumps(f"{self.word()} {self.word()}"), 0.08)
        say("excerpt_separator", '"<!--more-->"', 0.08)
        if "excerpt" not in dict(front):
            say("description", json.dumps(f"{self.word()} {self.word()}"), 0.1)
        body = (
            self.body() if not path.endswith(".html") else ("<p>Some <em>text</em>.</p>", "    <p>{{ 'more' }} *x*</p>")
        )
        return GeneratedPost(path, tuple(front), body)
