"""The store: rows in and out of SQLite or PostgreSQL, by SQLAlchemy Core. Nothing here knows about documents."""
