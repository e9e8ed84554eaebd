"""A site in a folder as the real Jekyll reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from posts import Post, make_post
from sites import write_files

BASE = "https://site.example.org"
CONFIG = f"""
url: {BASE}
timezone: UTC
"""
_DUMP = """---
layout: null
---
[{% for post in site.posts %}
{"path": {{ post.path | jsonify }}, "url": {{ post.url | jsonify }}, "title": {{ post.title | jsonify }},
 "date": {{ post.date | date: "%Y-%m-%dT%H:%M:%SZ" | jsonify }}, "topics": {{ post.categories | concat: post.tags | jsonify }},
 "summary": {{ post.excerpt | jsonify }}, "description": {{ post.description | jsonify }}, "content": {{ post.content | jsonify }}}{% unless forloop.last %},{% endunless %}
{% endfor %}]
"""


class JekyllSite:
    """A Jekyll site with `files`, by their paths below the site."""

    def __init__(self, root: Path, files: Mapping[str, str | bytes], config: str = CONFIG) -> None:
        if shutil.which("jekyll") is None:
            pytest.skip("jekyll is not installed: make test-all installs it")
        self.root = root
        write_files(root, {"_config.yml": config, "dump.json": _DUMP, **files})

    def posts(self) -> dict[str, Post]:
        """The posts that Jekyll publishes, by path."""
        done = subprocess.run(
            ["jekyll", "build", "--quiet", "--disable-disk-cache", "--destination", str(self.root.parent / "public")],
            check=False,
            cwd=self.root,
            env={"PATH": os.environ["PATH"], "HOME": str(self.root), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        posts = json.loads((self.root.parent / "public" / "dump.json").read_bytes())
        return {
            post["path"]: make_post(
                url=BASE + post["url"],
                title=str(post["title"] or ""),
                date=post["date"],
                topics=map(str, post["topics"]),
                # a description that someone wrote is the summary of the entry (docs/records.md)
                summary=str(post["description"] or post["summary"] or ""),
                html=post["content"],
            )
            for post in posts
        }
