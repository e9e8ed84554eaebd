"""Where the commands print: data on stdout, messages on stderr.

A stream that is closed or full, or that nobody reads any more, loses text and never stops work.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from aggregator.problems import HIDDEN, visible, visible_data

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

WRONG, UNUSABLE, INTERRUPTED = 1, 2, 130
"""Exit codes (docs/spec.md#exit-codes)."""
FILE_WIDTH = 200
"""Width of tables without a terminal."""


class _LossyFile(io.FileIO):
    """A descriptor to which every write succeeds; `lost` is the error of a write whose data was lost."""

    lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written: int | None = super().write(data)
        except OSError as error:
            written, self.lost = None, error
        return memoryview(data).nbytes if written is None else written


def open_streams() -> None:
    """Makes sure that stdin, stdout and stderr are open, and that no write to the last two fails.

    Otherwise the next file that is opened, such as the store, would get the number of a closed stream, and messages.
    """
    closed: dict[int, OSError] = {}
    for number in range(3):
        try:
            os.fstat(number)
        except OSError as error:
            closed[number] = error
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or _has_number(stream, number):
            raw = _LossyFile(number, "w", closefd=False)
            raw.lost = closed.get(number)
            file = io.BufferedWriter(raw)
            encoding = getattr(stream, "encoding", None) or "utf-8"
            setattr(sys, name, io.TextIOWrapper(file, encoding, "backslashreplace", line_buffering=True))
        elif isinstance(stream, io.TextIOWrapper):  # never fail because a terminal cannot show a character
            stream.reconfigure(errors="backslashreplace")


def print_line(text: str) -> None:
    """Prints a line of data that is safe for terminals."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines of data."""
    for line in lines:
        print_line(visible(line))


def print_message(text: str) -> None:
    """Prints a message on stderr."""
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


def print_table(table: Any) -> None:
    """Prints what rich can render: as wide as the terminal, or `FILE_WIDTH` columns without one."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(highlight=False) if terminal else Console(width=FILE_WIDTH, highlight=False)
    with console.capture() as capture:
        console.print(table, crop=False)
    for line in capture.get().splitlines():
        print_line(line if terminal else line.rstrip())


def quote_text(text: str, mark: str) -> Any:
    """A line of a record with a caret below it, for terminals."""
    from rich.text import Text

    parts = (("  ", ""), (text, "dim"), ("\n  ", ""), (mark, "bold red"))
    return Text.assemble(*parts, no_wrap=True, overflow="ignore")


def print_data(data: Any, show: Callable[[Any], None], *, as_json: bool, required: bool = True) -> None:
    """Prints the data of a command: as JSON, or for people by `show`, which gets it with all texts made visible.

    Exits with 1 if `required` and stdout did not take all of it.
    """
    if as_json:
        print_line(json_text(data))
    else:
        show(visible_data(data))
    if required:
        check_stdout()


def check_stdout() -> None:
    """Exits with 1 if stdout did not take all that was printed, unless its reader went away."""
    sys.stdout.flush()
    file = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    lost = file.lost if isinstance(file, _LossyFile) else None
    if lost is not None and lost.errno != errno.EPIPE:
        print_message(f"error: the data could not be written to stdout: {lost.strerror}")
        sys.exit(WRONG)


def json_text(data: object) -> str:
    """The data as JSON: the same values, with everything that `visible` escapes written as JSON escapes."""
    lines = json.dumps(data, ensure_ascii=False, indent=2).split("\n")
    return "\n".join(HIDDEN.sub(lambda match: json.dumps(match[0])[1:-1], line) for line in lines)


def _has_number(stream: Any, number: int) -> bool:
    """Whether a stream writes to this descriptor, and does not replace it in a test."""
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError):
        return False
