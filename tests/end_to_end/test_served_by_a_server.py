"""A registered model behind a real MLflow server that hands out the files itself."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer
from served_toys import write_export

from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import MissingInput, RunError
from jobs.recipe.schema import TrackingConfig
from jobs.registry.commands import register
from jobs.registry.pyfunc_model import add_served_files, one_model
from jobs.registry.registry import ModelRegistry
from jobs.tracking.tracker import Tracker
from rm_core.model_folder.folder import marker_sha256, verify_folder

READING = Reading(max_tokens=300, max_source_pixels=1_000_000, max_source_bytes=1_000_000)
pytestmark = pytest.mark.drill


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    running = MlflowServer(tmp_path)
    running.start()
    yield running
    running.stop()


def test_files_are_fetched_once_and_the_model_scores(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_tokenizer(["Name a bird. A wren."], 300, str(tmp_path / "tokens"))
    tracker = Tracker(TrackingConfig(uri=server.uri), run_dir=str(tmp_path), run_name="one")
    export = write_export(tmp_path / "export", "tiny", 1, tmp_path / "tokens", {"mlflow_run_id": tracker.run_id})
    with TemporaryDirectory() as beside:
        add_served_files(beside, one_model("one", export, READING))
        tracker.log_model(export, name="one", step=1, beside=beside)
    tracker.finish()
    assert register(export, "rm", tracking_uri=server.uri) == 0
    registry = ModelRegistry(server.uri)
    version = registry.resolve("models:/rm/1")
    assert version.location.startswith("mlflow-artifacts:/")
    copies = str(tmp_path / "copies")
    folder = registry.local_folder(version, copies)
    verify_folder(folder)
    assert marker_sha256(folder) == marker_sha256(export)
    [artifacts] = list((tmp_path / "artifacts").rglob("artifacts/MLmodel"))
    artifacts.parent.rename(tmp_path / "away")
    assert registry.local_folder(version, copies) == folder, "fetched once"
    with pytest.raises(MissingInput, match="models:/rm/1: .* can't be fetched|models:/rm/1: "):
        verify_folder(registry.local_folder(version, str(tmp_path / "others")))
    (tmp_path / "away").rename(artifacts.parent)

    before = mlflow.get_tracking_uri()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        mlflow.set_tracking_uri(server.uri)
        loaded = mlflow.pyfunc.load_model("models:/rm/1")
        found = loaded.predict(pd.DataFrame({"prompt": ["Name a bird."], "responses": [["A wren.", "A trout."]]}))
        MlflowClient(server.uri).delete_model_version("rm", "1")
        with pytest.raises(MissingInput, match="models:/rm/1 is not in http"):
            registry.resolve("models:/rm/1")
    finally:
        mlflow.set_tracking_uri(before)
    assert len(found["rewards"][0]) == 2
    server.stop()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(RunError, match=r"http://127\.0\.0\.1"):
        registry.resolve("models:/rm/1")
