"""`make pins`: every version in both images, by the packages' own metadata, and the parts of the nodes' image (SBOM).

constraints.txt pins what the tests run with, on machines whose torch knows no GPU. Here the same versions are resolved
for Python 3.12 on Linux x86-64, where torch brings CUDA: to `pins.txt`, which the Containerfile installs, and to
`sbom.cdx.json` (CycloneDX). Runs in `.venv-image`, which has uv and cyclonedx-bom.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "cluster" / "image"
MLFLOW = ROOT / "infra" / "terraform" / "modules" / "mlflow" / "image"
SERVER = "mlflow[auth]\npsycopg2-binary\nboto3\n"
TITLE = "# {what}, at the versions of constraints.txt. Written by `make pins`: not by hand.\n"


def main() -> None:
    """Write the three files."""
    nodes = resolve(
        [str(ROOT / "pyproject.toml"), "--extra", "aws", "--extra", "rl", "--extra", "serve"], python="3.12"
    )
    write(IMAGE / "pins.txt", "All that the image of the nodes has of Python, with CUDA on Linux x86-64", nodes)
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "server.in")
        asked.write_text(SERVER, encoding="utf-8")
        write(MLFLOW / "requirements.txt", "All that the server has of Python", resolve([str(asked)], python="3.11"))
    make_bill(IMAGE / "pins.txt", IMAGE / "sbom.cdx.json")


def resolve(asked: list[str], *, python: str) -> str:
    """``name==version`` a line; fails where the versions do not fit together."""
    options = ["-c", str(ROOT / "constraints.txt"), "--python-platform", "x86_64-manylinux_2_28", "--no-config"]
    options += ["--python-version", python, "--no-header", "--no-annotate", "--quiet"]
    return run("uv", "pip", "compile", *asked, *options)


def write(path: Path, what: str, pins: str) -> None:
    """The pins, with a line above them."""
    path.write_text(TITLE.format(what=what) + pins, encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}: {len(pins.splitlines())} packages")


def make_bill(pins: Path, path: Path) -> None:
    """A bill of materials, the same bytes for the same pins."""
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-format", "JSON"]
    run("cyclonedx-py", "requirements", *options, "--output-file", str(path), str(pins))
    print(f"wrote {path.relative_to(ROOT)}")


def run(program: str, *arguments: str) -> str:
    """What a program of this environment printed."""
    place = Path(sys.executable).with_name(program)
    done = subprocess.run([str(place), *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
