"""Buckets: their URLs, what is sent to a real server, and what its refusals become."""

from __future__ import annotations

import pytest
from object_storage import CUT, READER, ObjectStorage, Proxy, use

from aggregator import buckets
from aggregator.buckets import Bucket, BucketUrl, open_bucket, parse_bucket_url
from aggregator.errors import BucketAwayError, BucketError, ObjectChangedError

TEXT = {"content_type": "text/plain; charset=utf-8", "cache_control": "max-age=3"}


@pytest.fixture
def bucket(aws: ObjectStorage) -> Bucket:
    """A new bucket, with a prefix."""
    return open_bucket(BucketUrl(aws.make_bucket(), "feeds/"))


def through(proxy: Proxy, storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> Bucket:
    use(storage, monkeypatch, endpoint=proxy.url)
    return open_bucket(bucket.url, timeout_s=1, attempts=2)


# URLs


@pytest.mark.parametrize(
    ("text", "name", "prefix"),
    [
        ("s3://news", "news", ""),
        ("s3://news/", "news", ""),
        ("s3://news/feeds", "news", "feeds/"),
        ("s3://my.news-1/a/b c/ü/", "my.news-1", "a/b c/ü/"),
    ],
)
def test_a_url_names_a_bucket_and_perhaps_a_prefix(text: str, name: str, prefix: str) -> None:
    assert parse_bucket_url(text) == BucketUrl(name, prefix)
    assert str(parse_bucket_url(text)) == text.rstrip("/")


@pytest.mark.parametrize("text", ["s3://", "s3:///a", "s3://a", "s3://-ab-/x", "s3://a b", "https://news/", "news"])
def test_a_url_without_the_name_of_a_bucket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not name a bucket"):
        parse_bucket_url(text)


@pytest.mark.parametrize("prefix", ["a//b", "/a", "../a", "a/./b", ".a", "a?b", "a#b", "a\nb", "a\\b"])
def test_a_prefix_is_a_plain_path(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix that is not a path"):
        parse_bucket_url(f"s3://news/{prefix}")


# objects


def test_an_object_is_written_read_listed_and_deleted(bucket: Bucket, aws: ObjectStorage) -> None:
    etag = bucket.put("a/ü.txt", b"text", **TEXT)
    found = bucket.get("a/ü.txt")
    assert (found.body, found.etag) == (b"text", etag)
    assert bucket.head("a/ü.txt") == ("a/ü.txt", 4, etag, found.modified)
    assert [(facts.path, facts.etag) for facts in bucket.page()] == [("a/ü.txt", etag)]
    stored = aws.client().get_object(Bucket=bucket.url.name, Key="feeds/a/ü.txt")
    assert (stored["ContentType"], stored["CacheControl"]) == ("text/plain; charset=utf-8", "max-age=3")
    bucket.delete("a/ü.txt")
    bucket.delete("a/ü.txt")
    assert (bucket.get("a/ü.txt"), bucket.head("a/ü.txt"), bucket.page()) == (None, None, ())


def test_a_listing_ends_at_a_delimiter_or_a_limit(bucket: Bucket) -> None:
    for path in ("a.txt", "b/1", "b/2", "c", "d"):
        bucket.put(path, b"", **TEXT)
    (page,) = bucket.pages(delimiter="/")
    assert [facts.path for facts in page] == ["a.txt", "c", "d"]
    assert [facts.path for facts in bucket.page("b/", limit=1)] == ["b/1"]


def test_a_long_listing_has_every_object_once(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"{number:02}" for number in range(25)]
    for path in paths:
        bucket.put(path, b"", **TEXT)
    monkeypatch.setattr(buckets, "PAGE", 10)
    assert [facts.path for page in bucket.pages() for facts in page] == paths


def test_a_condition_keeps_what_another_process_wrote(bucket: Bucket) -> None:
    first = bucket.put("a", b"1", **TEXT, is_new=True)
    with pytest.raises(ObjectChangedError, match="another process has changed it"):
        bucket.put("a", b"2", **TEXT, is_new=True)
    second = bucket.put("a", b"2", **TEXT, if_match=first)
    with pytest.raises(ObjectChangedError):
        bucket.put("a", b"3", **TEXT, if_match=first)
    bucket.delete("a")
    with pytest.raises(ObjectChangedError):
        bucket.put("a", b"3", **TEXT, if_match=second)
    assert bucket.get("a") is None


# refusals


def test_a_missing_bucket_is_named(aws: ObjectStorage) -> None:
    bucket = open_bucket(BucketUrl("nowhere", ""))
    for ask in (bucket.page, lambda: bucket.get("a"), lambda: bucket.put("a", b"", **TEXT)):
        with pytest.raises(
            BucketError, match=r"s3://nowhere.*: there is no such bucket \(make it, or correct its name\)"
        ):
            ask()


def test_keys_that_may_not_write_are_told_what_they_need(
    bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(aws, monkeypatch, keys=READER)
    reader = open_bucket(bucket.url)
    assert reader.get("a") is None
    with pytest.raises(BucketError, match=r"a cannot be written: access is refused \(its keys need .*PutObject"):
        reader.put("a", b"", **TEXT)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [(("nobody", "x"), "the access key is not known"), (("writer", "x"), "the secret key is refused")],
)
def test_wrong_keys_are_told_which_variables_to_check(
    bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str], reason: str
) -> None:
    use(aws, monkeypatch, keys=keys)
    with pytest.raises(BucketError, match=f"{reason}.*AWS_ACCESS_KEY_ID") as caught:
        open_bucket(bucket.url).page()
    assert "writer-secret" not in str(caught.value)


def test_without_keys_the_variables_are_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(BucketError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_bucket(bucket.url).page()


def test_a_server_that_is_not_there_is_away(
    bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(aws, monkeypatch, endpoint="http://127.0.0.1:9")
    with pytest.raises(BucketAwayError, match=r"cannot be listed: Could not connect.*AWS_ENDPOINT_URL"):
        open_bucket(bucket.url, attempts=1).page()


@pytest.mark.parametrize("status", [500, 503, CUT])
def test_a_server_that_fails_is_asked_again_and_then_away(
    bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with Proxy(aws.port) as proxy:
        asked = through(proxy, aws, monkeypatch, bucket)
        proxy.decide = lambda *_: status if len(proxy.requests) == 1 else None
        asked.put("a", b"1", **TEXT)
        proxy.decide = lambda *_: status
        proxy.requests.clear()
        with pytest.raises(BucketAwayError):
            asked.put("a", b"2", **TEXT)
        assert len(proxy.requests) == 2
    assert bucket.get("a") == (b"1", *bucket.head("a")[2:], 1)


def test_a_full_server_is_told_from_one_that_fails(
    bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(aws.port) as proxy:
        proxy.decide = lambda *_: 507
        with pytest.raises(BucketAwayError, match=r"a cannot be written: it is full \(make room\)"):
            through(proxy, aws, monkeypatch, bucket).put("a", b"1", **TEXT)


def test_an_answer_that_does_not_come_is_waited_for_in_vain_only_so_long(
    bucket: Bucket, aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(aws.port) as proxy:
        asked = through(proxy, aws, monkeypatch, bucket)
        proxy.decide = lambda *_: proxy.wait()
        with pytest.raises(BucketAwayError, match="timeout"):
            asked.get("a")


# settings


@pytest.mark.parametrize(
    ("endpoint", "more", "reason"),
    [
        ("http://s3.example.org", {}, "without encryption"),
        ("http://s3.example.org", {"AWS_ALLOW_HTTP": "false"}, "without encryption"),
        ("s3.example.org", {}, "is not a URL"),
        ("https://[", {}, "is not a URL"),
    ],
)
def test_an_endpoint_is_encrypted_or_on_this_machine(
    aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch, endpoint: str, more: dict[str, str], reason: str
) -> None:
    use(aws, monkeypatch, endpoint=endpoint)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BucketError, match=reason):
        open_bucket(BucketUrl("news", ""))


@pytest.mark.parametrize("endpoint", ["https://s3.example.org", "http://localhost:1", "http://[::1]:1"])
def test_other_endpoints_are_used(aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    use(aws, monkeypatch, endpoint=endpoint)
    open_bucket(BucketUrl("news", ""))


def test_a_private_network_may_be_allowed_to_do_without_encryption(
    aws: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(aws, monkeypatch, endpoint="http://s3.example.org")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    open_bucket(BucketUrl("news", ""))
