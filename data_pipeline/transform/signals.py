"""What filters need to know of a Comparison's text: keys, sizes, language, MinHash signatures and runs of words.

    texts --NFKC, casefold--> words --crc32--> 64-bit hashes of runs of words --> signatures, n-grams

A *word* is a run of letters, digits, underscores and vowel signs. Scripts that put no space between words (Chinese,
Japanese, Thai, Lao, Burmese, Khmer) count every character as a word. Everything here is a pure function of the text,
the same on every machine: none of Python's own hashes, which differ between processes, is used.

The signatures are b-bit MinHash (Broder 1997; Li and Koenig 2010, arXiv 0910.3349) with b = 16: the share of equal
places of two signatures estimates the Jaccard similarity J of the two sets, with a standard error of
sqrt(J (1 - J) / 64), 0.05 at J = 0.8; unrelated sets agree in a place with probability 2**-16.

The package datasketch is not used: it holds an object for every row, where here a signature is 128 bytes of a column.
"""

import functools
import hashlib
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipeline.dataset.tables import MINHASH_VALUES
from data_pipeline.hashing import U64, mixed
from data_pipeline.records.comparison import Comparison, text_of

__all__ = [
    "NGRAM_WORDS",
    "SHINGLE_WORDS",
    "TextSignals",
    "language_of",
    "normalised_words",
    "text_signals",
]

NGRAM_WORDS = 13
"""Words in a run that a benchmark must not share, as in the GPT-3 paper (arXiv 2005.14165, appendix C)."""
SHINGLE_WORDS = 3
"""Words in a shingle of a MinHash signature."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_VOWEL_SIGNS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])[\w{_VOWEL_SIGNS}])+")
_ASCII_WORD = re.compile(rb"[0-9a-z_]+")
_LETTER = re.compile(r"[^\W\d_]")

_LANGUAGE_CHARS = 200  # of the prompt, and of the responses: more text changes few guesses and costs more
_LANGUAGE_BYTES = 20  # UTF-8 bytes of letters below which a guess means nothing: 7 Chinese characters, 20 Latin letters
_CHUNK = 4096  # shingles hashed at once: 64 x 4096 x 8 bytes = 2 MiB


@dataclass(frozen=True, slots=True)
class TextSignals:
    """Columns of `tables.UNIT_ROWS_SCHEMA` that depend on text alone. System turns count nowhere.

    Attributes:
        prompt_key: sha256, hex, of the prompt's normalised words; of its normalised text where it has no word.
        prompt_chars: characters of the prompt's text.
        response_chars: characters of every response's text, in the record's order.
        language: ISO 639-1 code of prompt and responses, "" where there is too little text to tell.
        prompt_minhash: 64 x uint16, little endian, over the prompt's shingles of 3 words.
        response_minhash: 64 x uint16 over the shingles of all responses, each tagged with its response's rank, so that
            the same answers with swapped labels are not alike. The order of responses does not count.
        prompt_ngrams: uint64, sorted and distinct: hashes of the prompt's runs of 13 words; empty where it has fewer.
    """

    prompt_key: str
    prompt_chars: int
    response_chars: tuple[int, ...]
    language: str
    prompt_minhash: bytes
    response_minhash: bytes
    prompt_ngrams: U64


def text_signals(comparison: Comparison) -> TextSignals:
    """The signals of one Comparison's text: about 0.4 ms for 300 words, a third of it for the language."""
    turns = [text_of(turn.parts) for turn in comparison.prompt if turn.role != "system"]
    responses = [response.text for response in comparison.responses]
    prompt = "\n".join(turns)
    words = [normalised_words(text) for text in (prompt, *responses)]
    hashes = [_word_hashes(one) for one in words]
    in_prompt, *in_responses = _shingles(hashes)
    tagged = [one ^ _tag(response.rank) for one, response in zip(in_responses, comparison.responses, strict=True)]
    return TextSignals(
        prompt_key=hashlib.sha256(b" ".join(words[0])).hexdigest(),
        prompt_chars=sum(map(len, turns)),
        response_chars=tuple(map(len, responses)),
        language=language_of(prompt, responses),
        prompt_minhash=_minhash(in_prompt),
        response_minhash=_minhash(np.concatenate(tagged)),
        prompt_ngrams=np.unique(_runs(hashes[0][: len(words[0])], NGRAM_WORDS)),
    )


def normalised_words(text: str) -> list[bytes]:
    """The words of a text as UTF-8, after NFKC and casefold.

    >>> normalised_words("The BUS, (in) ２０２４!")
    [b'the', b'bus', b'in', b'2024']

    A text without any word ("?!") is one word, its white space collapsed, so that two of them still differ.
    """
    if text.isascii():
        lowered = text.lower().encode()
        return _ASCII_WORD.findall(lowered) or [b" ".join(lowered.split())]
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = _WORD.findall(text) or [" ".join(text.split())]
    return [word.encode("utf-8", "surrogatepass") for word in words]


def language_of(prompt: str, responses: Sequence[str]) -> str:
    """ISO 639-1 code of the language in which most of the text is written; "" where there is too little to tell.

    Read are 200 characters of the prompt and 200 of the responses. The model is langid's (Lui and Baldwin 2012),
    140 languages; a language without two-letter code, and text that is no language, give "".
    """
    text = prompt[:_LANGUAGE_CHARS] + "\n" + "\n".join(responses)[:_LANGUAGE_CHARS]
    if len("".join(_LETTER.findall(text)).encode("utf-8", "surrogatepass")) < _LANGUAGE_BYTES:
        return ""
    label = str(_identifier().classify(text)[0])
    return label if len(label) == 2 else ""


@functools.cache
def _identifier() -> Any:
    """The language model: 1.2 s and 60 MB when the first text comes, so it is not loaded by an import."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def _word_hashes(words: Sequence[bytes]) -> U64:
    """uint64 [max(W, 3)]: a text of fewer words is filled up with empty ones, so that it is one shingle."""
    missing = max(SHINGLE_WORDS - len(words), 0)
    return np.array([*map(zlib.crc32, words), *[0] * missing], dtype=np.uint64)


def _shingles(texts: Sequence[U64]) -> list[U64]:
    """Hashes of each text's runs of 3 words; made in one go, without the runs that lead from a text into the next."""
    runs = _runs(np.concatenate(texts), SHINGLE_WORDS)
    found, start = [], 0
    for text in texts:
        found.append(runs[start : start + len(text) - SHINGLE_WORDS + 1])
        start += len(text)
    return found


def _runs(words: U64, length: int) -> U64:
    """uint64 [max(W - length + 1, 0)]: hashes of all runs of `length` of the W words: a polynomial, then mixed."""
    count = len(words) - length + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    run = words[:count].copy()
    for place in range(1, length):
        run *= _FACTOR
        run += words[place : place + count]
    return mixed(run)


def _minhash(shingles: U64) -> bytes:
    """64 x uint16, little endian: for each of 64 hash functions, 16 mixed bits of the least hash."""
    least = np.full(MINHASH_VALUES, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(shingles), _CHUNK):
        table = np.multiply.outer(_MULTIPLIERS, shingles[start : start + _CHUNK])
        np.minimum(least, table.min(axis=1), out=least)
    return (mixed(least) >> np.uint64(48)).astype("<u2").tobytes()


def _tag(rank: int) -> U64:
    return mixed(np.array([rank], dtype=np.uint64))


_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_MULTIPLIERS = mixed(np.arange(1000, 1000 + MINHASH_VALUES, dtype=np.uint64)) | np.uint64(1)
