"""Files, modules and names of ours that documents, docstrings and comments mention exist."""

import ast
import keyword
import re
import typing
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from import_graph import python_modules
from prose import code_names, defined_names, document_lines, source_lines

from jobs.recipe.schema import Recipe

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs", "benchmarks")
TREES = (*PACKAGES, "tests", "docs", "infra")
HISTORY = ("CHANGELOG.md", "docs/log.md", "docs/decisions/")
"""What was true when it was written."""
DATA = {"benchmarks/vl_rewardbench/data.json", "benchmarks/rm_bench/"}
"""Paths below a recipe's `data_root`."""
TAGS = {"cluster.cpus", "cluster.gpus", "cluster.ray_version"}
"""Of runs in MLflow."""
FOREIGN = {"basereward", "py_modules", "register_full_backward_pre_hook", "ds_tensor", "sub_group_size"}
FOREIGN |= {"reduce_bucket_size", "stage3_max_live_parameters", "stage3_prefetch_bucket_size"}
FOREIGN |= {"stage3_param_persistence_threshold"}
"""Backticked names that no code of ours has: the command itself; Ray's, PyTorch's and DeepSpeed's."""

MODULES = python_modules(ROOT, PACKAGES)
# A path from the project's root, such as rm_core/model/head.py or tests/unit/jobs/; not the end of a longer path, and
# no pattern such as docs/images/engine_*.svg.
PATH = re.compile(rf"(?<![\w/.\-{{}}<*])(?:{'|'.join(TREES)})/[\w./\-]*[\w/](?![\w/\-*<{{])")
# A dotted name, such as rm_core.model.head or rm_core.model.head.RewardHead; not a part of a path or another word.
DOTTED = re.compile(rf"(?<![\w./\-])(?:{'|'.join(PACKAGES)})(?:\.\w+)+(?!\w)")
TICKED = re.compile(r"(?<!`)`([a-z][a-z0-9_]*)((?:\.[A-Za-z_]\w*)*)(?:\(\))?`(?!`)")
PLACEHOLDER = re.compile(r"(?<![A-Z])(?:NAME|TOOL|FOLDER|FILE)(?![A-Z])")


def lines() -> list[tuple[str, str]]:
    documents = [*ROOT.glob("*.md"), *(path for tree in TREES for path in (ROOT / tree).rglob("*.md"))]
    current = [path for path in documents if not path.relative_to(ROOT).as_posix().startswith(HISTORY)]
    current = [path for path in current if ".terraform" not in path.parts]
    sources = [path for tree in TREES for path in (ROOT / tree).rglob("*.py")]
    return [*document_lines(ROOT, sorted(current)), *source_lines(ROOT, sorted(sources))]


def missing_path(named: str) -> bool:
    return not (ROOT / named.rstrip(".")).exists() and named not in DATA and not PLACEHOLDER.search(named)


def missing_module(dotted: str) -> bool:
    """Whether `dotted` is neither a module, nor a name in one, nor what follows a key of a recipe or a tag."""
    parts = dotted.split(".")
    for length in range(len(parts), 1, -1):
        module = ".".join(parts[:length])
        if module in MODULES:
            return length < len(parts) and parts[length] not in defined_names(MODULES[module])
    package = parts[0] in MODULES and parts[1] in defined_names(MODULES[parts[0]])
    file_name = parts[-1] in ("md", "json", "yaml", "svg")
    other = dotted in TAGS or PLACEHOLDER.fullmatch(parts[-1]) or is_recipe_key(parts)
    return not (package or file_name or other)


def is_recipe_key(parts: list[str]) -> bool:
    section: typing.Any = Recipe
    for part in parts:
        if not is_dataclass(section):
            return False
        fields = typing.get_type_hints(section)
        if part not in fields:
            return False
        section = fields[part]
    return True


def test_paths_from_the_root_exist() -> None:
    found = [f"{where}: {named}" for where, text in lines() for named in PATH.findall(text) if missing_path(named)]
    assert not found, "\n" + "\n".join(found)


def test_dotted_names_exist() -> None:
    found = [f"{where}: {name}" for where, text in lines() for name in DOTTED.findall(text) if missing_module(name)]
    assert not found, "\n" + "\n".join(found)


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every name in our code."""
    named = set().union(*(code_names(path) for path in MODULES.values()))
    return named | {part for module in MODULES for part in module.split(".")} | set(keyword.kwlist) | FOREIGN


def test_backticked_names_of_docstrings_are_names_in_the_code(known: set[str]) -> None:
    """Such as `balance` or `plan.Plan`: a name that no code has any more was renamed or removed."""
    found = [
        f"{where}: `{first}{rest}`"
        for where, text in source_lines(ROOT, list(MODULES.values()))
        for first, rest in TICKED.findall(text)
        if first not in known
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("room", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_a_rooms_docstring_names_what_it_holds(room: str) -> None:
    """A backticked name is a module or folder of the room, or a name in one; NAME.py is a file of it."""
    folder = MODULES[room].parent
    text = ast.get_docstring(ast.parse(MODULES[room].read_text(encoding="utf-8"))) or ""
    children = {path.stem for path in folder.iterdir()}
    inside = set().union(*(defined_names(path) for path in folder.rglob("*.py")))
    others = {*PACKAGES, "datasets", "mlflow", *FOREIGN}
    files = re.findall(r"(?<![\w/.])(\w+\.py)\b", text)
    found = [name for name in files if not (folder / name).exists()]
    for first, rest in TICKED.findall(text):
        module = MODULES.get(f"{room}.{first}")
        if first not in children | inside | others or (
            module and rest and module.stem != "__init__" and rest.split(".")[1] not in defined_names(module)
        ):
            found.append(f"`{first}{rest}`")
    assert not found, f"{MODULES[room].relative_to(ROOT)} names what {room} does not hold: {', '.join(found)}"


def test_what_leads_nowhere_is_found() -> None:
    assert [name for name in ("rm_core.model.head.RewardHead", "rm_core.model.folder") if missing_module(name)] == [
        "rm_core.model.folder"
    ]
    assert PATH.findall("see docs/images/engine_*.svg and `tests/unit/none.py`.") == ["tests/unit/none.py"]
    assert missing_path("tests/unit/none.py") and not missing_path("tests/unit/")
    assert not missing_module("cluster.submit.retries") and missing_module("cluster.submit.no_such_key")
