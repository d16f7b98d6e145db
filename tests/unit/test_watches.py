"""What kopf's thread hands over reaches our own loop: all of it, in its order."""

import asyncio
import logging
from typing import cast

import pytest

from leaseholder import watches
from leaseholder.api import base
from leaseholder.controller.loop import Controller
from leaseholder.controller.providers import ProviderWatch, Version
from leaseholder.controller.supplies import Ref

MANY = 1000


class _Hearing:
    """A controller and the providers' watch, which note what they hear."""

    def __init__(self) -> None:
        self.heard_of: list[tuple[str, bool]] = []
        self.all = asyncio.Event()

    async def heard(self, meta: base.ObjectMeta, *, gone: bool) -> None:
        self.heard_of.append((meta.name, gone))
        if meta.name == "odd":
            raise RuntimeError("a secret")
        if meta.name == "last":
            self.all.set()

    async def offer(self, ref: Ref, version: Version | None) -> None:
        self.heard_of.append((ref[2], version is None))


def _ours(hearing: _Hearing) -> watches.Ours:
    loop = asyncio.get_running_loop()
    return watches.Ours(loop, cast(Controller, hearing), cast(ProviderWatch, hearing))


def _meta(name: str) -> base.ObjectMeta:
    return base.ObjectMeta(namespace="shop", name=name, uid=f"uid of {name}")


async def test_all_that_another_thread_hands_over_is_taken_in_its_order() -> None:
    hearing = _Hearing()
    ours = _ours(hearing)

    async def hand_over() -> None:
        for number in range(MANY):
            await ours.lease(_meta(str(number)), gone=number % 2 == 1)
        await ours.provider("LeaseProvider", _meta("infisical"), gone=True)
        await ours.lease(_meta("last"), gone=False)

    await asyncio.to_thread(asyncio.run, hand_over())
    async with asyncio.timeout(60):
        await hearing.all.wait()
    expected = [(str(number), number % 2 == 1) for number in range(MANY)]
    assert hearing.heard_of == [*expected, ("infisical", True), ("last", False)]


async def test_an_event_that_goes_wrong_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    hearing = _Hearing()
    ours = _ours(hearing)
    await ours.lease(_meta("odd"), gone=False)
    await ours.lease(_meta("last"), gone=False)
    async with asyncio.timeout(60):
        await hearing.all.wait()
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert "an event isn't taken" in told.getMessage()
    assert "a secret" not in told.getMessage()
