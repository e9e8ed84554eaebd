"""`aggregator restore`: a backup in the place of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aggregator.cli.options import config_option, json_option, load_config
from aggregator.cli.printing import print_data, print_line, print_lines
from aggregator.config import can_pin, toml_text
from aggregator.slugs import topic_key

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
    what changed since the backup; ids and order continue. Topics that are newer than the backup may get another URL:
    they are named, with the lines for the config that keep it. With PostgreSQL, the message names the command that does
    it.
    """
    from aggregator.store.backup import lost_slugs
    from aggregator.store.backup import restore as put_back

    config = load_config(config_path)
    url, pinned = config.store.url, config.feed_policy().tables.slugs
    kept = put_back(url, file)
    lost = {} if kept is None else lost_slugs(url, kept)
    slugs = {name: slug for name, slug in lost.items() if topic_key(name) not in pinned}
    print_data({"file": str(file), "kept": kept and str(kept), "slugs": slugs}, _show, as_json=as_json)


def _show(data: dict[str, Any]) -> None:
    print_line(f"the store is the backup {data['file']} again (next: aggregator build, or start the service)")
    if data["kept"]:
        print_line(f"the store before it is kept as {data['kept']}")
    if pins := {name: slug for name, slug in data["slugs"].items() if can_pin(name)}:
        print_line("these topics are newer than the backup; to keep their URLs, write first below [topics.slugs]:")
        print_lines(f"{toml_text(name)} = {toml_text(slug)}" for name, slug in pins.items())
