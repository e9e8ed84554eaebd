"""`aggregator restore`: a backup in the place of the store."""

from __future__ import annotations

from pathlib import Path

import click

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_line

EPILOG = """\b
Example:
  sudo systemctl stop aggregator
  sudo -u aggregator aggregator restore /var/backups/aggregator/store.db
  sudo systemctl start aggregator
"""


@click.command(epilog=EPILOG)
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def restore(config_path: Path | None, file: Path, *, as_json: bool) -> None:
    """Put a backup in the place of the store.

    Refused while a service or a build holds the store. The store that was there is kept beside it. The next cycle reads
    what changed since the backup; ids and order continue. With PostgreSQL, the message names the command that does it.
    """
    from aggregator.store.backup import restore as put_back

    kept = put_back(load_config(config_path).store.url, file)
    print_data({"file": str(file), "kept": None if kept is None else str(kept)}, _show, as_json=as_json)


def _show(data: dict[str, object]) -> None:
    print_line(f"the store is the backup {data['file']} again (next: aggregator build, or start the service)")
    if data["kept"]:
        print_line(f"the store before it is kept as {data['kept']}")
