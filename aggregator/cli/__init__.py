"""The commands: one module for each, with its data, its tables and its text. Only they print.

The module of a command is imported when the command runs, because imports are most of the time of a short command.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from importlib import import_module
from pathlib import Path

import click

from aggregator import __version__
from aggregator.cli.printing import INTERRUPTED, UNUSABLE, WRONG, open_streams, print_message
from aggregator.errors import AggregatorError, ConfigError, StoppedError, crash_report

COMMANDS = {
    "run": "Run the service: scan, publish and serve feeds.",
    "serve": "Serve an output folder that another process writes.",
    "build": "Run one cycle and exit: for cron, CI and static hosting.",
    "check": "Check the config and the records; write nothing.",
    "status": "Show the last cycle, counts, feeds and problems.",
    "health": "Ask a running service whether it is well; one line.",
    "feeds": "List all feeds with their URLs.",
    "preview": "Show what a feed would hold, also under another config.",
    "explain": "Explain one record: its fields, its state, its feeds.",
    "backup": "Copy the store into a file, also while the service runs.",
    "restore": "Put a backup in the place of the store.",
    "schema": "Print the JSON Schema of the config file.",
    "init": "Write a commented config and make its folders.",
    "adopt": "Take over the ids that subscribers have from saved feeds.",
}
"""Each command is the function of its name in the module of its name."""

EPILOG = """\b
First steps:
  aggregator init    write config/aggregator.toml and make its folders
  aggregator run     start the service; open the URL that it prints
"""


def main() -> None:
    """Runs the command line and exits with its code."""
    atexit.register(gc.freeze)  # skips the collection at exit: the process ends anyway
    open_streams()
    try:
        commands(standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        for line in usage.getvalue().splitlines():
            print_message(line)
        sys.exit(UNUSABLE)
    except (click.Abort, KeyboardInterrupt, StoppedError) as stopped:
        print_message(str(stopped) or "interrupted")
        sys.exit(INTERRUPTED)
    except AggregatorError as error:
        for line in str(error).split("\n"):
            print_message(line if isinstance(error, ConfigError) else f"error: {line}")
        sys.exit(UNUSABLE)
    except Exception as error:  # noqa: BLE001 - its message may quote a record
        print_message(f"error: unexpected. {crash_report(error)}")
        sys.exit(WRONG)


class CommandGroup(click.Group):
    """A group that imports a command when it is needed; its own help needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of click
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - of click
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"aggregator.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches  # after a typo only

            near = get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"No such command {name!r}{f' (did you mean {near[0]!r}?)' if near else '.'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - of click
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(
    cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="AGGREGATOR_CONFIG",
    help="Config file, before or after the command; or name it in AGGREGATOR_CONFIG.",
)
@click.version_option(__version__, "-V", "--version", prog_name="aggregator")
def commands(config_path: Path | None) -> None:  # noqa: ARG001 - the commands read it from the context
    """Publish a folder of record files as RSS, Atom and JSON feeds.

    A record is a text file with front matter. Every topic of a published record gets a feed.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise AggregatorError(
            f"the working folder cannot be used: {error.strerror} (change to another folder, such as: cd /)"
        ) from None
