"""Hugo and Zola: paths such as `posts/a-title.de.md` and `posts/a-title/index.md`."""

from __future__ import annotations

import posixpath
import re

from aggregator.parse.page_path import PagePath, path_date, split_dated_name, title_from_slug

_LANGUAGE_SUFFIX = re.compile(r"\.([A-Za-z]{2}(?:[-_][A-Za-z]{2,4})?)\Z")
_LANGUAGES = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv"
    " ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne"
    " ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st"
    " su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
"""ISO 639-1: `post.de.md` has a language, `node.js.md` does not."""


def read_hugo_path(path: str, site_language: str) -> PagePath:
    """What the escaped POSIX path of a file states: its language, and `index` as the page of its folder.

    The URLs of pages in another language than the site's begin with that language.
    """
    page = posixpath.splitext(path)[0]
    match = _LANGUAGE_SUFFIX.search(page)
    language = match[1] if match and match[1][:2].lower() in _LANGUAGES else ""
    page = page.removesuffix(f".{language}") if language else page
    folder, name = posixpath.split(page)
    is_list = name == "_index"
    if name == "index" and folder:
        page, name = folder, posixpath.basename(folder)
    day, slug = split_dated_name(name)
    day = day or path_date(page)
    if language.lower() not in ("", site_language.lower()):
        page = f"{language}/{page}"
    return PagePath(page, slug, title_from_slug(slug), day, (), language, is_list)
