"""The Lease that the leader leads by, on a connection of its own.

Flows in: the Lease as ``controller.leader`` wants it. Flows out: the Lease as it is. Nothing that
the rest of the process sends, or may not send, keeps it from being written.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from leaseholder import errors
from leaseholder.cluster import client, patches, places, refusals
from leaseholder.cluster import login as logins
from leaseholder.ports.seats import Seat

LEASE: Final = "leaseholder-operator"
"""Name of the Lease, in the operator's namespace; other shards than the default one add theirs."""
_USUAL: Final = logins.Choice()


class LeaseSeats:
    """``ports.Seats`` on a real API server."""

    def __init__(self, api: client.Api, namespace: str, shard: str = "") -> None:
        self._api = api
        self._place = places.ELECTIONS.at(namespace, f"{LEASE}-{shard}" if shard else LEASE)
        self._collection = places.ELECTIONS.at(namespace)

    @classmethod
    async def connect(
        cls,
        namespace: str,
        observe: client.Observe | None = None,
        choice: logins.Choice = _USUAL,
        shard: str = "",
    ) -> Self:
        """Connect as the operator does, or by the user's choice; ``shard``: empty for the default.

        Raises:
            ClusterUnavailable: there is no usable configuration.
        """
        api = await client.Api.connect(choice.kubeconfig, context=choice.context, observe=observe)
        return cls(api, namespace, shard)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._api.aclose()

    async def read(self) -> Seat | None:
        """The Lease; None where there is none."""
        try:
            return _seat(await self._api.request("GET", self._place))
        except refusals.NotFound:
            return None

    async def write(self, seat: Seat) -> Seat:
        """Write it as it was read, or for the first time; a conflict where it isn't so any more."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": seat.holder,
            "leaseDurationSeconds": int(seat.duration),
            "leaseTransitions": seat.transitions,
            "renewTime": now,
            **({"acquireTime": now} if seat.begins else {}),
        }
        if seat.version:
            body = {"metadata": {"resourceVersion": seat.version}, "spec": spec}
            return _seat(
                await self._api.request(
                    "PATCH",
                    self._place,
                    query=patches.writing(),
                    body=body,
                    content_type=client.MERGE_PATCH,
                )
            )
        meta: dict[str, Any] = {"namespace": self._place.namespace, "name": self._place.name}
        made: dict[str, Any] = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": spec,
        }
        query = patches.writing()
        return _seat(await self._api.request("POST", self._collection, query=query, body=made))


class LastingSeats(LeaseSeats):
    """The same for a drain: where its namespace goes, the Lease is kept in memory.

    It goes with the namespace, and nobody can make another one there, so nobody else comes to lead.
    Whoever led when it was last seen has its time all the same.
    """

    def __init__(self, api: client.Api, namespace: str, shard: str = "") -> None:
        super().__init__(api, namespace, shard)
        self._last: Seat | None = None

    async def read(self) -> Seat | None:
        """The Lease, or what it last was."""
        found = await super().read()
        if found is None and self._last is not None and await self._namespace_goes():
            return self._last
        self._last = found
        return found

    async def write(self, seat: Seat) -> Seat:
        """Write it; where it can't be any more, that counts as written."""
        try:
            self._last = await super().write(seat)
        except errors.Refused:
            if not await self._namespace_goes():
                raise
            self._last = replace(seat, begins=False)
        return self._last

    async def _namespace_goes(self) -> bool:
        try:
            found = await self._api.request("GET", places.NAMESPACES.at("", self._place.namespace))
        except refusals.NotFound:
            return True
        return "deletionTimestamp" in patches.metadata(found)


def _seat(body: client.Body) -> Seat:
    """A Lease, whatever somebody wrote into it."""
    found = body.get("spec")
    spec = found if isinstance(found, dict) else {}
    return Seat(
        holder=str(spec.get("holderIdentity") or ""),
        duration=_whole(spec.get("leaseDurationSeconds")),
        version=str(patches.metadata(body).get("resourceVersion") or ""),
        transitions=_whole(spec.get("leaseTransitions")),
    )


def _whole(number: object) -> int:
    return max(0, number) if isinstance(number, int) else 0
