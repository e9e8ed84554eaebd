"""Names and ids: what a file and a topic are called, where a feed lives, what an entry is known by.

Pure. The rules are the contract's ("Slugs") and the field map's ("Identity").
"""

from __future__ import annotations

import codecs
import fnmatch
import hashlib
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Container
from functools import cache
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

RESERVED_SLUGS = frozenset("all archive assets status healthz readyz metrics index opml theme".split())
MAX_SLUG = 80
"""Characters of a slug before a suffix; a folder's name has a limit that a topic's name has not."""
MAX_MARKS = 30
"""Combining marks in a row that a text may have, as in the Stream-Safe Text Format (UAX #15, section 13). To normalise
takes time quadratic in the length of such a run."""

_DENSE = re.compile(f"[\u0300-\U0010ffff]{{{MAX_MARKS + 1}}}")
"""What a run that is too long cannot do without: no combining mark comes before U+0300."""
# What senders of newsletters, advertisers and counters of visits append to addresses, without another page behind it.
_TRACKING = re.compile(
    r"(utm|mtm)_\w+|(fb|g|d|ms|y|tw|tt|ys)clid|gclsrc|[gw]braid|_g[al]|mc_[ce]id|_hs(enc|mi)|hsctatracking|igsh(id)?"
    r"|(pk|piwik|at|ns)_(campaign|medium|source|kwd|keyword|content|mchannel|linkname)|mkt_tok|oly_(anon|enc)_id|vero_id"
    r"|li_fat_id|xtor|cmpid|ref_(src|url)",
    re.IGNORECASE,
)
_OLDEST_NS, _NEWEST = -(2**63), 2**63 - 1
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_ABSOLUTE_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def topic_key(name: str) -> str:
    """The identity of a topic: NFC, white space collapsed, case folded."""
    if name.isascii():
        return " ".join(name.split()).lower()
    return " ".join(normal_form(name).split()).casefold()


def normal_form(text: str, form: Literal["NFC", "NFKD"] = "NFC") -> str:
    """The text in a normal form, with at most MAX_MARKS combining marks in a row, so that the time is linear.

    Nothing else in the program may normalise a text.
    """
    return text if text.isascii() else few_marks(unicodedata.normalize(form, few_marks(text)))


def few_marks(text: str) -> str:
    """The text less what of a run of combining marks goes over MAX_MARKS."""
    if text.isascii() or not _DENSE.search(text):
        return text
    return _long_runs().sub(r"\1", text)


def topic_slug(key: str, taken: Container[str] = ()) -> str:
    """The slug of the topic with this key; one that is reserved or in `taken` gets a suffix from the key's SHA-256."""
    # marks and letters that ASCII has not are left out, all else between words is a hyphen
    plain = (one for one in normal_form(key, "NFKD") if one.isascii() or not _is_letter(one))
    slug = _NOT_SLUG.sub("-", "".join(plain).lower()).strip("-")[:MAX_SLUG].rstrip("-")
    digest = hashlib.sha256(key.encode()).hexdigest()
    if not slug:
        slug = f"t-{digest[:8]}"
    if slug in RESERVED_SLUGS or slug in taken:
        base, length = slug, 4
        while slug in RESERVED_SLUGS or slug in taken:
            slug = f"{base}-{digest[:length]}"
            length += 4
    return slug


def escape_name(name: str) -> str:
    """A file name as it stands in the store and in ids: `%` and bytes that are not UTF-8 as `%XX`."""
    if "%" not in name and (name.isascii() or _is_unicode(name)):
        return name
    raw = os.fsencode(name.replace("%", "%25"))
    return raw.decode("utf-8", "percent-bytes")


def unescape_path(path: str) -> str:
    """The path to open for an escaped one."""
    return os.fsdecode(unquote_to_bytes(path)) if "%" in path else path


def kept_stat(size: int, mtime_ns: int, ctime_ns: int, inode: int) -> tuple[int, int, int, int]:
    """The same numbers as 64 bits can hold them: a file may be dated beyond the year 2262."""
    if _OLDEST_NS <= mtime_ns <= _NEWEST and _OLDEST_NS <= ctime_ns <= _NEWEST and inode <= _NEWEST:
        return size, mtime_ns, ctime_ns, inode
    mtime_ns, ctime_ns = (max(_OLDEST_NS, min(one, _NEWEST)) for one in (mtime_ns, ctime_ns))
    return size, mtime_ns, ctime_ns, inode & _NEWEST


def record_filter(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], object]:
    """A test of whether a file of this name is a record, by shell patterns."""
    # plain `*.ext`, the usual case, is a suffix test
    if all(pattern[:2] == "*." and not set("*?[") & set(pattern[1:]) for pattern in include):
        is_included = _any_suffix(tuple(pattern[1:] for pattern in include))
    else:
        is_included = _any_pattern(include)
    if not exclude:
        return is_included
    is_excluded = _any_pattern(exclude)
    return lambda name: is_included(name) and not is_excluded(name)


def canonical_link(url: str) -> str:
    """What addresses of one page have in common (RFC 3986 section 6.2, and what sites do in practice).

    Aside are http or https, `www.`, the case of the host, the port of the scheme, escapes of what needs none, slashes
    at the end, the fragment unless it is a route of the page, and tracking parameters; the others keep their order.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    place = host if port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f"{host}:{port}"
    asked = [one for one in parts.query.split("&") if one and not _TRACKING.fullmatch(one.partition("=")[0])]
    route = f"#{parts.fragment}" if parts.fragment.startswith(("!", "/")) else ""
    query = f"?{'&'.join(asked)}" if asked else ""
    return place + _ESCAPED.sub(_plain_escape, parts.path.rstrip("/") + query + route)


def link_key(url: str | None) -> bytes | None:
    """16 bytes that stand for the canonical link; None for none."""
    if url is None:
        return None
    return hashlib.blake2b(canonical_link(url).encode(errors="surrogatepass"), digest_size=16).digest()


class IdMint:
    """Makes ids from a site's id. Ids are the same wherever and whenever they are made."""

    def __init__(self, site_id: str) -> None:
        self._namespace = uuid.uuid5(uuid.NAMESPACE_DNS, site_id).bytes

    def entry_id(self, key: str) -> str:
        """The `urn:uuid:` of an entry with this key, its UUID a version 5 (RFC 9562 section 5.5) as `uuid.uuid5` makes
        it, at a fifth of the cost."""
        digest = hashlib.sha1(self._namespace + key.encode(), usedforsecurity=False).hexdigest()
        variant = "89ab"[int(digest[16], 16) & 3]
        return f"urn:uuid:{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"

    def explicit_entry_id(self, explicit_id: str) -> str:
        """The id of a record that states one: an absolute IRI as it stands, else minted from it."""
        if _ABSOLUTE_IRI.fullmatch(explicit_id):
            return explicit_id
        return self.entry_id(f"id:{explicit_id}")

    def path_entry_id(self, source: str, path: str, take: int = 1) -> str:
        """The id of the record at `path` (escaped, POSIX); `take` above 1 when an earlier record holds that id."""
        key = f"path:{source}/{normal_form(path)}"
        return self.entry_id(key if take == 1 else f"{key}~{take}")

    def feed_id(self, slug: str) -> str:
        """The Atom id of a feed, the same when the feed's address changes."""
        return self.entry_id(f"feed:{slug}")


def _any_suffix(suffixes: tuple[str, ...]) -> Callable[[str], object]:
    return lambda name: name.endswith(suffixes)


def _any_pattern(patterns: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match


def _plain_escape(found: re.Match[str]) -> str:
    letter = chr(int(found[0][1:], 16))
    return letter if letter in _UNRESERVED else found[0].upper()


@cache
def _long_runs() -> re.Pattern[str]:
    """What finds more than MAX_MARKS combining marks in a row, the first of them as its group.

    Marks are also characters that a normal form begins with one, such as U+0F73. Few sites have a text that needs it.
    """
    marks = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if _is_mark(mark))
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]++")


def _is_mark(char: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0


def _is_letter(one: str) -> bool:
    """Whether it is a letter or a mark on one."""
    return unicodedata.category(one)[0] in "LM"


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape_bytes(error: UnicodeError) -> tuple[str, int]:
    """Decoding error handler: each bad byte as `%XX`."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in bad), error.end


codecs.register_error("percent-bytes", _escape_bytes)
