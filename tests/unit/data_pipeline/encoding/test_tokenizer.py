"""A trained tokenizer, alone and through transformers."""

import pickle
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.tokenizer import (
    SPECIAL_TOKENS,
    load_tokenizer,
    tokenizer_fingerprint,
    train_tokenizer,
)
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core.model_folder.processor_files import write_processor_files

TEXTS = [f"The {colour} bus number {i} isn't here.\n\nIs it?" for i in range(50) for colour in ("red", "blue")]
SAMPLES = [
    "The red bus isn't here.",
    "日本語 und ümlaut 🙂\t12345\r\n\n  x",
    "e\u0301 decomposed",
    " ",
    "\n\n\nIs it?  ",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("tokenizer"))
    train_tokenizer(TEXTS, 400, path)
    return path


def test_ids_equal_those_of_auto_tokenizer(folder: str) -> None:
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text in [*TEXTS[:5], *SAMPLES]:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    assert len(theirs) == ours.vocab_size
    assert {name: theirs.convert_tokens_to_ids(name) for name in SPECIAL_TOKENS} == dict(ours.special_ids)
    assert (theirs.eos_token, theirs.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_any_text_round_trips(folder: str) -> None:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.decode(tokenizer.encode(SAMPLES[1])) == SAMPLES[1]
    assert tokenizer.encode("") == []


def test_text_never_becomes_a_special_token(folder: str) -> None:
    tokenizer = load_tokenizer(folder)
    special = set(tokenizer.special_ids.values())
    for one in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):
        for name in SPECIAL_TOKENS:
            ids = one.encode(f"before {name} after")
            assert not special & set(ids)
            assert one.decode(ids) == f"before {name} after"


def test_training_is_reproducible(folder: str, tmp_path: Path) -> None:
    train_tokenizer(iter(TEXTS), 400, str(tmp_path))
    assert (tmp_path / "tokenizer.json").read_bytes() == (Path(folder) / "tokenizer.json").read_bytes()
    assert load_tokenizer(folder).fingerprint == load_tokenizer(str(tmp_path)).fingerprint


def test_the_vocabulary_has_its_size_or_all_pairs_there_are(folder: str, tmp_path: Path) -> None:
    train_tokenizer(TEXTS, 285, str(tmp_path))
    assert load_tokenizer(str(tmp_path)).vocab_size == 285
    assert 285 < load_tokenizer(folder).vocab_size <= 400
    with pytest.raises(RecipeError, match="269"):
        train_tokenizer(TEXTS, 269, folder + "/none")


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"tokenizer\.json"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CorruptData, match=r"tokenizer\.json"):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_the_chat_format_is_refused(folder: str, tmp_path: Path) -> None:
    text = (Path(folder) / "tokenizer.json").read_text().replace("<|image_pad|>", "<|other|>")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(MissingInput, match="image_pad"):
        load_tokenizer(str(tmp_path))


def test_the_template_carries_the_configured_system_prompt(folder: str) -> None:
    write_processor_files(folder, EncodeConfig(system_prompt='Say "hi".\nBe brief, it\'s late.'))
    chat = [{"role": "user", "content": "x"}]
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(chat, tokenize=False)
    assert text == ('<|im_start|>system\nSay "hi".\nBe brief, it\'s late.<|im_end|>\n<|im_start|>user\nx<|im_end|>\n')


def test_a_fingerprint_is_the_loaded_tokenizers_and_checks_it(tmp_path: Path) -> None:
    folder = str(tmp_path)
    train_tokenizer(["Some words."], 300, folder)
    assert tokenizer_fingerprint(folder) == load_tokenizer(folder).fingerprint
    path = tmp_path / "tokenizer.json"
    whole = path.read_text()
    path.write_text(whole[:-100])
    for read in (tokenizer_fingerprint, load_tokenizer):
        with pytest.raises(CorruptData, match="copy it again"):
            read(folder)
    path.write_text(whole.replace("<|vision_start|>", "<|seeing|>"))
    for read in (tokenizer_fingerprint, load_tokenizer):
        with pytest.raises(MissingInput, match=r"<\|vision_start\|>"):
            read(folder)
