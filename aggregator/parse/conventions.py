"""Layout: what Jekyll, Hugo and Zola say of a record beside its front matter, by where its file is.

Jekyll has `[category/]_posts/2026-05-20-a-title.md` and `_drafts/…`; Hugo `posts/a-title.md`, `posts/a-title/index.md`,
`a-title.de.md` and `_index.md`, a list of pages that is none itself; Zola the same, and dates before names.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from urllib.parse import quote

from aggregator.parse.clean import http_url, xml_text
from aggregator.paths import unescape_path
from aggregator.settings import Layout
from aggregator.unicode import normal_form

_DATED = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[-_ ](.+))?", re.DOTALL)
_DATED_PATH = re.compile(r"(?:^|/)([0-9]{4})[/-]([0-9]{1,2})[/-]([0-9]{1,2})(?=[/_ -]|$)")
_PLACEHOLDER = re.compile(r"\{(path|slug|year|month|day)\}")
_WHOLE = ("/", ".html", ".htm")
"""How a stated path ends that says all of an address."""
_SUFFIX = re.compile(r"\.([A-Za-z]{2}(?:[-_][A-Za-z]{2,4})?)\Z")
_SAFE = "/%!$&'()*+,;=@~"
_LANGUAGES = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv"
    " ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne"
    " ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st"
    " su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
"""ISO 639-1: `post.de.md` has a language, `node.js.md` has none."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the path of a file says. `page` is the path of its page without extension, `slug` the end of it without a
    date; `date` is midnight without a zone; `hidden`: it is a draft, or a list of pages."""

    page: str
    slug: str
    title: str = ""
    date: datetime | None = None
    topics: tuple[str, ...] = ()
    language: str = ""
    hidden: bool = False


def read_place(path: str, layout: Layout, language: str) -> Place:
    """What the escaped POSIX path of a file says in that layout; in the plain one nothing but its page. `language` is
    that of pages whose address does not begin with one."""
    page = posixpath.splitext(path)[0]
    if layout == "plain":
        return Place(page, posixpath.basename(page))
    return _jekyll_place(page) if layout == "jekyll" else _hugo_place(page, language)


def path_date(path: str) -> datetime | None:
    """The first date in the folders of a path or at the start of one: `2026/05/20/title`, `2026-05-20-title/x`."""
    return next(filter(None, (_midnight(*match.group(1, 2, 3)) for match in _DATED_PATH.finditer(path))), None)


def page_address(template: str, place: Place, stated: str | None, slug: str, published: datetime | None) -> str | None:
    """The address of a page by a template of the config; None if it takes a date and there is none.

    A path that the record states stands in place of the first placeholder. What the template has after it follows
    only if that is no other placeholder, and if the path does not end as a whole address does. `published` is in the
    zone that the site counts days in.
    """
    if stated is not None:
        first, *more = _PLACEHOLDER.finditer(template)
        tail = "" if more or stated.endswith(_WHOLE) else template[first.end() :]
        return http_url(template[: first.start()] + _quoted(stated.lstrip("/")) + tail)
    end = slug.strip("/") or place.slug
    values = {"path": posixpath.join(posixpath.dirname(place.page), slug.strip("/")) if slug else place.page}
    values["slug"] = end
    if published is not None:
        values |= {"year": f"{published:%Y}", "month": f"{published:%m}", "day": f"{published:%d}"}
    if any(match[1] not in values for match in _PLACEHOLDER.finditer(template)):
        return None
    return _PLACEHOLDER.sub(lambda match: _quoted(values[match[1]]), template)


def _jekyll_place(page: str) -> Place:
    """Jekyll's documented names: folders above `_posts` are categories, words of the slug are the title."""
    *folders, name = page.split("/")
    special = next((index for index, folder in enumerate(folders) if folder in ("_posts", "_drafts")), 0)
    match = _DATED.fullmatch(name)
    day = _midnight(*match.group(1, 2, 3)) if match else None
    slug = match[4] or name if match and day else name
    topics = tuple(_plain_name(folder) for folder in folders[:special])
    return Place(page, slug, _title(slug), day, topics, hidden="_drafts" in folders)


def _hugo_place(page: str, default: str) -> Place:
    """Hugo's and Zola's names: the language behind the name, the folder of an `index` as the page itself."""
    language = match[1] if (match := _SUFFIX.search(page)) and match[1][:2].lower() in _LANGUAGES else ""
    page = page.removesuffix(f".{language}") if language else page
    folder, name = posixpath.split(page)
    hidden = name == "_index"
    if name == "index" and folder:
        page, name = folder, posixpath.basename(folder)
    match = _DATED.fullmatch(name)
    day = _midnight(*match.group(1, 2, 3)) if match else None
    slug = match[4] or name if match and day else name
    day = day or path_date(page)
    if language.lower() not in ("", default.lower()):
        page = f"{language}/{page}"
    return Place(page, slug, _title(slug), day, (), language, hidden)


def _midnight(year: str, month: str, day: str) -> datetime | None:
    try:
        return datetime.combine(date(int(year), int(month), int(day)), time())
    except ValueError:
        return None


def _title(slug: str) -> str:
    """The words of a slug, each with a capital, as Jekyll makes a title."""
    words = re.split("[-_ ]+", _plain_name(slug))
    return " ".join(word[:1].upper() + word[1:] for word in words if word)


def _plain_name(name: str) -> str:
    """The text of an escaped name."""
    return xml_text(unescape_path(name))


def _quoted(path: str) -> str:
    return quote(normal_form(path), safe=_SAFE)
