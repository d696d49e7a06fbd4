"""A model reads as it was trained, whatever command uses it; what says otherwise is refused before anything starts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prepared_toys import ToyData, ToyRow, toy_comparison, write_toy
from served_toys import write_export

from data_pipeline.config import EncodeConfig, MediaConfig, PreprocessConfig, RulesConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.reading import READING_FILE, Reading
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import sha256_of
from jobs.cli.main import main
from jobs.evaluate.prepare import prepare, reading_as
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.registry.pyfunc_model import add_served_files, member_folders, one_model
from jobs.registry.registry import ModelRegistry
from jobs.train.prepare import prepare as prepare_training
from rm_core.model_folder.folder import verify_folder
from rm_core.model_folder.reading import reading_of

OTHER_ENCODE = [
    {"system_prompt": "Another one."}, {"system_prompt": ""}, {"min_pixels": 784}, {"max_pixels": 50176},
    {"video_max_pixels": 784 * 4},
]  # fmt: skip


class Place:
    """Prepared toys, and one reward model: as it is exported, and as early versions exported it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = self.data("shards", PreprocessConfig())
        self.tokens = folder / "toy-model"
        self.manifest = Manifest.read(self.shards)
        self.export = write_export(folder / "export", "tiny", 1, self.tokens, reading=self.manifest.reading)
        self.early = write_export(folder / "early", "tiny", 1, self.tokens)
        train_tokenizer(["quite other words than those"], 320, str(folder / "other-tokens"))

    def data(self, name: str, config: PreprocessConfig) -> str:
        rows = [ToyRow(comparison=toy_comparison(place), split="heldout") for place in range(3)]
        return write_toy(self.folder / name, ToyData(rows=rows, config=config))

    def recipe(self, **settings: Any) -> Recipe:
        file = self.folder / "r.yaml"
        file.write_text(f"run_dir: {self.folder}/run\npreprocess:\n  tokenizer: {self.tokens}\n")
        given = {"evaluate.model": self.export, "evaluate.data": self.shards, "score.model": self.export}
        return load_recipe(str(file), settings=given | {"train.data": self.shards} | settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("readings"))


def test_an_export_says_how_it_reads_in_all_its_files(tmp_path: Path, place: Place) -> None:
    encode = EncodeConfig(system_prompt="Judge.", min_pixels=784, max_pixels=78400)
    reading = replace(place.manifest.reading, encode=encode)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((place.tokens / name).read_bytes())
    (tmp_path / "preprocessor_config.json").write_text('{"max_pixels": 12845056}')
    folder = write_export(tmp_path / "export", "tiny", 1, tmp_path, reading=reading)
    assert reading_of(folder) == reading
    verify_folder(folder)
    assert json.loads(Path(folder, "preprocessor_config.json").read_text())["max_pixels"] == 78400
    assert "Judge." in Path(folder, "chat_template.jinja").read_text()


@pytest.mark.parametrize("change", OTHER_ENCODE)
def test_evaluate_refuses_data_that_were_read_in_another_way(place: Place, change: dict[str, Any]) -> None:
    other = place.data(f"other-{next(iter(change))}", PreprocessConfig(encode=EncodeConfig(**change)))
    [(key, value)] = change.items()
    with pytest.raises(RecipeError) as caught:
        prepare(place.recipe(**{"evaluate.data": other}))
    message = str(caught.value)
    assert f"preprocess.encode.{key} is {getattr(EncodeConfig(), key)!r}" in message and f"and {value!r}" in message
    assert f"preprocess the records with preprocess.encode.{key}=" in message


def test_what_is_read_in_the_same_way_is_evaluated(place: Place) -> None:
    assert prepare(place.recipe()).lineage == {}
    roomier = place.data("roomier", PreprocessConfig(rules=RulesConfig(max_tokens=9000), media=MediaConfig()))
    assert prepare(place.recipe(**{"evaluate.data": roomier})), "no Comparison is longer than the model reads"


def test_evaluate_refuses_comparisons_that_are_longer_than_the_model_reads(place: Place, tmp_path: Path) -> None:
    data = PreparedData.open(place.shards)
    longest = max(data.encoded(index).length for index in range(len(data)))
    for limit, refused in ((longest, False), (longest - 1, True)):
        reading = replace(place.manifest.reading, max_tokens=limit)
        model = write_export(tmp_path / str(limit), "tiny", 1, place.tokens, reading=reading)
        recipe = place.recipe(**{"evaluate.model": model})
        if not refused:
            prepare(recipe)
            continue
        with pytest.raises(RecipeError, match=f"reads {limit} tokens at most, .* a Comparison of {longest}"):
            prepare(recipe)


def test_evaluate_and_train_refuse_another_tokenizer(place: Place, tmp_path: Path) -> None:
    tokens = place.folder / "other-tokens"
    for reading in (None, replace(place.manifest.reading, tokenizer=sha256_of(f"{tokens}/tokenizer.json"))):
        other = write_export(tmp_path / str(reading is None), "tiny", 1, tokens, reading=reading)
        for check, settings in ((prepare, {"evaluate.model": other}), (prepare_training, {"train.model": other})):
            with pytest.raises(RecipeError, match=r"tokenizer \(sha256\) .*preprocess.tokenizer") as caught:
                check(place.recipe(**settings))
            assert place.manifest.tokenizer in str(caught.value)
            assert sha256_of(f"{other}/tokenizer.json") in str(caught.value)
    assert not {path.name for path in place.folder.glob("run/*")} & {"train", "evaluate"}, "nothing was claimed"


def test_a_model_without_a_tokenizer_is_not_trained(place: Place, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    with pytest.raises(MissingInput, match=r"tokenizer\.json"):
        prepare_training(place.recipe(**{"train.model": str(tmp_path)}))


@pytest.mark.parametrize(
    ("key", "value"),
    [(f"preprocess.encode.{key}", value) for change in OTHER_ENCODE for key, value in change.items()]
    + [("preprocess.rules.max_tokens", 100), ("preprocess.media.max_source_bytes", 10),
       ("preprocess.media.max_source_pixels", 10)],
)  # fmt: skip
def test_score_refuses_a_recipe_that_reads_in_another_way(place: Place, key: str, value: Any) -> None:
    own = place.manifest.reading.all()[key]
    with pytest.raises(RecipeError) as caught:
        reading_as(place.recipe(**{key: value}), place.export, "score.model")
    assert f"{key} is {own!r} for the first and {value!r} for the second; set {key}={own!r}" in str(caught.value)


def test_every_difference_is_named_at_once(place: Place) -> None:
    changed = {"preprocess.encode.max_pixels": 100_352, "preprocess.rules.max_tokens": 100}
    own = place.manifest.reading.all()
    with pytest.raises(RecipeError) as caught:
        reading_as(place.recipe(**changed), place.export, "score.model")
    for key, value in changed.items():
        assert f"{key} is {own[key]!r} for the first and {value} for the second" in str(caught.value)
    assert f"set {' '.join(f'{key}={own[key]!r}' for key in changed)} in" in str(caught.value)


def test_score_reads_as_the_model_says_and_ends_with_code_2_otherwise(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = place.recipe()
    assert reading_as(recipe, place.export, "score.model") == recipe
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"prompt": "What?", "responses": ["So.", "No."]}\n')
    asked = [f"score.input={lines}", f"score.model={place.export}", f"score.output={tmp_path}/out.jsonl"]
    assert main(["score", f"{place.folder}/r.yaml", *asked, "preprocess.encode.system_prompt='Another one.'"]) == 2
    assert "'Another one.' for the second" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_an_early_export_is_compared_with_the_data_that_it_was_trained_on(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lineage = {"data_fingerprint": place.manifest.fingerprint, "config": {"train.data": place.shards}}
    known = write_export(tmp_path / "known", "tiny", 1, place.tokens, lineage)
    assert reading_of(known) == place.manifest.reading
    with pytest.raises(RecipeError, match="system_prompt"):
        reading_as(place.recipe(**{"preprocess.encode.system_prompt": "Another one."}), known, "score.model")
    gone = write_export(tmp_path / "gone", "tiny", 1, place.tokens, lineage | {"data_fingerprint": "f" * 64})
    for folder in (gone, place.early):
        assert reading_of(folder) is None
        reading_as(place.recipe(**{"preprocess.encode.system_prompt": "Another one."}), folder, "score.model")
        assert "only the tokenizer could be compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"encode": {"colour": 1}}', '{"encode": null, "max_tokens": 1}', "x"]
)
def test_a_damaged_reading_is_no_reading(tmp_path: Path, text: str) -> None:
    (tmp_path / READING_FILE).write_text(text)
    with pytest.raises(CorruptData, match=r"reading\.json' does not say how a model reads records"):
        reading_of(str(tmp_path))


def test_a_registered_model_reads_as_its_export(place: Place, tmp_path: Path) -> None:
    other = replace(place.manifest.reading, max_tokens=17)
    with pytest.raises(RecipeError, match=r"max_tokens is 8192 for the first and 17"):
        one_model("a", place.export, other)
    served = one_model("a", place.export, place.manifest.reading)
    assert served.members[0].reading == place.manifest.reading
    wrong = replace(served, members=(replace(served.members[0], model=place.export, reading=other),))
    add_served_files(str(tmp_path), wrong)
    with pytest.raises(RecipeError, match="max_tokens"):
        member_folders(wrong, str(tmp_path), ModelRegistry(None))


def test_settings_are_named_as_in_a_recipe(place: Place) -> None:
    """So that the cure in a message can be typed as it is."""
    settings = Reading.of_config(PreprocessConfig(), "").all()
    known = {key: value for key, value in settings.items() if key.startswith("preprocess.")}
    assert len(known) == len(settings) - 2
    place.recipe(**known)
