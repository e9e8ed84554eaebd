"""Feeds: which feeds exist and what each of them shows."""
