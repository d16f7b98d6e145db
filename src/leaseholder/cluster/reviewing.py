"""TokenReviews and SubjectAccessReviews, on a connection of their own.

A process that stands by sends nothing else and has metrics all the same: what holds its other
requests back doesn't hold these.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from leaseholder.cluster import client, places
from leaseholder.ports.reviews import User
from leaseholder.secrecy import Hidden

_TIMEOUT: Final = 4.0
"""Seconds: there are two reviews, and Prometheus waits for ten."""


class LiveReviews:
    """``ports.Reviews`` on a real API server."""

    def __init__(self, api: client.Api) -> None:
        self._api = api

    async def authenticate(self, token: Hidden) -> User | None:
        """Whose a token is; None: nobody's."""
        status = await self._status(places.TOKEN_REVIEWS, {"token": token.reveal()})
        user = status.get("user")
        if status.get("authenticated") is not True or not isinstance(user, dict):
            return None
        return User(
            name=user.get("username") or "",
            uid=user.get("uid") or "",
            groups=user.get("groups") or (),
            extra=user.get("extra") or {},
        )

    async def may_get(self, user: User, path: str) -> bool:
        """Whether somebody may ``get`` a URL that is no resource."""
        spec = {
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": dict(user.extra),
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        status = await self._status(places.ACCESS_REVIEWS, spec)
        return status.get("allowed") is True

    async def _status(self, resource: places.Resource, spec: dict[str, Any]) -> dict[str, Any]:
        place = resource.at("")
        answer = await self._api.request("POST", place, body={"spec": spec}, timeout=_TIMEOUT)
        status = answer.get("status")
        return status if isinstance(status, dict) else {}


@contextlib.asynccontextmanager
async def opened(observe: client.Observe | None = None) -> AsyncIterator[LiveReviews]:
    """Reviews by the operator's own login; the connections close with the context.

    ``observe`` is called with verb and resource of each request.

    Raises:
        ClusterUnavailable: there is no usable configuration.
    """
    api = await client.Api.connect(observe=observe)
    try:
        yield LiveReviews(api)
    finally:
        await api.aclose()
