"""Pictures of MLflow's pages, as a person who opens them for the first time sees them, for the documents.

    .venv/bin/python docs/images/take_mlflow.py sqlite:///runs/demo/mlflow.db
    .venv/bin/python docs/images/take_mlflow.py http://127.0.0.1:5000 --page "models=#/models"

Starts `mlflow server` on an SQLite store, or opens the server at an address, in headless Chromium with a new profile.
A page is a name and the part of its address behind the server; ``{experiment}`` and ``{run}`` stand for the
experiment's id and for that of its newest finished run, or of ``--run``.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from jobs.recipe.schema import TrackingConfig
from jobs.tracking.store import experiment_id, read_runs
from jobs.tracking.ui import serving

__all__ = ["HOST", "chromium", "dom_of", "picture_of", "served"]

RUN = "#/experiments/{experiment}/runs/{run}"
PAGES = {
    "runs": "#/experiments/{experiment}/runs?workflowType=machine_learning",
    "overview": f"{RUN}?workflowType=machine_learning",
    "model_metrics": f"{RUN}/model-metrics?workflowType=machine_learning",
    "system_metrics": f"{RUN}/system-metrics?workflowType=machine_learning",
    "artifacts": f"{RUN}/artifacts?workflowType=machine_learning",
}
HOST = "mlflow.test"
"""What Chromium calls this machine: to a browser of the server's own machine MLflow shows its assistant too."""
COLOURS = 96  # of a picture: enough for charts, and a third of the bytes
LIMIT_S = 180


def chromium() -> str | None:
    """The browser; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def served(store: str) -> Iterator[str]:
    """In the block, a server on the store; yields its address, as `dom_of` and `picture_of` take it."""
    if "://" in store and not store.startswith("sqlite"):
        yield store
        return
    with serving(store, None, "--allowed-hosts", "*", "--cors-allowed-origins", "*") as address:
        yield address.replace("127.0.0.1", HOST)


def dom_of(url: str, *, wait_s: float = 60.0) -> str:
    """The page's HTML once its scripts have run for `wait_s` of the browser's own time.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    return _browse(url, (1400, 900), wait_s, "--dump-dom").decode(errors="replace")


def picture_of(url: str, *, size: tuple[int, int] = (1400, 900), wait_s: float = 60.0) -> bytes:
    """A small PNG of the page, `size` pixels wide and high.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.png")
        _browse(url, size, wait_s, f"--screenshot={path}")
        picture = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def _browse(url: str, size: tuple[int, int], wait_s: float, what: str) -> bytes:
    browser = chromium()
    if browser is None:
        raise FileNotFoundError("no Chromium here: tests/services/install.sh installs it on Debian, as root")
    with tempfile.TemporaryDirectory(prefix="basereward-chromium-") as profile:
        command = [
            browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", f"--user-data-dir={profile}",
            f"--host-resolver-rules=MAP {HOST} 127.0.0.1", f"--window-size={size[0]},{size[1]}",
            f"--virtual-time-budget={int(1000 * wait_s)}", what,
        ]  # fmt: skip
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # it refuses to run as root otherwise
        done = subprocess.run([*command, url], capture_output=True, check=True, timeout=LIMIT_S)
    return done.stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description="Pictures of MLflow's pages.")
    parser.add_argument("store", help="sqlite:///PATH, or the address of a server")
    parser.add_argument("--experiment", default="basereward", help="default: basereward")
    parser.add_argument("--run", help="id of a run; default: the newest finished one")
    parser.add_argument("--page", action="append", metavar="NAME=PATH", help="pages; default: the list and one run's")
    parser.add_argument("--height", type=int, default=900, help="of a picture, in pixels; default 900")
    parser.add_argument("--output", default=str(Path(__file__).parent / "mlflow"), help="the folder to write to")
    options = parser.parse_args(argv)
    config = TrackingConfig(uri=options.store, experiment=options.experiment)
    finished = [row.run_id for row in read_runs(config, 100) if row.state == "finished"]
    places = {"experiment": experiment_id(config), "run": options.run or next(iter(finished), "")}
    pages = dict(page.split("=", 1) for page in options.page) if options.page else PAGES
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    with served(options.store) as address:
        for name, page in pages.items():
            data = picture_of(f"{address}/{page.format(**places)}", size=(1400, options.height))
            (folder / f"{name}.png").write_bytes(data)
            print(f"{folder / name}.png: {len(data) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
