"""The hub's own client: what a data set's repository holds at a commit, and where each file is had.

The token is that of the variable that the recipe names, and goes to the hub's address alone: never into an address, a
message or a file, nor to the host that the hub sends a download to.
"""

import os
import re
from collections.abc import Callable
from threading import Event
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from data_pipeline.errors import AccessDenied, MissingInput, RecipeError
from data_pipeline.storage.web import is_passing, retry_after_s
from jobs.fetch.patience import Passing, Patience
from jobs.fetch.wanted import HubFile, Repository
from jobs.recipe.addresses import check_endpoint
from jobs.recipe.schema import FetchConfig

__all__ = ["Hub", "token_of"]

T = TypeVar("T")

_NAME = re.compile(r"HF_[A-Z0-9_]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def token_of(config: FetchConfig) -> str | None:
    """The token to show the hub; None: none.

    A recipe may come from somebody else, and name an address of theirs: it can have no other variable sent than those
    of hubs, and the hub's own to the hub alone.

    Raises:
        RecipeError: `token_variable` is no such name, and may be the token itself.
        MissingInput: that variable is not set.
    """
    name = config.token_variable
    is_hub = config.address is None or config.address.rstrip("/") == constants.ENDPOINT
    if name is None:
        return get_token() if is_hub else None
    if not _NAME.fullmatch(name):
        raise RecipeError(
            "fetch.token_variable is no name of a hub's variable: write HF_TOKEN or another NAME that begins with HF_, "
            "never the token itself"
        )
    if name == "HF_TOKEN" and not is_hub:
        raise RecipeError(
            f"fetch.token_variable=HF_TOKEN is of the hub, and fetch.address={config.address} is not: put that "
            "address's token into a variable of its own, such as HF_MIRROR_TOKEN"
        )
    if not os.environ.get(name):
        raise MissingInput(
            f"fetch.token_variable={name}: that variable is not set here; set it (submit sends it sealed: --env {name})"
        )
    return os.environ[name]


class Hub:
    """The hub, or a mirror that answers as it does.

    Raises:
        MissingInput: ``HF_HUB_OFFLINE`` says that the hub is not to be asked.
    """

    def __init__(self, config: FetchConfig, stop: Event, report: Callable[[str], None]) -> None:
        if constants.HF_HUB_OFFLINE:
            raise MissingInput("HF_HUB_OFFLINE is set, so the hub is not asked: unset it to fetch")
        if config.address is not None:
            check_endpoint(config.address, "fetch.address")
        self.address = (config.address or constants.ENDPOINT).rstrip("/")
        token = token_of(config)
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._api = HfApi(endpoint=self.address, token=token or False)
        self._config = config
        self._stop = stop
        self._report = report

    def url(self, dataset: str, commit: str, path: str) -> str:
        """Where the bytes of a file are had."""
        return hf_hub_url(dataset, path, repo_type="dataset", revision=commit, endpoint=self.address)

    def repository(self, dataset: str, revision: str | None) -> Repository:
        """All files of a data set.

        Args:
            revision: a commit; None: the newest.

        Raises:
            RecipeError: no id, or no commit.
            MissingInput: there is no such data set, or no such commit; as `AccessDenied`: not for this token.
            Unavailable: the hub does not answer.
        """
        if not _ID.fullmatch(dataset):
            raise RecipeError(f"hub.dataset={dataset!r} is no id of a data set: write ORG/NAME")
        if revision is not None and not _COMMIT.fullmatch(revision):
            raise RecipeError(f"hub.revision={revision!r} of {dataset} is no commit: write its 40 hex digits, or none")
        info = self._asked(dataset, lambda: self._api.dataset_info(dataset, revision=revision))
        tree = self._asked(
            dataset,
            lambda: list(self._api.list_repo_tree(dataset, repo_type="dataset", revision=info.sha, recursive=True)),
        )
        licences = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
        files = tuple(_file(one) for one in tree if isinstance(one, RepoFile))
        licence = ", ".join(licences) or "none stated"
        return Repository(dataset=dataset, commit=str(info.sha), licence=licence, files=files)

    def _asked(self, dataset: str, ask: Callable[[], T]) -> T:
        patience = Patience(self._config.patience_s, self._stop, self._report)
        while True:
            try:
                return ask()
            except GatedRepoError as error:
                raise AccessDenied(_refused(dataset, self.address)) from error
            except (RepositoryNotFoundError, RevisionNotFoundError) as error:
                raise MissingInput(
                    f"{self.address} has no data set {dataset}, or not that commit of it, that you may read: correct "
                    "the id, or name a token with fetch.token_variable"
                ) from error
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status in (401, 403):
                    raise AccessDenied(_refused(dataset, self.address)) from error
                if not is_passing(status):
                    raise MissingInput(f"{self.address} does not list {dataset}: HTTP {status}") from error
                wait_s = retry_after_s(error.response.headers.get("Retry-After"))
                patience.wait(f"the list of {dataset}", Passing(f"HTTP {status}", wait_s))
            except (OSError, httpx2.HTTPError) as error:
                patience.wait(f"the list of {dataset}", Passing(f"{type(error).__name__}: {error}"))


def _file(one: RepoFile) -> HubFile:
    digest = f"git-sha1:{one.blob_id}" if one.lfs is None else f"sha256:{one.lfs.sha256}"
    return HubFile(one.path, one.size, digest)


def _refused(dataset: str, address: str) -> str:
    return (
        f"{address} gives {dataset} only to those who may read it: accept its terms at {address}/datasets/{dataset}, "
        "and set HF_TOKEN (or the variable that fetch.token_variable names)"
    )
