"""The command `aggregator`, also as `python -m aggregator`.

Processes that read files import this module again (`multiprocessing`, spawn), so it imports nothing until it is run.
"""

GC_THRESHOLD = 200_000
"""New objects between garbage collections. Imports make nearly as many objects, which stay; collecting among them takes
a twentieth of a short command."""


def main() -> None:
    """Runs the command line."""
    import gc

    gc.set_threshold(GC_THRESHOLD)
    from aggregator.cli import main as run

    run()


if __name__ == "__main__":
    main()
