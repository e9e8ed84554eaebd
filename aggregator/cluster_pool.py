r"""The workers of a Dask cluster as a pool that reads many files.

    batches of paths -> workers: read, parse -> outcomes over Dask -> the holder of the lease stores them
                              \-> COPY of large columns into PostgreSQL -> merged there

Workers see the records under the same paths. Workers with `AGGREGATOR_STORE__URL` in their environment write large
columns into the store themselves, so the URL with its password never travels. A batch that the cluster loses (its
workers died, or none answers for `patience_s`) is read again by this process, each file in a child process with a
deadline: `ingest._PoolReading` decides that, for every pool.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aggregator.cluster import ClusterLink
from aggregator.errors import LeaseLostError, StoreError
from aggregator.ingest import Pool
from aggregator.model import Outcome
from aggregator.store.queries import CLUSTER_PROBLEM
from aggregator.store.session import Writer, read_meta, write_meta

if TYPE_CHECKING:
    from concurrent.futures import Future

    from aggregator.cluster import Cluster

STORE_URL = "AGGREGATOR_STORE__URL"
_log = logging.getLogger(__name__)


@contextmanager
def reading_by_cluster(
    link: ClusterLink, writer: Writer, *, with_content: bool, retries: bool
) -> Iterator[Callable[[], Pool | None]]:
    """A function that returns the workers of the cluster, or None if they cannot be used now.

    With `retries`, it first tries a cluster again that an earlier cycle could not use. At its end it removes what
    workers left in the store, and stores the problem of the cluster. `with_content`: the caller needs the content of
    records.
    """
    if retries:
        _check_again(link, writer)
    pools = _Pools(link, writer, with_content=with_content)
    try:
        yield pools.open
    finally:
        pools.close()
    with writer.read() as connection:
        stored = read_meta(connection, CLUSTER_PROBLEM) or ""
    if link.problem is not None and link.problem != stored:
        with writer.write() as connection:
            write_meta(connection, CLUSTER_PROBLEM, link.problem)


def _check_again(link: ClusterLink, writer: Writer) -> None:
    if link.problem is None:  # nobody tried since the start of this process
        with writer.read() as connection:
            link.problem = read_meta(connection, CLUSTER_PROBLEM)
        writer.commit()
    link.check()


class _Pools:
    """Opens the pool for each source, with a staging table."""

    def __init__(self, link: ClusterLink, writer: Writer, *, with_content: bool) -> None:
        self._link, self._writer, self._with_content = link, writer, with_content
        self._staging: str | None = None

    def open(self) -> Pool | None:
        """The workers of the cluster; None if they cannot be used now."""
        cluster = self._link.connect()
        if cluster is None:
            return None
        from aggregator.store.staging import open_staging

        self._writer.commit()
        try:
            self._staging = open_staging(self._writer.store)
        except LeaseLostError:
            cluster.close()
            raise
        except StoreError as error:
            _log.warning("workers send all columns over Dask, because there is no staging table: %s", error)
        return _ClusterPool(cluster, self._staging, with_content=self._with_content)

    def close(self) -> None:
        """Drops the staging table. Everything in it is merged or given up."""
        if self._staging is not None:
            from aggregator.store.staging import drop_staging

            self._writer.commit()
            with suppress(StoreError):  # the next pool drops it
                drop_staging(self._writer.store)


class _ClusterPool:
    """The workers of a cluster as a pool that reads batches."""

    def __init__(self, cluster: Cluster, staging: str | None, *, with_content: bool) -> None:
        self.size, self.patience_s = cluster.size, cluster.patience_s
        self._cluster, self._staging, self._with_content = cluster, staging, with_content

    def submit(self, read: Callable[..., Any], *args: Any) -> Future[Any]:
        """The future outcomes of `read`."""
        return self._cluster.submit(read_on_worker, self._staging, self._with_content, read, *args)

    def close(self) -> None:
        """Leaves the cluster; what is not done is cancelled."""
        self._cluster.close()


def read_on_worker(staging: str | None, with_content: bool, read: Callable[..., Any], *args: Any) -> Sequence[Outcome]:
    """The outcomes of `read`; with their large columns staged, if this worker knows the store and can write to it."""
    outcomes: list[Outcome] = read(*args)
    url = os.environ.get(STORE_URL)
    if staging is None or not url:
        return outcomes
    from aggregator.store.staging import stage_outcomes

    try:
        return stage_outcomes(url, staging, outcomes, with_content=with_content)
    except Exception as error:  # noqa: BLE001 - another database, no database: the outcomes are as good
        reason = type(error.__cause__ or error).__name__  # its text may have the URL
        _log.warning("this worker cannot write into the store that %s names: %s", STORE_URL, reason)
        return outcomes
