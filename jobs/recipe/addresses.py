"""Addresses in recipes and behind commands, checked as texts: none holds a password, and MLflow's names a store.

Recipes and command lines are kept in MLflow, on pages, in logs and in shells' histories. A store that asks who is there
is told by variables of the environment.

    sqlite:///PATH            an MLflow store of one machine
    http(s)://HOST[:PORT]     an MLflow server

Other stores that MLflow knows are refused: folders are read-only in MLflow 3, and a database wants a driver and a
password in every process.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from urllib.parse import urlsplit

from data_pipeline.errors import RecipeError
from data_pipeline.shown import has_secret, masked

__all__ = [
    "PLACES", "SQLITE", "STORE_CURE", "STORE_KEY", "STORE_SIGN_IN", "check_address", "check_endpoint",
    "check_no_secrets", "check_no_secrets_in_arguments", "check_places",
]  # fmt: skip

SQLITE = "sqlite:///"
STORE_KEY = "tracking.uri"
STORE_CURE = "give sqlite:///PATH for one machine, or http(s)://HOST:PORT of an MLflow server"
_TRACKING = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
STORE_SIGN_IN = f"set {_TRACKING}"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9a-fA-F:.]+")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
PLACES = frozenset(
    (
        "run_dir",
        "data_root",
        "output",
        "path",
        "media_root",
        "tokenizer",
        "model",
        "adapter",
        "data",
        "cache_dir",
        "input",
        "suite_root",
        "rewards",
        "source",
        "scratch",
        "policy",
    )
)
"""Last parts of the keys of files and folders."""
_WRITTEN = frozenset(("run_dir", "output"))

_VARIABLES = (
    ("s3://", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ("hf://", "HF_TOKEN"),
    ("http", f"{_TRACKING} of a tracking server, RAY_AUTH_TOKEN of a cluster"),
)


def check_no_secrets(config: object, source: str) -> None:
    """Refuse a recipe with a password, a token or a signature in an address.

    Raises:
        RecipeError: names the key, and the variables to use instead.
    """
    for key, text in _texts(config, ""):
        if has_secret(text):
            raise RecipeError(f"{source}: {_refusal(f'{key}={text}', text, is_tracking=key.startswith('tracking.'))}")


def check_places(config: object, source: str) -> None:
    """Refuse a recipe with a path that nobody means: with control characters, from ~, or empty where it is written.

    Python takes ``~/runs`` for a folder called ~, and a shell leaves it so in ``run_dir=~/runs``. Below an empty
    run_dir lies ``/train``.

    Raises:
        RecipeError: names the key and the cure.
    """
    for key, text in _texts(config, ""):
        last = key.rpartition(".")[2]
        is_place = last in PLACES
        if (is_place or key == "name") and _CONTROL.search(text):
            raise RecipeError(f"{source}: {key}={text!r} holds a control character: write it without")
        if is_place and text.startswith("~"):
            raise RecipeError(f"{source}: {key}={text} begins with ~, which only a shell reads: write the whole path")
        if (last in _WRITTEN or key == "name") and not text.strip():
            raise RecipeError(f"{source}: {key} is empty: give a name, or leave the key out")
        if key == "name" and text.strip() in (".", ".."):
            raise RecipeError(f"{source}: name={text!r} is no name but a folder: runs lie in runs/NAME")


def check_no_secrets_in_arguments(arguments: Iterable[str]) -> None:
    """As `check_no_secrets`, of what was typed behind a command's name.

    Raises:
        RecipeError: names the argument, and the variables to use instead.
    """
    for text in arguments:
        if has_secret(text):
            raise RecipeError(_refusal(repr(text), text, is_tracking=text.startswith("tracking.")))


def check_address(uri: str, key: str = STORE_KEY) -> None:
    """Refuse an address that names no store, without asking anybody.

    Args:
        key: what messages call it.

    Raises:
        RecipeError: says the address, without a password, and what to give instead.
    """
    shown = masked(uri if "://" in uri else f"://{uri}").removeprefix("://" if "://" not in uri else "")
    if has_secret(uri):
        raise RecipeError(f"{key}={shown} holds a password, which logs would keep: leave it out, and {STORE_SIGN_IN}")
    wrong = _wrong_sqlite(uri) if uri.lower().startswith("sqlite") else _wrong_server(uri)
    if wrong:
        raise RecipeError(f"{key}={shown} {wrong}: {STORE_CURE}")


def check_endpoint(url: str, key: str) -> None:
    """Refuse an address that no web server can have, without asking anybody.

    Raises:
        RecipeError: says the key, the address and the cure.
    """
    if wrong := _wrong_server(url):
        raise RecipeError(f"{key}={masked(url)} {wrong}: give http(s)://HOST[:PORT]/PATH, such as http://host:8000/v1")


def _refusal(shown: str, text: str, *, is_tracking: bool) -> str:
    scheme = text.partition("://")[0].rpartition("=")[2] + "://"
    named = next((words for begin, words in _VARIABLES if scheme.startswith(begin)), "the store's own variables")
    return (
        f"{masked(shown)} holds a password, a token or a signature, which MLflow and logs would keep: leave it out of "
        f"the address, and set {_TRACKING if is_tracking else named} in the environment (submit sends variables "
        "sealed: --env NAME)"
    )


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Every text of a config by its dotted key, keys of mappings too."""
    if isinstance(value, str):
        yield key, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _texts(getattr(value, field.name), f"{key}.{field.name}" if key else field.name)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield key, str(name)
            yield from _texts(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{key}.{index}")


def _wrong_sqlite(uri: str) -> str:
    path = uri.removeprefix(SQLITE)
    if not uri.startswith(SQLITE):
        return "is no address of an SQLite file, which begins with sqlite:///"
    if "://" in path or re.match(r"(s3|hf):/", path):
        return "is no file that SQLite can open"
    if "?" in path or _CONTROL.search(path):
        return "is no path of a file: it holds a '?' or a control character"
    if path.startswith("~"):
        return "begins with ~, which only a shell takes for a home folder"
    if not path.strip("/") or path == ":memory:" or path.endswith("/"):
        return "names no file"
    return ""


def _wrong_server(uri: str) -> str:
    if not uri.strip():
        return "is empty"
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return "has no http:// or sqlite:/// before it, so that MLflow would take it for a folder"
    if scheme.lower() not in ("http", "https"):
        return f"is of a kind ({scheme}) that runs are not written to"
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return f"is no address ({error})"
    if not _HOST.fullmatch(host) or " " in uri or not uri.isprintable() or parts.query or parts.fragment:
        return "is no address of a server"
    return ""
