"""What a site of Hugo, Zola or Jekyll says of itself -> a config that publishes the same posts under the same links.

    config files of the site -> Plan -> completed by the records -> text of aggregator.toml
    site_files                  hugo, zola, jekyll    records       config_text

The plan also has the place of each value, and what the config cannot say.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from aggregator.config import config_of_text
from aggregator.errors import AggregatorError
from aggregator.moving_in import hugo, jekyll, zola
from aggregator.moving_in.config_text import config_text
from aggregator.moving_in.plan import Plan
from aggregator.moving_in.records import add_from_records
from aggregator.moving_in.site_files import shown_file


def plan_move(site: Path, config_path: Path, site_id: str) -> tuple[Plan, str]:
    """The plan for the site in a folder, and the text of its config for the file at `config_path`.

    Raises ConfigError if the config of the site cannot be read, and AggregatorError if there is none.
    """
    plan = _read_site(site)
    folder = config_path.absolute().parent
    output = folder.parent / "output"
    # Jekyll copies what is in its folder into the site, the store too
    taken = [plan.root] if plan.preset == "jekyll" else [source.path for source in plan.sources]
    if any(Path(os.path.realpath(output)).is_relative_to(os.path.realpath(path)) for path in taken):
        hint = f"name another folder: aggregator init ../feeds --from {shown_file(site)}"
        raise AggregatorError(f"{shown_file(output)}/ would be among the files of the site ({hint})")
    config = config_of_text(config_text(replace(plan, feeds=[]), site_id, folder), config_path)
    add_from_records(plan, config)
    text = config_text(plan, site_id, folder)
    config_of_text(text, config_path)
    return plan, text


def _read_site(site: Path) -> Plan:
    for has_config, read in (
        (hugo.find_config, hugo.read_hugo),
        (zola.find_config, zola.read_zola),
        (jekyll.find_config, jekyll.read_jekyll),
    ):
        if has_config(site):
            return read(site)
    names = "hugo.toml, config.toml, config/_default/, _config.yml"
    raise AggregatorError(f"{shown_file(site)} is no site of Hugo, Zola or Jekyll: none of {names} is there")
