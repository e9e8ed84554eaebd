"""The store: records in, changes of feeds out. Everything is SQLAlchemy Core, on SQLite and PostgreSQL alike.

engine      opening, transactions, schema          lease       one writer at a time
tables      the tables; `indexes` theirs           writer      what one cycle knows
records     outcomes -> rows                       lifecycle   withdrawals, releases
membership  entries in and out of feeds            reader      feeds as they are shown
feeds       which there are, and their versions    archives    sealed pages of what has left them
history     what became of entries                 inquiry     what is known of one record
trial       a feed as another config makes it      policy      what windows were cut by last
topics      what the config's tables change        evaluation  rules of the config, new or changed
duplicates  one entry that stands for a link       status      what is told to people
renames     records that moved
"""

from aggregator.store.archives import page_versions, read_pages
from aggregator.store.engine import Store, copy_store, open_store
from aggregator.store.evaluation import open_feeds
from aggregator.store.feeds import (
    feed_versions,
    index_version,
    prepare_feeds,
    read_feeds,
    settle_feeds,
    settle_index,
    summarise_feeds,
    topic_slugs,
    topic_terms,
)
from aggregator.store.history import Event, feed_slugs
from aggregator.store.inquiry import (
    Membership,
    StoredEntry,
    StoredRecord,
    find_by_id,
    find_by_text,
    known_paths,
    read_memberships,
    read_stored,
    rule_texts,
)
from aggregator.store.lease import Lease, read_holder
from aggregator.store.lifecycle import (
    MASS_REMOVAL,
    count_known,
    count_vanished,
    next_due,
    release_entries,
    withdraw_expired,
    withdraw_vanished,
)
from aggregator.store.policy import kept_policy
from aggregator.store.reader import FeedReader, Space
from aggregator.store.records import (
    dropped_sources,
    is_unseen,
    known_at,
    known_digests,
    known_files,
    mark_missing,
    open_source,
    store_outcomes,
)
from aggregator.store.renames import free_duplicates, pair_renames
from aggregator.store.status import (
    FileProblem,
    LastCycle,
    count_entries,
    count_rejected,
    file_problems,
    last_cycle,
    record_cycle,
    record_failure,
    set_source_problem,
    source_problems,
    unread_files,
)
from aggregator.store.topics import pinnable_slugs
from aggregator.store.trial import FeedTrial, try_feed
from aggregator.store.writer import Writer, from_us, open_site, read_meta, to_us, write_meta

__all__ = [
    "MASS_REMOVAL",
    "Event",
    "FeedReader",
    "FeedTrial",
    "FileProblem",
    "LastCycle",
    "Lease",
    "Membership",
    "Space",
    "Store",
    "StoredEntry",
    "StoredRecord",
    "Writer",
    "copy_store",
    "count_entries",
    "count_known",
    "count_rejected",
    "count_vanished",
    "dropped_sources",
    "feed_slugs",
    "feed_versions",
    "file_problems",
    "find_by_id",
    "find_by_text",
    "free_duplicates",
    "from_us",
    "index_version",
    "is_unseen",
    "kept_policy",
    "known_at",
    "known_digests",
    "known_files",
    "known_paths",
    "last_cycle",
    "mark_missing",
    "next_due",
    "open_feeds",
    "open_site",
    "open_source",
    "open_store",
    "page_versions",
    "pair_renames",
    "pinnable_slugs",
    "prepare_feeds",
    "read_feeds",
    "read_holder",
    "read_memberships",
    "read_meta",
    "read_pages",
    "read_stored",
    "record_cycle",
    "record_failure",
    "release_entries",
    "rule_texts",
    "set_source_problem",
    "settle_feeds",
    "settle_index",
    "source_problems",
    "store_outcomes",
    "summarise_feeds",
    "to_us",
    "topic_slugs",
    "topic_terms",
    "try_feed",
    "unread_files",
    "withdraw_expired",
    "withdraw_vanished",
    "write_meta",
]
