"""The posts that this program publishes from the folder of a site."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
import unicodedata
import uuid
from pathlib import Path

from posts import Post, make_post
from sites import write_files

_CONFIG = """
[site]
id = "site.example.org"
title = "Site"
base_url = "https://feeds.example.org/"
[records]
path = "{path}"
include = ["*.md", "*.markdown", "*.html"]
{records}
[output]
formats = ["json"]
archive = false
pages = false
max_bytes = "200MB"
[topics]
auto = false
[ingest]
workers = 0
[[feed]]
slug = "posts"
title = "Posts"
content = "full"
limit = 5000
"""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "site.example.org")


def our_posts(root: Path, records: Path, lines: str, *, prefix: str = "") -> dict[str, Post]:
    """The posts by path, `prefix` before it. `lines` go into `[records]`; `root` is a folder for config and output."""
    write_files(root, {"config/aggregator.toml": _CONFIG.format(path=records, records=lines)})
    done = subprocess.run(
        [sys.executable, "-m", "aggregator", "build"],
        check=False,
        cwd=root,
        env={name: value for name, value in os.environ.items() if not name.startswith("AGGREGATOR_")}
        | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (root / "log").write_text(done.stderr)
    items = json.loads((root / "output" / "posts" / "feed.json").read_bytes())["items"]
    paths = {_id(path.relative_to(records).as_posix()): path for path in records.rglob("*") if path.is_file()}
    return {
        prefix + paths[item["id"]].relative_to(records).as_posix(): make_post(
            url=item.get("url", ""),
            title=item["title"],
            date=item.get("date_published", "").replace("+00:00", "Z"),
            topics=item.get("tags", ()),
            summary=html.escape(item.get("summary", "")),
            html=item.get("content_html") or html.escape(item.get("content_text", "")),
        )
        for item in items
    }


def _id(path: str) -> str:
    """The id of a record that states none (docs/spec.md#identity)."""
    path = unicodedata.normalize("NFC", path.replace("%", "%25"))
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'path:/{path}')}"
