"""Text into terms: what is the same word, and what is a word at all."""

from __future__ import annotations

import pytest
import Stemmer

from shardlake.limits import MAX_TERM_CHARS, MAX_TOKENS_PER_TEXT
from shardlake.query.text import ANALYSIS_VERSION, Analyzer
from shardlake.types import LANGUAGES, NO_LANGUAGE

# One text a script or a trap; what it gives is fixed for the analysis version, as files are for a format version.
GOLDEN = {
    "english": ("Running boots, the film's don’t U.S.A. 3.14 C++ naïve_x",
                ["run", "boot", "the", "film", "don't", "u.s.a", "3.14", "c", "naïve_x"]),
    "german": ("Die Straßen, STRASSEN", ["die", "strass", "strass"]),
    "french": ("L'été, les étés", ["été", "le", "été"]),
    "turkish": ("ILIK İl", ["ılık", "il"]),
    "russian": ("Красные сапоги", ["красн", "сапог"]),
    "none": ("Running İSTANBUL 東京タワー 한국어", ["running", "istanbul", "東", "京", "タワー", "한국어"]),
}  # fmt: skip


def words(text: str, language: str = NO_LANGUAGE) -> list[str]:
    """Returns the terms of a text."""
    return Analyzer(language).terms(text)


@pytest.mark.parametrize("language", GOLDEN)
def test_the_terms_of_an_analysis_version_never_change(language: str) -> None:
    text, expected = GOLDEN[language]

    assert ANALYSIS_VERSION == 1, "new terms? then new golden ones, and what was built must be built again"
    assert words(text, language) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("ẞ", "ss"),
        ("cafe\u0301", "café"),
        ("ﬁne", "FINE"),
        ("ＡＢＣ１", "abc1"),
        ("co\u00adoperate", "cooperate"),
        ("İstanbul", "istanbul"),
        ("don’t", "don't"),
        ("Σίσυφος", "σίσυφοσ"),
        ("葛\U000e0100", "葛"),
        ("می\u200cخواهم", "میخواهم"),
    ],
)
def test_what_looks_alike_is_the_same_word(one: str, other: str) -> None:
    assert words(one) == words(other) != []


@pytest.mark.parametrize("text", ["", " ", "!?…", "👩‍👩‍👧 👍🏽", "___", "\u200b", "\u00ad", "‿", "«»“”"])
def test_what_holds_no_letter_and_no_digit_has_no_word(text: str) -> None:
    assert words(text) == []


def test_emoji_do_not_join_words() -> None:
    assert words("red🥾boots👩‍👩‍👧") == ["red", "boots"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京都", ["東", "京", "都"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("ひら", ["ひ", "ら"]),
        ("コンピューター", ["コンピューター"]),
    ],
)
def test_scripts_without_spaces_give_their_characters_but_katakana_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_turkish_i_is_turkish_in_turkish_only() -> None:
    assert words("I", "turkish") == ["ı"]
    assert words("I", "english") == ["i"]


def test_each_language_is_one_that_the_stemmer_has_and_changes_some_word() -> None:
    assert set(LANGUAGES) - {NO_LANGUAGE} <= set(Stemmer.algorithms())
    assert len(set(LANGUAGES)) == len(LANGUAGES)


def test_a_long_word_is_cut_and_a_long_text_is_read_to_its_bound() -> None:
    assert words("x" * 1000) == ["x" * MAX_TERM_CHARS]
    assert len(words("a " * (MAX_TOKENS_PER_TEXT + 5))) == MAX_TOKENS_PER_TEXT


def test_a_compatibility_character_of_many_letters_is_bounded_like_any_text() -> None:
    assert len(words("\ufdfa" * 21_000)) == MAX_TOKENS_PER_TEXT
