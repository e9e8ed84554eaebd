"""What `tomllib` cannot read, in our words: its own messages quote the text, which may be secret. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

# how tomllib's message begins: what is wrong, what to do
_SAID = {
    "Cannot overwrite a value": ("a key is given twice", "remove one of them"),
    "Duplicate inline table key": ("a key is given twice", "remove one of them"),
    "Cannot declare": ("a table is given twice", "put its keys below one header"),
    "Cannot redefine namespace": ("a table is given twice", "put its keys below one header"),
    "Cannot mutate immutable namespace": ("a table is given twice", "put its keys in one place"),
    "Expected '='": ("a key without '='", "write key = value"),
    "Expected ']": ("a header without its closing bracket", "write [table] or [[table]]"),
    "Invalid initial character for a key part": ("a key is missing or holds other characters", "put the key in quotes"),
    "Invalid value": ("a value is missing or is not TOML", "put texts in quotes"),
    "Invalid date": ("a date that does not exist", "write it as a text in quotes"),
    "Invalid hex value": ("a text with a wrong escape", "write \\\\ for a backslash"),
    "Unescaped '\\'": ("a text with a wrong escape", "write \\\\ for a backslash"),
    "Escaped character": ("a text with a wrong escape", "write \\\\ for a backslash"),
    "Illegal character '\\n'": ("a text without its closing quote", "close it on the same line"),
    "Illegal character": ("a control character", "remove it"),
    "Found invalid character": ("a control character", "remove it"),
    "Unterminated string": ("a text without its closing quote", "close it"),
    "Expected \"'": ("a text without its closing quote", "close it"),
    "Unclosed": ("a list or table without its closing bracket", "close it"),
    "Expected newline": ("something stands after a value", "begin a new line; put texts in quotes"),
    "Invalid statement": ("a line that is no key, table or comment", "write key = value"),
}
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)$")


class TomlFault(NamedTuple):
    """What is wrong and what to do, and where: line and column count from 1, 0 is unknown."""

    line: int
    column: int
    what: str
    todo: str


def explain_toml(error: ValueError, text: str) -> TomlFault:
    """What `tomllib` means by the error it raised for `text`."""
    message = str(error)
    what, todo = next(
        (said for start, said in _SAID.items() if message.startswith(start)), ("not valid TOML", "see https://toml.io")
    )
    if place := _PLACE.search(message):
        return TomlFault(int(place[1]), int(place[2]), what, todo)
    if message.endswith("(at end of document)"):
        return TomlFault(text.count("\n") + 1, len(text) - text.rfind("\n"), what, todo)
    return TomlFault(0, 0, what, todo)
