"""A folder belongs to one training from its first checkpoint on: settings, data, and the weights it started from."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from toys import toy_reward_model

from data_pipeline.errors import CorruptData, RecipeError
from jobs.train.record import TrainingRecord
from jobs.train.state import claim_output, is_logged
from rm_core.model.config import HeadConfig
from rm_core.model_folder.folder import save_reward_model
from rm_core.model_folder.identity import weights_identity
from rm_core.train_config.config import TrainConfig

BIG = 3 << 20


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(bytes(range(256)) * (BIG // 256))
    return TrainConfig(model=str(base), output=str(tmp_path / "lr[1]" / "train"))


def finish_a_step(config: TrainConfig) -> None:
    marker = Path(config.output, "checkpoints/step-00000010/COMPLETE.json")
    marker.parent.mkdir(parents=True)
    marker.write_text("damaged or not")


def other_bytes(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def other_size(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: BIG // 2] + path.read_bytes()[BIG // 2 + 1 :])


def other_settings(folder: Path) -> None:
    (folder / "config.json").write_text('{"rms_norm_eps": 1}')


def one_file_more(folder: Path) -> None:
    (folder / "model-2.safetensors").write_bytes(b"x")


CHANGES: list[Callable[[Path], None]] = [other_bytes, other_size, other_settings, one_file_more]


@pytest.mark.parametrize("change", CHANGES)
def test_another_base_model_is_refused(config: TrainConfig, tmp_path: Path, change: Callable[[Path], None]) -> None:
    claim_output(config, "data")
    finish_a_step(config)
    copy = shutil.copytree(config.model, tmp_path / "copy")
    claim_output(replace(config, model=str(copy)), "data")  # the same weights from another place
    (copy / "README.md").write_text("says nothing of the weights")
    claim_output(replace(config, model=str(copy)), "data")
    change(copy)
    with pytest.raises(RecipeError, match=r"holds another training \(base_model_sha256 was '[0-9a-f]{64}', now"):
        claim_output(replace(config, model=str(copy)), "data")
    change(Path(config.model))  # in its old place too
    with pytest.raises(RecipeError, match="base_model_sha256"):
        claim_output(config, "data")


def test_a_marked_folder_is_known_by_its_weights_and_head(tmp_path: Path) -> None:
    folders = []
    for place, (seed, layers) in enumerate([(1, 2), (1, 2), (2, 2), (1, 1)]):
        model = toy_reward_model(seed=seed, head=HeadConfig(layers=layers))
        folder = str(tmp_path / str(place))
        save_reward_model(
            folder, model.backbone, model.head_config, model.state_dict().items(), processor_from="nowhere",
            lineage={"run": place},
        )  # fmt: skip
        folders.append(weights_identity(folder))
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


@pytest.mark.parametrize("key", ["seed", "global_batch", "precision"])
def test_a_start_that_came_to_nothing_does_not_hold_the_folder(
    config: TrainConfig, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path(config.output)
    other = replace(config, **{key: {"seed": 5, "global_batch": 7, "precision": "fp32"}[key]})
    claim_output(other, "data")
    (output / "job_state.json").write_text('{"mlflow_run_id": "of the failed start"}')
    (output / "attempts.json").write_text("[1]")
    (output / "waiting/node").mkdir(parents=True)
    for name in ("waiting_points.json", "waiting/node/waiting_points.json"):
        (output / name).write_text('[["train/loss", 1.0, 1, 1]]')
    claim_output(config, "data")
    assert f"a start with another {key} ended before its first checkpoint" in capsys.readouterr().out
    assert json.loads((output / "job_state.json").read_text()) == {}, "the new training gets its own MLflow run"
    assert json.loads((output / "waiting_points.json").read_text()) == []
    assert json.loads((output / "waiting/node/waiting_points.json").read_text()) == []
    assert (output / "attempts.json").read_text() == "[1]", "costs stay counted"
    finish_a_step(config)
    with pytest.raises(RecipeError, match=f"{key} was "):
        claim_output(other, "data")


def test_a_failed_start_on_other_data_or_another_base_does_not_hold_it_either(config: TrainConfig) -> None:
    claim_output(config, "data")
    other_bytes(Path(config.model))
    claim_output(config, "other data")
    assert json.loads(Path(config.output, "training.json").read_text())["data_fingerprint"] == "other data"


def test_settings_that_an_early_version_did_not_know_have_their_defaults(config: TrainConfig) -> None:
    claim_output(config, "data")
    finish_a_step(config)
    url = Path(config.output, "training.json")
    known = json.loads(url.read_text())
    url.write_text(json.dumps({key: value for key, value in known.items() if key != "best_metric"}))
    claim_output(replace(config, evaluate_every=10, early_stopping=3), "data")  # may change at any time
    with pytest.raises(RecipeError, match=r"best_metric was 'train/loss', now 'eval/accuracy'"):
        claim_output(replace(config, evaluate_every=10, best_metric="eval/accuracy"), "data")


def test_an_exported_model_holds_the_folder_without_checkpoints(config: TrainConfig) -> None:
    claim_output(config, "data")
    marker = Path(config.output, "export/model.json")
    marker.parent.mkdir()
    marker.write_text("{}")
    with pytest.raises(RecipeError, match="data_fingerprint was 'data', now 'other'"):
        claim_output(config, "other")


def test_a_training_of_an_early_version_goes_on_and_says_what_is_not_known(
    config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    claim_output(config, "data")
    finish_a_step(config)
    file = Path(config.output, "training.json")
    written = json.loads(file.read_text())
    del written["base_model_sha256"]
    file.write_text(json.dumps(written))
    claim_output(config, "data")
    assert "does not say which weights it started from" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="seed"):
        claim_output(replace(config, seed=3), "data")


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_state_file_is_named_with_what_to_do(config: TrainConfig, damaged: bytes) -> None:
    claim_output(config, "data")
    readers = {
        "training.json": lambda: claim_output(config, "data"),
        "job_state.json": lambda: is_logged(config.output),
        "attempts.json": lambda: TrainingRecord(config.output),
    }
    for name, read in readers.items():
        Path(config.output, name).write_bytes(b"{}" if (name, damaged) == ("attempts.json", b"[1]") else damaged)
        with pytest.raises(CorruptData, match=f"{name}' is damaged .*restore it"):
            read()
