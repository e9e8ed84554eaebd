"""Jekyll: paths such as `[category/]_posts/2026-05-20-a-title.md` and `_drafts/…`, and Liquid tags in bodies."""

from __future__ import annotations

import posixpath
import re

from aggregator.parse.page_path import PagePath, split_dated_name, text_of_name, title_from_slug

# tags and outputs of Liquid, attributes of kramdown; none contains the start of another, so matching is linear
TEMPLATE_TAGS = re.compile(r"\{%[^{%]*+(?:%(?!\})[^{%]*+)*+%\}|\{\{[^{}]*+\}\}|\{:[^{}\n]*+\}")


def read_jekyll_path(path: str) -> PagePath:
    """What the escaped POSIX path of a file states: folders above `_posts` are categories."""
    page = posixpath.splitext(path)[0]
    *folders, name = page.split("/")
    special = next((index for index, folder in enumerate(folders) if folder in ("_posts", "_drafts")), 0)
    day, slug = split_dated_name(name)
    topics = tuple(map(text_of_name, folders[:special]))
    return PagePath(page, slug, title_from_slug(slug), day, topics, hidden="_drafts" in folders)
