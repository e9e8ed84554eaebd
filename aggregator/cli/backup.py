"""`aggregator backup`: the store in one file."""

from __future__ import annotations

from pathlib import Path

import click

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_line
from aggregator.cli.stores import naming_loss

EPILOG = """\b
Example, for cron:
  aggregator backup /var/backups/aggregator/store.db
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def backup(config_path: Path | None, file: Path, *, as_json: bool) -> None:
    """Copy the store into FILE, also while the service runs.

    FILE takes the place of an earlier backup of this store; another file is not overwritten. It contains drafts: only
    its owner can read it. With PostgreSQL, the message names the command that does it.
    """
    from aggregator.store.backup import back_up

    config = load_config(config_path)
    with naming_loss(config):
        size = back_up(config.store.url, file)
    print_data({"file": str(file), "bytes": size}, _show, as_json=as_json)


def _show(data: dict[str, object]) -> None:
    print_line(f"the store was copied to {data['file']} ({data['bytes']:,} bytes)")
