"""Every error that a command reports or that ends a cycle.

AggregatorError
├── ConfigError             the config file, or a variable that overrides it, cannot be used (exit 2)
├── StoreError              the store cannot be used (exit 2)
│   ├── StoreMissingError   there is no store yet, or its schema is not complete
│   ├── StoreHeldError      another process has the lease
│   ├── StoreUnreachableError  its database does not answer, or takes no writes; retry later
│   ├── StoreBlockedError   the transaction of another process blocks this one
│   ├── StoreDamagedError   its file is damaged
│   ├── StoreForeignError   what its URL names belongs to another program
│   ├── StoreNewerError     a newer version of the program made the schema
│   ├── StoreMismatchError  the config contradicts what is stored
│   │   └── SourceRenamedError  by the name of a source
│   └── LeaseLostError      another process took over the lease; the cycle must stop
├── NotFoundError           no record or feed has this name (exit 2)
├── PublishError            the output folder cannot be written
│   └── FolderTakenError    the service that leads writes the output folder
├── BucketError             object storage cannot be used, or refuses
│   ├── BucketAwayError     no answer, or one that may pass; retry later
│   └── ObjectChangedError  an object is not as a condition says
├── RenderError             a feed cannot be rendered
├── ShortageError           the system is out of files or memory; retry later
└── StoppedError            a cycle was stopped on request
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aggregator.problems import Problem


MAX_CALLS = 30
"""Calls of a stack that a log line shows."""


class AggregatorError(Exception):
    """Root of the tree. Its text is a message for the operator."""


class ConfigError(AggregatorError):
    """Every problem of a config, one per line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class StoreError(AggregatorError):
    """The store cannot be opened or used."""


class StoreMissingError(StoreError):
    """There is no store yet, or its schema is not complete."""


class StoreHeldError(StoreError):
    """Another process, `holder`, has the lease."""

    def __init__(self, holder: str, *, hint: str = "") -> None:
        super().__init__(f"the store is held by {holder}{f' ({hint})' if hint else ''}")
        self.holder = holder


class StoreUnreachableError(StoreError):
    """The database does not answer, or takes no writes."""


class StoreBlockedError(StoreError):
    """The transaction of another process does not end and blocks this one."""


class StoreDamagedError(StoreError):
    """The file of the store is damaged; the message says how to go on."""


class StoreForeignError(StoreError):
    """What the URL of the store names is no store, but something of another program."""


class StoreNewerError(StoreError):
    """The schema of the store is newer than this program."""


class StoreMismatchError(StoreError):
    """The config contradicts what is stored; the message says what to write."""


class SourceRenamedError(StoreMismatchError):
    """The config has a source, `name`, that is new to the store, and lacks the source `stored`, which has records."""

    def __init__(self, name: str, stored: str) -> None:
        shown = f"name = {stored!r}" if stored else "no name"
        super().__init__(
            f"the store holds records of a source with {shown}, which the config does not have: under another name they"
            f" would all get new ids (give [records] {shown} again; if the source is to go, first take it out alone)"
        )
        self.name, self.stored = name, stored


class LeaseLostError(StoreError):
    """Another process took over the lease of this one."""


class NotFoundError(AggregatorError):
    """No record or feed has this name; the message says where the program searched."""


class PublishError(AggregatorError):
    """The output folder cannot be written."""


class FolderTakenError(PublishError):
    """The service that leads publishes into the same output folder, so this service must not write there."""


class BucketError(AggregatorError):
    """Object storage cannot be used, or refuses a request. `code` is the S3 error code, or the status of the answer;
    empty without an answer."""

    def __init__(self, what: str, reason: str, hint: str, code: str = "") -> None:
        super().__init__(f"{what}: {reason} ({hint})")
        self.reason, self.hint, self.code = reason, hint, code


class BucketAwayError(BucketError):
    """Object storage does not answer, or not as it should. A later request may succeed."""


class ObjectChangedError(BucketError):
    """An object is not as the condition of a request says: another process wrote it."""


class RenderError(AggregatorError):
    """A feed cannot be rendered."""


class ShortageError(AggregatorError):
    """The system is out of files or memory. Nothing is wrong with the file that was to be read."""

    @classmethod
    def check(cls, error: OSError) -> None:
        """Raises ShortageError if `error` is about the system and not about the file."""
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise cls(f"the system refuses: {error.strerror} (raise its limits)") from error


class StoppedError(AggregatorError):
    """A cycle was stopped on request. What is stored stays stored."""


def crash_report(error: BaseException) -> str:
    """One line with the type of an unexpected error and its stack, innermost call first. Without its message, which may
    quote a record (docs/spec.md#never-public), unless it is one of ours."""
    import traceback

    parts = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        calls = [
            f"{'/'.join(frame.f_code.co_filename.split(os.sep)[-2:])}:{line} in {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(cause.__traceback__)
        ]
        name = type(cause).__name__
        shown = f"{name} ({cause})" if isinstance(cause, AggregatorError) else name
        parts.append(" < ".join([shown, *calls[: -MAX_CALLS - 1 : -1]]))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return f"Traceback: {', caused by '.join(parts)}"
