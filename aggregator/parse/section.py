"""What an `_index` file of Hugo or Zola says about the pages below it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.parse.cascade import Cascade, CascadeError, read_cascade
from aggregator.parse.front_matter import has_front_matter, read_front_matter
from aggregator.parse.front_matter.values import AllowedKeys, FrontMatterError, Limits
from aggregator.parse.hugo import file_language, slug_path
from aggregator.parse.keys import CASCADE, read_keys
from aggregator.parse.page_path import language_key
from aggregator.parse.record import decode_text
from aggregator.parse.values import meaning
from aggregator.problems import Problem
from aggregator.settings import Source

_ZOLA_KEYS = (
    "sort_by paginate_by paginate_path paginate_reversed insert_anchor_links in_search_index template page_template"
    " transparent generate_feed generate_feeds redirect_to extra"
).split()
"""Keys of sections that Zola has and Hugo lacks. Zola leaves out the whole of a draft section, Hugo only its list."""
_KEYS = AllowedKeys((CASCADE, "draft", "slug", *_ZOLA_KEYS))


@dataclass(frozen=True, slots=True)
class Section:
    """What an `_index` file says about the pages below it."""

    cascade: Cascade | None = None
    draft_line: int | None = None  # the line that hides them all
    slug: str | None = None  # the name of the folder in their URLs, in Hugo; empty: its own; None: not stated


NO_SECTION = Section()


def read_section(raw: bytes, path: str, source: Source, language: str) -> Section | Problem:
    """What the bytes of the `_index` file at `path` say about pages in `language`, or why that is unknown."""
    own_language = language_key(file_language(path, source.known_languages), source.language)
    try:
        text = decode_text(raw)
        if not has_front_matter(text):
            return NO_SECTION
        front_matter, _ = read_front_matter(text, _KEYS, Limits(source.max_depth, source.max_nodes))
        values = front_matter.values
        cascade, draft = None, values.get("draft")
        if stated := values.get(CASCADE):
            keys = read_keys(source.fields, has_cascade=True)
            cascade = read_cascade(stated, path, keys, source, own_language=own_language, language=language)
    except FrontMatterError as error:
        return Problem(path, error.line, error.column, error.what, None, error.hint)
    except CascadeError as error:
        return Problem(path, error.line, error.column, error.what, None, "correct it")
    is_draft = draft is not None and meaning(draft.value) is True
    is_zola = front_matter.is_toml and not values.keys().isdisjoint(_ZOLA_KEYS)
    if cascade is not None and not cascade.rules:
        cascade = None
    if own_language != language:
        return Section(cascade)
    slug = values["slug"].value if "slug" in values and not is_zola else None
    draft_line = draft.line if draft and is_draft and is_zola else None
    return Section(cascade, draft_line, slug_path(slug) if isinstance(slug, str) else None)
