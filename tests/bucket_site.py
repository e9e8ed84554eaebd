"""A site whose records are in a bucket of the real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SiteFolder
from object_storage import ObjectStorage, Proxy, use


class BucketSite(SiteFolder):
    """A site of which `write` and `remove` are requests to the server; the program asks it through `proxy`."""

    def __init__(self, root: Path, url: str, storage: ObjectStorage, proxy: Proxy) -> None:
        self.client, self.bucket, self.proxy = storage.client(), storage.make_bucket(), proxy
        super().__init__(root, url)

    @property
    def records(self) -> str:
        """The URL of the records."""
        return f"s3://{self.bucket}/site/content"

    def configure(self, config: str = "", *, url: str | None = None) -> None:
        line = f'path = "{self.records}"'
        config, found = re.subn(r"(?m)(?<=^\[records\]\n)path = .*$", line, config)
        super().configure(config if found else f"[records]\n{line}\n{config}", url=url)

    def write(
        self,
        path: str | bytes,
        content: str | bytes,
        *,
        mtime_ns: int | None = None,  # noqa: ARG002 - an object has none
    ) -> Path:
        assert isinstance(path, str)
        body = content.encode() if isinstance(content, str) else content
        self.client.put_object(Bucket=self.bucket, Key=f"site/content/{path}", Body=body)
        return Path(path)

    def remove(self, *paths: str) -> None:
        for path in paths:
            self.client.delete_object(Bucket=self.bucket, Key=f"site/content/{path}")

    def touch(self, path: str, mtime_ns: int) -> None:
        """Writes the same bytes again."""
        answer = self.client.get_object(Bucket=self.bucket, Key=f"site/content/{path}")
        self.write(path, answer["Body"].read(), mtime_ns=mtime_ns)

    def rename(self, old: str, new: str) -> None:
        source = {"Bucket": self.bucket, "Key": f"site/content/{old}"}
        self.client.copy_object(Bucket=self.bucket, Key=f"site/content/{new}", CopySource=source)
        self.remove(old)

    def read_paths(self) -> list[str]:
        """The paths of the objects that the program read since the last call, in order of paths."""
        prefix = f"{self.bucket}/site/content/"
        gets = [path for method, path, query in self.proxy.requests if method == "GET" and "list-type" not in query]
        self.proxy.requests.clear()
        return sorted(path.removeprefix(prefix) for path in gets)


@pytest.fixture
def make_bucket_site(
    tmp_path: Path, object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], BucketSite]]:
    """Makes a site over the database at an address, with its records in a new bucket."""
    made: list[BucketSite] = []
    with Proxy(object_storage.port) as proxy:
        use(object_storage, monkeypatch, endpoint=proxy.url)
        monkeypatch.setattr("aggregator.files.bucket.ATTEMPTS", 1)

        def make(url: str) -> BucketSite:
            made.append(BucketSite(tmp_path / f"bucket{len(made)}", url, object_storage, proxy))
            return made[-1]

        yield make
        for site in made:
            site.close()


@pytest.fixture
def bucket_site(make_bucket_site: Callable[[str], BucketSite], store_url: str) -> BucketSite:
    """An empty site."""
    return make_bucket_site(store_url)
