"""What every test shares.

Nothing is written to the user's home, and nothing is sent anywhere. No property test fails because the machine is slow:
`pytest-timeout` alone ends what hangs.
"""

import os
from collections.abc import Iterator

import pytest
from drill_time import DrillTime, add_options
from hypothesis import HealthCheck, settings

settings.register_profile("basereward", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("basereward")


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    if (minutes := config.getoption("--drill-minutes")) is not None:
        config.pluginmanager.register(DrillTime(minutes, config.getoption("--drill-turn")), "drill-time")


@pytest.fixture(scope="session", autouse=True)
def private_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tokens go to a temporary folder; one a process, because Ray keeps the first token it reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("DO_NOT_TRACK", "true")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
            if name in os.environ:
                patch.delenv(name)
        yield
