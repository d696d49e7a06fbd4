"""Each big dependency is imported by its adapter alone, so that replacing or upgrading it is one file's work."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORTERS = {
    "av": {"data_pipeline/media/video_file.py"},
    "deepspeed": {"rm_core/training/engines/zero.py"},
    "peft": {"rm_core/model/lora.py"},
    "liger_kernel": {"rm_core/model/language_loss.py"},
    "mlflow": {
        "jobs/tracking/address.py",
        "jobs/tracking/answers.py",
        "jobs/tracking/metric_logger.py",
        "jobs/registry/registry.py",
        "jobs/tracking/store.py",
        "jobs/registry/pyfunc_model.py",
        "jobs/tracking/run_writer.py",
        "jobs/tracking/tracker.py",
    },
    "fsspec": {"data_pipeline/storage/remote.py"},
    "huggingface_hub": {"jobs/fetch/hub.py", "rm_core/model_folder/hub.py"},
    "vllm": {"rm_core/generation/vllm_worker.py", "rm_core/interop/vllm_classes.py", "rm_core/interop/vllm_plugin.py"},
    "zipfile": {"cluster/package.py", "data_pipeline/storage/zips.py"},
    "tarfile": {"data_pipeline/storage/tars.py"},
    "urllib": {"cluster/submission/jobs_api.py", "cluster/nodes/checks.py", "jobs/recipe/addresses.py"},
    "httpx2": {
        "data_pipeline/storage/remote.py",
        "data_pipeline/storage/web.py",
        "jobs/fetch/download.py",
        "jobs/fetch/hub.py",
        "rm_core/evaluation/judge/endpoint.py",
        "rm_core/model_folder/hub.py",
        "jobs/serve/client.py",
    },
    "fastapi": {"jobs/serve/app.py"},
    "s3fs": set(),
    "optuna": {"jobs/sweep/search.py"},
    "omegaconf": {"jobs/recipe/schema.py", "jobs/recipe/load.py"},
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", IMPORTERS)
def test_only_these_modules_import(package: str) -> None:
    files = [
        path for folder in ("data_pipeline", "rm_core", "cluster", "jobs") for path in (ROOT / folder).rglob("*.py")
    ]
    users = {str(path.relative_to(ROOT)) for path in files if package in imports_of(path)}
    assert users == IMPORTERS[package]
