"""A preload of Dask workers: as if another version of the program were installed there."""

import aggregator

aggregator.__version__ = "0.0.1"
