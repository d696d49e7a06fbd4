"""The files of both container images, by rules as hadolint has them, and their pins. Nothing is built here.

Left out of hadolint's rules: versions of Ubuntu's packages (DL3008), since its archive drops a version once there is
the next, and a build of last month would fail.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cluster.nodes.diagnosis import LEAST_DRIVER

ROOT = Path(__file__).parents[3]
NODES = ROOT / "cluster" / "image" / "Containerfile"
SERVER = ROOT / "infra" / "terraform" / "modules" / "mlflow" / "image" / "Dockerfile"
WHEEL = (Path(__file__).parent / "torch_cuda_wheel.txt").read_text(encoding="utf-8")
LINUX = {"platform_system": "Linux", "python_version": "3.12", "sys_platform": "linux", "extra": ""}


def steps_of(file: Path) -> list[str]:
    """Its instructions, each on one line."""
    text = re.sub(r"(?m)^#.*\n", "", file.read_text(encoding="utf-8")).replace("\\\n", " ")
    return [step.strip() for step in text.splitlines() if step.strip()]


def steps(kind: str, file: Path = NODES) -> list[str]:
    return [step.removeprefix(kind).strip() for step in steps_of(file) if step.startswith(f"{kind} ")]


def pins_of(file: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in found}


PINNED = pins_of(ROOT / "cluster" / "image" / "pins.txt")
TESTED = pins_of(ROOT / "constraints.txt")


def test_the_base_is_one_version_of_cuda() -> None:
    [argument] = [one for one in steps("ARG") if one.startswith("CUDA_IMAGE=")]
    assert re.fullmatch(r"CUDA_IMAGE=docker\.io/nvidia/cuda:\d+\.\d+\.\d+-\S+-ubuntu\d\d\.\d\d", argument)
    assert steps("FROM") == ["${CUDA_IMAGE}"]


@pytest.mark.parametrize("file", [NODES, SERVER], ids=lambda file: file.name)
def test_rules_for_both_images(file: Path) -> None:
    bases = [one.partition("=")[2] for one in steps("ARG", file) if "IMAGE=" in one] or steps("FROM", file)
    for base in bases:  # a registry, a name, and one version or digest: not latest, and no tag that moves
        assert re.search(r"^[^/]+\.[^/]+/.+(:\d+\.\d+\.\d+-[\w.-]+|@sha256:[0-9a-f]{64})$", base), base
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", steps("USER", file)[-1]), "a number other than root's"
    for step in steps("RUN", file):
        if "apt-get install" in step or "efa_installer" in step:
            assert "/var/lib/apt/lists/*" in step.rpartition("rm -rf")[2], "lists of packages stay in no layer"
        if "apt-get install" in step:
            assert "--no-install-recommends" in step and "--yes" in step and "apt-get update" in step
        if re.search(r"(?<!\|)\|(?!\|)", step):
            assert any("pipefail" in one for one in steps("SHELL", file)), step
        assert not re.search(r"\bsudo\b|\bapt \b|dist-upgrade|--trusted-host|curl [^|]*-k\b|chmod (-R )?777", step), (
            step
        )
        assert "pip install" not in step or "PIP_NO_CACHE_DIR" in str(steps("ENV", file)) or "--no-cache-dir" in step
    assert [one for one in steps("CMD", file) if not one.startswith("[")] == []
    assert len(steps("CMD", file)) == 1
    assert [one for one in steps("WORKDIR", file) if not one.startswith("/")] == []


def test_every_installation_is_constrained() -> None:
    commands = [part.strip() for step in steps("RUN") for part in re.split("&&|;", step) if "pip install" in part]
    assert len(commands) >= 5
    for command in commands:
        assert "-c pins.txt" in command, command
        words = command.partition("-c pins.txt")[2].split()
        named = [word for word in words if not word.startswith("-") and word != "'.[aws,rl,serve]'"]
        named = [word for word in named if not word.startswith('"flash-attn==')]  # the version is an argument
        assert [name for name in named if name.lower() not in PINNED | {"setuptools": "", "wheel": ""}] == []


@pytest.mark.parametrize("extra", [None, "aws", "serve"])
def test_every_dependency_has_a_pin(extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    for one in map(Requirement, wanted):
        assert one.specifier.contains(PINNED[re.sub(r"[-_.]+", "-", one.name.lower())]), one


def test_pins_are_those_that_the_tests_run_with() -> None:
    """What only the image has belongs to CUDA; `make pins` brings the files together again."""
    server = pins_of(SERVER.with_name("requirements.txt"))
    for pins in (PINNED, server):
        assert {name: version for name, version in pins.items() if TESTED.get(name, version) != version} == {}
    only = PINNED.keys() - TESTED.keys()
    assert {name for name in only if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()
    assert server.keys() <= TESTED.keys() and {"mlflow", "psycopg2-binary", "boto3"} <= server.keys()


def test_torch_brings_the_cuda_of_the_base() -> None:
    """By the metadata of torch's wheel for Linux x86-64, which machines without GPUs do not install."""
    version = re.search(r"^Version: (\S+)$", WHEEL, re.MULTILINE)
    assert version is not None and version.group(1) == PINNED["torch"], (
        "record the metadata of the wheel of this version"
    )
    wanted = [Requirement(one) for one in re.findall(r"^Requires-Dist: (.*)$", WHEEL, re.MULTILINE)]
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate(LINUX)]
    assert len(needed) > 10
    for one in needed:
        assert one.specifier.contains(PINNED[re.sub(r"[-_.]+", "-", one.name.lower())]), one
    [argument] = [one for one in steps("ARG") if one.startswith("CUDA_IMAGE=")]
    base = re.findall(r"cuda:(\d+)\.(\d+)", argument)[0]
    assert tuple(PINNED["cuda-toolkit"].split(".")[:2]) == base
    assert PINNED["cuda-bindings"].split(".")[0] == base[0]


def test_the_least_driver_is_said_where_one_looks() -> None:
    [argument] = [one for one in steps("ARG") if one.startswith("CUDA_IMAGE=")]
    major = int(re.findall(r"cuda:(\d+)", argument)[0])
    told = f"driver {LEAST_DRIVER[major]} or newer"
    for file in (NODES, ROOT / "docs" / "cluster.md"):
        assert told in file.read_text(encoding="utf-8"), file


def test_the_bill_of_materials_is_that_of_the_pins() -> None:
    bill = json.loads((ROOT / "cluster" / "image" / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX" and bill["metadata"]["component"]["name"] == "basereward"
    listed = {re.sub(r"[-_.]+", "-", one["name"].lower()): one["version"] for one in bill["components"]}
    assert listed == PINNED
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])


def test_it_runs_without_rights_and_fetches_nothing_unchecked() -> None:
    assert steps("USER") == ["1000:1000"]
    after = steps_of(NODES)[steps_of(NODES).index("USER 1000:1000") :]
    assert not [step for step in after if "sudo" in step or "apt-get" in step]
    assert steps("ADD") == []
    for step in steps("RUN"):
        if "curl" in step and "https://" in step:
            assert "sha256sum --check --strict" in step


def test_what_is_optional_is_off_by_default() -> None:
    for argument in ("EFA_VERSION", "EFA_SHA256", "FLASH_ATTN_VERSION"):
        assert f"{argument}=" in steps("ARG")
    [flash] = [step for step in steps("RUN") if "flash-attn" in step]
    assert flash.startswith('if [ -n "$FLASH_ATTN_VERSION" ]') and "--no-build-isolation" in flash


def test_what_is_copied_exists() -> None:
    for step in steps("COPY"):
        *sources, _ = [word for word in step.split() if not word.startswith("--")]
        assert [name for name in sources if not (ROOT / name).exists()] == []
    assert {"data_pipeline", "rm_core", "cluster", "jobs"} <= {step.split()[1] for step in steps("COPY")}
    for step in steps("COPY", SERVER):
        *sources, _ = [word for word in step.split() if not word.startswith("--")]
        assert [name for name in sources if not (SERVER.parent / name).exists()] == []
