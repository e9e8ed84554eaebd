"""Short commands over a site that was built before, process start included."""

from __future__ import annotations

from itertools import count

from benchmarks.corpus import make_record
from benchmarks.processes import Cost, middle, run_measured
from benchmarks.sites import OurSite


def measure_commands(site: OurSite, rounds: int) -> dict[str, Cost]:
    """Medians by command. In every round the commands take turns."""
    record = next(record for record in map(make_record, count()) if record.published)
    commands = {
        "status": site.command("status"),
        "feeds": site.command("feeds"),
        "explain": site.command("explain", record.path),
        "build": site.command("build"),
    }
    run_measured(commands["build"])  # reads files again that had just been written
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            costs[name].append(run_measured(command))
    return {name: middle(taken) for name, taken in costs.items()}
