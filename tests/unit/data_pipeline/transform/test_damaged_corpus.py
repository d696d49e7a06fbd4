"""Every damaged record of the corpus is kept or refused for its reason, one by one; and the corpus is what it says."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from damaged_corpus import EMPTY, FILTERED, READABLE, STOPS, Expectation, stopping_sources, write_damaged_corpus

from data_pipeline import storage
from data_pipeline.config import MediaConfig, SourceConfig
from data_pipeline.errors import RecordError, UserError
from data_pipeline.media import load_image, smart_resize
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.readers.files import read_rows, split_rows
from data_pipeline.sources.registry import adapter_of

pytestmark = [
    pytest.mark.timeout(120),  # a reference that blocks must not hold up the tests for long
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Expectation]]:
    folder = tmp_path_factory.mktemp("damaged")
    return folder, write_damaged_corpus(folder)


def outcomes_of(folder: Path, source: SourceConfig) -> Iterator[tuple[str, int, str]]:
    """(path, row, outcome) of each record, as far as it can be told by looking at one record."""
    for url in storage.list_files(str(folder / source.path)):
        path = str(Path(url).relative_to(folder))
        root = str(folder / (source.media_root or Path(path).parent))
        for row, record in read_rows(url):
            try:
                if isinstance(record, RecordError):
                    raise record
                made = adapter_of(source.shape)(record, source, row)
                assert isinstance(made, Comparison)
                check(made)
                for image in [load_image(ref, root, MediaConfig()) for ref in made.media]:
                    smart_resize(image.height, image.width)
            except RecordError as error:
                yield path, row, error.reason
            else:
                yield path, row, "kept"


@pytest.mark.parametrize("source", READABLE, ids=lambda source: source.name)
def test_every_record_is_kept_or_refused_for_its_reason(
    corpus: tuple[Path, list[Expectation]], source: SourceConfig
) -> None:
    folder, expectations = corpus
    cases = {(e.path, e.row): e for e in expectations if e.source == source.name and e.row >= 0}
    found = {(path, row): outcome for path, row, outcome in outcomes_of(folder, source)}
    expected = {place: "kept" if e.outcome in FILTERED else e.outcome for place, e in cases.items()}
    wrong = {
        cases[place].case: (expected[place], found.get(place)) for place in cases if expected[place] != found.get(place)
    }
    assert wrong == {}
    assert set(found) == set(cases)


def test_files_broken_as_a_whole_are_named(corpus: tuple[Path, list[Expectation]]) -> None:
    folder, expectations = corpus
    for source in stopping_sources(expectations):
        with pytest.raises(UserError, match=Path(source.path).parts[1]):
            read_whole(str(folder / source.path))


def test_the_corpus_is_large_mixed_and_always_the_same(corpus: tuple[Path, list[Expectation]], tmp_path: Path) -> None:
    folder, expectations = corpus
    again = write_damaged_corpus(tmp_path / "again")
    assert again == expectations
    assert digest_of(folder) == digest_of(tmp_path / "again")
    outcomes = Counter(e.outcome for e in expectations)
    assert len(expectations) > 200
    assert min(outcomes.values()) >= 1
    assert {EMPTY, STOPS, "kept", "malformed_record", "broken_image", "unsafe_path", "duplicate"} <= set(outcomes)
    assert len({(e.path, e.row) for e in expectations}) == len(expectations)


def read_whole(url: str) -> None:
    for place in split_rows(url, 50):
        list(read_rows(url, place.start, place.count, place.offset))


def digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes().replace(str(folder).encode(), b""))
    return digest.hexdigest()
