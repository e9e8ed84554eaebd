"""Links: the canonical form of a URL, to tell whether two of them lead to one page. Pure."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlsplit

# What senders of newsletters, advertisers and counters of visits append to addresses, without another page behind it.
_TRACKING = re.compile(
    r"(utm|mtm)_\w+|(fb|g|d|ms|y|tw|tt|ys)clid|gclsrc|[gw]braid|_g[al]|mc_[ce]id|_hs(enc|mi)|hsctatracking|igsh(id)?"
    r"|(pk|piwik|at|ns)_(campaign|medium|source|kwd|keyword|content|mchannel|linkname)|mkt_tok|oly_(anon|enc)_id|vero_id"
    r"|li_fat_id|xtor|cmpid|ref_(src|url)",
    re.IGNORECASE,
)


_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")


_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


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


def _plain_escape(found: re.Match[str]) -> str:
    letter = chr(int(found[0][1:], 16))
    return letter if letter in _UNRESERVED else found[0].upper()
