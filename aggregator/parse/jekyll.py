"""Jekyll: paths such as `[category/]_posts/2026-05-20-a-title.md` and `_drafts/…`, and Liquid tags in bodies."""

from __future__ import annotations

import posixpath
import re

from aggregator.parse.page_path import PagePath, split_dated_name, text_of_name, title_from_slug

# tags and outputs of Liquid, attributes of kramdown; none contains the start of another, so matching is linear
TEMPLATE_TAGS = re.compile(r"\{%[^{%]*+(?:%(?!\})[^{%]*+)*+%\}|\{\{[^{}]*+\}\}|\{:[^{}\n]*+\}")

SPECIAL_FOLDERS = ("_posts", "_drafts")


def read_jekyll_path(path: str, *, below_posts: bool = False) -> PagePath:
    """What the escaped POSIX path of a file states: folders above `_posts` are categories.

    Hidden are drafts, files in `_posts` without a date in their name, and what Jekyll leaves out of every site: names
    that begin with `_`, `.` or `#`, or end in `~`. `below_posts`: the records folder itself is a `_posts` folder.
    """
    page = posixpath.splitext(path)[0]
    *folders, name = page.split("/")
    special = next((index for index, folder in enumerate(folders) if folder in SPECIAL_FOLDERS), 0)
    day, slug = split_dated_name(name)
    topics = tuple(map(text_of_name, folders[:special]))
    is_hidden = (
        "_drafts" in folders
        or (day is None and (below_posts or "_posts" in folders))
        or any(part not in SPECIAL_FOLDERS and (part[0] in "_.#" or part.endswith("~")) for part in path.split("/"))
    )
    return PagePath(page, slug, title_from_slug(slug), day, topics, hidden=is_hidden)
