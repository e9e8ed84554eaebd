"""Texts of a record, cleaned: plain text without markup, and URLs of video players."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from aggregator.links import MAX_URL, http_url
from aggregator.unicode import xml_text

# white space that is more than one space
_SPACE = re.compile(
    "[\t\n\v\f\r\x85\xa0\u2028\u2029][\t\n\v\f\r \x85\xa0\u2028\u2029]*| [\t\n\v\f\r \x85\xa0\u2028\u2029]+"
)
_ELEMENTS = (
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote body br button"
    " canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed"
    " fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe"
    " img input ins kbd label legend li link main map mark marquee math menu meta meter nav nobr noembed noframes"
    " noscript object ol optgroup option output p param picture plaintext portal pre progress q rb rp rt ruby s samp"
    " script search section select slot small source span strike strong style sub summary sup svg table tbody td"
    " template textarea tfoot th thead time title tr track tt u ul var video wbr xmp"
)
_BLOCKS = frozenset(
    "address article aside blockquote br dd div dl dt figure footer h1 h2 h3 h4 h5 h6 header hr li ol p pre section"
    " table td th tr ul".split()
)
# possessive quantifiers, and unclosed constructs match to the end of the text: matching is linear
_ATTRIBUTES = r"""(?:=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))|[^>])*+(?:>|\Z)"""
_MARKUP = re.compile(
    rf"<!--(?:-?>|(?:[^-]|-(?!->))*+(?:-->|\Z))"
    rf"|<(script|style)\b{_ATTRIBUTES}(?:[^<]|<(?!/\1\b))*+(?:<{_ATTRIBUTES}|\Z)"
    rf"|</?({'|'.join(_ELEMENTS.split())})\b{_ATTRIBUTES}",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?([A-Za-z][^\s/<>]*+)[^<>]*+>")
_NAMES = frozenset(_ELEMENTS.split())
_LONG_NUMBER = re.compile(r"&#[0-9]{20,}+;?")

PLAYER_HOSTS = frozenset(
    "www.youtube.com youtube.com www.youtube-nocookie.com youtube-nocookie.com player.vimeo.com www.dailymotion.com"
    " geo.dailymotion.com embed.ted.com www.microsoft.com player.twitch.tv media.ccc.de".split()
)
"""Hosts whose video players may be linked."""


def plain_text(text: str) -> str:
    """The text without tags, its entities decoded once and its white space collapsed.

    A `<` that does not open an HTML element is text: `List<T>` is kept.
    """
    if text.isprintable():
        if not ("<" in text or "&" in text):
            return _collapse_space(text) if "  " in text else text.strip()
    else:
        text = xml_text(text)
    if "<" in text:
        text = _MARKUP.sub(lambda markup: " " if (markup[2] or "").lower() in _BLOCKS else "", text)
    if "&" in text:
        text = xml_text(unescape(text))
    return _collapse_space(text)


def drop_unknown_tags(markup: str) -> str:
    """The HTML without tags that `plain_text` would take for text."""
    return _TAG.sub(lambda tag: tag[0] if tag[1].lower() in _NAMES else "", markup)


def unescape(text: str) -> str:
    """The text with its entities decoded once."""
    if "&" not in text:
        return text
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text))  # the library would pass the digits to int()


def player_url(src: str) -> str | None:
    """The URL of a video player, if its host is in PLAYER_HOSTS; `src` is the attribute of its iframe as written."""
    address = unescape(src[:MAX_URL]).strip()
    url = http_url(f"https:{address}" if address.startswith("//") else address)
    if not url:
        return None
    host = url.split("/", 3)[2]
    return url if host in PLAYER_HOSTS or urlsplit(url).hostname in PLAYER_HOSTS else None


def _collapse_space(text: str) -> str:
    if text.isprintable():  # the only printable white space is the space
        return " ".join(text.split())
    return _SPACE.sub(" ", text).strip()
