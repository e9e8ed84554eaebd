"""Random histories of records in a bucket: after every cycle the documents are those of the same records in a folder."""

from __future__ import annotations

import random
from collections.abc import Callable

from bucket_site import BucketSite
from conftest import SiteFolder
from simulation.test_histories import SEED
from simulation.world import Config, World, apply

STEPS = 12


def test_any_history_in_a_bucket_is_as_in_a_folder(
    make_site: Callable[..., SiteFolder],
    make_bucket_site: Callable[[str], BucketSite],
    make_store_url: Callable[[str], str],
) -> None:
    chance, config = random.Random(SEED), ""
    world = World(SEED, Config(limit=5, min_stay="0s", archive=True, max_bytes="1MB"))
    folder, bucket = make_site(make_store_url("sqlite")), make_bucket_site(make_store_url("sqlite"))
    for _ in range(STEPS):
        step = world.step(Config.change if chance.random() < 0.2 else None)
        changed = step.config.text() != config
        config = step.config.text()
        for site in (folder, bucket):
            apply(step, site)
            if changed:
                site.configure(config)
            assert not site.run(step.now).problems
        assert bucket.documents() == folder.documents()
