"""The test's own door: ``POST /__admin/…`` on the same port, never logged, limited or delayed.

It seeds, turns switches, shows what a client can't see (which credentials are alive, with or
without a lease) and does what happens to a server behind a client's back. Each act is a method
``do_…`` that takes and gives JSON; what goes wrong in it is a 400 with the reason.
"""

import abc
import dataclasses
import json
from typing import Any

from aiohttp import web

from tests.world.emulation import models, state, worker


class Admin(abc.ABC):
    """The acts that every server has."""

    def __init__(
        self, world: state.World[Any, Any, Any], jobs: worker.Worker, seed: type[models.Model]
    ) -> None:
        self._world = world
        self._jobs = jobs
        self._seed = seed

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["act"]
        act = getattr(self, "do_" + name.replace("-", "_"), None)
        if act is None:
            return web.json_response({"message": f"no such act: {name}"}, status=404)
        raw = await request.read()
        try:
            return web.json_response(await act(json.loads(raw) if raw else {}))
        except Exception as failure:
            return web.json_response({"message": repr(failure)}, status=400)

    async def do_seed(self, body: Any) -> object:
        """Plant a seed; the state that comes of it."""
        self._world.plant(self._seed.model_validate(body))
        return await self.do_state(body)

    @abc.abstractmethod
    async def do_state(self, body: Any) -> object:
        """What was planted, logins in plain."""

    async def do_switches(self, body: Any) -> object:
        """Move what is named; everything as it is now."""
        await self._world.turn(body)
        self._jobs.wake()
        return self._world.switches.model_dump(by_alias=True)

    async def do_log(self, body: Any) -> object:
        return {"requests": [dataclasses.asdict(one) for one in self._world.traffic.log]}

    async def do_counters(self, body: Any) -> object:
        return self._world.traffic.counters()

    async def do_reset(self, body: Any) -> object:
        self._world.traffic.reset()
        return {}
