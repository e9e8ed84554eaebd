"""The config: a TOML file and the environment in, one frozen `Config` out, or every problem at once.

    text -> tables -> + environment -> schema -> checks across keys -> Config
    (load)            (environment)    (schema)  (checks)             (load)

`moves` says where feeds were before, `values` and `cron` read single values, `locate` finds the line of a key, `places`
those of a config that is in force, `problems` puts what is wrong into words, `topics` reads the tables of topics.
"""

from aggregator.config.load import Config, default_config, load_config, usable_config
from aggregator.config.sample import SCHEMA_NAME, init_text
from aggregator.config.schema import config_schema
from aggregator.config.topics import can_pin, toml_text
from aggregator.output.redirects import Moves

__all__ = [
    "SCHEMA_NAME",
    "Config",
    "Moves",
    "can_pin",
    "config_schema",
    "default_config",
    "init_text",
    "load_config",
    "toml_text",
    "usable_config",
]
