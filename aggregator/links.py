"""URLs: checked http(s) URLs, host names, and the canonical form that tells whether two URLs lead to one page. Pure."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import quote, urljoin, urlsplit

from aggregator.unicode import few_marks, xml_text

MAX_URL = 2048
"""Characters of a URL as a record writes it, in its body too. Sitemaps have the same limit."""
_MAX_HOST = 253
_IP_V6 = re.compile(r"[0-9a-f:.]+")
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:[/?#][!#$%&'()*+,./:;=?@\w~-]*)?", re.ASCII)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_URL_NOISE = re.compile(r"[\t\r\n]")  # characters that URL parsers ignore
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_IN_PATH = re.compile(r"[\s%?#]")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_INDEX_PAGE = re.compile(r"/index\.html?(?=[?#]|\Z)", re.IGNORECASE)
# parameters of newsletters, advertisers and visitor counters, which do not select another page
_TRACKING = re.compile(
    r"(utm|mtm)_\w+|(fb|g|d|ms|y|tw|tt|ys)clid|gclsrc|[gw]braid|_g[al]|mc_[ce]id|_hs(enc|mi)|hsctatracking|igsh(id)?"
    r"|(pk|piwik|at|ns)_(campaign|medium|source|kwd|keyword|content|mchannel|linkname)|mkt_tok|oly_(anon|enc)_id|vero_id"
    r"|li_fat_id|xtor|cmpid|ref_(src|url)",
    re.IGNORECASE,
)


def quoted_path(path: str) -> str:
    """A URL path as a config states it: percent-encoded where it must be."""
    return _NOT_IN_PATH.sub(lambda found: quote(found[0]), path)


def http_url(text: str) -> str | None:
    """The absolute http(s) URL in `text`, other characters percent-encoded (RFC 3986); None if it is not one."""
    text = text.strip()
    if len(text) > MAX_URL:
        return None
    if _PLAIN_URL.fullmatch(text) and not ("%" in text and _BAD_PERCENT.search(text)):
        return text
    text = few_marks(_URL_NOISE.sub("", text))  # urlsplit normalises it
    try:
        parts = urlsplit(text)
        port, name = parts.port, parts.hostname or ""
        if parts.scheme not in ("http", "https") or parts.username is not None or len(name) > _MAX_HOST:
            return None
    except ValueError:  # an invalid URL
        return None
    host = f"[{name}]" if ":" in name and _IP_V6.fullmatch(name) else _checked_host(name)
    if not host:
        return None
    authority = host if port is None else f"{host}:{port}"
    rest = text.split("://", 1)[1]
    tail = rest[len(re.split(r"[/?#]", rest, maxsplit=1)[0]) :]
    escaped = quote(_BAD_PERCENT.sub("%25", xml_text(tail)), safe="!#$%&'()*+,/:;=?@[]~")
    return f"{parts.scheme}://{authority}{escaped}"


def has_user(text: str) -> bool:
    """Whether a URL has a user or a password."""
    try:
        return urlsplit(text.strip()[:MAX_URL]).username is not None
    except ValueError:
        return False


def absolute_url(reference: str, base: str) -> str | None:
    """The http(s) URL of a reference that is relative to the absolute URL `base` (RFC 3986, 5.2), or None."""
    reference = reference.strip()
    if len(reference) > MAX_URL:
        return None
    try:
        return http_url(urljoin(base, few_marks(reference)))
    except ValueError:  # such as a host with half a bracket
        return None


def host_name(text: str) -> str:
    """The bare host name in `text`, in lower case and ASCII, or an empty string."""
    bare = text.strip().lower().rstrip("/").split("://", 1)[-1]
    return _checked_host(bare) if len(bare) <= _MAX_HOST else ""


def canonical_link(url: str) -> str:
    """The canonical form of a URL, equal for URLs of one page (RFC 3986 section 6.2, and common practice).

    Ignored are: http or https, `www.`, the case of the host, the default port, needless escapes, slashes at the end,
    fragments that are not routes, and tracking parameters. Other parameters keep their order.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    authority = host if port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f"{host}:{port}"
    parameters = [pair for pair in parts.query.split("&") if pair and not _TRACKING.fullmatch(pair.partition("=")[0])]
    query = f"?{'&'.join(parameters)}" if parameters else ""
    route = f"#{parts.fragment}" if parts.fragment.startswith(("!", "/")) else ""
    return authority + _ESCAPED.sub(_unescape_unreserved, parts.path.rstrip("/") + query + route)


def page_key(url: str | None) -> bytes | None:
    """Like `link_key`, but equal too for a folder and the index page in it, two names of one file on most servers."""
    return None if url is None else link_key(_INDEX_PAGE.sub("/", url))


def link_key(url: str | None) -> bytes | None:
    """A 16-byte digest of the canonical link; None without a link."""
    if url is None:
        return None
    return hashlib.blake2b(canonical_link(url).encode(errors="surrogatepass"), digest_size=16).digest()


@lru_cache(maxsize=1024)  # stories have few distinct publishers
def _checked_host(bare: str) -> str:
    try:
        bare = bare if bare.isascii() else bare.encode("idna").decode()
    except UnicodeError:
        return ""
    return bare if _HOST.fullmatch(bare) and len(bare) <= _MAX_HOST else ""


def _unescape_unreserved(escape: re.Match[str]) -> str:
    letter = chr(int(escape[0][1:], 16))
    return letter if letter in _UNRESERVED else escape[0].upper()


def server_url(host: str, port: int) -> str:
    """The URL of a server at a host name or IP address, which has no brackets."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address, without brackets, is this machine."""
    import ipaddress  # few processes ask

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
