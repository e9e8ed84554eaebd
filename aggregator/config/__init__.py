"""The config: a TOML file and the environment -> one frozen `Config`, or all problems at once.

    text -> tables -> + environment -> schema -> checks across keys -> Config
    (load)            (environment)    (schema)  (conflicts)          (load)

`values` parses single values, `topics` the tables of topics. `errors` writes the messages, `positions` knows the line
of each key.
"""

from aggregator.config.load import Config, config_of_text, default_config, load_config, partial_config
from aggregator.config.sample import SCHEMA_NAME, init_text
from aggregator.config.schema import config_schema
from aggregator.config.topics import can_pin, toml_text

__all__ = [
    "SCHEMA_NAME",
    "Config",
    "can_pin",
    "config_of_text",
    "config_schema",
    "default_config",
    "init_text",
    "load_config",
    "partial_config",
    "toml_text",
]
