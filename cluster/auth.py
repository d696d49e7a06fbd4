"""The token of a cluster: where it is looked for, and where it is kept.

A cluster's token is the right to run code on it: its Jobs API starts any command. It is written to files of mode 600
only, and travels in an HTTP header, never in a command line, a recipe or a runtime environment.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import Refused

__all__ = ["Token", "ensure_token", "find_token", "state_folder", "token_file"]


@dataclass(frozen=True)
class Token:
    """A token and where it stood; the text is in no message."""

    text: str
    place: str

    def __repr__(self) -> str:
        return f"Token(from {self.place})"


def state_folder() -> Path:
    """What this user's commands remember: ``$XDG_STATE_HOME/basereward``, below ``~/.local/state`` by default."""
    state_home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state_home) / "basereward"


def token_file() -> Path:
    """The file with the token of clusters started here: readable by this user only, made once and kept."""
    return state_folder() / "ray_token"


def find_token() -> Token | None:
    """The token for a cluster that runs already, from the first of these places; None where there is none.

    RAY_AUTH_TOKEN, the file that RAY_AUTH_TOKEN_PATH names, ``~/.ray/auth_token`` (these are Ray's own, in Ray's
    order), and the file of clusters started here.

    Raises:
        Refused: RAY_AUTH_TOKEN_PATH names a file that can't be read.
    """
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(text, "RAY_AUTH_TOKEN")
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        try:
            return Token(Path(named).read_text(encoding="utf-8").strip(), named)
        except OSError as error:
            raise Refused(f"RAY_AUTH_TOKEN_PATH={named}: {error.strerror}: name the file with the token") from error
    for path in (Path.home() / ".ray" / "auth_token", token_file()):
        if path.is_file() and (text := path.read_text(encoding="utf-8").strip()):
            return Token(text, str(path))
    return None


def ensure_token(path: Path) -> None:
    """Write a random token with mode 600 unless one is there; two processes at once agree on the first one's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        path.chmod(0o600)
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    try:
        os.link(draft, path)  # fails where the other process was first: its token counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
