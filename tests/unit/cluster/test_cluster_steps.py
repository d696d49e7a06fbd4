"""`basereward cluster doctor` before there is a cluster: what it says without AWS; with it: `test_account_steps.py`."""

from pathlib import Path

import pytest
import yaml
from suite_toys import write_suite
from terraform_outputs import write_outputs

from jobs.cli.main import main


def test_without_outputs_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outputs.json"
    for text, told in (
        (None, "No such file"),
        ("{}", "Terraform has made nothing yet"),
        ('{"name": {"value": 1}}', "sch"),
    ):
        if text is not None:
            path.write_text(text)
        assert main(["cluster", "doctor", "--from-terraform", str(path)]) == 1
        printed = capsys.readouterr().out
        assert "missing: infrastructure: " in printed and told in printed and "cure: terraform" in printed


def test_a_machine_that_aws_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("botocore")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    nowhere = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    for name, value in (nowhere | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    assert main(["cluster", "doctor", "--from-terraform", write_outputs(tmp_path / "outputs.json")]) == 1
    printed = capsys.readouterr().out
    assert "missing: credentials: AWS does not know this machine" in printed and "1 steps are missing" in printed


def test_what_a_recipe_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.yaml"
    suite = "mm_rlhf_rewardbench"
    settings = {
        "run_dir": str(tmp_path / "run"),
        "data_root": str(tmp_path / "raw"),
        "preprocess": {
            "tokenizer": str(tmp_path / "model"),
            "sources": [{"name": "mine", "path": "*.jsonl"}, {"name": "theirs", "path": "theirs/*.jsonl"}],
            "mixture": {"only": ["mine"]},
        },
        "train": {"model": str(tmp_path / "model")},
        "evaluate": {"suites": [suite], "suite_root": str(tmp_path / "suites")},
        "cluster": {"submit": {"env": ["MLFLOW_TRACKING_PASSWORD"]}},
    }
    recipe.write_text(yaml.safe_dump(settings))
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)

    def missing() -> list[str]:
        assert main(["cluster", "doctor", f"recipe={recipe}"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert sum("cure: " in line for line in lines) == sum("missing: " in line for line in lines)
        return [line.partition("missing: ")[2] for line in lines if "missing: " in line]

    found = missing()
    assert [one.partition(":")[0] for one in found] == ["data", "the model", "the model", "benchmarks", "variables"]
    assert "source 'mine' has no files" in found[0] and "config.json" in found[1] and "tokenizer.json" in found[2]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").touch()
    (tmp_path / "model").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "model" / name).touch()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "never-shown")
    assert [one.partition(":")[0] for one in missing()] == ["benchmarks"]
    write_suite(tmp_path / "suites", suite)
