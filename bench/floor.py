"""The floor: the calls that the protocol can't do without, and nothing else.

``python -m bench.floor`` is a process of its own, so that its processor time can be read like the
operator's. It gets its orders as lines of JSON on standard input, the objects as they come, and
answers with one line of JSON at the end. It decides nothing, reads nothing again and retries
nothing.

    acquire   finalizer, record (Attempt), login where each lease has one of its own, issue,
              record (Held), Secret, status
    renew     renew at the provider, status
    delete    status, Secret, record (Revoking), revoke, check, record, finalizer, record's deletion
"""

import asyncio
import base64
import collections.abc
import dataclasses
import json
import os
import ssl
import sys
import time
import typing
import uuid

import aiohttp

from leaseholder.api import names

WORKERS: typing.Final = 16
"""As many as the operator has."""
HOME: typing.Final = "leaseholder"

_API: typing.Final = f"/apis/{names.GROUP}/{names.VERSION}"
_MERGE: typing.Final = {"Content-Type": "application/merge-patch+json"}
Json = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """A lease as the provider gave it."""

    id: str
    data: dict[str, str]
    token: str = ""
    """The login that holds it, where each lease has one of its own."""


class Provider(typing.Protocol):
    """The bare calls to a provider."""

    async def start(self) -> None:
        """Log in, where one login serves all."""

    async def issue(self) -> Issued:
        """A new lease."""
        ...

    async def renew(self, lease: Issued) -> None:
        """Renew it."""

    async def revoke(self, lease: Issued) -> None:
        """End it, and see that it is gone."""


class Infisical:
    """Infisical's API: one login for all."""

    def __init__(self, session: aiohttp.ClientSession, order: Json) -> None:
        self._session = session
        self._url = f"{order['url']}/api/v1"
        self._login = {"clientId": order["clientId"], "clientSecret": order["clientSecret"]}
        self._place = order["place"]
        self._name = order["source"]
        self._headers: dict[str, str] = {}

    async def start(self) -> None:
        """Log in."""
        url = f"{self._url}/auth/universal-auth/login"
        async with self._session.post(url, json=self._login) as answer:
            self._headers = {"Authorization": f"Bearer {(await answer.json())['accessToken']}"}

    async def issue(self) -> Issued:
        """A new lease of an hour."""
        body = {**self._place, "dynamicSecretName": self._name, "ttl": "3600s"}
        found = await self._call("POST", "/dynamic-secrets/leases", body)
        return Issued(found["lease"]["id"], found["data"])

    async def renew(self, lease: Issued) -> None:
        """Renew it by an hour."""
        body = {**self._place, "ttl": "3600s"}
        await self._call("POST", f"/dynamic-secrets/leases/{lease.id}/renew", body)

    async def revoke(self, lease: Issued) -> None:
        """End it, and see that it is gone."""
        await self._call("DELETE", f"/dynamic-secrets/leases/{lease.id}", self._place)
        await self._call("GET", f"/dynamic-secrets/leases/{lease.id}", None, gone=True)

    async def _call(self, method: str, path: str, body: Json | None, *, gone: bool = False) -> Json:
        query = self._place if method == "GET" else None
        async with self._session.request(
            method, self._url + path, json=body, params=query, headers=self._headers
        ) as answer:
            parsed: Json = await answer.json()
            _expect(answer.status, 404 if gone else 200)
            return parsed


class OpenBao:
    """OpenBao's API: a login for each lease, because its end is the lease's."""

    def __init__(self, session: aiohttp.ClientSession, order: Json) -> None:
        self._session = session
        self._url = f"{order['url']}/v1"
        self._role = {"role_id": order["roleId"], "secret_id": order["secretId"]}
        self._path = order["source"]

    async def start(self) -> None:
        """Nothing: each lease has a login of its own."""

    async def issue(self) -> Issued:
        """Log in, then read the path."""
        made = await self._call("POST", "/auth/approle/login", "", self._role)
        token = made["auth"]["client_token"]
        found = await self._call("GET", f"/{self._path}", token)
        return Issued(found["lease_id"], found["data"], token)

    async def renew(self, lease: Issued) -> None:
        """Renew the login and the lease."""
        await self._call("POST", "/auth/token/renew-self", lease.token, {"increment": 3600})
        body = {"lease_id": lease.id, "increment": 3600}
        await self._call("POST", "/sys/leases/renew", lease.token, body)

    async def revoke(self, lease: Issued) -> None:
        """End the login, and with it the lease; see that the login is gone."""
        await self._call("POST", "/auth/token/revoke-self", lease.token)
        await self._call("GET", "/auth/token/lookup-self", lease.token, gone=True)

    async def _call(
        self, method: str, path: str, token: str, body: Json | None = None, *, gone: bool = False
    ) -> Json:
        headers = {"X-Vault-Token": token} if token else {}
        async with self._session.request(
            method, self._url + path, json=body, headers=headers
        ) as answer:
            _expect(answer.status, 403 if gone else (200, 204))
            return {} if answer.status in (204, 403) else await answer.json()


PROVIDERS: typing.Final[dict[str, type[Infisical] | type[OpenBao]]] = {
    "infisical": Infisical,
    "openbao": OpenBao,
}


@dataclasses.dataclass(slots=True)
class Floor:
    """The bare script; what it has issued is kept for renewal and deletion."""

    kube: aiohttp.ClientSession
    provider: Provider
    namespace: str
    gate: asyncio.Semaphore
    """Requests to the provider at once, as ``limits.concurrency`` has it."""
    _held: dict[str, tuple[Issued, Json]] = dataclasses.field(default_factory=dict)

    async def acquire(self, dl: Json) -> None:
        """All calls of an acquisition."""
        name, uid = dl["metadata"]["name"], dl["metadata"]["uid"]
        path = f"{_API}/namespaces/{self.namespace}/dynamicleases/{name}"
        await self._call("PATCH", path, {"metadata": {"finalizers": [names.FINALIZER]}})
        records = f"{_API}/namespaces/{HOME}/leaserecords"
        record = await self._call("POST", records, _record(self.namespace, name, uid))
        async with self.gate:
            lease = await self.provider.issue()
        place = f"{records}/{record['metadata']['name']}"
        record = await self._call("PATCH", place, _moved(record, state="Held", leaseId=lease.id))
        secret = _secret(self.namespace, name, uid, lease)
        await self._call("POST", f"/api/v1/namespaces/{self.namespace}/secrets", secret)
        status = {"status": _status(_attempt_id(record), lease.id, renewals=0)}
        await self._call("PATCH", f"{path}/status", status)
        self._held[name] = lease, record

    async def renew(self, dl: Json) -> None:
        """All calls of a renewal."""
        name = dl["metadata"]["name"]
        lease, record = self._held[name]
        async with self.gate:
            await self.provider.renew(lease)
        path = f"{_API}/namespaces/{self.namespace}/dynamicleases/{name}/status"
        status = _status(_attempt_id(record), lease.id, renewals=1)
        await self._call("PATCH", path, {"status": status})

    async def delete(self, dl: Json) -> None:
        """All calls of a deletion."""
        name = dl["metadata"]["name"]
        lease, record = self._held.pop(name)
        path = f"{_API}/namespaces/{self.namespace}/dynamicleases/{name}"
        place = f"{_API}/namespaces/{HOME}/leaserecords/{record['metadata']['name']}"
        deleting = {"status": {"conditions": [_condition("Ready", "False", "Deleting")]}}
        await self._call("PATCH", f"{path}/status", deleting)
        await self._call("DELETE", f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        revoking = _moved(record, state="Revoking", revoke={"reason": "Deleting"})
        await self._call("PATCH", place, revoking)
        async with self.gate:
            await self.provider.revoke(lease)
        ended = {"attemptId": _attempt_id(record), "at": "2026-01-01T00:00:00Z", "why": "Confirmed"}
        emptied = {"metadata": {"finalizers": []}, "spec": {"leases": [], "ended": [ended]}}
        await self._call("PATCH", place, emptied)
        await self._call("PATCH", path, {"metadata": {"finalizers": None}})
        await self._call("DELETE", place)

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        headers = _MERGE if method == "PATCH" else {}
        async with self.kube.request(method, path, json=body, headers=headers) as answer:
            _expect(answer.status, (200, 201))
            parsed: Json = await answer.json()
            return parsed


def _expect(status: int, wanted: int | tuple[int, ...]) -> None:
    if status not in (wanted if isinstance(wanted, tuple) else (wanted,)):
        raise SystemExit(f"the floor met status {status}")


def _record(namespace: str, name: str, uid: str) -> Json:
    """A record of the size that the operator writes."""
    provider = {
        "type": "infisical",
        "kind": "LeaseProvider",
        "namespace": namespace,
        "name": "infisical",
        "uid": str(uuid.uuid4()),
        "address": "http://127.0.0.1:20000",
        "authRef": {"universalAuth": {"clientId": "x" * 32, "clientSecretRef": {"name": "auth"}}},
    }
    lease = {
        "attemptId": uuid.uuid4().hex,
        "sealKey": uuid.uuid4().hex,
        "holderUid": uid,
        "state": "Attempt",
        "provider": provider,
        "source": {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "orders"},
        "sourceHash": "0" * 64,
        "ttlSeconds": 3600,
        "startedAt": "2026-01-01T00:00:00Z",
        "deadline": "2026-01-01T00:01:00Z",
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "LeaseRecord",
        "metadata": {
            "name": f"{namespace}.{name}.{uuid.uuid4().hex[:20]}",
            "namespace": HOME,
            "finalizers": [names.ON_RECORD],
        },
        "spec": {
            "for": {"namespace": namespace, "namespaceUid": str(uuid.uuid4()), "name": name},
            "installation": f"{uuid.uuid4()}/{HOME}",
            "leases": [lease],
        },
    }


def _attempt_id(record: Json) -> str:
    found: str = record["spec"]["leases"][0]["attemptId"]
    return found


def _moved(record: Json, **changes: object) -> Json:
    """A write of the record's one lease."""
    return {"spec": {"leases": [{**record["spec"]["leases"][0], **changes}]}}


def _secret(namespace: str, name: str, uid: str, lease: Issued) -> Json:
    values = {k: base64.b64encode(str(v).encode()).decode() for k, v in lease.data.items()}
    owner = {"apiVersion": names.API_VERSION, "kind": "DynamicLease", "name": name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {names.OWNER_UID: uid},
            "annotations": {names.LEASE_ID: lease.id, names.CONTENTS: "x" * 200},
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "data": values,
    }


def _status(attempt: str, lease_id: str, *, renewals: int) -> Json:
    """A status of the size that the operator writes."""
    lease = {
        "attempt": attempt,
        "id": lease_id,
        "issuedAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2026-01-01T01:00:00Z",
        "renewAt": "2026-01-01T00:40:00Z",
        "renewals": renewals,
        "strategy": "Renew",
    }
    kinds = ("Ready", "LeaseHeld", "SecretSynced", "Stalled")
    return {
        "observedGeneration": 1,
        "conditions": [_condition(kind, "True", "Issued") for kind in kinds],
        "lease": lease,
    }


def _condition(kind: str, status: str, reason: str) -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "the Secret holds credentials that live",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }


async def _objects() -> collections.abc.AsyncIterator[Json]:
    """The lines of standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


async def _work(
    objects: collections.abc.AsyncIterator[Json], floor: Floor, verb: str, count: int
) -> float:
    """Do ``count`` objects with ``WORKERS`` workers; seconds from the first to the last."""
    do = {"acquire": floor.acquire, "renew": floor.renew, "delete": floor.delete}[verb]
    queue: asyncio.Queue[Json] = asyncio.Queue()

    async def worker() -> None:
        while True:
            dl = await queue.get()
            await do(dl)
            queue.task_done()

    workers = [asyncio.create_task(worker()) for _ in range(WORKERS)]
    started = 0.0
    for number in range(count):
        dl = await anext(objects)
        started = time.monotonic() if number == 0 else started
        queue.put_nowait(dl)
    done = asyncio.create_task(queue.join())
    await asyncio.wait([done, *workers], return_when=asyncio.FIRST_COMPLETED)
    for task in (done, *workers):
        if task.done():
            task.result()
        task.cancel()
    return time.monotonic() - started


async def main() -> None:
    """Obey one order after the other, each ``{"verb": …, "count": …}`` and then its objects."""
    objects = _objects()
    setup = await anext(objects)
    context = ssl.create_default_context(cafile=setup["ca"])
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    headers = {"Authorization": f"Bearer {os.environ['FLOOR_TOKEN']}"}
    async with (
        aiohttp.ClientSession(setup["kubernetes"], connector=connector, headers=headers) as kube,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as outside,
    ):
        provider = PROVIDERS[setup["type"]](outside, setup["provider"])
        await provider.start()
        gate = asyncio.Semaphore(setup["concurrency"])
        floor = Floor(kube, provider, setup["namespace"], gate)
        _answer({"ready": True})
        async for order in objects:
            cpu = time.process_time()
            seconds = await _work(objects, floor, order["verb"], order["count"])
            _answer({"seconds": seconds, "cpuSeconds": time.process_time() - cpu})


def _answer(answer: Json) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
