"""The commented sample config, `sample.toml`: `aggregator init` writes it."""

from __future__ import annotations

from pathlib import Path

from aggregator.config.topics import toml_text

SCHEMA_NAME = "aggregator.schema.json"
"""File name of the JSON Schema that the sample names in its first line."""
SAMPLE_ID = "feeds.example.org"
"""The site id in the sample."""
_ID_WIDTH = 36
"""So wide is the id in the sample, with the blanks before its comment."""


def init_text(site_id: str) -> str:
    """The sample config of a new site."""
    sample = Path(__file__).with_name("sample.toml").read_text("utf-8")
    sample_id, new_id = (f"{toml_text(name):<{_ID_WIDTH}} " for name in (SAMPLE_ID, site_id))
    return sample.replace(sample_id, new_id, 1)
