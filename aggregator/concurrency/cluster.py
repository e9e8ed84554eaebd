"""A Dask cluster that runs functions, as `processes.WorkerPool` does on this machine. The home of distributed.

    submit -> scheduler -> a worker runs the function -> its pickled result

Functions, their arguments and results are pickled here, because Dask would search them for parts that it knows. The
scheduler gives a task of a worker that died to another one, and gives up after `distributed.scheduler.allowed-failures`
of them. Nothing is submitted again here: the future fails with CallLostError, and `ingest._PoolReading` reads the batch
itself. Everybody who can reach the scheduler can run code on its workers and in this process.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from aggregator import __version__
from aggregator.concurrency.processes import CallLostError, ClusterError, start_call

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as Task

CONNECT_S, CLOSE_S = 3.0, 1.0
PATIENCE_S = 60.0
"""How long the workers may give no result before the caller runs a function itself: a worker may hang."""
RETRY_S = 60.0
"""How long a cluster that cannot be used is left alone."""
_log = logging.getLogger(__name__)


class _Answer(Future[Any]):
    """A result that is unpickled when it is asked for: many wait, and a pickled one needs less memory."""

    def result(self, timeout: float | None = None) -> Any:
        return pickle.loads(super().result(timeout))  # noqa: S301 - the cluster is trusted


class Cluster:
    """The workers of the cluster with a scheduler at `address`. Raises ClusterError; `report` gets later ones."""

    def __init__(self, address: str, report: Callable[[ClusterError], None] = lambda _error: None) -> None:
        self.patience_s, self._report, self._is_closed = PATIENCE_S, report, False
        self._client = _connect(address)
        self._running: set[Task[bytes]] = set()  # a task whose future is deleted is cancelled
        try:
            self.size = sum(self._client.nthreads(callback_timeout=CONNECT_S).values())
        except OSError as error:
            self.close()
            raise ClusterError(f"its scheduler does not answer: {type(error).__name__}") from error
        if not self.size:
            self.close()
            raise ClusterError(f"it has no workers (start one: dask worker {address} --nthreads 1)")

    def submit(self, function: Callable[..., Any], *args: object) -> Future[Any]:
        """The future result of an importable function. Its errors are ClusterError and CallLostError."""
        answer = _Answer()
        request = pickle.dumps((function, args))
        try:
            task = self._client.submit(_run, __version__, request, pure=False)
        except Exception as error:  # noqa: BLE001 - the client was closed, because it lost the scheduler
            self._fail(answer, ClusterError(f"its scheduler is lost: {type(error).__name__}"))
            return answer
        self._running.add(task)
        task.add_done_callback(partial(start_call, self._deliver, answer))
        return answer

    def close(self) -> None:
        """Cancels what is not done, and disconnects. A function that runs continues to its end, for nobody."""
        self._is_closed = True
        with suppress(Exception):  # a scheduler that does not answer notices it by itself
            self._client.close(CLOSE_S)

    def _deliver(self, answer: _Answer, task: Task[bytes]) -> None:
        """Gives the result of a task, or its error, to the answer. Runs in a thread of its own: the result is still at
        the worker, which may hang, and Dask has one thread for the callbacks of all clusters."""
        from distributed import KilledWorker

        try:
            answer.set_result(task.result(self.patience_s))
        except KilledWorker as error:
            answer.set_exception(CallLostError(f"{error.allowed_failures + 1} workers died"))
        except TimeoutError:
            answer.set_exception(CallLostError("no answer"))
        except (CancelledError, OSError) as error:
            self._fail(answer, ClusterError(f"its scheduler is lost: {type(error).__name__}"))
        except Exception as error:  # noqa: BLE001 - of the function, or of a worker that cannot import it
            self._fail(answer, _worker_error(error))
        finally:
            self._running.discard(task)

    def _fail(self, answer: _Answer, error: ClusterError) -> None:
        if not self._is_closed:  # otherwise it was cancelled
            self._report(error)
        answer.set_exception(error)


def _connect(address: str) -> Client:
    try:
        import dask.config

        # errors come to us as such; both names, because Dask has a level for each
        dask.config.update(
            dask.config.config, {"logging": {"distributed": "critical", "distributed.client": "critical"}}
        )
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ClusterError(f"{error.name} is not installed (in the checkout, run: pip install '.[dask]')") from error
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except Exception as error:  # a wrong address has many errors
        raise ClusterError(f"its scheduler cannot be reached: {type(error).__name__}") from error


def _run(version: str, request: bytes) -> bytes:
    """The pickled result of a request. Runs on a worker."""
    if version != __version__:
        hint = "install one version everywhere"
        raise ClusterError(f"a worker has version {__version__} of aggregator, and this is {version} ({hint})")
    function, args = pickle.loads(request)  # noqa: S301 - the cluster is trusted
    return pickle.dumps(function(*args))


def _worker_error(error: Exception) -> ClusterError:
    """The error as a message. Its text may be from a record, unless it is about imports."""
    if isinstance(error, ClusterError):
        return error
    text = f": {error}" if isinstance(error, ImportError | AttributeError) else ""
    hint = "give workers the same version, and the same folders or keys"
    return ClusterError(f"a worker failed with {type(error).__name__}{text} ({hint})")


class ClusterLink:
    """Connects to a cluster, if it can be used, and knows its problem."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.problem: str | None = None  # as a line for operators; empty: it could be used; None: nobody tried
        self._retry_at = 0.0

    def connect(self) -> Cluster | None:
        """The cluster, or None if it cannot be used now."""
        if time.monotonic() < self._retry_at:
            return None
        try:
            cluster = Cluster(self._address, self.fail)
        except ClusterError as error:
            self.fail(error)
            return None
        if self.problem:
            _log.info("resolved: %s", self.problem)
        self.problem = ""
        return cluster

    def check(self, earlier_problem: str) -> None:
        """Tries again whether a cluster that could not be used can be used; if nobody tried in this process, the
        `earlier_problem` says that it could not."""
        if self.problem is None:
            self.problem = earlier_problem
        if self.problem and (cluster := self.connect()) is not None:
            cluster.close()

    def fail(self, error: ClusterError) -> None:
        """Notes and logs why the cluster cannot be used."""
        self._retry_at = time.monotonic() + RETRY_S
        problem = f"the Dask cluster {self._address} cannot be used: {error}; meanwhile files are read here"
        if problem != self.problem:
            _log.warning("%s", problem)
        self.problem = problem
