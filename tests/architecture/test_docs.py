"""Documents against code: what exists is mentioned, what is mentioned exists."""

import re
from pathlib import Path

import pytest

from jobs.cli.commands import COMMANDS
from jobs.recipe.load import packaged_recipes
from jobs.recipe.schema import SECTIONS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "infra").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?basereward +(\S+)", re.MULTILINE)
# Folders that exist only on one person's machine.
MACHINE_PATH = re.compile(r"(?:^|[\s\"'(=`])/(?:work|home|root|Users|tmp/w)/")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def user_text() -> str:
    """What a user reads: the README and docs without the records of decisions."""
    pages = [page for page in PAGES if page.name == "README.md" or page.is_relative_to(ROOT / "docs")]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_documented(command: str, user_text: str) -> None:
    assert f"basereward {command}" in user_text


@pytest.mark.parametrize("recipe", packaged_recipes())
def test_every_recipe_is_documented(recipe: str, user_text: str) -> None:
    assert re.search(rf"`{re.escape(recipe)}`|basereward [a-z-]+ {re.escape(recipe)}\b", user_text)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_documented(section: str, user_text: str) -> None:
    assert re.search(rf"`{section}[`.]|^{section}:", user_text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_resolve(page: Path) -> None:
    targets = [a or b for a, b in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_code_blocks_name_existing_commands(page: Path) -> None:
    blocks = CODE_BLOCK.findall(page.read_text(encoding="utf-8"))
    named = {command for block in blocks for command in COMMAND.findall(block)}
    assert {command for command in named if not command.startswith("-")} - COMMANDS.keys() == set()


def test_no_path_of_one_machine() -> None:
    suffixes = {".md", ".py", ".toml", ".yaml", ".yml", ".txt", ".cfg"}
    skipped = {
        ".venv",
        ".venv-image",
        ".venv-terraform",
        ".terraform",
        ".git",
        "runs",
        "build",
        ".mypy_cache",
        ".ruff_cache",
    }
    files = [p for p in ROOT.rglob("*") if p.suffix in suffixes and not skipped & set(p.relative_to(ROOT).parts)]
    files += [ROOT / "Makefile", ROOT / ".ci" / "run"]
    guilty = [page_id(file) for file in files if MACHINE_PATH.search(file.read_text(encoding="utf-8"))]
    assert guilty == []
