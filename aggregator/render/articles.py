"""Entries as HTML: cards on the page of a feed, lines in a list. Not by templates, which take several times as long."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from datetime import date, datetime
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from aggregator.model import Enclosure, Entry, Image, Related, Topic
from aggregator.problems import local_time, shown_offset
from aggregator.render.cache import EntryCache
from aggregator.render.content import (
    Scope,
    foreign_language,
    is_right_to_left,
    provider_of,
    provider_url,
    titled_entry,
)
from aggregator.render.markup import rfc3339_date
from aggregator.unicode import xml_text

# %B depends on the locale of the process
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_ENGLISH, _LEFT_TO_RIGHT = Markup(' lang="en"'), Markup(' dir="ltr"')
CARD = "card"
CACHE_BYTES = 20_000_000
# Tags as the sanitiser writes them: a quoted value may hold any other character.
_ATTRIBUTES = r'(?: [a-z]+="[^"]*+")*+>'
_MEDIA_TAG = re.compile(rf"</?(?:img|audio|video|source|track|picture){_ATTRIBUTES}")
_HEADING_TAG = re.compile(rf"<(/?)h([1-6])(?={_ATTRIBUTES})")
_TABLE = '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table'
_BARE_IMAGE = re.compile(r'<img(?!(?: [a-z]+="[^"]*+")*? alt=)')


class CardScope(NamedTuple):
    """The inputs of a card besides the entry."""

    feed: Scope
    linked: tuple[str, ...]  # slugs of topics that have a page
    has_media: bool  # pictures and players load from other hosts


def render_card(entry: Entry, scope: CardScope) -> str:
    """The entry with all that pages show of it; with its full text if the scope is that of a full feed."""
    return _CACHE.get(entry, scope, (CARD,))[CARD]


def render_line(entry: Entry, scope: Scope) -> str:
    """The entry in one line of a list: date, title, provider."""
    content, provider = entry.content, provider_of(entry.content)
    time = entry.published and local_time(entry.published, scope.timezone)
    title = escape(content.title)
    en, own = english(scope.language), foreign_language(content, scope)
    language = f' lang="{escape(own)}"' if own else ""
    day = f'<time datetime="{time.date()}"{en}>{date_in_words(time)}</time>' if time else "<span></span>"
    by = f'<span class="by" dir="auto">{escape(provider.name)}</span>' if provider else ""
    anchor = anchor_of(entry.id)
    link = _outside_link(content.link, title) if content.link else f'<a href="#{anchor}">{title}</a>'
    return f'<li id="{anchor}">{day}<span dir="auto"{language}>{link}</span>{by}</li>\n'


def english(language: str, page_language: str | None = None) -> Markup:
    """The attributes of our own texts where the text around them is in `language`: none in English, or if it is
    unknown. On a page that is written from right to left they have their direction too; `page_language` is that of the
    page if it differs."""
    is_foreign = bool(language) and language.lower().partition("-")[0] != "en"
    is_turned = is_right_to_left(language if page_language is None else page_language)
    return (_ENGLISH if is_foreign else Markup("")) + (_LEFT_TO_RIGHT if is_turned else Markup(""))


def anchor_of(entry_id: str) -> str:
    """The anchor of an entry on a page."""
    return f"s-{blake2b(entry_id.encode(), digest_size=6).hexdigest()}"


def date_in_words(day: date) -> str:
    """The day as in "20 May 2020"."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def exact_time(time: datetime) -> str:
    """The time with its offset, as in "20 May 2020, 12:00 +09:00" or "20 May 2020, 12:00 UTC"."""
    return f"{date_in_words(time)}, {time:%H:%M} {shown_offset(time)}"


def _render_card(entry: Entry, scope: CardScope, kinds: Iterable[str]) -> dict[str, str]:
    entry = titled_entry(entry)
    content, anchor = entry.content, anchor_of(entry.id)
    language = f' lang="{escape(own)}"' if (own := foreign_language(content, scope.feed)) else ""
    en = english(own or scope.feed.language, scope.feed.language)
    title, summary = escape(content.title), escape(content.summary)
    link = _outside_link(content.link, title) if content.link else f'<a href="#{anchor}">{title}</a>'
    parts = (
        f'<article class="entry" id="{anchor}"{language}>',
        _picture(content.images[0]) if content.images and scope.has_media else "",
        _meta(entry, scope.feed.timezone, en),
        f'<h2 dir="auto">{link}</h2>',
        f'<p class="summary" dir="auto">{summary}</p>' if summary else "",
        *(_player(enclosure, has_media=scope.has_media) for enclosure in content.enclosures),
        _full_text(content.body_html, title, en, has_media=scope.has_media) if scope.feed.full else "",
        _related(content.related, en) if content.related else "",
        _topics(entry.topics, scope.linked) if entry.topics else "",
        "</article>",
    )
    return dict.fromkeys(kinds, "\n".join(filter(None, parts)))


_CACHE = EntryCache(_render_card, CACHE_BYTES)


def _picture(image: Image) -> str:
    size = f' width="{image.width}" height="{image.height}"' if image.width > 0 and image.height > 0 else ""
    loading = 'alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer"'
    return f'<img class="picture" src="{escape(image.url)}" {loading}{size}>'


def _player(enclosure: Enclosure, *, has_media: bool) -> str:
    """A player for audio and video, which loads nothing by itself; a link for other files."""
    kind = enclosure.type.partition("/")[0]
    name = escape(xml_text(unquote(enclosure.url.partition("?")[0].rstrip("/").rpartition("/")[2])) or enclosure.url)
    if kind in ("audio", "video") and has_media:
        return f'<{kind} class="media" controls preload="none" src="{escape(enclosure.url)}" title="{name}"></{kind}>'
    return f'<p class="media">{_outside_link(enclosure.url, name)}</p>'


def _full_text(body_html: str, title: str, en: str, *, has_media: bool) -> str:
    """The sanitised body, opened by a control that has the title in its name. Its headings continue the outline of the
    page, wide tables scroll, also by keyboard, and an item of a list with a box has no bullet."""
    shown = _below_title(body_html)
    shown = _BARE_IMAGE.sub('<img alt=""', shown) if has_media else _MEDIA_TAG.sub("", shown)
    shown = shown.replace("<img ", '<img loading="lazy" referrerpolicy="no-referrer" ')
    shown = shown.replace("<li>☐ ", '<li class="task">☐ ').replace("<li>☑ ", '<li class="task">☑ ')
    shown = shown.replace("<table", _TABLE).replace("</table>", "</table></div>")
    shown = shown.replace("<audio ", '<audio preload="none" ').replace("<video ", '<video preload="none" ')
    name = f"<span{en}>Full story</span>" if en else "Full story"
    summary = f'<summary>{name}<span class="unseen" dir="auto">: {title}</span></summary>'
    return f'<details>{summary}<div class="body" dir="auto">{shown}</div></details>'


def _below_title(body_html: str) -> str:
    """The body with its headings below the h2 of its entry: each one level below the heading that it belongs to, so no
    level is left out."""
    levels: list[int] = []  # of the headings that the present one belongs to, as the body has them, and its own
    shown: dict[str, int] = {}

    def replace_level(tag: re.Match[str]) -> str:
        if not tag[1]:
            level = int(tag[2])
            while levels and levels[-1] >= level:
                levels.pop()
            levels.append(level)
            shown[tag[2]] = min(2 + len(levels), 6)
        return f"<{tag[1]}h{shown.get(tag[2], tag[2])}"

    return _HEADING_TAG.sub(replace_level, body_html)


def _related(stories: Iterable[Related], en: str) -> str:
    links = [f'<li dir="auto">{_outside_link(story.url, escape(story.title or story.url))}</li>' for story in stories]
    see_also = f"<span{en}>See also</span>" if en else "See also"
    return f'<div class="related">{see_also}<ul>{"".join(links)}</ul></div>'


def _meta(entry: Entry, zone: ZoneInfo, en: str) -> str:
    """Provider, date and video; empty if all are unknown."""
    content, provider = entry.content, provider_of(entry.content)
    parts = ""
    if provider:
        name = escape(provider.name)
        parts += f'<span dir="auto">{_outside_link(provider_url(provider), name) if provider.domain else name}</span>'
    if entry.published:
        utc, local = rfc3339_date(entry.published), local_time(entry.published, zone)
        parts += f'<time datetime="{utc}" title="{exact_time(local)}"{en}>{date_in_words(local)}</time>'
    if content.video_url:
        parts += f"<span{en}>{_outside_link(content.video_url, 'Video')}</span>"
    return f'<p class="meta">{parts}</p>' if parts else ""


def _outside_link(url: str, html: str) -> str:
    return f'<a href="{escape(url)}" rel="noopener">{html}</a>'


def _topics(topics: Iterable[Topic], linked: Container[str]) -> str:
    chips = [
        f"<li>{chip_link(slug)}{escape(name)}</a></li>"
        if slug in linked
        else f'<li><span dir="auto">{escape(name)}</span></li>'
        for slug, name in topics
    ]
    return "\n".join(('<ul class="chips" aria-label="Topics">', *chips, "</ul>"))


def without_link(card: str, link: str) -> str:
    """The card with one of its chip links as the topic of the page itself. Afterwards, because pages share cards."""
    before, _, after = card.rpartition(link)
    name, _, rest = after.partition("</a>")
    return f'{before}<span aria-current="page" dir="auto">{name}</span>{rest}'


def chip_link(slug: str) -> str:
    """The start tag of the link to the page of a topic."""
    return f'<a href="../{escape(slug)}/" dir="auto">'
