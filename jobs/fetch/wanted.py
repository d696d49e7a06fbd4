"""What a recipe wants of the hub: sources and the listings of their repositories -> files of `data_root`, by name."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_pipeline.config import HubConfig, SourceConfig
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.shown import one_line
from data_pipeline.storage.paths import matches

__all__ = ["HubFile", "Repository", "WantedFile", "WantedSet", "wanted_sets"]

_SHOWN = 8


@dataclass(frozen=True)
class HubFile:
    """One file of a repository.

    Attributes:
        digest: ``sha256:...`` of its bytes, or ``git-sha1:...`` of the blob that git makes of them.
    """

    path: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A data set on the hub at one commit."""

    dataset: str
    commit: str
    licence: str
    files: tuple[HubFile, ...]


@dataclass(frozen=True, kw_only=True)
class WantedFile:
    """A file of `data_root`.

    Attributes:
        path: below `data_root`.
        parts: what it is made of, in order; mostly one.
    """

    path: str
    dataset: str
    commit: str
    parts: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def digests(self) -> list[str]:
        """What its bytes are checked against, part by part."""
        return [part.digest for part in self.parts]


@dataclass(frozen=True, kw_only=True)
class WantedSet:
    """A repository, the sources that want something of it, and the files that they want."""

    sources: tuple[str, ...]
    repository: Repository
    files: tuple[WantedFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def wanted_sets(
    sources: Sequence[SourceConfig], repositories: Mapping[tuple[str, str | None], Repository]
) -> list[WantedSet]:
    """The files of all sources, those that several want only once.

    Args:
        repositories: by `HubConfig.dataset` and `HubConfig.revision`.

    Raises:
        MissingInput: a repository has no file of a name that a source wants.
        RecipeError: two sources want different files at one place, or a place outside of `data_root`.
    """
    found: dict[tuple[str, str | None], tuple[list[str], dict[str, WantedFile]]] = {}
    by_place: dict[str, WantedFile] = {}
    for source in sources:
        if source.hub is None:
            continue
        key = source.hub.dataset, source.hub.revision
        names, files = found.setdefault(key, ([], {}))
        names.append(source.name)
        for file in _files_of(source.name, source.hub, repositories[key]):
            if by_place.setdefault(file.path, file) != file:
                other = by_place[file.path]
                raise RecipeError(
                    f"{file.path} would be both of {other.dataset}@{other.commit} and of {file.dataset}@{file.commit}: "
                    f"give source {source.name!r} another hub.folder"
                )
            files[file.path] = file
    return [
        WantedSet(sources=tuple(names), repository=repositories[key], files=tuple(files.values()))
        for key, (names, files) in found.items()
    ]


def _files_of(name: str, hub: HubConfig, repository: Repository) -> list[WantedFile]:
    _check_inside(hub.folder, f"hub.folder of source {name!r}")
    chosen: dict[str, tuple[HubFile, ...]] = {
        file.path: (file,) for pattern in hub.files for file in _named(pattern, name, repository)
    }
    chosen |= {whole: _named(pattern, name, repository) for whole, pattern in hub.joined.items()}
    if not chosen:
        raise RecipeError(f"source {name!r} wants no file of {hub.dataset}: name some in hub.files or hub.joined")
    for path in chosen:
        _check_inside(path, f"a file of {hub.dataset}, for source {name!r}")
    return [
        WantedFile(
            path=posixpath.join(hub.folder, path), dataset=hub.dataset, commit=repository.commit, parts=tuple(parts)
        )
        for path, parts in chosen.items()
    ]


def _named(pattern: str, name: str, repository: Repository) -> tuple[HubFile, ...]:
    found = sorted(
        (file for file in repository.files if matches(file.path.split("/"), pattern.split("/"))),
        key=lambda file: file.path,
    )
    if not found:
        raise MissingInput(
            f"source {name!r} wants {pattern!r} of {repository.dataset}, which at commit {repository.commit} has "
            f"{_shown(file.path for file in repository.files)}: correct hub.files of the source"
        )
    return tuple(found)


def _shown(paths: Iterable[str]) -> str:
    names = sorted(paths)
    more = f" and {len(names) - _SHOWN:,} more files" if len(names) > _SHOWN else ""
    return (", ".join(map(one_line, names[:_SHOWN])) or "no files") + more


def _check_inside(path: str, what: str) -> None:
    """A recipe and a mirror may come from somebody else: nothing is written but below `data_root`."""
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts or "://" in path or "\0" in path or parts[0].startswith("."):
        raise RecipeError(f"{what}: {one_line(path)!r} is no plain path below data_root")
