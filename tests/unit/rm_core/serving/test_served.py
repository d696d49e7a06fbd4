"""A registered model's file, the rows it is given, and its scores: without a store and without Ray."""

import json
import math
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from prepared_toys import scene
from served_toys import write_export

import rm_core
from data_pipeline.config import EncodeConfig, MediaConfig
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecordError
from data_pipeline.media import load_image
from data_pipeline.records.comparison import ImageSlot
from jobs.registry.pyfunc_model import add_served_files, one_model, read_served
from rm_core.ensembles.ensemble import Ensemble, Member
from rm_core.model_folder.folder import marker_sha256
from rm_core.scoring.table_rows import comparison_of
from rm_core.serving.served_model import SERVED_FILE, ServedMember, ServedModel

READING = Reading(max_tokens=300, max_source_pixels=1_000_000, max_source_bytes=1_000_000)


class Exports:
    """A model that sees, one that does not, and one with other weights, with one tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        train_tokenizer(["What is it? It is a bus. Name a bird. A wren."], 300, str(folder / "tokens"))
        (folder / "a.png").write_bytes(scene(1))
        self.sees = write_export(folder / "sees", "tiny", 1, folder / "tokens")
        self.words = write_export(folder / "words", "qwen3-tiny", 2, folder / "tokens")

    def member(self, name: str, folder: str, *, text_only: bool = False) -> ServedMember:
        return ServedMember(
            name=name, model=folder, sha256=marker_sha256(folder), text_only=text_only, reading=READING, lineage={}
        )

    def both(self) -> ServedModel:
        measured = {"weight": 1.0, "accuracy": 0.5, "margin": 1.0}
        return ServedModel(
            members=(self.member("sees", self.sees), self.member("words", self.words, text_only=True)),
            ensemble=Ensemble(
                members=(
                    Member(name="sees", text_only=False, mean=0.1, spread=0.02, **measured),
                    Member(name="words", text_only=True, mean=-0.3, spread=0.05, **measured),
                ),
                rule="mean", penalty=1.0, temperature=2.0, num_comparisons=10,
            ),
            token_budget=2048, patch_budget=2048,
        )  # fmt: skip

    def load(self, served: ServedModel, beside: str) -> Any:
        add_served_files(beside, served)
        return mlflow.pyfunc.load_model(beside, model_config={"media_root": str(self.folder)})

    def reward(self, folder: str, row: dict[str, Any]) -> np.ndarray:
        """Straight from the model."""
        comparison = comparison_of(row, 0, str(self.folder))
        images = [load_image(ref, str(self.folder), MediaConfig()) for ref in comparison.media]
        encoded = Encoder(load_tokenizer(folder), EncodeConfig()).encode(comparison, images)
        return np.array(rm_core.load(folder).score([encoded])[0])


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(tmp_path_factory.mktemp("served"))


PICTURE = {"prompt": "What is it?", "responses": ["A bus.", "A dog."], "images": ["a.png"]}
TEXT = {"prompt": "Name a bird.", "responses": np.array(["A wren.", "A trout.", "A bus."]), "images": float("nan")}


def test_pyfunc_puts_members_together_and_asks_text_models_about_text(exports: Exports, tmp_path: Path) -> None:
    loaded = exports.load(exports.both(), str(tmp_path / "both"))
    found = loaded.predict(pd.DataFrame([PICTURE, TEXT], index=[7, 3]))
    seen = (exports.reward(exports.sees, PICTURE) - 0.1) / 0.02
    assert found.loc[7, "rewards"] == pytest.approx(seen.tolist(), abs=1e-4), "the text model is not asked"
    assert found.loc[7, "spread"] == [0.0, 0.0]
    assert found.loc[7, "probability"] == pytest.approx(1 / (1 + math.exp(-(seen[0] - seen[1]) / 2)), abs=1e-4)
    parts = (exports.reward(exports.sees, TEXT) - 0.1) / 0.02, (exports.reward(exports.words, TEXT) + 0.3) / 0.05
    assert found.loc[3, "rewards"] == pytest.approx(np.mean(parts, axis=0).tolist(), abs=1e-4)
    assert found.loc[3, "spread"] == pytest.approx(np.std(parts, axis=0).tolist(), abs=1e-4)
    assert math.isnan(found.loc[3, "probability"]), "three responses"
    assert len(loaded.predict(pd.DataFrame([PICTURE]).iloc[:0])) == 0


def test_one_model_gives_its_rewards_as_they_are(exports: Exports) -> None:
    loaded = exports.load(one_model("one", exports.sees, READING), exports.sees)
    found = loaded.predict(pd.DataFrame([PICTURE]))
    assert found.loc[0, "rewards"] == pytest.approx(exports.reward(exports.sees, PICTURE).tolist(), abs=1e-5)
    rm_core.load(exports.sees)  # files beside the model's change nothing of it
    assert loaded.metadata.signature is not None and loaded.input_example is not None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": None, "responses": ["x"]}, "missing_field: prompt has no value"),
        ({"prompt": "a", "responses": float("nan")}, "missing_field: responses has no value"),
        ({"prompt": "a", "responses": []}, "wrong_field_type: responses in row 1"),
        ({"prompt": "a", "responses": ["x"], "images": ["b.png"]}, "missing_media: no file 'b.png'"),
        ({"prompt": "a", "responses": ["x"], "images": "../a.png"}, "unsafe_path"),
        ({"prompt": "a", "responses": ["x"], "images": "/etc/passwd"}, "unsafe_path"),
        ({"prompt": "a", "responses": ["x"], "images": [b"no picture"]}, "broken_image"),
        ({"prompt": "<image> and <image>", "responses": ["x"], "images": "a.png"}, "image_slot_mismatch"),
        ({"prompt": "many words " * 400, "responses": ["x"]}, "too_long: .* limit 300 .*member 'sees'"),
    ],
)
def test_a_bad_row_is_told_with_its_number_and_reason(
    exports: Exports, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    loaded = exports.load(exports.both(), str(tmp_path / "both"))
    with pytest.raises(MlflowException, match=f"1 of 2 rows can't be scored: row 1: {message}"):
        loaded.predict(pd.DataFrame([TEXT, row]))


def test_a_model_of_words_alone_refuses_pictures(exports: Exports) -> None:
    loaded = exports.load(one_model("words", exports.words, READING), exports.words)
    with pytest.raises(MlflowException, match="row 0: no_reader: it has images, and every member reads text alone"):
        loaded.predict(pd.DataFrame([PICTURE]))


def test_a_member_that_is_gone_or_another_one_is_named(exports: Exports, tmp_path: Path) -> None:
    moved = write_export(tmp_path / "moved", "tiny", 3, exports.folder / "tokens")
    served = ServedModel(members=(exports.member("mine", moved),), ensemble=None, token_budget=2048, patch_budget=2048)
    folder = str(tmp_path / "model")
    assert exports.load(served, folder) is not None
    write_export(tmp_path / "moved", "tiny", 4, exports.folder / "tokens")
    with pytest.raises(MlflowException, match=r"member 'mine' \(.*moved\) is another model now"):
        exports.load(served, folder)
    (tmp_path / "moved/reward_head.safetensors").unlink()
    with pytest.raises(MlflowException, match=r"member 'mine' .*reward_head\.safetensors' is missing or differs"):
        exports.load(served, folder)
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    with pytest.raises(MlflowException, match=r"member 'mine' .*no such folder"):
        exports.load(served, folder)


def test_the_file_is_read_as_it_was_written(exports: Exports, tmp_path: Path) -> None:
    served = exports.both()
    assert ServedModel.from_json(json.loads(json.dumps(served.to_json()))) == served
    with pytest.raises(MissingInput, match=r"holds no ensemble\.json"):
        read_served(str(tmp_path))
    for content, message in (
        ({"format_version": 9}, "format_version 9, this program reads 1"),
        ({"format_version": 1}, "is no ensemble"),
    ):
        (tmp_path / SERVED_FILE).write_text(json.dumps(content))
        with pytest.raises(CorruptData, match=message):
            read_served(str(tmp_path))


def test_prompts_are_texts_or_chats() -> None:
    def turns(prompt: object) -> list[tuple[str, tuple[object, ...]]]:
        row = {"prompt": prompt, "responses": ["x"], "images": None}
        return [(turn.role, turn.parts) for turn in comparison_of(row, 0, ".").prompt]

    assert turns("Say [1]") == [("user", ("Say [1]",))]
    assert turns("[1, 2]") == [("user", ("[1, 2]",))] and turns("[half") == [("user", ("[half",))]
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    expected = [("system", ("Be brief.",)), ("user", ("Hi",))]
    assert turns(json.dumps(chat)) == turns(chat) == expected
    picture = comparison_of({"prompt": "Is <image> it?", "responses": ["x"], "images": b"bytes"}, 0, ".")
    assert picture.prompt[0].parts == ("Is ", ImageSlot(0), " it?") and picture.media[0].data == b"bytes"
    with pytest.raises(RecordError, match="wrong_field_type"):
        comparison_of({"prompt": 7, "responses": ["x"]}, 0, ".")
