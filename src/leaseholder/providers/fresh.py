"""A login that was just made: who answers may not know of it yet, and say 403.

So a fresh login is asked once more before its refusal is reported. A request that got a 403 did
nothing, so it may be sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from leaseholder.providers.http import Answer

AGAIN: Final = 1.0
"""Seconds until then: what a standby or a replica usually trails its server by."""


async def asked(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to what ``send`` sends; the second one where the first is 403."""
    answer = await send()
    if answer.status != 403:
        return answer
    await asyncio.sleep(AGAIN)
    return await send()
