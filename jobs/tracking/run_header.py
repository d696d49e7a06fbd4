"""The head of an MLflow run's page: its description in parts, and MLflow's own tags of user, source, commit."""

import getpass
import re
import subprocess
from pathlib import Path

__all__ = ["ATTEMPTS", "GOING_ON", "source_tags", "with_part"]

ATTEMPTS = "Attempts"
GOING_ON = "How to go on"
_LAST = (ATTEMPTS, GOING_ON)  # they stand behind all results


def with_part(text: str, heading: str, part: str) -> str:
    """Markdown with `part` below ``## heading`` in place of what stood there; no heading: before the first."""
    first, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = {"": first.strip()}
    for section in rest:
        title, _, body = section.partition("\n")
        parts[title.strip()] = body.strip()
    parts[heading] = part.strip()
    for title in _LAST:
        if title in parts:
            parts[title] = parts.pop(title)
    return "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in parts.items() if title or body)


def source_tags(command: str) -> dict[str, str]:
    """MLflow's own tags for the head of a run's page: user, source and commit.

    Args:
        command: what was typed.
    """
    tags = {"mlflow.user": getpass.getuser(), "mlflow.source.name": command, "mlflow.source.type": "JOB"}
    commit = _git_commit()
    return tags if commit is None else {**tags, "mlflow.source.git.commit": commit}


def _git_commit() -> str | None:
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
