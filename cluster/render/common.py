"""What all renderers write alike: ports, environment, YAML."""

from typing import Any

import yaml

__all__ = [
    "AUTOSCALER_HEALTH",
    "CACHE_ENV",
    "DASHBOARD_PORT",
    "EFA_ENV",
    "GCS_PORT",
    "MAX_CPUS_LABEL",
    "MAX_GPUS_LABEL",
    "RAY_ENV",
    "to_yaml",
]

GCS_PORT = 6379
DASHBOARD_PORT = 8265
# Of the head: the CPUs and GPUs that its autoscaler may add, which Ray itself tells no job.
MAX_CPUS_LABEL = "basereward/max-cpus"
MAX_GPUS_LABEL = "basereward/max-gpus"

# Where a node keeps copies of remote shards and models: data_pipeline.storage reads it.
CACHE_ENV = "BASEREWARD_CACHE_DIR"

# Of every Ray process that is started. Health: a node is given up after 5 unanswered checks of 10 s each.
RAY_ENV = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": "5",
}
AUTOSCALER_HEALTH = {
    "RAY_health_check_period_ms": "5000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "5",
}
# With libfabric 1.18 and aws-ofi-nccl 1.7 or newer nothing else is needed; huge pages break forks.
EFA_ENV = {"FI_EFA_USE_HUGE_PAGE": "0", "NCCL_SOCKET_IFNAME": "^docker,lo,veth"}


def to_yaml(title: str, *documents: Any) -> str:
    """YAML with a line above it; keys stay in the order in which they were written."""
    texts = [yaml.safe_dump(one, sort_keys=False, width=120, default_flow_style=False) for one in documents]
    return f"# {title}\n" + "---\n".join(texts)
