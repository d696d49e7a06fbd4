"""Models of the Hugging Face hub by their id, ``ORG/NAME``: a snapshot in the hub's own cache, named by its commit.

The cache is that of all programs that use the hub (``HF_HOME``), and ``HF_HUB_OFFLINE=1`` reads nothing else.
"""

import os
import re

from data_pipeline.errors import AccessDenied, MissingInput, Unavailable

__all__ = ["hub_name", "is_cached", "is_hub_id", "snapshot"]

_ID = re.compile(r"(?!models/|runs/)[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""``models/`` and ``runs/`` are folders of recipes, there or not yet."""
_SNAPSHOT = re.compile(r"models--(?P<org>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})/?$")
_PATIENCE_S = 10
_UNREAD = ("pytorch_model*", "*.pt", "*.pth", "*.gguf", "*.h5", "*.msgpack", "*.onnx", "*/*")
"""Files of a model's repository that nothing here reads: other forms of its weights, and folders."""


def is_hub_id(place: str) -> bool:
    """Whether `place` can only be the id of a model on the hub: such a name, and no folder here begins like it."""
    return bool(_ID.fullmatch(place)) and not os.path.exists(place) and not os.path.isdir(place.partition("/")[0])


def is_cached(name: str) -> bool:
    """Whether the hub's cache has a model of that id."""
    from huggingface_hub import constants

    return os.path.isdir(os.path.join(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}"))


def hub_name(folder: str) -> str | None:
    """``ORG/NAME@COMMIT`` of a snapshot in the cache; None for another folder.

    >>> hub_name("/cache/hub/models--org--judge/snapshots/0123456789abcdef0123456789abcdef01234567")
    'org/judge@0123456789abcdef0123456789abcdef01234567'
    """
    found = _SNAPSHOT.search(folder)
    return f"{found['org']}/{found['name']}@{found['commit']}" if found else None


def snapshot(name: str, commit: str | None, *, settings_only: bool = False) -> str:
    """The folder in the hub's cache with the model `name`, its files downloaded where they are not there yet.

    Args:
        commit: which one; None: the newest, or offline the newest that the cache has. The folder's name says which.
        settings_only: only its JSON files, for plans.

    Raises:
        MissingInput: there is no such model, or no such one in the cache where the hub can't be asked: offline, or
            nothing of that name was ever read here.
        AccessDenied: one has to log in for it.
        Unavailable: the hub did not answer, or can't be reached for a model of which the cache has a part.
    """
    import httpx2
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    only = ["*.json"] if settings_only else None
    called = name if commit is None else f"{name}@{commit}"
    try:
        if commit is not None and not is_cached(name) and not constants.HF_HUB_OFFLINE:
            HfApi().model_info(name, revision=commit, timeout=_PATIENCE_S)  # once: the download repeats for 23 s
        return snapshot_download(name, revision=commit, allow_patterns=only, ignore_patterns=list(_UNREAD))
    except GatedRepoError as error:
        raise AccessDenied(
            f"the hub gives {called} only to those who may read it: accept its terms, set HF_TOKEN"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise MissingInput(
            f"{name!r} is no folder here, and the hub has no model {called} that you may read: name a folder, another "
            "id, or set HF_TOKEN"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, httpx2.TransportError) as error:
        if constants.HF_HUB_OFFLINE:
            raise MissingInput(
                f"{name!r} is no folder here, and {constants.HF_HUB_CACHE} holds no {called}; HF_HUB_OFFLINE is set, "
                "so the hub is not asked: unset it, or name a folder"
            ) from error
        reason = str(error).partition("\n")[0]
        asked = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
        if isinstance(asked, httpx2.TransportError) and not is_cached(name):
            raise MissingInput(
                f"{name!r} is no folder here, the hub's cache ({constants.HF_HUB_CACHE}) holds nothing of that name, "
                f"and the hub can't be reached ({asked}): name a folder, or mend the network"
            ) from error
        raise Unavailable(f"the hub did not give {called} ({reason}): try again, or name a folder") from error
