"""The command `aggregator`, also as `python -m aggregator`.

Processes that read files import this module again (`multiprocessing`, spawn), so it imports nothing until it is run.
"""


def main() -> None:
    """Runs the command line."""
    from aggregator.cli import main as run

    run()


if __name__ == "__main__":
    main()
