"""Turns a folder of record files into feeds that people subscribe to.

    SourceFile -> Record -> Feed -> Document -> changed Documents -> CycleResult
    scan          ingest    store   render      publish              pipeline
                  (parse)   (rules)

`cli` has the commands, `service` runs cycles on a schedule and serves over HTTP (`http`), `config` reads the config.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
