"""Reads shards with changed bytes that match their manifest, as a program: prints what came of each.

    python bent_shards.py FOLDER CHANGES

Memory that is not the file's may end a process by a signal, so that this is not done in the test itself.
"""

import hashlib
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_pipeline.dataset.layout import manifest_url
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import CorruptData

__all__ = ["FILES"]

FILES = {
    "shards/s0.arrow": "sha256",
    "shards/s0.images.arrow": "images_sha256",
    "rows.a.arrow": "",
}
"""Path in the folder -> the key of the manifest's entry for a shard that has its checksum."""


def bent(data: bytes, changes: int, dice: random.Random) -> Iterator[bytes]:
    """Copies with one to four bytes changed: to ends of ranges, by a bit, at random, or a number of 32 bits."""
    for _ in range(changes):
        copy = bytearray(data)
        for _ in range(dice.choice((1, 1, 2, 4))):
            place = dice.randrange(len(copy) - 4)
            old = copy[place]
            copy[place] = dice.choice((0, 1, 127, 128, 255, old ^ (1 << dice.randrange(8)), dice.randrange(256)))
            if dice.random() < 0.2:
                copy[place : place + 4] = dice.choice((b"\xff" * 4, b"\xff\xff\xff\x7f", bytes(4)))
        yield bytes(copy)


def vouch(folder: Path, name: str, data: bytes, good: Manifest) -> None:
    """Write the file, and a manifest that has its checksum."""
    (folder / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    if FILES[name]:
        bent_one = replace(good, shards=[replace(good.shards[0], **{FILES[name]: sha256})])
    else:
        bent_one = replace(good, rows_file=replace(good.rows_file, sha256=sha256))
    Path(manifest_url(str(folder))).write_bytes(bent_one.to_json())


def outcome(folder: Path) -> str:
    """Of reading every Comparison in every way."""
    try:
        data = PreparedData.open(str(folder))
        for index in range(len(data)):
            data.encoded(index), data.whole(index), data.comparison(index)
    except CorruptData:
        return "CorruptData"
    return "data"


def main() -> None:
    """For each file: what came of its copies, counted."""
    folder, changes = Path(sys.argv[1]), int(sys.argv[2])
    good = Manifest.read(str(folder))
    for name in FILES:
        whole = (folder / name).read_bytes()
        found: Counter[str] = Counter()
        for copy in bent(whole, changes, random.Random(7)):
            vouch(folder, name, copy, good)
            found[outcome(folder)] += 1
        vouch(folder, name, whole, good)
        print(name, dict(found), flush=True)


if __name__ == "__main__":
    main()
