"""The list of apps: what shows that Phase answers and takes the token; nothing of it is wanted."""

from typing import Final

from leaseholder.providers.kit import requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.phase import refusals, sources

_APPS: Final = "/v1/apps/"


async def look(send: sources.Send, timeout: float) -> None:
    """Ask for the list.

    Raises:
        ProviderError: the server doesn't answer, or doesn't take the token.
    """
    answer = await send(
        requests.Request(
            operation="status",
            method="GET",
            path=_APPS,
            timeout=timeout,
            rank=Rank.CHECK,
            lists=True,
        )
    )
    # Listing apps is a right of its own: who lacks only that is let in.
    if refusals.lacks_right(answer):
        return
    if answer.status != 200:
        raise refusals.refusal(answer, {}, effect=False)
    if not await answer.has_rows(under="data"):
        raise refusals.ERRORS.bad(answer, sent=False)
