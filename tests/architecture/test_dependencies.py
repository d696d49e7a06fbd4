"""What the packages import is declared in pyproject.toml and pinned, and what is declared is used."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs")
NOT_IMPORTED = {
    "s3fs": "fsspec loads it by name for s3://",
}
"""Declared, and loaded by another library."""
EXTRAS_NOT_IMPORTED = {
    "boto3": "Ray's launcher for EC2, and artifacts of an MLflow server in S3",
    "psycopg2-binary": "SQLAlchemy loads it by name for an MLflow server on PostgreSQL",
    "python-multipart": "FastAPI reads forms with it",
}
RAY_EXTRAS = {
    "default": "the dashboard, which takes submitted jobs",
    "train": "what ray.train imports",
    "tune": "what ray.tune imports",
}


def plain(name: str) -> str:
    """A distribution's name without extras, versions and ways to write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


@cache
def project() -> dict[str, dict[str, list[str]]]:
    parsed: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return parsed


def declared(*extras: str) -> set[str]:
    optional = project()["optional-dependencies"]
    wanted: Iterable[str] = [*project()["dependencies"], *(one for extra in extras for one in optional[extra])]
    return {plain(one) for one in wanted}


def modules_of(path: Path) -> set[str]:
    """Top-level names that a file imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@cache
def imported() -> dict[str, set[str]]:
    """By module of another project: the distributions that bring it."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    modules = set[str]().union(*map(modules_of, files)) - sys.stdlib_module_names - set(PACKAGES)
    brought_by = packages_distributions()
    return {module: {plain(name) for name in brought_by.get(module, [module])} for module in sorted(modules)}


def test_what_is_imported_is_declared() -> None:
    declared_here = declared("serve", "video", "vllm", "rl", "liger")
    assert {module: names for module, names in imported().items() if not names & declared_here} == {}


def test_what_is_declared_is_imported_or_has_its_reason() -> None:
    used = set[str]().union(*imported().values())
    assert declared() - used - NOT_IMPORTED.keys() == set()
    assert NOT_IMPORTED.keys() - declared() == set()
    extras = declared("aws", "server", "serve", "video") - declared()
    assert extras - used == EXTRAS_NOT_IMPORTED.keys()


def test_ray_brings_the_parts_that_are_used() -> None:
    [ray] = [one for one in project()["dependencies"] if plain(one) == "ray"]
    named = re.findall(r"\[(.*)\]", ray)
    assert named == [",".join(sorted(RAY_EXTRAS))]
