"""What is read of GPUs. There is none here: NVML's functions stand in for a driver that refuses one reading."""

from types import SimpleNamespace

import pynvml
import pytest

from jobs.tracking.node_metrics import NodeMeter


def test_each_gpu_tells_what_its_driver_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(gpu: int) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=90 + gpu),
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=20_000_000_000, total=80_000_000_000),
        "nvmlDeviceGetPowerUsage": lambda gpu: 650_500,
        "nvmlDeviceGetTemperature": lambda gpu, sensor: refused(gpu) if gpu else 61,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    found = {name: value for name, value in NodeMeter().read().items() if name.startswith("gpu_")}
    common = {"memory_percent": 25.0, "memory_used_gb": 20.0, "watts": 650.5}
    assert found == {
        "gpu_0_percent": 90.0, "gpu_0_celsius": 61.0, **{f"gpu_0_{name}": value for name, value in common.items()},
        "gpu_1_percent": 91.0, **{f"gpu_1_{name}": value for name, value in common.items()},
    }  # fmt: skip


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", none)
    assert not [name for name in NodeMeter("s3://bucket/out").read() if name.startswith("gpu_")]
