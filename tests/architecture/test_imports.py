"""What an import costs: counted in heavy modules, because seconds differ from machine to machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "ray", "mlflow", "deepspeed", "transformers", "omegaconf", "pandas", "scipy", "sklearn", "matplotlib"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    script = f"{code}\nimport json, sys; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_all_of_data_pipeline_is_light() -> None:
    code = (
        "import importlib, pkgutil, data_pipeline\n"
        "for module in pkgutil.walk_packages(data_pipeline.__path__, 'data_pipeline.'):\n"
        "    importlib.import_module(module.name)"
    )
    assert loaded_by(code) & HEAVY == set()


def test_import_data_pipeline_loads_no_third_party_module() -> None:
    assert loaded_by("import data_pipeline") & (HEAVY | {"numpy", "pyarrow", "PIL", "fsspec", "tokenizers"}) == set()


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["train"]])
def test_help_loads_neither_torch_nor_ray(argv: list[str]) -> None:
    code = f"from jobs.cli.main import main\ntry:\n    main({argv!r})\nexcept SystemExit:\n    pass"
    assert loaded_by(code) & {"torch", "ray", "mlflow", "deepspeed", "transformers"} == set()
