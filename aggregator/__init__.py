"""Turns a folder of record files into feeds that people subscribe to.

    SourceFile -> Record -> Feed -> Document -> changed Documents -> CycleResult
    scan          ingest    store   render      output               cycle
                  (parse)   (feeds)

`cycle` runs one cycle through all stages. `service` runs cycles on schedule and on changes, `serve` answers HTTP,
`config` reads the config, and `cli` has the commands. docs/architecture.md describes each module.
"""

__all__ = ["__version__"]

__version__ = "0.8.0"
