"""Object storage (S3): buckets by URL, and what errors of the library mean. The only home of botocore.

    s3://bucket/prefix -> BucketUrl -> open_bucket -> Bucket: page, get, head, put, delete

Paths of objects are relative to the prefix of the URL, as the server spells them. The endpoint, the keys and the region
come from the usual AWS_… variables, profiles or roles.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aggregator.errors import BucketAwayError, BucketError, ObjectChangedError
from aggregator.links import is_loopback
from aggregator.paths import is_bucket_url

SCHEME = "s3://"
PAGE = 1000
"""Objects that a listing has at a time; no server gives more."""
MAX_CONNECTIONS = 32
"""Requests at a time with one bucket; more of them wait."""
_PLAIN = ("1", "true", "yes")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_CONNECT_S = 5.0
_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_RIGHTS = "its keys need s3:ListBucket, s3:GetObject and, for an output, s3:PutObject and s3:DeleteObject"
_REGION = "set AWS_REGION to the region of the bucket"
_MEANINGS = {
    "NoSuchBucket": ("there is no such bucket", "make it, or correct its name"),
    "AccessDenied": ("access is refused", _RIGHTS),
    "403": ("access is refused", _RIGHTS),
    "InvalidObjectState": ("it is in an archive and must be restored first", "restore it"),
    "InvalidAccessKeyId": ("the access key is not known there", _KEYS),
    "SignatureDoesNotMatch": ("the secret key is refused", _KEYS),
    "ExpiredToken": ("the session token has expired", "renew AWS_SESSION_TOKEN"),
    "InvalidToken": ("the session token is refused", "renew AWS_SESSION_TOKEN"),
    "RequestTimeTooSkewed": ("the clocks differ", "set the clock of this machine"),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "301": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "KeyTooLongError": ("its name is too long for an object", "choose a shorter prefix or slug"),
    "QuotaExceeded": ("it is full", "make room or raise the quota"),
    "XMinioStorageFull": ("it is full", "make room"),
    "507": ("it is full", "make room"),
    "SlowDown": ("it answers that there are too many requests", "nothing to do; later requests succeed"),
    "NotImplemented": ("it does not support the request", "use a server that supports conditional writes"),
}
"""S3 error codes, or HTTP statuses where the server gives no code -> what they mean, and a hint."""
_MISSING = ("NoSuchKey", "NotFound", "404")
_CHANGED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_MAY_PASS = ("SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "Throttling", "TooManyRequests", "QuotaExceeded")
"""Codes with a status below 500 that later requests may not get."""


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """A bucket, and the prefix below which our objects are: "" or such as `feeds/`."""

    name: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}/{self.prefix}".rstrip("/")


class ObjectFacts(NamedTuple):
    """What a listing says of an object."""

    path: str
    size: int
    etag: str  # with its quotes, as the server writes it
    modified: datetime


class StoredObject(NamedTuple):
    """The content of an object."""

    body: bytes
    etag: str
    modified: datetime
    size: int  # of all of it


def parse_bucket_url(text: str) -> BucketUrl:
    """The bucket and the prefix. Raises ValueError with what is wrong, and a hint."""
    name, _, prefix = text.removeprefix(SCHEME).partition("/")
    parts = prefix.rstrip("/").split("/") if prefix.rstrip("/") else []
    if not is_bucket_url(text) or not _NAME.fullmatch(name):
        raise ValueError("does not name a bucket", "write it as s3://bucket/prefix")
    if any(part in ("", ".", "..") or part[0] == "." or re.search(r"[\x00-\x1f\x7f?#\\]", part) for part in parts):
        raise ValueError("has a prefix that is not a path", "write names joined by single slashes, without a dot first")
    return BucketUrl(name, "".join(f"{part}/" for part in parts))


def open_quick_bucket(url: BucketUrl) -> Bucket:
    """The bucket, for requests on which somebody waits. Raises BucketError."""
    return open_bucket(url, timeout_s=5.0, attempts=2)


def open_bucket(url: BucketUrl, *, timeout_s: float = 20.0, attempts: int = 3) -> Bucket:
    """The bucket, without a request yet. A request waits at most `timeout_s` for each answer, and is made up to
    `attempts` times. Raises BucketError.

    Threads may share a bucket. A child process must open its own.
    """
    try:
        import botocore.exceptions
        import botocore.handlers
        import botocore.session
        from botocore.config import Config
    except ImportError:
        hint = "in the checkout, run: pip install '.[s3]'"
        raise BucketError(f"{url} cannot be opened", "it needs a library that is not installed", hint) from None
    endpoint = _endpoint(url)
    config = Config(
        connect_timeout=min(_CONNECT_S, timeout_s),
        read_timeout=timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=MAX_CONNECTIONS,
        # other servers than Amazon's do not know the checksums that the library would add
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_appid="aggregator",
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    session = botocore.session.Session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
    try:
        region = region or session.get_config_variable("region") or "us-east-1"
        client = session.create_client("s3", region_name=region, endpoint_url=endpoint, config=config)
        # without a question first whether the body may be sent: another fifth of the work for bodies of some kB
        client.meta.events.unregister("before-call.s3", botocore.handlers.add_expect_header)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise BucketError(f"{url} cannot be opened", _one_line(error), "check the AWS_… variables") from error
    return Bucket(url, client)


def _endpoint(url: BucketUrl) -> str | None:
    """The endpoint that a variable names. Without encryption only on this machine, or where AWS_ALLOW_HTTP says so."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return None
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise BucketError(
            f"{url} cannot be opened", f"AWS_ENDPOINT_URL is not a URL: {endpoint!r}", "write http(s)://host"
        )
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in _PLAIN
    if parts.scheme == "http" and not (is_loopback(host) or allowed):
        reason = f"AWS_ENDPOINT_URL would send everything without encryption: {endpoint!r}"
        hint = "write https://, or set AWS_ALLOW_HTTP=true in a private network"
        raise BucketError(f"{url} cannot be opened", reason, hint)
    return endpoint


class Bucket:
    """An open bucket. All methods raise BucketError, BucketAwayError where a later request may succeed."""

    def __init__(self, url: BucketUrl, client: Any) -> None:
        self.url, self._client = url, client

    def page(self, below: str = "", *, limit: int = PAGE) -> tuple[ObjectFacts, ...]:
        """The first objects whose paths begin with `below`."""
        return self._list(below, limit, {})[0]

    def pages(self, below: str = "", *, delimiter: str = "") -> Iterator[tuple[ObjectFacts, ...]]:
        """All objects whose paths begin with `below`, page by page, in the order of the server: not every server lists
        in byte order. With a delimiter, none that has it after `below`."""
        more, seen = {"Delimiter": delimiter} if delimiter else {}, None
        while True:
            objects, is_last, token = self._list(below, PAGE, more)
            yield objects
            if is_last:
                return
            if not token or token == seen:
                raise BucketError(
                    f"{self.url} cannot be listed", "its listing does not continue", "see the log of the server"
                )
            seen = more["ContinuationToken"] = token

    def _list(self, below: str, limit: int, more: dict[str, str]) -> tuple[tuple[ObjectFacts, ...], bool, str | None]:
        """A page, whether it is the last one, and where the next one begins."""
        prefix = self.url.prefix
        with self._explained("listed"):
            found = self._client.list_objects_v2(Bucket=self.url.name, Prefix=prefix + below, MaxKeys=limit, **more)
        start = len(prefix)
        objects = tuple(
            ObjectFacts(facts["Key"][start:], facts["Size"], facts.get("ETag", ""), facts["LastModified"])
            for facts in found.get("Contents", ())
        )
        return objects, not found["IsTruncated"], found.get("NextContinuationToken")

    def get(self, path: str, *, most: int | None = None) -> StoredObject | None:
        """The object, or its first `most` bytes; None if it is missing."""
        with suppress(_MissingError), self._explained("read", path):
            found = self._client.get_object(**self._place(path))
            body = _read_body(found["Body"], most)
            return StoredObject(body, found.get("ETag", ""), found["LastModified"], found["ContentLength"])
        return None

    def head(self, path: str) -> ObjectFacts | None:
        """What a listing would say of the object; None if it is missing."""
        with suppress(_MissingError), self._explained("read", path):
            found = self._client.head_object(**self._place(path))
            return ObjectFacts(path, found["ContentLength"], found.get("ETag", ""), found["LastModified"])
        return None

    def put(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str,
        cache_control: str,
        location: str = "",
        if_match: str = "",
        is_new: bool = False,
    ) -> str:
        """Writes an object, and returns its ETag. `location`: where websites of buckets redirect to.

        Raises ObjectChangedError if there is an object with another ETag than `if_match`, or any object if it `is_new`.
        """
        with self._explained("written", path):
            found = self._client.put_object(
                **self._place(path),
                Body=body,
                ContentType=content_type,
                CacheControl=cache_control,
                **({"WebsiteRedirectLocation": location} if location else {}),
                **({"IfMatch": if_match} if if_match else {}),
                **({"IfNoneMatch": "*"} if is_new else {}),
            )
        return str(found.get("ETag", ""))

    def delete(self, path: str) -> None:
        """Deletes the object, if there is one."""
        with self._explained("deleted", path):
            self._client.delete_object(**self._place(path))

    def _place(self, path: str) -> dict[str, str]:
        return {"Bucket": self.url.name, "Key": self.url.prefix + path}

    @contextmanager
    def _explained(self, action: str, path: str = "") -> Iterator[None]:
        """Wraps errors of the library; raises _MissingError if there is no object to read."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(error.response.get("Error", {}).get("Code") or status)  # answers without a body have none
            if code in _MISSING and action == "read":
                raise _MissingError from error
            raise self._error(action, path, code, status) from error
        except (BotoCoreError, OSError) as error:
            what, reason = f"{self._shown(path)} cannot be {action}", _one_line(error)
            if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                raise BucketError(what, reason, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
            raise BucketAwayError(what, reason, "check the server, the network and AWS_ENDPOINT_URL") from error

    def _error(self, action: str, path: str, code: str, status: int) -> BucketError:
        what = f"{self._shown(path)} cannot be {action}"
        if code in _CHANGED or (code in _MISSING and action == "written"):
            return ObjectChangedError(what, "another process has changed it", "nothing to do", code)
        default = (
            f"the server answers {status}{f' {code}' if code != str(status) else ''}",
            "see its log; it may be full",
        )
        meaning, hint = _MEANINGS.get(code) or _MEANINGS.get(str(status)) or default
        kind = BucketAwayError if status >= 500 or code in _MAY_PASS else BucketError
        return kind(what, meaning, hint, code)

    def _shown(self, path: str) -> str:
        return f"{self.url}/{path}" if path else str(self.url)


class _MissingError(Exception):
    """There is no such object."""


def _read_time(value: Any) -> datetime:
    """A time as the server writes it. The parser of the library takes most of the time of a listing."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        from botocore.utils import parse_timestamp

        moment: datetime = parse_timestamp(value)
        return moment


def _read_body(body: Any, most: int | None) -> bytes:
    """The body of an answer, or its first `most` bytes. Without the rest of it, the connection is dropped."""
    with closing(body):
        if most is None:
            return bytes(body.read())
        read = b""
        # until the end: only there a cut-off answer raises an error
        while len(read) < most and (more := body.read(most - len(read))):
            read += more
        return read


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
