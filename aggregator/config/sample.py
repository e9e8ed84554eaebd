"""The commented sample: what `aggregator init` writes and `config/aggregator.toml` shows."""

from __future__ import annotations

import json

_SAMPLE_ID = '"feeds.example.org"'

_SAMPLE = r"""#:schema ./aggregator.schema.json
# What aggregator reads, when, and what it publishes.
#
# A line without a "#" is in force and has its default, except site.id; remove it, and nothing changes.
# Relative paths start at the folder of this file. Durations: "90s", "10m", "24h", "30d", "1h30m".
# Sizes: "512KB", "1MB", "1MiB". A variable such as AGGREGATOR_OUTPUT__LIMIT=30 overrides `limit` in [output].
# `aggregator check` says what is wrong with this file, line by line.

[site]
id = "feeds.example.org"                  # every id is made from it: choose it once, then never change it
title = "Feeds"                           # also the title of the feed of all records
base_url = "http://127.0.0.1:8000/"       # the public address of the output folder
language = "en"
timezone = "UTC"                          # of dates that name no zone, and of cron
# author = "Example News"                 # if not given, the title
# icon = "https://example.org/icon.png"
# copyright = "© Example News"

[records]                                 # where the records are
path = "../incoming"                      # with all folders in it; names that begin with a dot are left out
include = ["*.md", "*.markdown"]          # which files are records
# exclude = ["*.sync-conflict-*"]         # and which of these are none
preset = "smartable"                      # which keys hold which field; or "jekyll", or "hugo" (and Zola)
default_published = true                  # what a record is that does not say whether it is published
max_bytes = "1MB"                         # a larger file is rejected,
max_depth = 32                            # and so is front matter nested deeper
max_nodes = 20000                         # or with more values than this
removal_grace = "10m"                     # how long a removal of most files (20 or more) waits, and a rename may take
# topics = ["Always"]                     # added to every record
# link_template = "https://example.org/{path}"   # the link of a record that has none; also {slug} {year} {month} {day}
# [records.fields]                        # single fields that differ from the preset: the first key present wins,
# title = ["title", "name"]               # and a dot goes one level down
# link = ["webUrl", "originalUrl"]
# published_at = "publishedDateTime"
#
# Several folders: write [[records]] in place of [records], once for each; all but one need a `name` of their own, which
# ids are made from: choose it once, then never change it.

[schedule]
every = "60s"                             # time between scans; or, in its place:
# cron = "*/5 * * * *"                    # minute, hour, day of the month, month, weekday (0 and 7 are Sunday)
watch = true                              # scan as soon as a file changes, too
rescan = "15m"                            # while watching, how often all folders are still walked

[store]                                   # what the service remembers: keep a backup of it
url = "sqlite:///../data/aggregator.db"   # or postgresql+psycopg://user@host/name

[output]
path = "../output"                        # any web server can serve this folder as it is
formats = ["rss", "atom", "json"]
limit = 50                                # entries a feed
min_stay = "24h"                          # no entry leaves a feed sooner after its release
max_bytes = "1MB"                         # the largest document of a feed; goes before limit and min_stay
late = "30d"                              # a new record no older than this comes out on top
archive = true                            # archive documents of what has left the feed (RFC 5005)
pages = true                              # an HTML page for every feed
tombstones = "30d"                        # how long Atom feeds name an entry that was withdrawn

[serve]
host = "127.0.0.1"                        # "0.0.0.0" for every network
port = 8000
# admin_port = 8001                       # /status and /metrics on a port of their own: not in this version

[topics]
auto = true                               # a feed for every topic that a published record has
min_entries = 1                           # and that has at least so many entries
max_feeds = 10000                         # topics beyond these get none, and a warning names them
keep_empty = "30d"                        # how long such a feed stays when it has no entry any more

# [topics.slugs]                          # addresses of topics' feeds; `aggregator feeds --pin` prints those there are
# "C#" = "c-sharp"
# [topics.alias]                          # another spelling of a topic: both are one, with one feed
# "A.I." = "AI"
# [topics.parent]                         # entries of the first topic are also in the feed of the second
# "Canvas apps" = "Power Apps"
# [topics.titles]                         # of topics' feeds
# "AI" = "Artificial intelligence"
# [topics.descriptions]
# "AI" = "All about artificial intelligence"

# [[feed]]                                # a feed with a rule of its own, as many as you like
# slug = "ai-hardware"                    # its address; that of a topic's feed puts it in the place of that feed
# title = "AI hardware"
# description = "Chips and boards for AI"
# image = "https://example.org/ai-hardware.png"
# topics = { any = ["AI", "Edge AI"], none = ["Facebook AI"] }   # any, all, none
# type = { any = ["article", "video"] }   # likewise category, provider (name or domain), language
# min_quality = 70                        # likewise min_heat
# content = "summary"                     # or "full"
# limit = 30
# moved_from = ["old-slug", "tags/ai/index.xml"]   # old addresses that go on working
# text = { any = ["GPU", "re:TPU v[0-9]"] }   # words or phrases in title and summary, or expressions
# max_age = "90d"                         # an entry leaves at this age
# per_provider = 3                        # at most so many of one provider are shown at a time
# order = "released"                      # by when entries came out here; or "published", by their own date
# duplicates = "keep"                     # or "merge": one entry for one canonical link

# Not in this version yet, and refused by it:
#
# [websub]
# hub = "https://hub.example.org/"        # is told when a feed changes

[ingest]
# workers = 2                             # processes that read many files; 0 for none
"""


SCHEMA_NAME = "aggregator.schema.json"
"""What the sample calls the JSON Schema beside it, which editors complete its keys by."""


def init_text(site_id: str) -> str:
    """The sample config of a new site."""
    return _SAMPLE.replace(_SAMPLE_ID, json.dumps(site_id, ensure_ascii=False), 1)
