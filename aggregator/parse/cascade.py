"""Hugo's `cascade`: front matter that a file hands down to the pages below it. docs/spec.md#index-files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aggregator.parse.front_matter.values import Value
from aggregator.parse.hugo import slug_path
from aggregator.parse.keys import CASCADE, FieldKeys
from aggregator.parse.page_path import language_key
from aggregator.parse.values import is_null, lower_keys, meaning
from aggregator.settings import Source

if TYPE_CHECKING:
    from aggregator.parse.hugo_glob import Glob

MAX_RULES = 100
"""Maps in one cascade."""
_TARGET = ("target", "_target")
_FORBIDDEN = ("kind", "path", "lang", CASCADE)
"""Keys that Hugo refuses in a cascade."""
_ENVIRONMENT = "production"
"""That of a published site."""
_PAGE, _SECTION = "page", "section"
_KINDS = (_PAGE, "home", _SECTION, "taxonomy", "term")
"""The kinds of pages; only those of the first one are records."""
_OWN_KEYS = frozenset(
    "title linktitle description summary slug url type draft headless build _build date lastmod modified publishdate"
    " pubdate published expirydate unpublishdate".split()
)
"""Keys that have no effect below `params` of a page."""


class CascadeError(Exception):
    """A cascade that Hugo refuses, or whose target depends on what is not known here."""

    def __init__(self, line: int, column: int, what: str) -> None:
        super().__init__(what)
        self.line, self.column, self.what = line, column, what


@dataclass(frozen=True, slots=True)
class CascadeRule:
    """What one map of a cascade hands down, and to which pages and sections."""

    path: Glob | None  # None: all
    values: Mapping[str, Any]  # for pages, by canonical names of mapped keys; `params` are among them
    section_slug: str | None  # for sections, the name of their folders in URLs; None: not stated


@dataclass(frozen=True, slots=True)
class Cascade:
    """The cascade of a file, for the pages in its language."""

    file: str
    line: int
    rules: tuple[CascadeRule, ...]  # of rules for one page, the first one wins; for one section too

    def section_slug(self, section: str) -> str | None:
        """The slug that a cascade gives the section at this path of the site; None if no cascade gives it any."""
        matching = (rule.section_slug for rule in self.rules if rule.path is None or rule.path.matches(section))
        return next((slug for slug in matching if slug is not None), None)


@dataclass(frozen=True, slots=True)
class PageContext:
    """What the files above a page say about it."""

    cascades: tuple[Cascade, ...] = ()  # nearest first
    draft_section: tuple[str, int] | None = None  # file and line of the section of Zola that hides the page
    section_slugs: tuple[tuple[int, str], ...] = ()  # which folder (1 is the highest) has another name in URLs
    section_depth: int = 1  # which folder is the section of the page: the lowest one with an `_index`, or the highest


NO_CONTEXT = PageContext()
"""Nothing above a page says anything about it."""


def read_cascade(
    value: Value, file: str, keys: FieldKeys, source: Source, *, own_language: str, language: str
) -> Cascade:
    """The cascade that `value` states in a file, whose language is `own_language`, for pages in `language`.

    Raises CascadeError.
    """
    stated = meaning(value.value)
    maps = [stated] if isinstance(stated, dict) else stated
    if maps is None:
        maps = []
    if not isinstance(maps, list) or len(maps) > MAX_RULES:
        raise CascadeError(value.line, value.column, f"'{CASCADE}' is not a map, or a list of at most {MAX_RULES} maps")
    maps = [item for item in maps if isinstance(item, dict)]  # Hugo ignores others
    try:
        rules = [_read_rule(item, keys, source, own_language, language) for item in maps]
    except _TargetError as error:
        raise CascadeError(value.line, value.column, f"'{CASCADE}' {error}") from None
    has_effect = (rule for rule in rules if rule and (rule.values or rule.section_slug is not None))
    return Cascade(file, value.line, tuple(has_effect))


def inherit_values(own: Mapping[str, Value], cascades: Iterable[Cascade], page: str) -> dict[str, Value]:
    """The values of a page at the path `page` on its site: its own ones, and what it lacks from cascades,
    the nearest first."""
    values = dict(own)
    params = own.get("params")
    below = set(lower_keys(params.value)) - _OWN_KEYS if params else set()
    for cascade in cascades:
        for rule in cascade.rules:
            if rule.path is not None and not rule.path.matches(page):
                continue
            for name, value in rule.values.items():
                if name not in values and name.lower() not in below:
                    values[name] = Value(value, cascade.line, 1, cascade.file)
    return values


class _TargetError(Exception):
    """Why a map of a cascade cannot be used."""


def _read_rule(
    item: Mapping[Any, Any], keys: FieldKeys, source: Source, own_language: str, language: str
) -> CascadeRule | None:
    """The rule of a map for pages and sections; None if it is not for those in `language`."""
    folded = lower_keys(item)
    if forbidden := next((key for key in _FORBIDDEN if key in folded), None):
        raise _TargetError(f"hands down '{forbidden}', which Hugo refuses")
    targets = [_read_target(folded[name]) for name in _TARGET if name in folded]
    kinds = set(_KINDS).intersection(*(_kinds(target) for target in targets))
    if kinds.isdisjoint((_PAGE, _SECTION)) or not all(
        _is_met(target, source, own_language, language) for target in targets or [{}]
    ):
        return None
    paths = [str(target["path"]) for target in targets if target.get("path")]
    if len(paths) > 1:
        raise _TargetError("has two targets")
    path, slug = _read_glob(paths[0]) if paths else None, folded.get("slug")
    values = _mapped({**folded, **lower_keys(folded.get("params"))}, keys) if _PAGE in kinds else {}
    return CascadeRule(path, values, slug_path(slug) if _SECTION in kinds and isinstance(slug, str) else None)


def _mapped(given: Mapping[str, Any], keys: FieldKeys) -> dict[str, Any]:
    """The values of mapped keys. An id is never handed down: it would belong to several records."""
    names = {keys.allowed.names.get(key): value for key, value in given.items()}
    return {name: value for name, value in names.items() if name and name not in (*keys.of("id"), CASCADE)}


def _read_target(stated: object) -> dict[str, Any]:
    if is_null(stated):
        return {}
    if not isinstance(stated, dict):
        raise _TargetError("has a target that is not a map")
    target = lower_keys(stated)
    if any(isinstance(target.get(key), list | dict) for key in ("path", "kind", "lang", "environment")):
        raise _TargetError("has a target whose pattern is not a text")
    return target


def _kinds(target: Mapping[str, Any]) -> set[str]:
    """The kinds of pages that meet a target."""
    if not target.get("kind"):
        return set(_KINDS)
    kinds = set(filter(_read_glob(str(target["kind"])).matches, _KINDS))
    if not kinds:
        raise _TargetError("has a target with an unknown kind")
    return kinds


def _is_met(target: Mapping[str, Any], source: Source, own_language: str, language: str) -> bool:
    """Whether pages in `language` meet all of a target but its kind and path. Without a condition about languages, a
    cascade is for pages in that of its own file."""
    if target.get("environment") and not _read_glob(str(target["environment"])).matches(_ENVIRONMENT):
        return False
    matrix = lower_keys(lower_keys(target.get("sites")).get("matrix"))
    if matrix.keys() - {"languages"}:
        raise _TargetError("has a target whose 'sites' are not known here")
    stated = matrix.get("languages") or []
    patterns = [str(item) for item in (stated if isinstance(stated, list) else [stated])]
    if target.get("lang"):
        patterns.append(str(target["lang"]))
    if any(pattern.startswith("!") for pattern in patterns):
        raise _TargetError("has a target that excludes languages by '!', which is not read here")
    globs = [_read_glob(pattern) for pattern in patterns]
    known = {language_key(name, source.language) for name in source.known_languages}
    # Hugo takes patterns that match no language of the site for no condition
    is_condition = any(glob.matches(name) for glob in globs for name in known)
    if not globs:
        return language == own_language
    return not is_condition or any(glob.matches(language) for glob in globs)


def _read_glob(pattern: str) -> Glob:
    from aggregator.parse.hugo_glob import Glob, GlobError  # few records have a cascade

    try:
        return Glob(pattern)
    except GlobError:
        raise _TargetError("has a target with a pattern that cannot be read") from None
