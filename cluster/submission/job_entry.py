"""The first process of a job on the cluster: ``python -m cluster.submission.job_entry COMMAND ...``, started by Ray.

It checks that this node's libraries are those the job was made for, opens the job's variables, and becomes the
command: the same process, so that Ray sees the command's own exit code and signals reach it. It needs no Ray.
"""

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from cluster.errors import Refused
from cluster.submission.sealing import open_here

__all__ = ["PINS_ENV", "differing_pins", "main", "pins_of"]

PINS_ENV = "BASEREWARD_PINS"
EXIT_USER = 2


def pins_of(distributions: tuple[str, ...]) -> dict[str, str]:
    """The versions here of `distributions` and of Python; local parts such as ``+cu126`` are no difference."""
    return {"python": _python(), **{name: found for name in distributions if (found := _version(name))}}


def differing_pins(pins: Mapping[str, str]) -> list[str]:
    """What differs here from `pins`, one line each."""
    here = {name: _python() if name == "python" else _version(name) for name in pins}
    return [f"{name} {here[name] or 'is missing'}, not {pins[name]}" for name in pins if here[name] != pins[name]]


def main(arguments: list[str]) -> NoReturn:
    """Check, open, and become ``python -m ARGUMENTS``; or say what is wrong and end with exit code 2."""
    differing = differing_pins(json.loads(os.environ.get(PINS_ENV, "{}")))
    if differing:
        _refuse(
            f"this node was not made for the job: it has {'; '.join(differing)}: build its image from the same "
            "constraints.txt, or submit with --unpinned"
        )
    try:
        open_here()
    except Refused as error:
        _refuse(str(error))
    os.execv(sys.executable, [sys.executable, "-m", *arguments])


def _refuse(why: str) -> NoReturn:
    print(f"basereward: error: {why}", file=sys.stderr)
    sys.exit(EXIT_USER)


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _version(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
