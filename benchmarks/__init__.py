"""Benchmarks against Hugo, in one run on one machine: `make bench`, or `python -m benchmarks --help`.

    corpus     the records to measure with      sites     our site and Hugo's site over the same records
    processes  wall time, CPU time and memory   machine   what the benchmarks run on
    builds     whole builds, process start too  stages    where the time of a cold build goes
    quiet      a cycle that finds no change     service   one new record while watching; an idle service
    report     the figures -> docs/performance.md

The micro benchmarks are `test_*.py`, run by pytest-benchmark. `bench_feed.py` compares one feed with plain feedgen.
benchmarks/README.md has the goals and how to run them.
"""

import os

# An installed package has its bytecode; with this variable, each process of a checkout would compile it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
