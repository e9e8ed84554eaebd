"""Where the commands print: data on stdout, messages on stderr.

A stream that is closed or full, or that nobody reads any more, loses text and never work.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aggregator.display import visible

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _LossyFile(io.FileIO):
    """A descriptor that takes all that is written; what it cannot keep is lost, and `lost` says why."""

    lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written: int | None = super().write(data)
        except OSError as error:
            written, self.lost = None, error
        return memoryview(data).nbytes if written is None else written


def open_streams() -> None:
    """Makes sure that stdin, stdout and stderr are open, and that no write to the last two ever fails.

    A descriptor that is closed at the start would otherwise become that of the next file that is opened, such as the
    store, and get the messages.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or _is_at(stream, number):
            file = io.BufferedWriter(_LossyFile(number, "w", closefd=False))
            encoding = getattr(stream, "encoding", None) or "utf-8"
            setattr(sys, name, io.TextIOWrapper(file, encoding, "backslashreplace", line_buffering=True))
        elif isinstance(stream, io.TextIOWrapper):  # a stream that cannot show a character is no reason to fail
            stream.reconfigure(errors="backslashreplace")


def echo(text: str) -> None:
    """Prints data as it is, and a line end."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def echo_lines(lines: Iterable[str]) -> None:
    """Prints lines of data."""
    for line in lines:
        echo(visible(line))


def say(message: str) -> None:
    """Prints a message on stderr."""
    sys.stderr.write(f"{visible(message)}\n")
    sys.stderr.flush()


def draw(drawing: Any) -> None:
    """Prints tables, as wide as the terminal, or as they need where there is none."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(highlight=False) if terminal else Console(width=200, highlight=False)
    with console.capture() as capture:
        console.print(drawing)
    for line in capture.get().splitlines():
        echo(line if terminal else line.rstrip())


def lost_data() -> str | None:
    """Why data that was printed did not get where it should; None if it did, or if its reader went away."""
    sys.stdout.flush()
    file = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    lost = file.lost if isinstance(file, _LossyFile) else None
    return None if lost is None or lost.errno == errno.EPIPE else lost.strerror


def _is_at(stream: Any, number: int) -> bool:
    """Whether a stream writes to this descriptor, and is not one that a test put in its place."""
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError):
        return False
