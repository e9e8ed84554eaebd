"""Measurements beside Hugo, in one run on one machine: `make bench`, or `python -m benchmarks --help`.

    corpus     records to measure with           sites     a site of ours and one of Hugo's over the same records
    processes  wall, CPU and memory of a run     machine   what it runs on
    builds     whole builds, from a cold start   stages    where the time of a cold build goes
    walks      nothing changed, in the service   service   one new record while it watches; nothing to do
    report     all of it -> docs/performance.md

The micro benchmarks are `test_*.py`, by pytest-benchmark; `bench_feed.py` measures one feed beside plain feedgen.
"""
