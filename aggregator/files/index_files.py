"""Which files of a source scans list: its records, and in Hugo and Zola the index files, which affect other files.

docs/spec.md#index-files.
"""

from __future__ import annotations

from aggregator.files.record_filter import RecordFilter
from aggregator.paths import unescape_path
from aggregator.settings import Source


def listed_filter(source: Source) -> RecordFilter:
    """Which files of a source scans list."""
    if source.layout != "hugo":
        return RecordFilter(source.include, source.exclude)
    from aggregator.parse.hugo import read_index_name

    languages = source.known_languages
    return RecordFilter(source.include, source.exclude, lambda name: read_index_name(name, languages))


def affected_folder(source: Source, path: str) -> str | None:
    """The folder (escaped, with a slash at its end; empty for that of the source) whose files the index file at the
    escaped `path` affects; None if it is no index file."""
    if source.layout != "hugo":
        return None
    from aggregator.parse.hugo import read_index_name

    folder, slash, name = path.rpartition("/")
    return folder + slash if read_index_name(unescape_path(name), source.known_languages) else None
