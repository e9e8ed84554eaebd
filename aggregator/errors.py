"""Every error the program raises on purpose.

AggregatorError
├── ConfigError          the config file or an override cannot be used (exit 2)
├── StoreError           the store cannot be used (exit 2)
│   ├── StoreHeldError   another process writes to it
│   ├── StoreNewerError  a newer program made its schema
│   ├── StoreMismatchError  the config contradicts what it has
│   └── LeaseLostError   ours was taken over; the cycle must stop
├── NotFoundError        there is no record or feed of that name (exit 2)
├── PublishError         the output folder cannot be written
├── RenderError          a feed cannot be written as a document
├── ShortageError        the system has no more files or memory to give; nothing is wrong with what was read
└── StoppedError         a stop was asked for in the middle of a cycle
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
    """Root of the tree; its text is fit to show to the operator."""


class ConfigError(AggregatorError):
    """All that is wrong with a config, one problem a line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class StoreError(AggregatorError):
    """The store cannot be opened or used."""


class StoreMissingError(StoreError):
    """There is no store yet, or none that is ready."""


class StoreHeldError(StoreError):
    """Another process holds the lease; `holder` says which."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"the store is held by {holder}")
        self.holder = holder


class StoreNewerError(StoreError):
    """The schema of the store is newer than this program."""


class StoreMismatchError(StoreError):
    """The config contradicts what the store was made with; its text says what to write."""


class LeaseLostError(StoreError):
    """The lease of this process was taken over by another."""


class NotFoundError(AggregatorError):
    """What was asked about is not there; its text says where it was looked for."""


class PublishError(AggregatorError):
    """The output folder cannot be written."""


class RenderError(AggregatorError):
    """A feed cannot be written as a document."""


class ShortageError(AggregatorError):
    """The system has no more of what reading needs; what was to be read is as good as before."""

    @classmethod
    def check(cls, error: OSError) -> None:
        """Raises a ShortageError when `error` says nothing of the file that was to be read."""
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise cls(f"the system refuses: {error.strerror} (raise its limits)") from error


class StoppedError(AggregatorError):
    """A stop was asked for; what is stored so far stands."""


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
