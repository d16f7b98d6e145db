"""A controller put together over the fakes, with a DynamicLease and a provider to begin with.

``settle`` performs one key's steps in the test's own task; ``running`` starts the workers, and
``passed`` waits until they are through with what was due.
"""

import asyncio
import contextlib
import copy
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

from leaseholder import errors
from leaseholder.api import base, lease, provider, record
from leaseholder.api.conditions import Reason
from leaseholder.controller import assembly, keys, loop
from leaseholder.controller import supplies as supplies_
from leaseholder.core import actions, shards
from leaseholder.core.memory import Memory
from leaseholder.core.view import View
from leaseholder.ports.credentials import Access, Credentialing
from leaseholder.ports.journal import Journal
from leaseholder.ports.provider import Capabilities, Provider
from tests.unit import clocks
from tests.unit.controller import fakecluster, fakes
from tests.unit.core.views import decide

SHOP = "shop"
NAME = "orders"
HERE = "cluster/leaseholder"
KEY = (SHOP, NAME)
SPEC: dict[str, Any] = {
    "providerRef": {"name": "infisical"},
    "infisical": {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"},
    "ttl": "1h",
}
AUTH: dict[str, Any] = {"tokenAuth": {"tokenSecretRef": {"name": "auth", "key": "token"}}}


def manifest(
    name: str = NAME,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A DynamicLease as a user writes it."""
    marks = {"annotations": annotations or {}, "labels": labels or {}}
    meta = {"name": name, "namespace": SHOP, **marks}
    return {"metadata": meta, "spec": {**SPEC, **spec}}


def infisical(name: str = "infisical", uid: str = "provider-uid", **spec: Any) -> Any:
    """A LeaseProvider as the API server has it."""
    return provider.LeaseProvider(
        metadata=base.ObjectMeta(name=name, namespace=SHOP, uid=uid, generation=1),
        spec=provider.LeaseProviderSpec.model_validate(
            {"infisical": {"url": "https://infisical.example", "auth": AUTH}, **spec}
        ),
    )


def shared(*allowed: dict[str, Any]) -> provider.ClusterLeaseProvider:
    """A ClusterLeaseProvider for some namespaces."""
    spec = infisical().spec.dump()
    return provider.ClusterLeaseProvider(
        metadata=base.ObjectMeta(name="shared", uid="shared-uid", generation=1),
        spec=provider.ClusterLeaseProviderSpec.model_validate(
            {**spec, "allowedNamespaces": allowed}
        ),
    )


def away(*, sent: bool = False) -> errors.Unavailable:
    """No answer; ``sent``: the request may have taken effect."""
    return errors.Unavailable(Reason.UNAVAILABLE, "the provider is away", sent=sent)


def denied(reason: Reason = Reason.LOGIN_REFUSED) -> errors.Denied:
    return errors.Denied(reason, "the login is refused")


def cluster_away() -> errors.ClusterUnavailable:
    return errors.ClusterUnavailable(Reason.CLUSTER, "the API server is away")


def key_of(holder: record.Holder) -> keys.Key:
    """What the controller calls a DynamicLease."""
    return keys.Key(holder.namespace, holder.name)


class World:
    """Everything, in memory."""

    def __init__(self, *, can: Capabilities = fakes.CAN, workers: int = 1) -> None:
        self.trace = fakes.Trace()
        self.clock = clocks.FakeClock()
        self.meter = fakes.FakeMeter(self.trace)
        self.journal = fakes.FakeJournal()
        self.cluster = fakecluster.FakeCluster(self.trace, self.clock)
        self.provider = fakes.FakeProvider(self.trace, self.clock, can)
        self.built: list[tuple[Access, fakes.FakeProvider]] = []
        self.build: Callable[[], fakes.FakeProvider] = lambda: self.provider
        self.supplies = supplies_.Supplies(self.cluster, self.clock, self._build, _address)
        self.workers = workers
        self.shard = shards.Shard()
        self.crash()
        self.cluster.put_provider(infisical())
        self.holder = self.cluster.user_applies(manifest()).holder
        self._sentinels = 0

    def process(
        self,
        workers: int = 1,
        *,
        shard: shards.Shard | None = None,
        draining: bool = False,
        journal: Journal | None = None,
    ) -> loop.Controller:
        """A controller as a process has it; another one is another process, or a restart."""
        return assembly.assemble(
            self.cluster,
            self.supplies,
            clock=self.clock,
            meter=self.meter,
            journal=journal or self.journal,
            installation=HERE,
            workers=workers,
            shard=shard or self.shard,
            draining=draining,
        )

    def beside(self, shard: shards.Shard) -> "World":
        """Another process, of that shard, in the same world."""
        other = copy.copy(self)
        other.shard = shard
        other.crash()
        return other

    def _build(self, access: Access, _: Credentialing) -> Provider:
        made = self.build()
        self.built.append((access, made))
        return made

    # -- one key in the test's own task

    async def look(self) -> tuple[View, actions.Action]:
        """One observation, and what is decided from it."""
        self.memory.secrets = None
        view = await self.observer.observe(self.key, self.memory)
        return view, decide(view)

    async def step(self) -> actions.Action:
        """Look, and do the one thing that is to be done."""
        view, step = await self.look()
        await self.performer.perform(view, step)
        return step

    async def upto(self, kind: type[actions.Action]) -> tuple[View, Any]:
        """Perform steps until one of that kind is to be performed."""
        step: actions.Action | None = None
        for _ in range(40):
            view, step = await self.look()
            if isinstance(step, kind):
                return view, step
            with contextlib.suppress(errors.Conflict):
                await self.performer.perform(view, step)
        raise AssertionError(f"no {kind.__name__}; the last was {step}")

    async def settle(self, after: float = 0.0) -> actions.Idle | actions.Release:
        """Perform steps until there is nothing to do for now."""
        self.clock.move(after)
        step: actions.Action | None = None
        for _ in range(40):
            view, step = await self.look()
            with contextlib.suppress(errors.Conflict):
                await self.performer.perform(view, step)
            if isinstance(step, actions.Idle | actions.Release):
                return step
        raise AssertionError(f"it never rests; the last was {step}")

    def crash(self) -> None:
        """All that only this process knew is lost."""
        self.controller = self.process(self.workers)
        self.observer, self.performer = self.controller.observer, self.controller.performer
        self.memory = Memory()

    # -- the workers

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[loop.Controller]:
        """The workers at work; stopped with the context."""
        async with fakes.background(self.controller.run()):
            yield self.controller
            await self.controller.stop()

    async def passed(self, after: float = 0.0) -> None:
        """Wait until all that is due by then is done."""
        self.clock.move(after)
        for _ in range(2):
            self._sentinels += 1
            name = f"sentinel-{self._sentinels}"
            gone = record.Holder(namespace=SHOP, name=name, uid="")
            await self.controller.offer(keys.Key(SHOP, name), poke=False)
            await self.trace.until(functools.partial(self.meter.forgotten.__contains__, gone))
            async with asyncio.timeout(60):
                while not self.is_at_rest():  # noqa: ASYNC110 - fakes wait for nothing real
                    await asyncio.sleep(0)

    def is_at_rest(self) -> bool:
        """Whether nobody is at work or due."""
        line = self.controller._line
        return not line.under_way and not line.waiting(self.clock.monotonic())

    # -- what is

    @property
    def key(self) -> keys.Key:
        """What the controller calls the DynamicLease that is looked at."""
        return key_of(self.holder)

    @property
    def subject(self) -> record.Subject:
        """What its record is for."""
        space = self.cluster.namespaces.get(self.holder.namespace)
        uid = space.uid if space is not None else self.holder.namespace
        return record.Subject(
            namespace=self.holder.namespace, namespace_uid=uid, name=self.holder.name
        )

    @property
    def dl(self) -> lease.DynamicLease:
        return self.cluster.leases[KEY]

    @property
    def ready(self) -> str:
        """The reason of the condition Ready."""
        return next(c.reason for c in self.dl.status.conditions if c.type == "Ready")

    @property
    def records(self) -> list[tuple[str, str]]:
        """State and lease id of each lease on record, oldest first."""
        return [(one.state, one.lease_id) for one in self.cluster.recorded]

    @property
    def recorded(self) -> record.RecordedLease:
        """The one lease on record."""
        (one,) = self.cluster.recorded
        return one

    @property
    def page(self) -> record.LeaseRecord:
        """The record of the DynamicLease that is looked at."""
        return self.cluster.ledger[record.name_of(HERE, self.subject)]

    @property
    def secret(self) -> str | None:
        """The lease whose credentials the Secret holds."""
        return self.cluster.values.get(KEY, {}).get("DB_USERNAME")

    def count(self, call: str) -> int:
        return self.trace.calls.count(call)

    def rival(self, number: int, **fields: Any) -> record.RecordedLease:
        """A lease that another process puts on record."""
        made = record.RecordedLease.model_validate(
            {
                "attemptId": f"rival-{number}",
                "holderUid": self.holder.uid,
                "state": "Attempt",
                "provider": {
                    "type": "infisical",
                    "kind": "LeaseProvider",
                    "namespace": SHOP,
                    "name": "infisical",
                    "uid": "provider-uid",
                    "address": "https://infisical.example",
                    "authRef": AUTH,
                },
                "source": {},
                "sourceHash": next((one.source_hash for one in self.cluster.recorded), "h"),
                "ttlSeconds": 3600,
                "startedAt": self.clock.wall(),
                "deadline": self.clock.wall(),
                **fields,
            }
        )
        self.others_write(*self._leases, made)
        return made

    def claim(self) -> None:
        """Another process claims every attempt."""
        claimed = {"state": record.State.REVOKING}
        attempts = record.State.ATTEMPT
        self.others_write(
            *(one.but(**claimed) if one.state is attempts else one for one in self._leases)
        )

    def others_write(self, *leases: record.RecordedLease, **spec: Any) -> record.LeaseRecord:
        """Another process, a restore or somebody's hand makes the record hold just these."""
        known = self.cluster.ledger.get(record.name_of(HERE, self.subject))
        before = known or record.LeaseRecord(
            metadata=base.ObjectMeta(name=record.name_of(HERE, self.subject), uid="by-others"),
            spec=record.RecordSpec(for_=self.subject, installation=HERE),
        )
        changed = before.spec.model_copy(update={"leases": leases, **spec})
        return self.cluster.put_record(before.model_copy(update={"spec": changed}))

    @property
    def _leases(self) -> tuple[record.RecordedLease, ...]:
        known = self.cluster.ledger.get(record.name_of(HERE, self.subject))
        return known.leases if known is not None else ()


def _address(spec: provider.ProviderSpec) -> str:
    return spec.infisical.url if spec.infisical is not None else ""
