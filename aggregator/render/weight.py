"""How large a document can be in any format, found without making it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aggregator.model import Content, Entry, Feed
from aggregator.settings import Site

LONGEST_BASE_URL = 200
"""Bytes of the longest `base_url` that a weight holds for, escaped."""
LONGEST_SLUG = 160
"""Characters of the longest slug that a weight holds for; ASCII letters, digits and hyphens."""

KEPT_WEIGHTS = 10_000
LONGEST_KEPT = 30_000
"""Bytes and characters of an entry and its body that is kept with its weight; longer ones would fill the memory."""
_WEIGHED: dict[str, tuple[Content, int]] = {}

# What is written around the texts, in bytes: tags, names of members, dates, and one address of a category each.
_FRAME = 3000
_ENTRY = 1400 + 2 * LONGEST_BASE_URL
_TOPIC = 100 + LONGEST_BASE_URL + LONGEST_SLUG
_IMAGE = 160
_RELATED = 160
# How often a frame repeats one text: the base address the most, in its links.
_FRAME_REPEATS = 8
# What a character takes at most: escaped once, or twice, as HTML in XML.
_PLAIN = 6
_NESTED = 10
_SPECIAL = "&<>\"'\\\t\n\r"


def weigh_frame(feed: Feed, site: Site) -> int:
    """The most bytes that a document of the feed or its archive takes without entries and tombstones."""
    own = f"{feed.slug}{feed.id}{feed.title}{feed.description}{feed.language}{feed.image}"
    shared = f"{site.title}{site.base_url}{site.author}{site.icon}{site.copyright}{site.hub_url}"
    return _FRAME + _FRAME_REPEATS * _PLAIN * (len(own) + len(shared))


def weigh_entries(entries: Sequence[Entry], *, full: bool) -> int:
    """The most bytes that the entries take in a document of any format, the separators behind them included.

    It holds for a `base_url` of at most LONGEST_BASE_URL bytes and, unless `full`, for documents without bodies. A text
    counts as often as a format may repeat it, each time with its special characters escaped at their longest.
    """
    names = [len(topic.name) for entry in entries for topic in entry.topics]
    weigh = _weigh_full if full else _weigh_summary
    return sum([weigh(entry) for entry in entries]) + _TOPIC * len(names) + _PLAIN * sum(names)


def _weigh_summary(entry: Entry) -> int:
    """The weight of the entry without its topics; its content is often the one that was weighed last."""
    known = _WEIGHED.get(entry.id)
    if known and known[0] is entry.content:
        return known[1]
    made = _weigh(entry, ())
    if made + len(entry.content.body_html) <= LONGEST_KEPT:
        if len(_WEIGHED) >= KEPT_WEIGHTS:
            _WEIGHED.clear()
        _WEIGHED[entry.id] = entry.content, made
    return made


def _weigh_full(entry: Entry) -> int:
    content = entry.content
    related = [text for story in content.related for text in (story.url, story.title or story.url)]
    return _weigh(entry, related) + escaped_bytes(content.body_html, _PLAIN)


def _weigh(entry: Entry, nested: Iterable[str]) -> int:
    """`nested` are texts that are escaped twice, as HTML in XML, besides the summary."""
    content, provider = entry.content, entry.content.provider
    # The id or the link stands for a title that is not printable.
    plain = [entry.id, entry.id, content.title, content.category, content.type, content.language]
    plain += [content.link or "", content.link or "", content.original_link or "", *[content.video_url or ""] * 2]
    plain += [provider.name, provider.domain] if provider else ()
    for image in content.images:
        plain += [image.url, image.url, f"{image.width}{image.height}" * 2]
    for story in content.related:
        plain += [story.url, story.title]
    markup = _ENTRY + _IMAGE * len(content.images) + _RELATED * len(content.related)
    # Plain texts are short: that all of it is special is quicker to suppose than to look.
    return (
        markup
        + _PLAIN * len("".join(plain))
        + escaped_bytes("".join((content.summary, content.summary, *nested)), _NESTED)
    )


def escaped_bytes(text: str, longest: int = _PLAIN) -> int:
    """The bytes of the text in UTF-8 where each special character takes `longest` bytes instead of one."""
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    return size + (longest - 1) * sum(map(text.count, _SPECIAL))
