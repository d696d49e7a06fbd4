"""The command line: exit codes, help, and what the user reads when something is wrong."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from data_pipeline.errors import CorruptData, MissingInput
from jobs import cli
from jobs.config import Recipe
from jobs.recipe_file import packaged_recipes


@pytest.fixture
def recipe_file(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text("preprocess:\n  sources:\n    - {name: mine, path: mine.jsonl}\n")
    return str(path)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Recipe], None]], None]:
    """Make a function the verb ``train``."""

    def install(function: Callable[[Recipe], None]) -> None:
        module = ModuleType("a_verb_of_this_test")
        module.run = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.VERBS, "train", cli.Verb("train", "a_verb_of_this_test:run", "basereward train demo"))

    return install


def raising(error: BaseException) -> Callable[[Recipe], None]:
    def run(recipe: Recipe) -> None:
        raise error

    return run


@pytest.mark.parametrize("verb_name", sorted(cli.VERBS))
def test_help_shows_an_example(verb_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([verb_name, "--help"])
    assert caught.value.code == 0
    assert f"example: basereward {verb_name}" in capsys.readouterr().out


def test_no_verb_shows_all_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    out = capsys.readouterr().out
    assert all(name in out for name in cli.VERBS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("basereward ")


def test_missing_recipe_lists_the_packaged_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train"]) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in packaged_recipes())
    assert err.count("\n") == 1


def test_the_verb_gets_recipe_overrides_and_address(
    verb: Callable[[Callable[[Recipe], None]], None], recipe_file: str
) -> None:
    seen: list[Recipe] = []
    verb(seen.append)
    assert cli.main(["train", recipe_file, "train.seed=5", "--address", "10.0.0.5:6379", "run_dir=out"]) == 0
    assert (seen[0].train.seed, seen[0].cluster.address, seen[0].run_dir) == (5, "10.0.0.5:6379", "out")


@pytest.mark.parametrize(
    ("error", "code"),
    [(MissingInput("no file 'x'"), 2), (CorruptData("shard x differs"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes_with_one_line(
    verb: Callable[[Callable[[Recipe], None]], None],
    recipe_file: str,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    verb(raising(error))
    assert cli.main(["train", recipe_file]) == code
    err = capsys.readouterr().err
    assert err.startswith("basereward: ")
    assert str(error) in err
    assert err.count("\n") == 1


def test_unexpected_failure_is_shown_in_full(
    verb: Callable[[Callable[[Recipe], None]], None], recipe_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb(raising(KeyError("surprise")))
    assert cli.main(["train", recipe_file]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "KeyError: 'surprise'" in err


def test_debug_shows_the_traceback(
    verb: Callable[[Callable[[Recipe], None]], None], recipe_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb(raising(MissingInput("no file 'x'")))
    assert cli.main(["train", recipe_file, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_unwinds_and_exits_143(
    verb: Callable[[Callable[[Recipe], None]], None], recipe_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []

    def run(recipe: Recipe) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            closed.append(recipe.name)

    verb(run)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["train", recipe_file]) == 143
    assert closed == ["small"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert "SIGTERM" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["train", "demo", "--adress", "x"], ["nothing"]])
def test_unknown_arguments_exit_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
