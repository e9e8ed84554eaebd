"""The commented sample config, `sample.toml`: `aggregator init` writes it."""

from __future__ import annotations

from pathlib import Path

from aggregator.config.topics import toml_text

SCHEMA_NAME = "aggregator.schema.json"
"""File name of the JSON Schema that the sample names in its first line."""
_SAMPLE_ID = '"feeds.example.org"'


def init_text(site_id: str) -> str:
    """The sample config of a new site."""
    sample = Path(__file__).with_name("sample.toml").read_text("utf-8")
    return sample.replace(_SAMPLE_ID, toml_text(site_id), 1)
