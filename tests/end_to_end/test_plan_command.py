"""`basereward plan` as a user calls it."""

import re

import pytest
from workplace import Workplace

from jobs.cli.main import main


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_recipe_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "scale/7b_zero2", "plan.gpus=64", "plan.price=2"]) == 0
    out = shown(capsys)
    assert "7b: 7,760 million weights; 64 x h100-80gb, ZeRO stage 2, bf16, checkpointing full" in out
    assert "weights │ 15.5 GB" in out
    assert "there is, h100-80gb │ 84.0 GB" in out
    assert "assumed in the section plan: there is no prepared data" in out
    assert "steps │ 22,317" in out
    assert "of it without the margin of 6% │ 79.0 GB" in out
    assert "checkpoints │ 45 of 93.1 GB" in out
    assert "at $2.00 an hour and GPU" in out


def test_what_does_not_fit_is_refused_with_what_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "scale/7b_zero3", "plan.gpus=4"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "needs 55.0 GB on each GPU, and a100-40gb has 42, of which plan.memory_margin leaves 39.48. " in captured.err
    assert "What fits: plan.gpus=8; or " in captured.err
    assert main(["plan", "scale/7b_zero3", "plan.gpus=4", "plan.gpus=8"]) == 0


def test_idle_gpus_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "scale/7b_zero2", "plan.gpus=256"]) == 0
    assert "128 of 256 GPUs have nothing to compute: train.global_batch=128" in shown(capsys)


def test_offload_shows_cpu_memory_and_adapters_what_trains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "scale/7b_zero2_offload", "train.weights.language.train=lora"]) == 0
    out = shown(capsys)
    assert "CPU memory for each GPU" in out
    assert "million of them train" in out


def test_the_table_of_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "scale/7b_zero3", "plan.compare=[3b,72b]"]) == 0
    out = shown(capsys)
    assert "The fastest setting that fits, on a100-40gb" in out
    assert "3b │ 256 │" in out
    assert "does not fit" in out


def test_neither_weights_nor_a_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "paper/mixture"]) == 2
    assert "holds no config.json: set plan.shape, for example plan.shape=7b" in capsys.readouterr().err


def test_prepared_data_is_counted(workplace: Workplace) -> None:
    out = workplace.run("plan", "plan.gpu=l40s-48gb")
    assert re.search(r"Data: .*shards, [1-9]\d* Comparisons an epoch", out)
    assert "assumed in the section plan" not in out
    assert re.search(r"waiting for the longest row multiplies by\W+1\.\d\d", out)
