"""Small files that ask for gigabytes, read and made into rows in a process that may have little memory.

python huge_inputs.py FOLDER BYTES      one JSON line a file: its name, what came of its rows, the peak
"""

import base64
import gzip
import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MB = 1_000_000
HEAD, TAIL = b'{"prompt":"q","chosen":"x","rejected":"y","junk":', b"}\n"
GOOD = b'{"prompt":"Which?","chosen":"This one.","rejected":"That one."}\n'


def packed(path: Path, *chunks: bytes) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for chunk in chunks:
            file.write(chunk)


def long_text(folder: Path) -> None:
    packed(folder / "text.jsonl.gz", GOOD, b'{"prompt":"', *[b"a" * MB] * 60, b'","chosen":"x","rejected":"y"}\n', GOOD)


def wide_text(folder: Path) -> None:
    packed(
        folder / "wide.jsonl.gz",
        '{"prompt":"\N{GRINNING FACE}'.encode(),
        *[b"a" * MB] * 60,
        b'","chosen":"x","rejected":"y"}\n',
        GOOD,
    )


def almost_too_long(folder: Path) -> None:
    text = b"why ever not, he said 42 times. " * 15_000
    packed(folder / "almost.jsonl.gz", b'{"prompt":"' + text + b'","chosen":"' + text + b'","rejected":"y"}\n')


def too_long_line(folder: Path) -> None:
    packed(folder / "line.jsonl.gz", b'{"prompt":"', *[b"a" * MB] * 150, b'","chosen":"x","rejected":"y"}\n', GOOD)


def objects(folder: Path) -> None:
    packed(folder / "objects.jsonl.gz", HEAD, b"[", *[b"{}," * 330_000] * 60, b"0]", TAIL, GOOD)


def lists(folder: Path) -> None:
    packed(folder / "lists.jsonl.gz", HEAD, b"[", *[b"[]," * 330_000] * 60, b"0]", TAIL, GOOD)


def keys(folder: Path) -> None:
    inner = b",".join(b'"%x":{}' % number for number in range(2_000))
    packed(folder / "keys.jsonl.gz", HEAD, b"[", *[b"{" + inner + b"},"] * 2_800, b"0]", TAIL, GOOD)


def list_of_objects(folder: Path) -> None:
    packed(folder / "list.json.gz", b"[", GOOD, b",", HEAD, b"[", *[b"{}," * 330_000] * 60, b"0]}]")


def many_responses(folder: Path) -> None:
    answers = b",".join([b'{"text":"a","score":1}'] * 50_000)
    packed(folder / "answers.jsonl.gz", b'{"prompt":"q","responses":[' + answers + b"]}\n", GOOD)


def open_quote(folder: Path) -> None:
    packed(folder / "quote.csv.gz", b'prompt,chosen,rejected\n"', *[b"a" * MB + b"\n"] * 70, b'",x,y\n')


def many_fields(folder: Path) -> None:
    packed(folder / "fields.csv.gz", b"prompt,chosen,rejected\n", *[b"ab," * 330_000] * 60, b"\nWhich?,This.,That.\n")


def dictionary(folder: Path) -> None:
    places = pa.array(np.zeros(20, np.int32))
    text = pa.DictionaryArray.from_arrays(places, pa.array(["a" * 40 * MB]))
    answers = [[f"{row}" for row in range(20)], ["no"] * 20]
    pq.write_table(pa.table([text, *answers], names=["prompt", "chosen", "rejected"]), folder / "dictionary.parquet")


def nested_dictionary(folder: Path) -> None:
    places = pa.array(np.zeros(2000, np.int32))
    texts = pa.DictionaryArray.from_arrays(places, pa.array(["a" * 4 * MB]))
    listed = pa.ListArray.from_arrays(pa.array([0, 1000, 1001, 2000], pa.int32()), texts)
    words = ["q", "q", "q"]
    pq.write_table(
        pa.table([words, ["a", "b", "c"], words, listed], names=["prompt", "chosen", "rejected", "junk"]),
        folder / "nested.parquet",
    )


def zeros(folder: Path) -> None:
    """One row with a list of 200 million zeros."""
    (folder / "zeros.parquet").write_bytes(base64.b64decode(ZEROS))


MADE: tuple[Callable[[Path], None], ...] = (
    long_text, wide_text, almost_too_long, too_long_line, objects, lists, keys, list_of_objects,
    many_responses, open_quote,
    many_fields, dictionary, nested_dictionary, zeros,
)  # fmt: skip


def outcomes(path: Path, tokenizer: str) -> Iterator[str]:
    """``kept`` or the reason, of each row."""
    from data_pipeline.config import PreprocessConfig, SourceConfig
    from data_pipeline.encoding.encoder import Encoder
    from data_pipeline.encoding.tokenizer import load_tokenizer
    from data_pipeline.errors import MissingInput, RecordError
    from data_pipeline.sources.readers.files import read_rows
    from data_pipeline.transform.row_builder import RowBuilder

    config = PreprocessConfig()
    builder = RowBuilder(
        SourceConfig(name="s", path="x"), "/", config, Encoder(load_tokenizer(tokenizer), config.encode)
    )
    try:
        for row, record in read_rows(str(path)):
            made = [("", record)] if isinstance(record, RecordError) else builder.items(record, row)
            for _, outcome in made:
                yield outcome.reason if isinstance(outcome, RecordError) else "kept"
    except MissingInput:
        yield "file refused"


def vm(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main() -> None:
    from data_pipeline.encoding.tokenizer import train_tokenizer

    folder, most = Path(sys.argv[1]), int(sys.argv[2])
    train_tokenizer(["why ever not, he said 42 times"], 300, str(folder / "tokenizer"))
    list(outcomes(folder / "small.jsonl", str(folder / "tokenizer")))  # all that is imported late
    resource.setrlimit(resource.RLIMIT_AS, (vm("VmSize") + most,) * 2)
    for path in sorted(folder.iterdir()):
        if path.is_file():
            try:
                found = list(outcomes(path, str(folder / "tokenizer")))
            except MemoryError:
                found = ["MemoryError"]
            print(json.dumps([path.name.split(".")[0], found, vm("VmHWM")]), flush=True)


ZEROS = (
    "UEFSMRUEFQoVHEwVAhUAEgAAKLUv/SAFKQAAAQAAAHEVABUSFSQsFQIVEBUGFQYcNgAoAXEYAXEREQAAACi1L/0gCUkAAAIAAAACAQECABUEFQ"
    "oVHEwVAhUAEgAAKLUv/SAFKQAAAQAAAHgVABUSFSQsFQIVEBUGFQYcNgAoAXgYAXgREQAAACi1L/0gCUkAAAIAAAACAQECABUEFQoVHEwVAhUA"
    "EgAAKLUv/SAFKQAAAQAAAHkVABUSFSQsFQIVEBUGFQYcNgAoAXkYAXkREQAAACi1L/0gCUkAAAIAAAACAQECABUEFQgVGkwVAhUAEgAAKLUv/S"
    "AEIQAAAAAAABUAFToVTCwVgIjevgEVEBUGFQYcGAQAAAAAGAQAAAAAFgAoBAAAAAAYBAAAAAAREQAAACi1L/0gHekAAAgAAAAD/vCH3r4BAQYA"
    "AACAiN6+AQMBgIjevgEAFQQZfDUAGAZzY2hlbWEVCAAVDCUCGAZwcm9tcHQlAEwcAAAAFQwlAhgGY2hvc2VuJQBMHAAAABUMJQIYCHJlamVjdG"
    "VkJQBMHAAAADUCGARqdW5rFQIVBkw8AAAANQQYBGxpc3QVAgAVAiUCGAdlbGVtZW50JR5MrBMIEQAAABYCGRwZTCYAHBUMGTUABhAZGAZwcm9t"
    "cHQVDBYCFnIWlgEmQCYIHDYAKAFxGAFxEREAGSwVBBUAFQIAFQAVEBUCADwWAhkGGSYAAgAAACYAHBUMGTUABhAZGAZjaG9zZW4VDBYCFnIWlg"
    "Em1gEmngEcNgAoAXgYAXgREQAZLBUEFQAVAgAVABUQFQIAPBYCGQYZJgACAAAAJgAcFQwZNQAGEBkYCHJlamVjdGVkFQwWAhZyFpYBJuwCJrQC"
    "HDYAKAF5GAF5EREAGSwVBBUAFQIAFQAVEBUCADwWAhkGGSYAAgAAACYAHBUCGTUABhAZOARqdW5rBGxpc3QHZWxlbWVudBUMFoCI3r4BFsQBFu"
    "gBJoAEJsoDHBgEAAAAABgEAAAAABYAKAQAAAAAGAQAAAAAEREAGSwVBBUAFQIAFQAVEBUCADwpJuC+AaDJ3L4BGUYAAACAiN6+AQAAABaaBBYC"
    "JggWqgUAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI1LjAuMRlMHAAAHAAAHAAAHAAAABcCAABQQVIx"
)

if __name__ == "__main__":
    main()
