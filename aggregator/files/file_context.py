"""What the index files of Hugo and Zola say about a file: those in its folder, and in the folders above.

A file below an `index` is a resource of a leaf bundle and no page; `_index` files hand front matter down by `cascade`
(docs/spec.md#index-files). They are read as they are now, whether `include` names them or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from aggregator.errors import ShortageError
from aggregator.files import Files
from aggregator.parse.cascade import NO_CONTEXT, Cascade, PageContext
from aggregator.parse.hugo import INDEX_INITIALS, content_path, file_language, read_index_name
from aggregator.parse.page_path import language_key
from aggregator.parse.section import NO_SECTION, Section
from aggregator.paths import ABSENT, escape_name, unescape_path
from aggregator.problems import Problem, read_hint
from aggregator.settings import Source

ReadSection = Callable[[str, str], tuple[Section | Problem, bytes]]
"""What an `_index` file (escaped path) says about pages in a language, and its bytes. Raises OSError."""


@dataclass(frozen=True, slots=True)
class FileContext:
    """What the index files in the folder of a file, and in those above it, say about it."""

    bundle: str | None = None  # the index file of the leaf bundle that it is a resource of
    page: PageContext = NO_CONTEXT
    problem: Problem | None = None  # why that is unknown
    token: bytes = b""  # another one if anything that is said is another; empty if nothing is said


NOTHING_SAID = FileContext()
BUNDLE_PAGE = "index.md"
"""The name that wins if a folder has several index files, except over `index.org` and the like."""


@dataclass(slots=True)
class _Indexes:
    """The index files of one folder by their languages."""

    leaves: dict[str, str]
    sections: dict[str, str]
    problem: Problem | None = None


class FileContexts:
    """The contexts of the files of a source. An index file that was read once is not read again."""

    def __init__(self, source: Source, files: Files, read_section: ReadSection) -> None:
        self._source, self._files, self._read_section = source, files, read_section
        self._by_key: dict[tuple[str, str, bool | None], FileContext] = {}
        self._by_folder: dict[str, _Indexes] = {}
        self._by_section: dict[tuple[str, str], tuple[Section | Problem, bytes]] = {}

    def context(self, path: str) -> FileContext:
        """What they say about the file at the escaped `path`."""
        folder, slash, name = path.rpartition("/")
        languages = self._source.known_languages
        index = read_index_name(unescape_path(name), languages) if name[0] in INDEX_INITIALS else None
        language = file_language(name, languages)
        key = folder + slash, language, index and index.is_section
        if name == BUNDLE_PAGE:  # the usual case, and its folder need not be listed
            return self._page_context(key[0], language)
        context = self._cached(key)
        return self._page_context(key[0], language) if context.bundle == path else context

    def _cached(self, key: tuple[str, str, bool | None]) -> FileContext:
        if key not in self._by_key:
            self._by_key[key] = self._context(*key)
        return self._by_key[key]

    def _page_context(self, folder: str, suffix: str) -> FileContext:
        """What index files say about the page of the bundle in a folder: the same as of a page beside that folder."""
        if not folder:
            return NOTHING_SAID
        above, slash, _ = folder[:-1].rpartition("/")
        return self._cached((above + slash, suffix, None))

    def _context(self, folder: str, suffix: str, is_section: bool | None) -> FileContext:
        """What index files say about a file in a folder, whose name ends in the language `suffix`. `is_section`: of an
        index file, whether it is `_index`."""
        language = language_key(suffix, self._source.language)
        for indexes in map(self._indexes, _folders_down_to(folder)):
            if indexes.problem is not None:
                return FileContext(problem=indexes.problem)
            if indexes.leaves:
                bundle = indexes.leaves.get(language) or min(indexes.leaves.values())
                return FileContext(bundle=bundle, token=_hash(b"bundle", bundle.encode()))
        # a list of pages is never published
        return NOTHING_SAID if is_section else self._inherited(_folders_down_to(folder), language)

    def problem(self, path: str) -> Problem | None:
        """Why it is unknown what the `_index` file at the escaped `path` says about the pages below it."""
        name = read_index_name(unescape_path(path.rpartition("/")[2]), self._source.known_languages)
        if name is None or not name.is_section:
            return None
        section, _ = self._section(path, language_key(name.language, self._source.language))
        return section if isinstance(section, Problem) else None

    def _inherited(self, folders: list[str], language: str) -> FileContext:
        """What the sections in these folders, the highest one first, say about pages in `language`."""
        page, said = NO_CONTEXT, list[bytes]()
        for folder in folders:
            added = self._add_folder(page, folder, language, said)
            if isinstance(added, Problem):
                return FileContext(problem=added)
            page = added
        return FileContext(page=page, token=_hash(b"sections", *said)) if said else NOTHING_SAID

    def _add_folder(self, page: PageContext, folder: str, language: str, said: list[bytes]) -> PageContext | Problem:
        """`page` with what the sections in one more folder say. Adds to `said` what makes a difference."""
        cascades, draft, slug, indexes = page.cascades, page.draft_section, None, self._indexes(folder)
        # the file in the language of the page is nearest to it
        for _, path in sorted(indexes.sections.items(), key=lambda item: (item[0] == language, item)):
            section, raw = self._section(path, language)
            if isinstance(section, Problem):
                return section
            if section != NO_SECTION:
                said += [path.encode(), raw]
            if section.cascade is not None:
                cascades = (section.cascade, *cascades)
            if section.draft_line is not None and draft is None:
                draft = path, section.draft_line
            slug = section.slug
        depth = folder.count("/")
        is_section = depth == 1 or (depth > 1 and language in indexes.sections)
        if is_section and depth > 1:
            said.append(folder.encode())
        if is_section and slug is None:
            slug = _handed_down(cascades, content_path(f"{folder}_index.md", self._source.known_languages))
        slugs = ((depth, slug),) if slug else ()
        return PageContext(cascades, draft, page.section_slugs + slugs, depth if is_section else page.section_depth)

    def _section(self, path: str, language: str) -> tuple[Section | Problem, bytes]:
        if (path, language) not in self._by_section:
            try:
                section = self._read_section(path, language)
            except OSError as error:
                section = (NO_SECTION if error.errno in ABSENT else _unreadable(path, error)), b""
            self._by_section[path, language] = section
        return self._by_section[path, language]

    def _indexes(self, folder: str) -> _Indexes:
        """The index files in the folder at an escaped path, which ends with a slash."""
        if folder not in self._by_folder:
            indexes = _Indexes({}, {})
            try:
                for name in sorted(self._files.index_names(folder), key=str.lower):
                    index = read_index_name(name, self._source.known_languages)
                    if index is not None:  # of several, the last one counts
                        language = language_key(index.language, self._source.language)
                        kind = indexes.sections if index.is_section else indexes.leaves
                        kind[language] = folder + escape_name(name)
            except OSError as error:
                if error.errno not in ABSENT:
                    indexes.problem = _unreadable(folder.rstrip("/"), error)
            self._by_folder[folder] = indexes
        return self._by_folder[folder]


def _handed_down(cascades: tuple[Cascade, ...], section: str) -> str | None:
    """The slug that a section (its path on the site) gets from cascades, the nearest first."""
    return next((slug for cascade in cascades if (slug := cascade.section_slug(section)) is not None), None)


def _folders_down_to(folder: str) -> list[str]:
    """A folder, which ends with a slash, after the folders above it, the one of the source (empty) first."""
    parts = folder.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:count]) for count in range(len(parts) + 1)]


def _unreadable(path: str, error: OSError) -> Problem:
    ShortageError.check(error)
    reason = error.strerror or type(error).__name__
    return Problem(path, 0, 0, f"cannot be read: {reason}", None, read_hint(error))


def _hash(*parts: bytes) -> bytes:
    hasher = blake2b(digest_size=16)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.digest()
