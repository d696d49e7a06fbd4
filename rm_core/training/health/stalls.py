"""Whether a rank waits for its rows."""

from collections.abc import Callable

from rm_core.train_config.config import TrainConfig

__all__ = ["DataStalls"]

_WINDOWS = 3


class DataStalls:
    """Warns once when a rank has waited for its rows through several windows in a row."""

    def __init__(self, config: TrainConfig, note: Callable[[str], None]) -> None:
        self._config = config
        self._note = note
        self._in_a_row = 0

    def after(self, step: int, rank: int, share: float) -> None:
        """One more window, in which `rank` waited longest, for `share` of the time."""
        self._in_a_row = self._in_a_row + 1 if share > self._config.health.data_wait else 0
        if self._in_a_row == _WINDOWS:
            self._note(
                f"step {step}: rank {rank} waits for its rows {share:.0%} of the time: raise train.loader_workers (now "
                f"{self._config.loader_workers}) or train.prefetch (now {self._config.prefetch}), or put "
                "train.cache_dir on a faster disk"
            )
