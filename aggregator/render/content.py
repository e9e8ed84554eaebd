"""What all formats show of an entry alike: author, provider, language and content."""

from __future__ import annotations

from html import escape
from typing import NamedTuple
from zoneinfo import ZoneInfo

from aggregator.model import Content, Enclosure, Entry, Provider
from aggregator.settings import UTC_ZONE, Site
from aggregator.unicode import is_visible

# written from right to left
_LANGUAGES = frozenset("ar arc azb ckb dv fa glk he iw ji ks lrc mzn nqo pnb prs ps sd sdh skr syr ug ur yi".split())
_SCRIPTS = frozenset("adlm arab aran hebr mand nkoo rohg samr syrc thaa".split())
GENERATOR = "aggregator"  # without a version, so that an upgrade changes no bytes


class Scope(NamedTuple):
    """The inputs of entry rendering besides the entry."""

    base_url: str
    language: str  # of the feed
    full: bool
    site_language: str  # of entries without one
    timezone: ZoneInfo = UTC_ZONE


def titled_entry(entry: Entry) -> Entry:
    """The entry; its link or id replaces a title that shows nothing."""
    content = entry.content
    if is_visible(content.title):
        return entry
    return entry._replace(content=content._replace(title=content.link or entry.id))


def reader_title(title: str, site: Site) -> str:
    """What readers show as the title of a feed; the feed with the title of the site has it alone."""
    parts = site.feed_title.split("{title}")
    return title if title == site.title else title.join(part.replace("{site}", site.title) for part in parts)


def author_name(site: Site) -> str:
    """The author of the feeds."""
    return site.author or site.title


def provider_of(content: Content) -> Provider | None:
    """The provider, if it has a name."""
    return content.provider if content.provider and content.provider.name else None


def authors_of(content: Content) -> tuple[Provider, ...]:
    """Each author, or the provider, as one; empty if none has a name."""
    provider = provider_of(content)
    if provider is None:
        return ()
    return tuple([Provider(name, "") for name in provider.authors if name]) or (provider,)


def provider_url(provider: Provider) -> str:
    """The URL of the provider; empty if its domain is unknown."""
    return f"https://{provider.domain}/" if provider.domain else ""


def enclosure_type(enclosure: Enclosure) -> str:
    """The media type, which RSS and JSON Feed require."""
    return enclosure.type or "application/octet-stream"


def foreign_language(content: Content, scope: Scope) -> str:
    """The language of the entry if it differs from the feed's, else empty. Case tells no tags apart (BCP 47, 2.1.1)."""
    language = content.language or scope.site_language
    return language if language.lower() != scope.language.lower() else ""


def is_right_to_left(language: str) -> bool:
    """Whether the language is written from right to left: by its script, if the tag (BCP 47) names one."""
    first, *others = language.lower().split("-")
    script = next((part for part in others if len(part) in (1, 4)), "")
    return script in _SCRIPTS if len(script) == 4 and script.isalpha() else first in _LANGUAGES


def content_html(content: Content, scope: Scope) -> str:
    """The body as HTML, or the summary if the entry or the feed has no bodies. In a full feed related stories follow.

    Empty without both: a title instead would be content in one format only.
    """
    body = content.body_html if scope.full else ""
    if not body and content.summary:
        body = f"<p>{escape(content.summary)}</p>"
    if scope.full and content.related:
        links = (
            f'<li><a href="{escape(story.url)}">{escape(story.title or story.url)}</a></li>'
            for story in content.related
        )
        body += f"<ul>{''.join(links)}</ul>"
    return body
