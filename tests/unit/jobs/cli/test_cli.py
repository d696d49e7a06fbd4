"""The command line: exit codes, help, and what the user reads when something is wrong."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from child_process import interrupt_handled_by
from prepared_toys import mixed_toy, write_toy

from data_pipeline.errors import CorruptData, MissingInput, RunError
from jobs.cli import main as cli
from jobs.cli.command import CommandGroup, RecipeCommand
from jobs.cli.commands import COMMANDS
from jobs.recipe.load import packaged_recipes
from jobs.recipe.schema import Recipe
from jobs.runtime.termination import Terminated


@pytest.fixture
def recipe_file(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text("preprocess:\n  sources:\n    - {name: mine, path: mine.jsonl}\n")
    return str(path)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Recipe], None]], None]:
    """Make a function the command ``train``."""

    def install(function: Callable[[Recipe], None]) -> None:
        module = ModuleType("a_command_of_this_test")
        module.run = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(
            COMMANDS, "train", RecipeCommand("train", "a_command_of_this_test:run", "basereward train demo")
        )

    return install


def raising(error: BaseException) -> Callable[[Recipe], None]:
    def run(recipe: Recipe) -> None:
        raise error

    return run


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"example: basereward {name}" in capsys.readouterr().out


def test_no_command_shows_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("basereward ")


def test_missing_recipe_lists_the_packaged_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train"]) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in packaged_recipes())
    assert err.count("\n") == 1


def test_the_command_gets_recipe_overrides_and_address(
    command: Callable[[Callable[[Recipe], None]], None], recipe_file: str
) -> None:
    seen: list[Recipe] = []
    command(seen.append)
    assert cli.main(["train", recipe_file, "train.seed=5", "--address", "10.0.0.5:6379", "run_dir=out"]) == 0
    assert (seen[0].train.seed, seen[0].cluster.address, seen[0].run_dir) == (5, "10.0.0.5:6379", "out")


@pytest.mark.parametrize(
    ("error", "code"),
    [(MissingInput("no file 'x'"), 2), (CorruptData("shard x differs"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes_with_one_line(
    command: Callable[[Callable[[Recipe], None]], None],
    recipe_file: str,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    command(raising(error))
    assert cli.main(["train", recipe_file]) == code
    err = capsys.readouterr().err
    assert err.startswith("basereward: ")
    assert str(error) in err
    assert err.count("\n") == 1


def test_unexpected_failure_is_shown_in_full(
    command: Callable[[Callable[[Recipe], None]], None], recipe_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(KeyError("surprise")))
    assert cli.main(["train", recipe_file]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "KeyError: 'surprise'" in err


def test_debug_shows_the_traceback(
    command: Callable[[Callable[[Recipe], None]], None], recipe_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(MissingInput("no file 'x'")))
    assert cli.main(["train", recipe_file, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_unwinds_and_exits_143(
    command: Callable[[Callable[[Recipe], None]], None], recipe_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []

    def run(recipe: Recipe) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            closed.append(recipe.name)

    command(run)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["train", recipe_file]) == 143
    assert closed == ["small"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert "SIGTERM" in capsys.readouterr().err


ENDS = {
    signal.SIGINT: (130, "basereward: stopped by Ctrl-C; the same command goes on from what is finished\n"),
    signal.SIGTERM: (143, "basereward: ended by SIGTERM; the same command goes on from what is finished\n"),
}


@pytest.fixture
def with_ctrl_c() -> Iterator[None]:
    """Ctrl-C comes through, also where the tests were started to ignore it."""
    with interrupt_handled_by(signal.default_int_handler):
        yield


@pytest.mark.usefixtures("with_ctrl_c")
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("turned_into", [None, SystemError, ValueError, RunError])
@pytest.mark.parametrize("one", ENDS)
def test_a_signal_has_its_own_line_and_exit_code(
    command: Callable[[Callable[[Recipe], None]], None],
    recipe_file: str,
    capsys: pytest.CaptureFixture[str],
    one: signal.Signals,
    turned_into: type[Exception] | None,
    times: int,
) -> None:
    """However often it comes, and whatever a library makes of its exception."""

    def run(recipe: Recipe) -> None:
        try:
            os.kill(os.getpid(), one)
        except BaseException as error:
            for _ in range(times - 1):
                with suppress(KeyboardInterrupt, Terminated):
                    os.kill(os.getpid(), one)
            if turned_into is not None:
                raise turned_into("its consequence") from error
            raise

    command(run)
    code, line = ENDS[one]
    assert cli.main(["train", recipe_file]) == code
    printed = capsys.readouterr().err
    assert printed == ("basereward: error: its consequence\n" if turned_into is RunError else "") + line


@pytest.mark.parametrize("argv", [["train", "demo", "--adress", "x"], ["nothing"]])
def test_unknown_arguments_exit_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2


def members() -> list[tuple[str, str]]:
    groups = [(name, command) for name, command in COMMANDS.items() if isinstance(command, CommandGroup)]
    return [(name, command) for name, group in groups for command in group.commands]


@pytest.mark.parametrize(("group", "command"), members())
def test_help_of_a_group_member_shows_an_example(group: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([group, command, "--help"])
    assert caught.value.code == 0
    assert f"example: basereward {group} {command}" in capsys.readouterr().out


def test_a_group_without_a_command_shows_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data"]) == 2
    out = capsys.readouterr().out
    assert all(word in out for word in ("show", "diff", "verify"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "needs FOLDER, got none"),
        (["show", "a", "b"], "needs FOLDER, got 'a', 'b'"),
        (["diff", "a"], "needs A and B, got 'a'"),
        (["show", "a", "sample=3"], "no option 'sample': did you mean 'samples'?"),
        (["show", "a", "samples=many"], "samples=many must be a whole number"),
        (["verify", "a", "seed=1"], "no option 'seed': it takes none"),
        (["show", "x/y=z"], "no prepared data in 'x/y=z'"),
        (["verify", "nowhere"], "no prepared data in 'nowhere'"),
    ],
)
def test_wrong_arguments_of_a_plain_command(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_data_show_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_toy(tmp_path / "shards", mixed_toy(12))
    page = tmp_path / "page.html"
    assert cli.main(["data", "show", folder, f"output={page}", "samples=3", "seed=4"]) == 0
    assert page.read_text().count('<section class="sample">') == 3
    assert "seen" in capsys.readouterr().out
    assert cli.main(["data", "verify", folder]) == 0
    assert "all 7 files" in capsys.readouterr().out
    next((tmp_path / "shards" / "shards").glob("*.images.arrow")).write_bytes(b"x")
    assert cli.main(["data", "verify", folder]) == 1
    out = capsys.readouterr().out
    assert out.count("\nbad: ") == 1 and "1 of 7 files are bad" in out


def test_a_model_folder_that_is_not_there_is_exit_code_2(
    recipe_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, key in (("evaluate", "evaluate.model"), ("score", "score.model")):
        words = [f"{key}={tmp_path}/nowhere", *([f"score.input={recipe_file}"] if command == "score" else [])]
        assert cli.main([command, recipe_file, *words]) == 2
        assert f"'{tmp_path}/nowhere': no such folder" in capsys.readouterr().err
