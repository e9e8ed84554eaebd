"""What is not public must not be written anywhere."""

from __future__ import annotations

import re

import pytest
from commands import Call, Shop, eventually

SECRET = "xyzzycanary"

RECORDS: dict[str, str | bytes] = {
    "secured.md": f"---\ntitle: Secured\ntopics: [AI]\nsecured: {SECRET}\n---\nText.\n",
    "unknown.md": f"---\ntitle: Unknown\n{SECRET}: {SECRET}\nnote: [{SECRET}]\n---\n",
    "nested.md": (
        f"---\ntitle: Nested\nprovider: {{name: Example, domain: example.org, {SECRET}: {SECRET}}}\n"
        f"images: [{{url: https://example.org/a.png, {SECRET}: {SECRET}}}]\n"
        f"enclosure: [{{url: https://example.org/a.mp3, {SECRET}: {SECRET}}}, {{length: {SECRET}}}]\n"
        f"related:\n  - title: Other\n    webUrl: https://example.org/o\n    quality: {SECRET}\n    secured: {SECRET}\n"
        f"secured:\n  token: {SECRET}\n  deep: [{SECRET}, {{{SECRET}: {SECRET}}}]\n---\n"
    ),
    "syntax.md": f'---\ntitle: Syntax\nsecured: "{SECRET}\n---\n',
    "brackets.md": f"---\ntitle: Brackets\nnote: [{SECRET}, {{\n---\n",
    "colon.md": f"---\ntitle: Colon\nnote: {SECRET}: {SECRET}: no\n---\n",
    "bare.md": f"---\ntitle: Bare\n{SECRET}\n---\n",
    "tag.md": f"---\ntitle: Tag\nnote: !{SECRET} {SECRET}\n---\n",
    "alias.md": f"---\ntitle: Alias\nnote: *{SECRET}\n---\n",
    "value.md": f"---\ntitle: Value\nnote: 2020-02-30 {SECRET}\nlink: {SECRET}\n---\n",
    "twice.md": f"---\ntitle: Twice\n{SECRET}: 1\n{SECRET}: 2\n---\n",
    "flag.md": f"---\ntitle: Flag\npublished: {{{SECRET}: {SECRET}}}\n---\n",
    "date.md": f"---\ntitle: Date\npublishedDateTime: [{SECRET}]\n---\n",
    "map.md": f"---\n- {SECRET}\n---\n",
    "latin.md": f"---\ntitle: Latin\nsecured: {SECRET}\xe9\n---\n".encode("latin-1"),
    "open.md": f"---\ntitle: Open\nsecured: {SECRET}\n",
    "deep.md": f"---\ntitle: Deep\nnote: {'[' * 40}{SECRET}{']' * 40}\n---\n",
    "json.md": f'{{"title": "Json", "secured": "{SECRET}", "{SECRET}": [{{"{SECRET}": 1}}], "topics": ["AI"]}}\n',
    "json-quote.md": f'{{"title": "Quote", "secured": "{SECRET}\nx"}}\n',
    "json-word.md": f'{{"title": "Word", "secured": {SECRET}}}\n',
    "json-escape.md": f'{{"title": "Escape", "secured": "\\q{SECRET}"}}\n',
    "json-twice.md": f'{{"title": "Twice", "{SECRET}": 1, "{SECRET}": 2}}\n',
    "json-flag.md": f'{{"title": "Flag", "published": {{"{SECRET}": "{SECRET}"}}}}\n',
    "json-open.md": f'{{"title": "Open", "secured": "{SECRET}"',
    "json-deep.md": f'{{"title": "Deep", "note": {"[" * 40}"{SECRET}"{"]" * 40}}}\n',
    "json-list.md": f'---json\n["{SECRET}"]\n---\n',
    "toml.md": f'+++\ntitle = "Toml"\nsecured = "{SECRET}"\n{SECRET} = 1\n[{SECRET}.x]\ny = "{SECRET}"\n+++\n',
    "toml-quote.md": f'+++\ntitle = "Quote"\nsecured = "{SECRET}\n+++\n',
    "toml-word.md": f'+++\ntitle = "Word"\nsecured = {SECRET}\n+++\n',
    "toml-escape.md": f'+++\ntitle = "Escape"\nsecured = "\\q{SECRET}"\n+++\n',
    "toml-twice.md": f'+++\ntitle = "Twice"\n{SECRET} = 1\n{SECRET} = 2\n+++\n',
    "toml-table.md": f'+++\ntitle = "Table"\n[{SECRET}]\n[{SECRET}]\n+++\n',
    "toml-array.md": f'+++\ntitle = "Array"\n{SECRET} = 1\n[[{SECRET}]]\n+++\n',
    "toml-flag.md": f'+++\ntitle = "Flag"\n[published]\n{SECRET} = "{SECRET}"\n+++\n',
    "toml-open.md": f'+++\ntitle = "Open"\nsecured = "{SECRET}"\n',
    "toml-deep.md": f'+++\ntitle = "Deep"\nnote = {"[" * 40}"{SECRET}"{"]" * 40}\n+++\n',
    "toml-bare.md": f'+++\ntitle = "Bare"\n{SECRET}\n+++\n',
    **{
        f"line-{ord(sign):x}.md": f"---\npublished: maybe{sign}{SECRET}: {SECRET}{sign}title: Line\n---\n"
        for sign in "\r\x85\u2028\x0c"
    },
    "quality.md": f"---\ntitle: Quality\nquality: {{{SECRET}: 1}}\nheat: [{SECRET}]\ntopics: {{{SECRET}: AI}}\n---\n",
}
COMMANDS = (
    ("build", "--dry-run"),
    ("build", "--dry-run", "--json"),
    ("build", "--strict"),
    ("build", "--json"),
    ("check",),
    ("check", "--json"),
    ("check", "--format", "github"),
    ("status",),
    ("status", "--feeds"),
    ("status", "--json"),
    ("feeds",),
    ("feeds", "--json"),
    ("preview", "all"),
    ("preview", "ai", "--json"),
    *(("explain", name, *more) for name in RECORDS for more in ((), ("--json",))),
    ("explain", "https://example.org/o"),
)


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.configure(store='url = "sqlite:///../data/aggregator.db"')
    for path, text in RECORDS.items():
        shop.write(path, text)
    return shop


def assert_nowhere(shop: Shop, *texts: str) -> None:
    written = shop.files(shop.output, shop.data) | {
        f"printed {index}": text.encode() for index, text in enumerate(texts)
    }
    assert [name for name, body in written.items() if SECRET.encode() in body.lower()] == []


def test_no_command_writes_or_says_what_is_not_public(shop: Shop, call: Call) -> None:
    printed = ["".join(call(*arguments)[1:]) for arguments in COMMANDS]
    assert_nowhere(shop, *printed)
    assert "incoming/syntax.md:" in "".join(printed), "the broken ones must have been read"
    assert "Secured" in shop.titles()


def test_a_record_that_was_good_before_tells_nothing_of_what_is_not_public(shop: Shop, call: Call) -> None:
    for name in RECORDS:
        shop.write(name, f"---\ntitle: Good {name}\ntopics: [AI]\n---\nText.\n")
    call("build")
    for name, text in RECORDS.items():
        shop.write(name, text, mtime=1_700_000_001)
    commands = [("build",), ("status",), ("status", "--json")]
    commands += [("explain", name, *more) for name in RECORDS for more in ((), ("--json",))]
    printed = ["".join(call(*command)[1:]) for command in commands]
    assert "its entry is still published" in printed[1]
    assert "as it was before" in "".join(printed), "some records must be stale"
    assert_nowhere(shop, *printed)


def test_the_service_writes_and_logs_nothing_that_is_not_public(shop: Shop) -> None:
    service = shop.start("run").wait_until_done()
    shop.write("secured.md", f"---\ntitle: Again\nsecured: {SECRET}\n---\n")
    shop.write("later.md", RECORDS["syntax.md"])
    eventually(lambda: "Again" in service.titles() and "later.md" in service.log)
    answers = [service.get(path).body.decode() for path in ("", "healthz", "all/feed.json", "ai/atom.xml", "status")]
    assert list(shop.data.glob("*-wal")), "the log of the database must be among what is searched"
    assert_nowhere(shop, service.log, *answers)
    assert service.end()[0] == 0
    assert_nowhere(shop, service.log)


CRASH = f"""
from aggregator.cycle.pipeline import Pipeline

def update_store(*_arguments, **_options):
    try:
        int("{SECRET}")
    except ValueError:
        raise KeyError("{SECRET}")

Pipeline.update_store = update_store
"""


def test_an_unexpected_error_is_shown_without_its_message(shop: Shop) -> None:
    done = shop.run("build", patch=CRASH)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"Traceback: KeyError < .* in update_store < .*pipeline.py:\d+ in run", done.stderr)
    assert "caused by ValueError" in done.stderr
    assert_nowhere(shop, done.stderr)


def test_the_log_of_the_service_shows_an_unexpected_error_without_its_message(shop: Shop) -> None:
    service = shop.start("run", patch=CRASH)
    eventually(lambda: "the cycle ended unexpectedly. Traceback: KeyError < " in service.log)
    assert service.end()[0] == 0
    assert_nowhere(shop, service.log)
