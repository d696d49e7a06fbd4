"""Which version of this code runs, and who runs it."""

import getpass
import subprocess
from pathlib import Path

__all__ = ["PACKAGES", "git_commit", "source_tags"]

PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs")
"""All of this code: what workers on other hosts and submitted jobs get a copy of."""


def source_tags(command: str) -> dict[str, str]:
    """MLflow's own tags for the head of a run's page: user, source and commit.

    Args:
        command: what was typed.
    """
    tags = {"mlflow.user": getpass.getuser(), "mlflow.source.name": command, "mlflow.source.type": "JOB"}
    commit = git_commit()
    return tags if commit is None else {**tags, "mlflow.source.git.commit": commit}


def git_commit() -> str | None:
    """The checkout's commit, with ``-dirty`` behind it where tracked files differ; None where this is no checkout."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git on this machine
        return None
    return described.stdout.strip() or None
