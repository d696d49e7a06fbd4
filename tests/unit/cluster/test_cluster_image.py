"""The container image's file: all of it is pinned, and it runs as a user without rights. Nothing is built here."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINES = (ROOT / "cluster" / "image" / "Containerfile").read_text(encoding="utf-8")
STEPS = [
    step.strip() for step in re.sub(r"(?m)^#.*\n", "", LINES).replace("\\\n", " ").splitlines() if step.strip()
]  # fmt: skip
PINNED = {
    name.lower().replace("_", "-"): version
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}


def steps(kind: str) -> list[str]:
    return [step.removeprefix(kind).strip() for step in STEPS if step.startswith(f"{kind} ")]


def test_the_base_is_one_version_of_cuda() -> None:
    [argument] = [one for one in steps("ARG") if one.startswith("CUDA_IMAGE=")]
    assert re.fullmatch(r"CUDA_IMAGE=docker\.io/nvidia/cuda:\d+\.\d+\.\d+-\S+-ubuntu\d\d\.\d\d", argument)
    assert steps("FROM") == ["${CUDA_IMAGE}"]


def test_every_installation_is_constrained() -> None:
    commands = [part.strip() for step in steps("RUN") for part in step.split("&&") if "pip install" in part]
    assert len(commands) >= 4
    for command in commands:
        assert "-c constraints.txt" in command, command
        words = command.partition("-c constraints.txt")[2].split()
        named = [word for word in words if not word.startswith("-") and word != "'.[aws,serve]'"]
        assert [name for name in named if name.lower() not in PINNED | {"setuptools": "", "wheel": ""}] == []


@pytest.mark.parametrize("extra", [None, "aws", "serve"])
def test_every_dependency_has_a_pin(extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    names = [re.split(r"[\[<>=!~ ]", one)[0].lower().replace("_", "-") for one in wanted]
    assert [name for name in names if name not in PINNED] == []


def test_it_runs_without_rights_and_fetches_nothing_unchecked() -> None:
    assert steps("USER") == ["1000:1000"]
    after = STEPS[STEPS.index("USER 1000:1000") :]
    assert not [step for step in after if "sudo" in step or "apt-get" in step]
    assert steps("ADD") == []
    for step in steps("RUN"):
        if "curl" in step and "https://" in step:
            assert "sha256sum --check --strict" in step
    assert all("--no-install-recommends" in step for step in steps("RUN") if "apt-get install" in step)


def test_what_is_copied_exists() -> None:
    for step in steps("COPY"):
        *sources, _ = [word for word in step.split() if not word.startswith("--")]
        assert [name for name in sources if not (ROOT / name).exists()] == []
    assert {"data_pipeline", "rm_core", "cluster", "jobs"} <= {step.split()[1] for step in steps("COPY")}
