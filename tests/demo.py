"""``make demo``: the life of a lease at one provider after the other, with facts from outside.

The world is started, the CRDs and the manifests of deploy/examples are applied as a user would.
At each provider a lease is acquired, renewed, rotated, healed after its Secret was deleted,
carried through an outage of the provider, and revoked. Everything that is told is looked up at
what the credentials open, at the provider and at the API server. Beside the facts stands what a
user types, and what kubectl prints: by the columns that the API server gives, without kubectl.

``DEMO_PROVIDERS`` chooses among infisical, phase and openbao. ``make demo-all`` (``--at-once``)
tells of all three side by side, without manifests. Ends with ``demo: passed`` (exit code 0), or
``demo: failed: …`` (1).
"""

import argparse
import asyncio
import contextlib
import datetime
import os
import sys
import time
import typing

from tests.world import houses, kube, operator, processes
from tests.world import world as worlds

EXAMPLES = processes.CHECKOUT / "deploy" / "examples"
NAMESPACE = "shop"
OVERLAP = 5
"""Seconds that a replaced lease lives on."""
HIDDEN = "(not shown)"
"""What stands in the place of a login."""


class Missed(Exception):
    """Something that should hold doesn't."""


class Demo:
    """One telling, at one provider."""

    def __init__(
        self,
        house: houses.House,
        trusts: str | None,
        client: kube.Kube,
        started: float,
        *,
        alone: bool,
    ) -> None:
        self.house, self.trusts, self.client, self.started = house, trusts, client, started
        self.alone = alone
        self.name = ""

    def tell(self, text: str) -> None:
        """One line, with the seconds since the start."""
        print(f"[{time.monotonic() - self.started:5.1f} s] {self.house.type:<10}{text}", flush=True)

    def typed(self, words: str) -> None:
        """A command as a user would type it; what it does is done by the caller."""
        self.tell(f"$ kubectl -n {NAMESPACE} {words}")

    def printed(self, text: str) -> None:
        """What a command prints, or reads: too much of it where several tell at once."""
        if self.alone:
            print("\n".join(f"           {line}" for line in text.splitlines()), flush=True)

    async def listed(self) -> None:
        """The DynamicLease as kubectl lists it."""
        self.typed(f"get dynamiclease {self.name}")
        self.printed(await self.client.table("DynamicLease", self.name, NAMESPACE))

    def check(self, holds: bool, text: str) -> None:
        """A fact: told when it holds, the end when it doesn't."""
        if not holds:
            raise Missed(text)
        self.tell(f"  ✓ {text}")

    async def run(self) -> None:
        """The whole story."""
        await self.acquire()
        await self.renew()
        await self.rotate()
        await self.heal()
        await self.outlive_an_outage()
        await self.revoke()

    async def acquire(self) -> None:
        """From manifests to a login."""
        for name in (f"{self.house.type}-provider.yaml", f"{self.house.type}-lease.yaml"):
            self.tell(f"$ kubectl apply -f deploy/examples/{name}")
            fitted = [self.fitted(document) for document in kube.documents(EXAMPLES / name)]
            self.printed(_manifest(fitted))
            for document in fitted:
                await self.client.apply(document)
        applied = time.monotonic()
        found = await self.wait(kube.is_ready, "the DynamicLease is Ready")
        self.check(True, f"Ready after {time.monotonic() - applied:.1f} s: {_columns(found)}")
        await self.listed()
        values = await self.values()
        self.check(bool(values), f"Secret {self.name} holds {', '.join(sorted(values))}")
        self.check(await self.lets_in(values), "these credentials are let in")
        (record,) = await self.records()
        self.check(True, f"on record: {record['state']} {record['leaseId']}")

    async def renew(self) -> None:
        """The provider's own word on the expiry, before and after."""
        lease, values = await self.lease(), await self.values()
        before = await self.end_of(lease)
        self.tell(f"waiting for a renewal; at the provider the lease ends {_clock(before)}")
        await self.until(lambda: self.lives_beyond(lease, before), "the lease is renewed")
        after = await self.end_of(lease)
        self.check(after > before, f"renewed at the provider: now it ends {_clock(after)}")
        self.check(await self.values() == values, "the Secret didn't change")
        self.check(await self.lets_in(values), "the credentials are still let in")

    async def rotate(self) -> None:
        """Make before break: the old login works until the overlap is over."""
        lease, old = await self.lease(), await self.values()
        self.typed(f"annotate dynamiclease {self.name} leaseholder.dev/rotate=demo")
        self.tell(f"the overlap is {OVERLAP} s: so long the old login works on")
        change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "demo"}}}
        await self.client.patch("DynamicLease", self.name, NAMESPACE, change)
        await self.until(lambda: self.differ(old), "the Secret holds other credentials")
        new, rotated = await self.values(), time.monotonic()
        both = await self.lets_in(old) and await self.lets_in(new)
        self.check(both, "both logins are let in, the old and the new")
        await self.until(lambda: self.refused(old), "the old login is refused")
        took = time.monotonic() - rotated
        self.check(took >= OVERLAP - 1, f"the old login is refused {took:.1f} s later")
        self.check(await self.lets_in(new), "the new one goes on working")
        await self.until(lambda: self.forgotten(lease), "the provider has no old lease")
        self.check(True, f"the provider has no lease {lease} any more")

    async def heal(self) -> None:
        """Credentials are in the Secret and nowhere else: who deletes it gets others."""
        await self.wait(kube.is_ready, "the DynamicLease is Ready")
        lease, old = await self.lease(), await self.values()
        self.typed(f"delete secret {self.name}")
        await self.client.delete("Secret", self.name, NAMESPACE)
        deleted = time.monotonic()
        await self.until(self.values, "the Secret is there again")
        new, took = await self.values(), time.monotonic() - deleted
        self.check(took < 5, f"it is there again after {took:.1f} s")
        self.check(new != old, "with new credentials: the old ones stood nowhere else")
        self.check(await self.lets_in(new), "they are let in")
        await self.until(lambda: self.refused(old), "the lost login is refused")
        await self.until(lambda: self.forgotten(lease), "the provider has no lost lease")
        self.check(True, f"the lost login is refused, and lease {lease} is gone")

    async def outlive_an_outage(self) -> None:
        """No answer from the provider when a renewal is due: nothing is thrown away."""
        await self.wait(kube.is_ready, "the DynamicLease is Ready")
        lease, values, issued = await self.lease(), await self.values(), await self.house.issued()
        before = await self.end_of(lease)
        self.house.faults.reset()
        self.tell(f"cutting the provider off; the lease ends {_clock(before)}")
        troubled = await self.wait(_is_troubled, "the outage is told")
        ready = kube.condition(troubled, "Ready")
        told = f"Ready={ready['status']}, {ready['reason']}: {ready['message']}"
        self.check(ready["status"] == "True", told)
        await self.listed()
        self.check(await self.lets_in(values), "the credentials are let in meanwhile")
        self.house.faults.clear()
        self.tell("the provider is back")
        await self.until(lambda: self.lives_beyond(lease, before), "the lease is renewed")
        after = await self.end_of(lease)
        self.check(True, f"the same lease is renewed: it ends {_clock(after)}")
        healed = await self.wait(_is_well, "the trouble is over")
        self.check(healed["status"]["lease"]["id"] == lease, f"Ready, with the same lease {lease}")
        self.check(await self.values() == values, "the Secret didn't change")
        same = await self.house.issued() == issued
        self.check(same, "nothing was issued because of the outage")

    async def revoke(self) -> None:
        """Deletion, and what is left: nothing."""
        lease, values = await self.lease(), await self.values()
        self.typed(f"delete dynamiclease {self.name}")
        await self.client.delete("DynamicLease", self.name, NAMESPACE)
        await self.wait(kube.is_gone, "the DynamicLease is gone")
        self.check(not await self.lets_in(values), "the credentials are refused")
        self.check(await self.forgotten(lease), f"the provider has no lease {lease} any more")
        self.check(not await self.house.living(), "of all that was issued, nothing lives")
        self.check(not await self.records(), "no record is left")
        self.check(not await self.values(), "the Secret is gone")

    def fitted(self, document: kube.Object) -> kube.Object:
        """An example with this world's address and login, and a life of a minute."""
        spec = document.get("spec", {})
        if document["kind"] == "Secret":
            document["stringData"] = dict(self.house.login())
        elif document["kind"] == "LeaseProvider":
            document["spec"] = self.house.spec(f"{self.house.type}-auth")
            if self.trusts is not None:
                document["spec"]["caBundle"] = self.trusts
        elif document["kind"] == "DynamicLease":
            self.name = document["metadata"]["name"]
            spec["ttl"] = "60s"
            spec["renewal"] = {"afterPercent": 20, "strategy": "Renew"}
            spec["rotation"] = {"overlap": f"{OVERLAP}s"}
            self.tell("  (ttl 60s and renewal after 20 %, so that you needn't wait an hour)")
        return document

    async def records(self) -> list[kube.Object]:
        """The leases that are on record for the DynamicLease."""
        found = await self.client.list("LeaseRecord")
        mine = [one["spec"] for one in found if one["spec"]["for"]["name"] == self.name]
        return [lease for spec in mine for lease in spec.get("leases", ())]

    async def wait(
        self, until: typing.Callable[[kube.Object | None], bool], what: str
    ) -> kube.Object:
        """Wait for the DynamicLease; Missed when it takes too long."""
        try:
            found = await self.client.wait(
                "DynamicLease", self.name, NAMESPACE, until, what=what, timeout=40
            )
        except AssertionError as error:
            raise Missed(str(error)) from None
        return found or {}

    async def until(self, holds: typing.Callable[[], typing.Awaitable[object]], what: str) -> None:
        """Wait for a fact; Missed when it takes too long."""

        async def is_so() -> bool:
            return bool(await holds())

        try:
            await processes.wait_until_async(is_so, what=what)
        except processes.NotInTime as error:
            raise Missed(str(error)) from None

    async def lease(self) -> str:
        """The lease that the Secret shows."""
        found = await self.client.get("Secret", self.name, NAMESPACE)
        if found is None:
            raise Missed(f"there is no Secret {self.name}")
        return str(found["metadata"]["annotations"]["leaseholder.dev/lease-id"])

    async def values(self) -> dict[str, str]:
        """What is in the Secret; nothing where there is none."""
        return await self.client.secret_values(self.name, NAMESPACE) or {}

    async def differ(self, old: dict[str, str]) -> bool:
        """Whether the Secret holds other credentials than these."""
        return await self.values() not in ({}, old)

    async def refused(self, values: dict[str, str]) -> bool:
        """Whether these aren't let in."""
        return not await self.lets_in(values)

    async def end_of(self, lease: str) -> datetime.datetime:
        """When a lease ends, in the provider's own words."""
        found = (await self.house.living()).get(lease)
        if found is None:
            raise Missed(f"the provider has no lease {lease}")
        return found.ends

    async def lives_beyond(self, lease: str, moment: datetime.datetime) -> bool:
        """Whether a lease was renewed."""
        return await self.end_of(lease) > moment

    async def forgotten(self, lease: str) -> bool:
        """Whether the provider has no such lease."""
        return lease not in await self.house.living()

    async def lets_in(self, values: dict[str, str]) -> bool:
        """Whether these credentials open what they are for."""
        return await self.house.lets_in(values)


def _manifest(documents: list[kube.Object]) -> str:
    """What is applied, as YAML; nothing that one could log in with."""
    shown = [
        {
            field: dict.fromkeys(value, HIDDEN) if field == "stringData" else value
            for field, value in document.items()
        }
        for document in documents
    ]
    return worlds.written(shown)


def _columns(found: kube.Object) -> str:
    status = found["status"]
    return f"expires {status['lease']['expiresAt']}, renews {status['lease']['renewAt']}"


def _is_troubled(found: kube.Object | None) -> bool:
    return kube.condition(found, "Ready").get("reason") not in ("Ready", None)


def _is_well(found: kube.Object | None) -> bool:
    ready = kube.condition(found, "Ready")
    return (ready.get("status"), ready.get("reason")) == ("True", "Ready")


def _clock(moment: datetime.datetime) -> str:
    return moment.strftime("%H:%M:%S")


def _chosen() -> list[str]:
    """The providers that ``DEMO_PROVIDERS`` names, all where it is empty."""
    named = os.environ.get("DEMO_PROVIDERS", "").replace(",", " ").split() or [*houses.NAMES]
    unknown = sorted({*named} - {*houses.NAMES})
    if unknown:
        raise Missed(f"DEMO_PROVIDERS names {', '.join(unknown)}: write some of {houses.NAMES}")
    return named


async def _tell(*, at_once: bool) -> None:
    chosen = _chosen()
    print(f"starting Kubernetes, PostgreSQL, {', '.join(chosen)} (about 10 s) …", flush=True)
    world = await asyncio.to_thread(lambda: worlds.World.start(provider_faults=True, min_ttl=2))
    with world:
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(kube.Kube(world.control_plane))
            opened = [await stack.enter_async_context(houses.opened(world, one)) for one in chosen]
            started = time.monotonic()
            print("applying crds/ and the rights of deploy/chart; starting the operator with them")
            await operator.install(client)
            settings = {
                name: value for house, _ in opened for name, value in house.settings.items()
            }
            running = await operator.Operator.start(
                world, client, settings={**operator.FAST, **settings}
            )
            stack.callback(running.stop)
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            await client.apply(namespace)
            told = [
                Demo(house, trusts, client, started, alone=not at_once) for house, trusts in opened
            ]
            await (_side_by_side(told) if at_once else _one_after_the_other(told))


async def _side_by_side(told: list[Demo]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in told:
            group.create_task(one.run())


async def _one_after_the_other(told: list[Demo]) -> None:
    for one in told:
        await one.run()


def main() -> int:
    """Tell, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo")
    parser.add_argument("--at-once", action="store_true", help="all providers side by side")
    options = parser.parse_args()
    try:
        asyncio.run(_tell(at_once=options.at_once))
    except Exception as error:
        first = error
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        print(f"demo: failed: {str(first) or type(first).__name__}")
        return 1
    print("demo: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
