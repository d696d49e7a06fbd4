"""DeepSpeed's checkpoint files, read back as data only.

DeepSpeed unpickles its checkpoints without limits, so a swapped file could run code. This engine reads them with
``weights_only=True``: tensors, containers and the few DeepSpeed classes named here, nothing else.
"""

from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

__all__ = ["DataOnlyCheckpointEngine"]

_KNOWN_CLASSES = [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]


class DataOnlyCheckpointEngine(TorchCheckpointEngine):  # type: ignore[misc]  # DeepSpeed is untyped
    """Writes like DeepSpeed's own engine, reads with ``weights_only=True``."""

    def load(self, path: str, map_location: Any = None) -> Any:
        """The state of `path`.

        Raises:
            pickle.UnpicklingError: the file asks for a class that is not on the list.
        """
        with torch.serialization.safe_globals(_KNOWN_CLASSES):
            return torch.load(path, map_location=map_location, weights_only=True)
