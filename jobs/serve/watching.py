"""An alias of the registry, looked at now and then: the version that it moves to takes over without a break.

    wait -> where does models:/NAME@ALIAS point? -> another version: find, verify, load beside the old one -> replace

The old model answers until the new one can, and what it has read it also scores. Where the new one can't be loaded, the
old one goes on answering, and ``/ready`` says why.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from data_pipeline.errors import BaserewardError
from jobs.serve.models import FoundModel
from rm_core.serving.service import LoadedModel, RewardService

__all__ = ["AliasWatch"]

_LOGGER = logging.getLogger(__name__)


class AliasWatch:
    """Keeps a service at the version that an alias stands for.

    Args:
        model: the address, for ``/ready``.
        address: what it means now; asked each time.
        find: looks that up with all its files, which are read; asked where it means another one.
        load: loads that.
        every_s: seconds between two looks.
    """

    def __init__(
        self,
        service: RewardService,
        model: str,
        *,
        address: Callable[[], str],
        find: Callable[[], FoundModel],
        load: Callable[[FoundModel], LoadedModel],
        every_s: float,
    ) -> None:
        self._service = service
        self._model = model
        self._address = address
        self._find = find
        self._load = load
        self._every_s = every_s
        self._error: str | None = None

    def status(self) -> dict[str, Any]:
        """What ``/ready`` says of it."""
        return {"asked_for": self._model, "update_error": self._error}

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Look once; an error is kept for ``/ready`` and logged."""
        try:
            if await asyncio.to_thread(self._address) != self._service.address:
                found = await asyncio.to_thread(self._find)
                self._service.replace(await asyncio.to_thread(self._load, found))
                _LOGGER.info("%s is %s now", self._model, found.address)
            self._error = None
        except (BaserewardError, OSError, RuntimeError) as error:
            self._error = f"{type(error).__name__}: {error}"
            _LOGGER.exception("%s could not be taken up; %s goes on answering", self._model, self._service.address)
