"""The views for people who query the store: docs/queries.md. Their columns are a contract; the tables are not.

Only new stores and migrations import this. After migrations the views are replaced, so that PostgreSQL keeps what was
granted on them and the views above them; a migration that changes a column below them drops them first. A view that is
new or changed needs a new migration, even an empty one, or stores that exist do not get it.
"""

from __future__ import annotations

from sqlalchemy import Connection

from aggregator.store.schema import ALL_FEED


class _Sqlite:
    """What SQLite writes in its own way."""

    @staticmethod
    def time(column: str) -> str:
        """ISO 8601 text in UTC of a time in µs."""
        return f"strftime('%Y-%m-%dT%H:%M:%SZ', {column} / 1000000, 'unixepoch')"

    @staticmethod
    def item(column: str, *path: int | str) -> str:
        """A text in a JSON column."""
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        return f"json_extract({column}, '${steps}')"

    number = item
    """A number in a JSON column."""


class _Postgresql:
    """What PostgreSQL writes in its own way."""

    @staticmethod
    def time(column: str) -> str:
        return f"""to_char(to_timestamp({column} / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""

    @staticmethod
    def item(column: str, *path: int | str) -> str:
        return f"({column}::json #>> '{{{','.join(map(str, path))}}}')"

    @staticmethod
    def number(column: str, *path: int | str) -> str:
        return f"{_Postgresql.item(column, *path)}::bigint"


def create_views(connection: Connection) -> None:
    """Makes the views, or replaces those of an earlier version."""
    is_sqlite = connection.dialect.name == "sqlite"
    for name, query in _queries(connection.dialect.name).items():
        if is_sqlite:
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE {'' if is_sqlite else 'OR REPLACE '}VIEW {name} AS {query}")


def _queries(dialect: str) -> dict[str, str]:
    """The query of each view; a view may use those above it."""
    sql = _Sqlite if dialect == "sqlite" else _Postgresql
    auto = sql.item("(SELECT value FROM meta WHERE key = 'policy')", "policy", "auto")
    counts = ("scanned", "new", "changed", "removed", "rejected")
    return {
        "published_entries": f"""
            SELECT uid AS id, path, source, {sql.item("content", 0)} AS title, {sql.item("content", 1)} AS summary,
                {sql.item("content", 3)} AS link, {sql.item("content", 5, 0)} AS provider,
                nullif({sql.item("content", 9)}, '') AS language, nullif(quality, -1) AS quality,
                nullif(heat, -1) AS heat, {sql.time("published_at")} AS published_at,
                {sql.time("updated_at")} AS updated_at, {sql.time("released_at")} AS released_at
            FROM entry WHERE state = 'published'""",
        # feeds of topics keep their row and their slug while topics.auto is off
        "published_feeds": f"""
            SELECT slug, title, size AS entries, {sql.time("newest_at")} AS newest_at FROM feed
            WHERE slug IS NOT NULL AND (id = {ALL_FEED} OR rule IS NOT NULL
                OR (topic IS NOT NULL AND CAST(coalesce({auto}, 'true') AS text) NOT IN ('false', '0')))""",
        "feed_entries": """
            SELECT feed.slug AS slug, entry.uid AS entry_id, row_number() OVER (PARTITION BY feed.slug
                ORDER BY feed_entry.released_at DESC, feed_entry.published_at DESC, entry.uid DESC) AS position
            FROM published_feeds
            JOIN feed ON feed.slug = published_feeds.slug
            JOIN feed_entry ON feed_entry.feed_id = feed.id AND feed_entry.left_at IS NULL
            JOIN entry ON entry.id = feed_entry.entry_id""",
        "rejected_records": f"""
            SELECT path, source, nullif({sql.number("problems", 0, 0)}, 0) AS line,
                {sql.item("problems", 0, 2)} || coalesce(': ''' || {sql.item("problems", 0, 3)} || '''', '')
                || coalesce(' (' || nullif({sql.item("problems", 0, 4)}, '') || ')', '') AS problem,
                {sql.time("rejected_at")} AS since
            FROM file WHERE state IN ('rejected', 'duplicate') AND problems IS NOT NULL""",
        "cycles": f"""
            SELECT {sql.time("started_at")} AS started_at, seconds,
                {", ".join(f"{sql.number('counts', name)} AS {name}" for name in counts)},
                {sql.number("counts", "files_written")} AS documents_written, error
            FROM cycle""",
    }
