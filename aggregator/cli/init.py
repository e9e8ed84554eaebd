"""`aggregator init`: a config to begin with, or the config of a site that moves here, and its folders."""

from __future__ import annotations

import errno
import os
import shlex
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.cli.options import DEFAULT_CONFIG, config_option_with
from aggregator.cli.printing import print_lines
from aggregator.cli.schema import schema_text
from aggregator.cli.stores import read_site
from aggregator.config import SCHEMA_NAME, config_of_text, default_config, init_text
from aggregator.errors import AggregatorError

if TYPE_CHECKING:
    from aggregator.moving_in.plan import Plan

EPILOG = """\b
Examples:
  aggregator init                      write into the working folder
  aggregator init my-site              write into my-site/
  aggregator init feeds --from blog    the posts of the site in blog/
"""


@click.command(epilog=EPILOG)
@config_option_with(f"File to write, below DIR.  [default: {DEFAULT_CONFIG}]")
@click.option(
    "--from",
    "site",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of a Hugo, Zola or Jekyll site: write the config that publishes its posts under the same links.",
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
def init(folder: Path, config_path: Path | None, site: Path | None) -> None:
    """Write a commented config into DIR (default: the working folder) and make the folders that it names.

    The site gets a new id. If its store exists already, it keeps the id in the store.

    With --from, the values come from the config of that site, each with its line there, and the command lists what it
    cannot take over. The posts stay where they are.

    The JSON Schema of the config is written beside it, as aggregator.schema.json, for editors that complete keys
    (Taplo, Even Better TOML). Write it again after an upgrade, with: aggregator schema
    """
    path = folder / (config_path or DEFAULT_CONFIG)
    if os.path.lexists(path):
        raise _exists_error(path)
    known_id = read_site(default_config(path, env=os.environ)).facts.get("site_id")
    plan, text = None, init_text(known_id or str(uuid.uuid4()))
    if site is not None:
        from aggregator.moving_in import plan_move  # imports the readers of records

        plan, text = plan_move(site, path, known_id or str(uuid.uuid4()))
    try:
        folders, found = _write_config(path, text, has_records=plan is not None)
    except FileExistsError as error:
        if Path(error.filename) == path:
            raise _exists_error(path) from None
        where = os.path.relpath(error.filename)
        raise AggregatorError(f"{where} is not a folder, and one is needed there (move it away)") from None
    except OSError as error:
        raise AggregatorError(f"{error.filename} cannot be written: {error.strerror}") from None
    made = ((folder, "Found" if folder in found else "Made ") for folder in folders)
    lines = [f"Wrote {path}", *(f"{what} {os.path.relpath(folder)}/" for folder, what in made)]
    if known_id:
        lines.append(f"The ids of entries are made from {known_id!r}, as in the store that exists already")
    named = f" --config {shlex.quote(str(path))}" if config_path else ""
    change = "" if folder == Path() or config_path else f"cd {shlex.quote(str(folder))} && "
    if plan is None:
        next_step = f"Next: put records into {os.path.relpath(folders[0])}/, then: {change}aggregator run{named}"
    else:
        lines += _shown_plan(plan)
        next_step = f"Next: save the feeds of the site, then: {change}aggregator adopt{named} FILE…"
    print_lines([*lines, next_step])


def _exists_error(path: Path) -> AggregatorError:
    return AggregatorError(f"{path} exists already (edit it, or remove it first)")


def _write_config(path: Path, text: str, *, has_records: bool) -> tuple[list[Path], list[Path]]:
    """Makes the folders of a config, and writes it and its schema; returns the folders, those of records first, and
    which of them were there. With `has_records` the folders of records exist and are not returned."""
    config = config_of_text(text, path)
    folders = [Path(source.root) for source in config.sources if not (has_records or source.is_bucket)]
    folders += [config.output.path] if isinstance(config.output.path, Path) else []
    found = [folder for folder in folders if folder.exists()]
    for folder in (path.parent, *folders):
        folder.mkdir(parents=True, exist_ok=True)
    _write_whole(path.with_name(SCHEMA_NAME), f"{schema_text()}\n", os.replace)
    _write_whole(path, text, _place_new)  # last, because it is what the next run believes
    return folders, found


def _place_new(new: Path, path: Path) -> None:
    """Gives a file its name, which no other file has. Raises FileExistsError."""
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        new.replace(path)


def _write_whole(path: Path, text: str, place: Callable[[Path, Path], None]) -> None:
    """Writes a file beside `path`, and puts it there by `place`. Raises OSError with the path."""
    new = path.with_name(f".{path.name}.new")
    try:
        try:
            new.write_text(text, encoding="utf-8")
            place(new, path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _shown_plan(plan: Plan) -> list[str]:
    from aggregator.moving_in.site_files import shown_file

    files = ", ".join(map(shown_file, plan.files)) or f"{shown_file(plan.root)}/ (no config file)"
    old = sum(len(feed.moved_from) for feed in plan.feeds)
    lines = [
        f"Read  {files}: a site of {plan.system}",
        *(f"  {key} = {stated.value!r} ({stated.place})" for key, stated in plan.site.items()),
        *(f"  links {source.link_template} ({source.place})" for source in plan.sources),
        f"  feeds: {len(plan.feeds)}, with {old} old URLs, {plan.limit.value} entries each ({plan.limit.place})",
    ]
    if plan.left_out:
        lines += ["The config cannot say:", *(f"  {problem}" for problem in plan.left_out)]
    return lines
