"""The folder or manifest that a person names, as prepared data with all its rows."""

import json
from dataclasses import dataclass

import pyarrow as pa

from data_pipeline import storage
from data_pipeline.dataset.layout import MANIFEST, folder_of, kept_manifests, manifest_url, unit_folder
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import SCHEMA_VERSION, read_table
from data_pipeline.errors import MissingInput, UserError
from data_pipeline.inspection.quarantine import Refused, read_quarantine

__all__ = ["Place", "read_place"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Prepared data as one manifest describes it.

    Attributes:
        name: what the person typed.
        folder: the output folder of preprocessing.
        manifest: the newest of the folder, or the one that was named.
    """

    name: str
    folder: str
    manifest: Manifest

    def rows(self) -> pa.Table:
        """Every Comparison made, kept or not, in `ROWS_SCHEMA`.

        Raises:
            MissingInput: the rows of an older manifest are gone.
            CorruptData: they are not those of the manifest.
        """
        info = self.manifest.rows_file
        return read_table(storage.join(self.folder, info.name), info.sha256)

    def refused(self) -> Refused:
        """The quarantine, counted line by line.

        Raises:
            MissingInput: the quarantine of an older manifest is gone.
            CorruptData: a line is no refused item.
        """
        url = storage.join(self.folder, self.manifest.quarantine_file.name)
        with storage.open_input(url) as lines:
            return read_quarantine(lines, url)

    def prepared(self) -> PreparedData:
        """The kept Comparisons with their texts and images."""
        return PreparedData.open(self.name)


def read_place(place: str) -> Place:
    """Find the manifest that `place` means: a folder, its ``manifest.json`` or ``manifests/<address>.json``.

    Raises:
        MissingInput: there is no such folder, it is not finished, or that manifest is not in it.
        UserError: the manifest is of a newer program.
        CorruptData: it is no manifest, or one of an older program.
    """
    named = place.endswith(".json")
    url, folder = place if named else manifest_url(place), folder_of(place)
    if not storage.exists(url):
        raise MissingInput(_why_missing(place, folder, named=named))
    data = storage.read_bytes(url)
    _check_version(data, url)
    return Place(name=place, folder=folder, manifest=Manifest.from_json(data, url))


def _why_missing(place: str, folder: str, *, named: bool) -> str:
    others = [storage.name_of(url) for url in kept_manifests(folder)]
    if named:
        known = f"; the folder has {', '.join(others[:5])} in manifests/" if others else ""
        return f"no manifest {place!r}{known}"
    if storage.list_files(unit_folder(folder)) or others:
        return f"{place!r} holds no {MANIFEST}: preprocessing has not finished there; run it again"
    return (
        f"no prepared data in {place!r} (there is no such folder, or no {MANIFEST} in it): name the output folder of "
        "basereward preprocess"
    )


def _check_version(data: bytes, url: str) -> None:
    try:
        version = json.loads(data)["schema_version"]
    except (ValueError, KeyError, TypeError):
        return  # Manifest.from_json says what is wrong with it
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{url!r} has schema version {version}, this program reads {SCHEMA_VERSION}: it was written by a newer "
            "basereward, install that one"
        )
