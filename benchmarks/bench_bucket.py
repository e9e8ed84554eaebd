"""Documents per second into an output bucket, on a real S3 server on loopback, beside a folder.

    PYTHONPATH=. python benchmarks/bench_bucket.py

Each line is a publish: documents written, seconds, CPU seconds of this process, and documents for each CPU second.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aggregator.buckets import BucketUrl
from aggregator.model import Document
from aggregator.output.bucket import OutputBucket
from aggregator.output.folder import OutputFolder
from aggregator.output.publication import Target
from aggregator.output.publisher import Publisher

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

DOCUMENTS, BYTES = 1000, 30_000


def publish(publisher: Publisher, versions: list[int]) -> None:
    """Publishes a document for each version, and prints what it took."""

    def render(dirty: list[str]) -> Iterator[tuple[str, list[Document]]]:
        for slug in dirty:
            body = f"{slug} {targets[slug].version} ".encode().ljust(BYTES, b"x")
            yield slug, [Document(f"{slug}/rss.xml", body)]

    targets = {
        f"feed-{number}": Target(str(version), (f"feed-{number}/rss.xml",)) for number, version in enumerate(versions)
    }
    wall, cpu = time.perf_counter(), time.process_time()
    written = len(publisher.publish("store", "form", targets, render, lambda: None, full=True).written)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kind, each = type(publisher).__name__, f", {1000 * cpu / written:.2f} ms each" if written else ""
    print(
        f"{kind}: {written} documents, {wall:.2f} s, {written / wall:.0f} a second, CPU {cpu:.2f} s{each}", flush=True
    )


def main() -> None:
    """Publishes all documents twice, then 10 changed ones, then none, in a bucket and in a folder."""
    from object_storage import running_storage

    with running_storage() as storage, tempfile.TemporaryDirectory() as folder:
        os.environ.update(storage.environment())
        bucket = BucketUrl(storage.make_bucket(), "")
        publishers = OutputBucket(bucket, cache_control="public", location=lambda _: ""), OutputFolder(Path(folder))
        some = [3] * 10 + [2] * (DOCUMENTS - 10)
        for publisher in publishers:
            for versions in ([1] * DOCUMENTS, [2] * DOCUMENTS, some, some):
                publish(publisher, versions)


if __name__ == "__main__":
    main()
