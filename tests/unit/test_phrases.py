"""Words, phrases and expressions in texts."""

from __future__ import annotations

import subprocess
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.feeds.phrases import contains_phrase, parse_phrase
from aggregator.slugs import topic_key


@pytest.mark.parametrize(
    ("phrase", "text", "matches"),
    [
        ("GPU", "A new gpu for all", True),
        ("gpu", "GPU", True),
        ("GPU", "GPUs", False),
        ("GPU", "the eGPU", False),
        ("GPU", "GPU2", False),
        ("GPU", "GPU-based, or GPU.", True),
        ("GPU", "eGPU and (GPU)", True),
        ("GPU", "GPU_x", True),
        ("edge  AI", "On Edge\n ai now", True),
        ("edge AI", "AI edge", False),
        ("edge AI", "edge of AI", False),
        ("Straße", "STRASSE", True),
        ("cafe\u0301", "Caf\xe9", True),
        ("cafe", "caf\xe9", False),
        ("cafe", "cafe\u0301s", False),
        ("x", "x\u0338", False),
        ("C#", "I like C#, too", True),
        ("C#", "C#7", False),
        ("C", "C#", True),
        ("人工", "日本の人工知能", True),
        ("ปัญญา", "เรื่องปัญญาประดิษฐ์", True),
        ("서울", "서울에서", True),
        ("AI", "AI技術", True),
        ("AI", "新AI", True),
        ("AI", "AIé", False),
        ("нато", "НАТО и мир", True),
        ("нато", "натовский", False),
        ("re:TPU v[0-9]", "Neue tpu V5", True),
        ("RE: TPU v[0-9] ", "tpu v5", True),
        ("re:TPU v[0-9]", "TPU vX", False),
        ("re:^neu", "Neu hier", True),
        ("re:^neu", "ist neu", False),
        ("re:a.c", "a\nc", True),
        ("re:a..c", "a \n c", False),
        ("re:é", "Cafe\u0301", True),
        (r"re:\bai\b", "AI", True),
    ],
)
def test_a_phrase_matches_whole_words_and_an_expression_matches_anywhere(phrase: str, text: str, matches: bool) -> None:
    assert contains_phrase(("", text), parse_phrase(phrase)) is matches
    assert contains_phrase((text, ""), parse_phrase(phrase)) is matches


@pytest.mark.parametrize("phrase", ["edge ai", "re:edge.ai"])
def test_no_phrase_spans_two_texts(phrase: str) -> None:
    assert not contains_phrase(("edge", "ai"), parse_phrase(phrase))


WORDS = st.text(st.sampled_from("aBßé1 -#"), min_size=1, max_size=4).filter(str.strip)


@given(st.text(st.sampled_from("aAbBß\xe91 -#\u0301"), max_size=12), WORDS)
def test_whole_words_have_no_letter_digit_or_mark_on_either_side(text: str, phrase: str) -> None:
    folded, wanted = topic_key(text), topic_key(phrase)
    places = [at for at in range(len(folded)) if folded.startswith(wanted, at)]
    sides = [f"{folded[:at][-1:]}{folded[at + len(wanted) :][:1]}" for at in places]
    whole = any(all(unicodedata.category(letter)[0] not in "LNM" for letter in side) for side in sides)
    assert contains_phrase((text,), wanted) is whole


def test_time_is_linear_in_the_text_for_any_expression() -> None:
    text = "a" * 200_000
    started = time.thread_time()
    assert not contains_phrase((text,), parse_phrase("re:(a|a)*(a|a)*b"))
    assert time.thread_time() - started < 5


def test_re2_is_imported_only_for_an_expression() -> None:
    program = (
        "import sys\nfrom aggregator.feeds.phrases import contains_phrase, parse_phrase\nimport aggregator.config\n"
        "assert contains_phrase(('GPU',), parse_phrase('gpu')) and 're2' not in sys.modules\n"
        "assert contains_phrase(('GPU',), parse_phrase('re:g')) and 're2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
