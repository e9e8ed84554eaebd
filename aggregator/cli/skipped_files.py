"""Files of a records folder that look like records and are not read, for `check`. Needs no store."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from aggregator.config import Config
from aggregator.files import FolderError, Unreadable, open_files
from aggregator.files.record_filter import RecordFilter
from aggregator.model import SourceFile
from aggregator.parse import hugo, jekyll
from aggregator.paths import unescape_path
from aggregator.problems import Problem, shown_path
from aggregator.settings import Source

_ENDINGS = ("md", "markdown", "mdown", "mkdown", "mkdn", "mkd", "html", "htm", "txt", "text")
_UNREAD = {"plain": (), "hugo": hugo.UNREAD_ENDINGS, "jekyll": jekyll.UNREAD_ENDINGS}
_ALL_UNREAD = tuple(sorted({*hugo.UNREAD_ENDINGS, *jekyll.UNREAD_ENDINGS}))
PAGE_NAMES = tuple(
    f"*.{''.join(f'[{letter}{letter.upper()}]' for letter in ending)}"
    for ending in (*_ENDINGS, *(ending[1:] for ending in _ALL_UNREAD))
)
"""Names that static site generators read as pages, and those of texts, in any case."""
FENCES = (b"---\n", b"---\r", b"+++\n", b"+++\r")
"""How a file with front matter begins."""
FENCE_READ = 4096
"""Bytes that are read to see that: of an object, less would not be quicker."""


def find_skipped(config: Config) -> Iterator[Problem]:
    """A notice for each records folder with pages in a format that is not read, and a warning for each kind of files
    there that begin like records and that `include` does not match."""
    positions = config.positions
    for source in config.sources:
        try:
            unread, skipped = _list_skipped(source)
        except FolderError:
            continue  # the check of records reports it
        if unread:
            what, hint = f"pages in a format that is not read: {len(unread)}", "write them in Markdown or HTML"
            yield Problem(shown_path(source.root, min(unread)), 0, 0, what, None, hint, "notice")
        line = positions.record_key(source.name, "include")
        for suffix, paths in sorted(skipped.items()):
            what = f"files that begin like records are not read, {len(paths)} in all"
            hint = f'add "*{suffix}" to include of [records] if they are records'
            path = positions.file or shown_path(source.root, min(paths))
            yield Problem.on_line(path, line, what, f"*{suffix}", hint, "warning")


def _list_skipped(source: Source) -> tuple[list[str], dict[str, list[str]]]:
    """The escaped paths of files that are not included: pages of the layout in a format that is not read; and those
    that begin like records, by the endings of their names. Raises FolderError."""
    # a pattern for paths chooses among files of a kind
    kinds = (f"*{os.path.splitext(pattern)[1]}" if "/" in pattern else pattern for pattern in source.include)
    is_included = RecordFilter(tuple(kinds))
    unread: list[str] = []
    skipped: dict[str, list[str]] = defaultdict(list)
    with open_files(replace(source, include=PAGE_NAMES)) as files:

        def candidates() -> Iterator[SourceFile]:
            for batch in files.list_all():
                for row in () if isinstance(batch, Unreadable) else batch:
                    if is_included(unescape_path(row[0])):
                        continue
                    if _is_unread_page(source, row[0]):
                        unread.append(row[0])
                    else:
                        yield SourceFile(source.name, *row)

        for content in files.read_ahead(candidates(), FENCE_READ):
            if not isinstance(content, OSError) and content[0][:4] in FENCES:
                path = content[1].path
                skipped[os.path.splitext(path)[1]].append(path)
    return unread, skipped


def _is_unread_page(source: Source, path: str) -> bool:
    is_post = source.layout != "jekyll" or "/_posts/" in f"{source.root}/{path}"
    return is_post and path.lower().endswith(_UNREAD[source.layout])
