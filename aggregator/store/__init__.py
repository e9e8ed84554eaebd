"""The store: records in, changes of feeds out. Everything is SQLAlchemy Core, on SQLite and PostgreSQL alike.

engine      opening, transactions, schema          lease       one writer at a time
tables      the tables; `indexes` theirs           writer      what one cycle knows
records     outcomes -> rows                       lifecycle   withdrawals, releases
membership  entries in and out of feeds            reader      feeds as they are shown
feeds       which there are, and their versions    archives    sealed pages of what has left them
history     what became of entries                 inquiry     what is known of one record
slugs       slugs of topics, now and before        policy      the config in force
topics      what the config's tables change        evaluation  rules of the config, new or changed
duplicates  one entry that stands for a link       room        what documents have no room for
urls        what a config takes away or moves      notices     what people should know of
renames     records that moved                     status      cycles, problems, counts
"""

from aggregator.store.archives import page_versions, read_pages
from aggregator.store.engine import Store, copy_store, open_store
from aggregator.store.evaluation import open_feeds
from aggregator.store.feeds import (
    feed_versions,
    find_feeds,
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
from aggregator.store.notices import read_notices
from aggregator.store.policy import InForce, is_in_force, read_in_force
from aggregator.store.reader import FeedReader, Shown, Space, TopicTerms
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
from aggregator.store.slugs import retire_empty, topic_moves
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
from aggregator.store.urls import Urls, compare_urls, note_config, read_urls, urls_before
from aggregator.store.writer import Writer, from_us, open_site, read_meta, to_us, write_meta

__all__ = [
    "MASS_REMOVAL",
    "Event",
    "FeedReader",
    "FileProblem",
    "InForce",
    "LastCycle",
    "Lease",
    "Membership",
    "Shown",
    "Space",
    "Store",
    "StoredEntry",
    "StoredRecord",
    "TopicTerms",
    "Urls",
    "Writer",
    "compare_urls",
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
    "find_feeds",
    "free_duplicates",
    "from_us",
    "index_version",
    "is_in_force",
    "is_unseen",
    "known_at",
    "known_digests",
    "known_files",
    "known_paths",
    "last_cycle",
    "mark_missing",
    "next_due",
    "note_config",
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
    "read_in_force",
    "read_memberships",
    "read_meta",
    "read_notices",
    "read_pages",
    "read_stored",
    "read_urls",
    "record_cycle",
    "record_failure",
    "release_entries",
    "retire_empty",
    "rule_texts",
    "set_source_problem",
    "settle_feeds",
    "settle_index",
    "source_problems",
    "store_outcomes",
    "summarise_feeds",
    "to_us",
    "topic_moves",
    "topic_slugs",
    "topic_terms",
    "unread_files",
    "urls_before",
    "withdraw_expired",
    "withdraw_vanished",
    "write_meta",
]
