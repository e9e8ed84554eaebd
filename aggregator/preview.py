"""Preview: the entries that a feed would hold now under a config, and what that would put in and take out. Only reads.

Records that changed since the last cycle are as they were then: `build --dry-run` is for those.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from aggregator.config import Config
from aggregator.errors import NotFoundError
from aggregator.pipeline import Pipeline
from aggregator.site import default_site_id
from aggregator.store import FeedReader, FeedTrial, Store, feed_versions, kept_policy, read_meta, to_us, try_feed


def preview_feed(config: Config, store: Store, slug: str, now: datetime) -> FeedTrial:
    """What the feed shows, and what it would at `now` under this config. Raises NotFoundError."""
    with store.read() as connection:
        site_id = read_meta(connection, "site_id") or default_site_id(config)
        pipeline = Pipeline(config, store, site_id)
        kept = kept_policy(connection, pipeline.policy)
        slugs = {*feed_versions(connection, kept), *feed_versions(connection, pipeline.policy), *pipeline.policy.specs}
    today = FeedReader(kept, site_id, config.site_facts(), pipeline.reader.space)
    with tempfile.TemporaryDirectory(prefix="aggregator-") as folder:
        # no slug has other characters, and a database may not take them
        trial = try_feed(store, today, pipeline.reader, slug, to_us(now), Path(folder)) if slug.isascii() else None
    if trial is not None:
        return trial
    near = get_close_matches(slug, sorted(slugs), n=3)
    todo = f"did you mean {' or '.join(map(repr, near))}?" if near else "see them with: aggregator feeds"
    raise NotFoundError(f"there is no feed {slug!r} ({todo})")
