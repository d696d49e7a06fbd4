"""Prepared data and a tiny model, made once for all tests of this folder."""

import pytest
from workplace import Workplace


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Raw data and a recipe, with the model made and the shards prepared."""
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    place.run("init-model")
    place.run("preprocess")
    return place
