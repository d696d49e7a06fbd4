"""Names of the files and folders in an output folder of preprocessing; no other module spells them.

    shards/<unit>-<number>.arrow, .images.arrow    Comparisons, and their images
    units/<unit>.json, .rows.arrow                 the unit is done; its signals
    failed/<unit>.json, logs/<unit>.log            units put aside; where and how a unit was done
    media/<unit>.json                              the media files beside the records that the unit read
    rows.<address>.arrow, quarantine.<address>.jsonl   what filtering decided
    groups.<address>.arrow                         which Comparisons ask the same, where they are grouped
    manifests/<address>.json, manifest.json        every manifest of the folder; the newest (written last: complete)

``<unit>`` is the address of a work unit and ``<address>`` that of a manifest, 20 hex digits each.
"""

from data_pipeline import storage

__all__ = [
    "MANIFEST",
    "failed_folder",
    "failure_url",
    "folder_of",
    "groups_name",
    "kept_manifest_url",
    "kept_manifests",
    "log_url",
    "manifest_url",
    "media_url",
    "quarantine_name",
    "rows_name",
    "rows_url",
    "shard_folder",
    "shard_urls",
    "unit_folder",
    "unit_of_shard",
    "unit_url",
    "written_units",
]

MANIFEST = "manifest.json"
_MANIFESTS, _UNITS, _FAILED = "manifests", "units", "failed"


def manifest_url(folder: str) -> str:
    """The newest manifest; with it the folder is complete."""
    return storage.join(folder, MANIFEST)


def kept_manifest_url(folder: str, address: str) -> str:
    """The manifest of one address, which stays while others are made."""
    return storage.join(folder, _MANIFESTS, f"{address}.json")


def kept_manifests(folder: str) -> list[str]:
    """Every manifest that the folder has had, sorted by address."""
    return storage.list_files(kept_manifest_url(storage.escaped(folder), "*"))


def folder_of(place: str) -> str:
    """The output folder of a place that is one, or one of its manifests."""
    if not place.endswith(".json"):
        return place
    parent = storage.parent_of(place)
    return storage.parent_of(parent) if storage.name_of(parent) == _MANIFESTS else parent


def rows_name(address: str) -> str:
    """The table of what filtering decided, in `ROWS_SCHEMA`."""
    return f"rows.{address}.arrow"


def groups_name(address: str) -> str:
    """The table of grouped Comparisons, in `GROUPS_SCHEMA`."""
    return f"groups.{address}.arrow"


def quarantine_name(address: str) -> str:
    """The refused items, one line of JSON each."""
    return f"quarantine.{address}.jsonl"


def unit_folder(folder: str) -> str:
    """Where what is known of the units lies."""
    return storage.join(folder, _UNITS)


def unit_url(unit: str, folder: str) -> str:
    """The file whose presence makes the unit done."""
    return storage.join(folder, _UNITS, f"{unit}.json")


def written_units(folder: str) -> set[str]:
    """The units whose `unit_url` is there."""
    found = storage.list_files(unit_url("*", storage.escaped(folder)))
    return {storage.name_of(url).removesuffix(".json") for url in found}


def rows_url(unit: str, folder: str) -> str:
    """The signals of the unit's Comparisons, in `UNIT_ROWS_SCHEMA`."""
    return storage.join(folder, _UNITS, f"{unit}.rows.arrow")


def shard_folder(folder: str) -> str:
    """Where the shards of an output folder lie."""
    return storage.join(folder, "shards")


def shard_urls(shards: str, name: str) -> tuple[str, str]:
    """The two files of shard `name` of the folder `shards`: Comparisons and images."""
    return storage.join(shards, f"{name}.arrow"), storage.join(shards, f"{name}.images.arrow")


def unit_of_shard(name: str) -> str:
    """The unit that wrote shard `name`, which is called UNIT-NUMBER."""
    return name.rpartition("-")[0]


def failed_folder(folder: str) -> str:
    """Where the units that were put aside lie."""
    return storage.join(folder, _FAILED)


def failure_url(unit: str, folder: str) -> str:
    """Where the unit's failure is written."""
    return storage.join(folder, _FAILED, f"{unit}.json")


def media_url(unit: str, folder: str) -> str:
    """What the unit has read of media files beside the records; no part of the output, since it holds times."""
    return storage.join(folder, "media", f"{unit}.json")


def log_url(unit: str, folder: str) -> str:
    """Where a worker writes how it did the unit; no part of the output, since it holds hosts and times."""
    return storage.join(folder, "logs", f"{unit}.log")
