"""A site in a folder as the real Hugo reads it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from posts import Post, make_post
from sites import hugo_program, write_files

BASE = "https://site.example.org/"
CONFIG = f"""
baseURL = "{BASE}"
title = "Site"
timeZone = "UTC"
disableKinds = ["RSS", "sitemap", "robotsTXT", "404", "taxonomy", "term"]
[outputs]
home = ["json"]
[markup.goldmark.renderer]
unsafe = true
[markup.goldmark.extensions.passthrough]
enable = true
[markup.goldmark.extensions.passthrough.delimiters]
block = [['\\[', '\\]'], ['$$', '$$']]
inline = [['\\(', '\\)']]
[markup.highlight]
noClasses = false
[security]
allowContent = [".*"]
"""
"""`unsafe`: HTML in Markdown stays, as on most sites. `allowContent`: pages in HTML, which Hugo had by default for years.
`passthrough`: formulas stay as they are, on every site that has some."""
NEVER = "0001-01-01T00:00:00Z"
"""The date of a page without one."""

_DUMP = """
{{- $posts := slice -}}
{{- range site.RegularPages -}}
  {{- if .Permalink -}}
    {{- $posts = $posts | append (dict "path" .File.Path "url" .Permalink "title" .Title
      "date" ((cond .PublishDate.IsZero .Date .PublishDate).UTC.Format "2006-01-02T15:04:05Z")
      "cut" (not (or .Params.summary .Description (findRE `<!--more-->` .RawContent 1)))
      "topics" (slice .Params.categories .Params.tags .Params.series)
      "summary" (cond (and .Description (not .Params.summary)) .Description .Summary) "content" .Content) -}}
  {{- end -}}
{{- end -}}
{{- $posts | jsonify (dict "noHTMLEscape" true) -}}
"""
"""A description that someone wrote is the summary of the entry (docs/records.md)."""

_LAYOUTS = {
    "layouts/index.json": _DUMP,
    "layouts/index.html": "",
    "layouts/_default/single.html": "",
    "layouts/_default/list.html": "",
    # of a theme: one that shows what it encloses, one that shows nothing
    "layouts/shortcodes/note.html": '{{ .Inner | .Page.RenderString (dict "display" "block") }}',
    "layouts/shortcodes/span.html": "{{ .Inner }}",
    "layouts/shortcodes/tip.html": "",
}


class HugoSite:
    """A Hugo site with the content files `files`, by their paths below the site."""

    def __init__(self, root: Path, files: Mapping[str, str | bytes], config: str = CONFIG) -> None:
        self.root, self.content = root, root / "content"
        write_files(root, {"hugo.toml": config, **_LAYOUTS})
        write_files(self.content, files)

    def posts(self) -> dict[str, Post]:
        """The posts that Hugo publishes, by path."""
        self._hugo("build", "--logLevel", "error", "--destination", "public")
        dumps = sorted((self.root / "public").rglob("index.json"))
        assert dumps, "the home page is not published"
        posts = [post for dump in dumps for post in json.loads(dump.read_bytes())]
        return {
            post["path"]: make_post(
                url=post["url"],
                title=post["title"],
                date=post["date"].removeprefix(NEVER),
                topics=[topic for value in post["topics"] for topic in _as_list(value)],
                summary=post["summary"],
                is_cut=post["cut"],
                html=post["content"],
            )
            for post in posts
        }

    def published(self) -> dict[str, str]:
        """The URLs of the pages that `hugo list published` names, by path; lists of pages are none."""
        rows = csv.DictReader(io.StringIO(self._hugo("list", "published")))
        return {row["path"].removeprefix("content/"): row["permalink"] for row in rows if row["kind"] == "page"}

    def _hugo(self, *arguments: str) -> str:
        done = subprocess.run(
            [hugo_program(), *arguments, "--source", str(self.root)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def _as_list(value: object) -> list[str]:
    if isinstance(value, list):
        return [topic if isinstance(topic, str) else json.dumps(topic) for topic in value]
    return [str(value)] if value else []
