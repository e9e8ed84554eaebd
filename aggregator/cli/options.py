"""Options that several commands have, and the config that they name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from aggregator.cli.printing import print_message
from aggregator.config import Config, default_config
from aggregator.config import load_config as read_config
from aggregator.errors import AggregatorError
from aggregator.problems import tag_problem

DEFAULT_CONFIG = Path("config/aggregator.toml")


def _of_command_or_group(context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    """The config that is named after the command, else before the command, else in the environment."""
    return value or context.find_root().params["config_path"]


def config_option_with(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """--config with a help text of its own."""
    kind = click.Path(path_type=Path)
    return click.option("-c", "--config", "config_path", type=kind, callback=_of_command_or_group, help=help_text)


config_option = config_option_with(f"Config file.  [default: {DEFAULT_CONFIG}]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log details, too.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Log only warnings and errors.")


def load_config(path: Path | None, *, show_warnings: bool = True) -> Config:
    """The config at `path` or at the default path. Without a file there, the defaults, if the records folder exists.

    With `show_warnings`, warnings of the config are messages.
    """
    if path is not None or _may_exist(DEFAULT_CONFIG):
        config = read_config(path or DEFAULT_CONFIG, env=os.environ)
    else:
        config = default_config(DEFAULT_CONFIG, env=os.environ)
        root = config.sources[0].root
        shown = f"{os.path.relpath(root)}/"
        if not os.path.isdir(root):
            raise AggregatorError(
                f"no {DEFAULT_CONFIG} and no folder {shown} in the working folder"
                " (make them with: aggregator init; or name a config with --config)"
            )
        print_message(f"no {DEFAULT_CONFIG}: using the defaults, and the records in {shown}")
    for warning in config.warnings if show_warnings else ():
        print_message(str(tag_problem(warning, warning.level)))
    return config


def _may_exist(path: Path) -> bool:
    """Whether a path is in use; also by a dangling link, or in a folder that cannot be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True
