"""Parses the header fields of a request: Accept, Accept-Encoding, validators (RFC 9110 sections 12 and 13). Pure.

Clients send few distinct values, so results are cached. Values that are longer than any client's are neither parsed
nor cached.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Container
from email.utils import parsedate_tz
from functools import lru_cache

MAX_ACCEPT_BYTES = 1024
MAX_DATE_BYTES = 64
_CACHE_SIZE = 128
_QVALUE = re.compile(rb"0(\.\d{0,3})?|1(\.0{0,3})?")
_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_TIME = r"\d\d:\d\d:\d\d"
_HTTP_DATE = re.compile(
    rf"[A-Z][a-z]{{2}}, \d\d [A-Z][a-z]{{2}} \d{{4}} {_TIME} GMT"
    rf"|[A-Z][a-z]+day, \d\d-[A-Z][a-z]{{2}}-\d\d {_TIME} GMT"
    rf"|[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d {_TIME} \d{{4}}"
)


def prefers_gzip(accept_encoding: bytes) -> bool:
    """True if gzip is acceptable and not ranked below identity (RFC 9110 section 12.5.3); False if the field is too
    long, because without a field identity is acceptable."""
    return len(accept_encoding) <= MAX_ACCEPT_BYTES and _prefers_gzip(accept_encoding)


@lru_cache(maxsize=_CACHE_SIZE)
def _prefers_gzip(accept_encoding: bytes) -> bool:
    weights = _weights(accept_encoding)
    other = weights.get(b"*", 0.0)
    # Section 8.4.1.3: x-gzip is the same as gzip.
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", other))
    return gzip > 0 and gzip >= weights.get(b"identity", other)


def accepts_html(accept: bytes) -> bool:
    """True if the client names HTML. `*/*` alone comes from programs, which get plain text."""
    return len(accept) <= MAX_ACCEPT_BYTES and _weights(accept).get(b"text/html", 0.0) > 0


def matches_etag(if_none_match: bytes, etag: bytes) -> bool:
    """True if the field is `*` or lists `etag`, by weak comparison (RFC 9110 sections 13.1.2 and 8.8.3.2)."""
    if if_none_match == etag or if_none_match.strip() == b"*":
        return True
    return any(tag == etag for _, tag in _ENTITY_TAG.findall(if_none_match))


def is_precondition_met(if_match: bytes, if_unmodified_since: bytes, etags: Container[bytes], modified: int) -> bool:
    """Whether a request may be answered with a file: If-Match is `*` or lists one of its strong `etags`; without that
    field, the file was not `modified` (seconds since 1970) after If-Unmodified-Since, if that is a date (RFC 9110
    sections 13.1.1 and 13.1.4)."""
    if if_match:
        strong = [tag for weak, tag in _ENTITY_TAG.findall(if_match) if not weak]
        return if_match.strip() == b"*" or any(tag in etags for tag in strong)
    since = parse_http_date(if_unmodified_since)
    return since is None or modified <= since


def parse_http_date(value: bytes) -> int | None:
    """Seconds since 1970 of a date in a form of RFC 9110 section 5.6.7; None for anything else."""
    return _parse_http_date(value) if len(value) <= MAX_DATE_BYTES else None


@lru_cache(maxsize=_CACHE_SIZE)
def _parse_http_date(value: bytes) -> int | None:
    text = value.decode("latin-1").strip()
    fields = parsedate_tz(text) if _HTTP_DATE.fullmatch(text) else None
    return timegm(fields[:9]) if fields else None


def _weights(field: bytes) -> dict[bytes, float]:
    """The values of a weighted list and their q (RFC 9110 section 12.4.2); an invalid q counts as 0, not acceptable."""
    weights = {}
    for item in field.split(b","):
        value, *parameters = item.split(b";")
        weight = 1.0
        for parameter in parameters:
            name, _, number = parameter.partition(b"=")
            if name.strip().lower() == b"q":
                weight = float(number) if _QVALUE.fullmatch(number := number.strip()) else 0.0
        weights[value.strip().lower()] = weight
    return weights
