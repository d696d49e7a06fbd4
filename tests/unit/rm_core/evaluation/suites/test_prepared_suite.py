"""A suite as prepared data: rows, rewards and numbers are those of scoring its lines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepared_toys import mixed_toy, scene, write_toy
from suite_toys import mm_rlhf, write_suite

from data_pipeline.config import EncodeConfig, MediaConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RunError
from data_pipeline.sources.readers.files import RowRange
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData, open_suite
from rm_core.evaluation.suites.given import GivenRewards
from rm_core.evaluation.suites.lines import SuiteReader
from rm_core.evaluation.suites.prepared import open_prepared, prepare_suite
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.report import measure
from rm_core.evaluation.while_training import evaluation_sets, names_of, suite_folder
from rm_core.model.shape_config import backbone_config
from rm_core.train_config.config import TrainConfig

SUITE = "mm_rlhf_rewardbench"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteData:
    """One row has its picture and one is too long."""
    records = mm_rlhf()
    records[5]["chosen"] = "Right. " * 90
    folder = write_suite(tmp_path_factory.mktemp("suites"), SUITE, records)
    place = folder / records[0]["image"]
    place.parent.mkdir(parents=True)
    place.write_bytes(scene(1))
    return open_suite(SUITES[SUITE], str(folder))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    folder = tmp_path_factory.mktemp("data")
    return PreparedData.open(write_toy(folder / "shards", mixed_toy(12)))


def test_rows_and_numbers_are_those_of_its_lines(suite: SuiteData, data: PreparedData, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(Path(data.folder).parent / "toy-model"))
    reading = Reading(tokenizer=tokenizer.fingerprint, max_tokens=200, max_source_pixels=10**7, max_source_bytes=10**7)
    reader = SuiteReader(suite, Encoder(tokenizer, EncodeConfig()), MediaConfig(), 200, without_pictures=True)
    config = TrainConfig(
        model=str(tmp_path / "model"), data=data.folder, output=str(tmp_path), evaluate_every=1, evaluate_suites=[SUITE]
    )
    folder = suite_folder(config, SUITE)
    assert list(prepare_suite(suite, reader, reading, folder)) == list(range(1, 171))
    assert list(prepare_suite(suite, reader, reading, folder)) == [], "it is there"
    lines = [line.encoded for line in reader.lines(RowRange(0, 170))]
    prepared = open_prepared(SUITE, folder)
    assert prepared.items == suite.items and [at is None for at in prepared.places] == [one is None for one in lines]
    assert prepared.places[5] is None and prepared.places.count(None) == 1
    said = "170 rows, 164 scored without their pictures, 1 that the model does not read, which are wrong"
    assert prepared.measured_on == said
    for place, one in zip(prepared.places, lines, strict=True):
        if one is not None and place is not None:
            kept = prepared.data.encoded(place)
            assert kept.prefix_ids.tolist() == one.prefix_ids.tolist() and kept.ranks == one.ranks
            assert [ids.tolist() for ids in kept.response_ids] == [ids.tolist() for ids in one.response_ids]
            assert [image.data for image in kept.pictures] == [image.data for image in one.pictures]

    backbone = backbone_config("tiny", vocab_size=tokenizer.vocab_size, special_ids=tokenizer.special_ids)
    backbone.save_pretrained(config.model)
    _, one = evaluation_sets(config, data)
    assert f"suite/{SUITE}/acc_plus" in names_of(one)
    random = np.random.default_rng(0)
    rewards = [tuple(random.integers(0, 3, 2).astype(float).tolist()) for _ in range(169)]
    given = [GivenRewards(None, "too_long") if at is None else GivenRewards(rewards[at]) for at in prepared.places]
    report = measure(suite, given, Resampling(confidence=0.9, samples=3, seed=0))
    assert one.measure(rewards) == {f"suite/{SUITE}/{name}": number.value for name, number in report.numbers.items()}
    with pytest.raises(RunError, match=f"row 6 of {SUITE} has rewards .* the model has diverged"):
        one.measure([*rewards[:5], (float("inf"), 0.0), *rewards[6:]])

    other = replace(reading, encode=EncodeConfig(system_prompt="You judge."))
    assert next(prepare_suite(suite, reader, other, folder)) == 1, "read in another way"
