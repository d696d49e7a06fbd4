"""Reward models in an object store: complete or absent, and scored from there as from a disk."""

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3_server import S3Server, s3_server
from s3fs import S3FileSystem
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

import rm_core
from data_pipeline import storage
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import private_folder
from rm_core.batches.packed import collate
from rm_core.model_folder.folder import is_complete, load_reward_model, save_reward_model, verify_folder
from rm_core.model_folder.remote import MARKER, backbone_settings, local_backbone, local_model, publish

__all__ = ["s3_server"]

ITEM = toy_comparison(1, images=(toy_image(1),))


def write(folder: Path, seed: int) -> list[float]:
    """A model folder; returns its rewards of `ITEM`."""
    model = toy_reward_model(seed=seed).eval()
    weights = model.state_dict().items()
    save_reward_model(str(folder), model.backbone, model.head_config, weights, processor_from="nowhere", lineage={})
    rewards: list[float] = model(collate([ITEM], row_format=ROW_FORMAT)).tolist()
    return rewards


@pytest.mark.parametrize("remote", [False, True], ids=["local", "s3"])
def test_a_published_model_takes_the_place_of_the_one_before(
    remote: bool,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    url = f"s3://{s3_server.bucket}/{tmp_path.name}/export" if remote else str(tmp_path / "export")
    with pytest.raises(MissingInput):
        load_reward_model(url)
    for seed in (3, 4):
        expected = write(tmp_path / "draft", seed)
        if seed == 3:
            (tmp_path / "draft" / "requirements.txt").write_text("of the first")
        publish(str(tmp_path / "draft"), url)
        assert not (tmp_path / "draft").exists() and is_complete(url)
        assert rm_core.load(url).score([ITEM]) == [pytest.approx(expected, abs=1e-5)]
    assert not storage.exists(f"{url}/requirements.txt")
    copy = local_model(url)
    assert (copy == url) != remote
    before = os.stat(copy).st_ctime_ns
    assert local_model(url) == copy and os.stat(copy).st_ctime_ns == before, "the copy is made once"
    assert verify_folder(copy) == {}


def test_an_upload_that_was_cut_off_is_no_model(s3_server: S3Server, tmp_path: Path) -> None:
    url = f"s3://{s3_server.bucket}/{tmp_path.name}/cut"
    storage.write_atomic(f"{url}/config.json", b"{}")
    assert not is_complete(url)
    with pytest.raises(MissingInput, match=f"has no {MARKER}: there is no model, or its upload was cut off"):
        local_model(url)


def put(folder: Path, url: str) -> None:
    for path in folder.iterdir():
        storage.upload(str(path), f"{url}/{path.name}")


def test_a_backbone_as_a_hub_has_it_is_copied_once_to_a_node(s3_server: S3Server, tmp_path: Path) -> None:
    """Without a marker: a folder that was copied into the bucket as it is."""
    url, cache = f"s3://{s3_server.bucket}/{tmp_path.name}/backbone", str(tmp_path / "cache")
    with pytest.raises(MissingInput, match="holds no config.json"):
        local_backbone(url, cache)
    with pytest.raises(MissingInput, match="train.model=.*holds no config.json: do this"):
        backbone_settings(url, "do this")
    write(tmp_path / "model", 3)
    (tmp_path / "model" / MARKER).unlink()
    put(tmp_path / "model", url)
    with ThreadPoolExecutor(4) as pool:  # the workers of a node
        [copy] = set(pool.map(lambda _: local_backbone(url, cache), range(4)))
    assert copy.startswith(f"{cache}/models/")
    assert sorted(os.listdir(copy)) == sorted(os.listdir(tmp_path / "model"))
    assert sorted(os.listdir(f"{cache}/models")) == sorted([Path(copy).name, f"{Path(copy).name}.lock"])
    assert backbone_settings(url, "").model_type == backbone_settings(copy, "").model_type
    weights = next((tmp_path / "model").glob("model*.safetensors"))
    changed = weights.read_bytes()[:-1] + b"?"  # other weights of the same shape: as many bytes
    weights.write_bytes(changed)
    storage.upload(str(weights), f"{url}/{weights.name}")
    S3FileSystem.clear_instance_cache()  # as another process sees it
    assert Path(local_backbone(url, cache), weights.name).read_bytes() == changed


@pytest.mark.parametrize("how", ["mode", "link"])
def test_a_cache_that_others_may_write_to_is_refused(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / f"basereward-models-{os.getuid()}"
    if how == "mode":
        path.mkdir()
        path.chmod(0o770)
    else:
        (tmp_path / "own").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "own")
    with pytest.raises(RecipeError, match="is not a folder of user"):
        private_folder("models")
    path.unlink() if how == "link" else path.chmod(0o700)
    assert private_folder("models") == private_folder("models") == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_copy_that_is_another_model_is_refused(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole by its own marker, and not what lies at the address."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    url = f"s3://{s3_server.bucket}/{tmp_path.name}/export"
    write(tmp_path / "draft", 3)
    publish(str(tmp_path / "draft"), url)
    copy = Path(local_model(url))
    shutil.rmtree(copy)
    write(copy, 4)
    with pytest.raises(CorruptData, match="is not the copy of"):
        local_model(url)


def test_a_damaged_copy_is_no_model(s3_server: S3Server, tmp_path: Path) -> None:
    url, cache = f"s3://{s3_server.bucket}/{tmp_path.name}/damaged", str(tmp_path / "cache")
    write(tmp_path / "model", 3)
    put(tmp_path / "model", url)
    path = tmp_path / "model" / "reward_head.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    storage.upload(str(path), f"{url}/{path.name}")
    for _ in range(2):  # nor the second time
        with pytest.raises(CorruptData, match="reward_head.safetensors.*differs from the checksum"):
            local_backbone(url, cache)
