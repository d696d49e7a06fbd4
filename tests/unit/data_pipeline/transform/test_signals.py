"""Words, keys, signatures, n-grams and languages of texts."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.transform.signals import TextSignals, language_of, normalised_words, text_signals


def signals(prompt: str, responses: Sequence[str] = ("yes", "no"), ranks: Sequence[int] = (0, 1)) -> TextSignals:
    made = tuple(Response((text,), rank) for text, rank in zip(responses, ranks, strict=True))
    return text_signals(Comparison(id="1", source="s", prompt=(Turn("user", (prompt,)),), responses=made))


def similarity(one: bytes, other: bytes) -> float:
    return float(np.mean(np.frombuffer(one, "<u2") == np.frombuffer(other, "<u2")))


def counted(start: int, end: int, name: str = "word") -> str:
    return " ".join(f"{name}{i}" for i in range(start, end))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The BUS, (in) 2024!", ["the", "bus", "in", "2024"]),
        ("The BUS, (in) ２０２４!", ["the", "bus", "in", "2024"]),
        ("snake_case x+y", ["snake_case", "x", "y"]),
        ("Straße ﬁne", ["strasse", "fine"]),
        ("图中有bus吗", ["图", "中", "有", "bus", "吗"]),
        ("バスです", ["バ", "ス", "で", "す"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 말", ["한국어", "말"]),
        (" ?!  + ", ["?! +"]),
        ("", [""]),
        ("half \ud83d", ["half"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [word.decode() for word in normalised_words(text)] == words


def test_composed_and_decomposed_letters_are_one_word() -> None:
    assert normalised_words("cafe\u0301 É") == normalised_words("café e\u0301")


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_gives_what_the_long_one_gives(text: str) -> None:
    words = normalised_words(f"a {text}")
    assert [*words, "é".encode()] == normalised_words(f"a {text} é")


def test_a_system_turn_and_images_are_no_prompt_text() -> None:
    answers = (Response(("a",), 0), Response(("b", ImageSlot(0)), 1))
    asked = Turn("user", (ImageSlot(0), "What is it?"))
    bare = Comparison(id="1", source="s", prompt=(asked,), responses=answers, media=(MediaRef(path="a"),))
    told = Comparison(
        id="1", source="s", prompt=(Turn("system", ("Be brief.",)), asked), responses=answers, media=bare.media
    )
    found = text_signals(told)
    assert found.prompt_key == text_signals(bare).prompt_key == signals("what is IT").prompt_key
    assert found.prompt_chars == len("What is it?")
    assert found.response_chars == (1, 1)


def test_signals_are_the_same_on_every_machine() -> None:
    found = signals(counted(0, 14), ("one two three four", "five"))
    assert found.prompt_key == hashlib.sha256(counted(0, 14).encode()).hexdigest()
    assert (found.prompt_minhash[:4].hex(), found.response_minhash[:4].hex()) == ("abff9fa4", "72bd58fe")
    assert found.prompt_ngrams.tolist() == [1734494548735792487, 3249809544129558452]


@pytest.mark.parametrize(("other_start", "expected"), [(0, 1.0), (20, 178 / 218), (66, 132 / 264), (200, 0.0)])
def test_signatures_estimate_the_jaccard_similarity(other_start: int, expected: float) -> None:
    one, other = signals(counted(0, 200)), signals(counted(other_start, other_start + 200))
    assert abs(similarity(one.prompt_minhash, other.prompt_minhash) - expected) < 0.2


def test_signatures_are_unbiased() -> None:
    shares = []
    for i in range(60):
        one, other = f"a {counted(0, 60, f't{i}n')}", f"{counted(0, 30, f't{i}n')} b c"
        shares.append(similarity(signals(one).prompt_minhash, signals(other).prompt_minhash))
    assert abs(np.mean(shares) - 28 / 61) < 0.04


def test_swapped_labels_are_not_alike_and_swapped_places_are() -> None:
    one = signals("?", ("It is a big red bus", "It is a small blue dog"))
    swapped = signals("?", ("It is a big red bus", "It is a small blue dog"), (1, 0))
    moved = signals("?", ("It is a small blue dog", "It is a big red bus"), (1, 0))
    assert similarity(one.response_minhash, swapped.response_minhash) < 0.5
    assert one.response_minhash == moved.response_minhash
    assert signals("?", ("a", "b")).response_minhash != signals("?", ("a", "b"), (0, 40)).response_minhash


def test_short_texts_are_one_shingle() -> None:
    assert similarity(signals("red").prompt_minhash, signals("Red!").prompt_minhash) == 1
    assert similarity(signals("red").prompt_minhash, signals("blue").prompt_minhash) < 0.1
    assert similarity(signals("red bus").prompt_minhash, signals("red").prompt_minhash) < 0.1
    assert similarity(signals("?").prompt_minhash, signals("!").prompt_minhash) < 0.1


def test_ngrams_are_sorted_distinct_runs_of_13_words() -> None:
    assert len(signals(counted(0, 12)).prompt_ngrams) == 0
    assert len(signals(counted(0, 13)).prompt_ngrams) == 1
    twice = signals(counted(0, 13) + " " + counted(0, 13)).prompt_ngrams
    assert len(twice) == 13 and twice.dtype == np.uint64  # 14 runs, the first and the last are one
    assert np.all(np.diff(twice.astype(object)) > 0)
    inside = signals("Before: " + counted(0, 13).upper() + ", after.").prompt_ngrams
    assert signals(counted(0, 13)).prompt_ngrams[0] in inside
    assert len(signals("字" * 13).prompt_ngrams) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What can be seen in the picture, and why is it there?", "en"),
        ("Was ist auf dem Bild zu sehen, und warum steht es dort?", "de"),
        ("¿Qué se puede ver en la imagen y por qué está ahí?", "es"),
        ("图片中有什么东西？为什么在那里？", "zh"),
        ("この写真には何が写っていますか", "ja"),
        ("Что можно увидеть на этой картинке?", "ru"),
        ("ok", ""),
        ("12 + 34 = 46; 100 200 300 400 500 600", ""),
        ("", ""),
    ],
)
def test_language(text: str, code: str) -> None:
    assert language_of(text, []) == code
    assert language_of("", [text]) == code


def test_the_language_model_is_loaded_only_when_a_text_comes() -> None:
    script = "import sys, data_pipeline.transform.signals; print(sorted({'py3langid', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
