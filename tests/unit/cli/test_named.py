"""A name that isn't there is answered with one that is and is near it."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.cli import refused, session
from leaseholder.cluster import client, places, refusals


class Server:
    """An API server that has DynamicLeases of other names."""

    def __init__(self, *there: str, may_list: bool = True) -> None:
        self.there, self.may_list = there, may_list

    endpoint = ("127.0.0.1", 443)

    async def request(self, method: str, place: places.Place, **_: Any) -> Any:
        gone = refusals.NotFound(Reason.CLUSTER, f"{method} {place}")
        gone.names_object = True
        raise gone

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        if not self.may_list:
            raise errors.Refused(Reason.DENIED, "forbidden")
        yield {"items": [{"metadata": {"name": name}} for name in self.there]}


MISSING = "there is no DynamicLease ordrs-db in namespace shop: mind -n"


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (Server("billing", "orders-db"), f"{MISSING}. Did you mean orders-db?"),
        (Server("billing"), MISSING),
        (Server(), MISSING),
        (Server("orders-db", may_list=False), MISSING),
    ],
    ids=["near", "far", "none", "no right to list"],
)
async def test_a_misspelt_name_is_answered_with_the_nearest(server: Server, told: str) -> None:
    user = session.Session(cast("client.Api", server), "shop")
    with pytest.raises(refused.Missing) as failed:
        await user.named("ordrs-db")
    assert failed.value.message == told
