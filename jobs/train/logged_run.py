"""The MLflow run of a group of workers, as they write points of it: rank 0 all metrics, one rank a node its load."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import ray
from ray.train import get_context

from jobs.tracking.metric_logger import MetricLogger, folder_of_node
from jobs.tracking.node_metrics import NodeMeter, node_section, sampled

__all__ = ["LoggedRun"]


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """What is sent to each worker of the run that the driver has made.

    Attributes:
        uri: of the store.
        run_id: the run.
        output: the training's folder, where points wait that the store does not take.
        began_s: when the run was made, in seconds since 1970.
        system_metrics_s: between two points of how busy each node is; 0: none.
    """

    uri: str
    run_id: str
    output: str
    began_s: float
    system_metrics_s: float

    @contextmanager
    def logger(self, note: Callable[[str], None]) -> Iterator[MetricLogger]:
        """For world rank 0: in the block, its points go out, and those of its node."""
        _patient()
        with MetricLogger(self.uri, self.run_id, folder=self.output, report=note) as logger, self._sampled(logger):
            yield logger

    @contextmanager
    def node_watched(self, note: Callable[[str], None]) -> Iterator[Callable[[], None]]:
        """For other ranks: in the block, the first of a node logs how busy it is.

        Yields:
            What makes these points last, like a checkpoint.
        """
        if get_context().get_local_rank() != 0 or self.system_metrics_s <= 0:
            yield lambda: None
            return
        _patient()
        folder = folder_of_node(self.output, ray.util.get_node_ip_address())
        with MetricLogger(self.uri, self.run_id, folder=folder, report=note) as logger, self._sampled(logger):
            yield logger.flush

    def _sampled(self, logger: MetricLogger) -> AbstractContextManager[None]:
        section = node_section(ray.util.get_node_ip_address())
        meter = NodeMeter(self.output)
        return sampled(logger, meter, section, began_s=self.began_s, interval_s=self.system_metrics_s)


def _patient() -> None:
    """The logger itself tries again, and says so."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
