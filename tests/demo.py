"""``make demo``: the life of a lease, told with facts from outside.

The world is started, the CRDs and the manifests of deploy/examples are applied as a user
would. The lease is acquired, renewed, rotated, healed after its Secret was deleted, carried
through an outage of the provider, and revoked. Everything that is told is looked up at
PostgreSQL, at the provider and at the API server. Ends with ``demo: passed`` (exit code 0), or
``demo: failed: …`` (1).
"""

import asyncio
import datetime
import sys
import time
import typing

from tests.world import faults, kube, operator, processes
from tests.world import world as worlds
from tests.world.infisical import client as infisical

EXAMPLES = processes.CHECKOUT / "deploy" / "examples"
NAMESPACE, NAME = "shop", "orders-db"
OVERLAP = 5
"""Seconds that a replaced lease lives on."""


class Missed(Exception):
    """Something that should hold doesn't."""


class Demo:
    """One telling."""

    def __init__(
        self, world: worlds.World, client: kube.Kube, admin: infisical.InfisicalAdmin
    ) -> None:
        self.world, self.client, self.admin = world, client, admin
        assert world.provider_faults is not None
        self.faults: faults.Faults = world.provider_faults.faults
        self.started = time.monotonic()

    def tell(self, text: str) -> None:
        """One line, with the seconds since the start."""
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)

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
        self.tell("applying deploy/examples: namespace, LeaseProvider, DynamicLease")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.client.apply(namespace)
        for manifest in ("infisical-provider.yaml", "dynamic-lease.yaml"):
            for document in kube.documents(EXAMPLES / manifest):
                await self.client.apply(self.fitted(document))
        applied = time.monotonic()
        found = await self.wait(kube.is_ready, "DynamicLease orders-db is Ready")
        self.check(True, f"Ready after {time.monotonic() - applied:.1f} s: {_columns(found)}")
        values = await self.values()
        self.check(bool(values), f"Secret {NAME} holds {', '.join(sorted(values))}")
        self.check(self.lets_in(values), "PostgreSQL lets these credentials in")
        (record,) = await self.client.list("LeaseRecord")
        self.check(True, f"on record: {record['status']['state']} {record['status']['leaseId']}")

    async def renew(self) -> None:
        """The provider's own word on the expiry, before and after."""
        lease, values = await self.lease(), await self.values()
        before = await self.end_of(lease)
        self.tell(f"waiting for a renewal; at the provider the lease ends {_clock(before)}")
        await self.until(lambda: self.lives_beyond(lease, before), "the lease is extended")
        after = await self.end_of(lease)
        self.check(after > before, f"extended at the provider: now it ends {_clock(after)}")
        self.check(await self.values() == values, "the Secret didn't change")
        self.check(self.lets_in(values), "PostgreSQL still lets the credentials in")

    async def rotate(self) -> None:
        """Make before break: the old login works until the overlap is over."""
        lease, old = await self.lease(), await self.values()
        self.tell(f"annotating leaseholder.dev/rotate; the overlap is {OVERLAP} s")
        change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "demo"}}}
        await self.client.patch("DynamicLease", NAME, NAMESPACE, change)
        await self.until(lambda: self.differ(old), "the Secret holds other credentials")
        new, rotated = await self.values(), time.monotonic()
        both = self.lets_in(old) and self.lets_in(new)
        self.check(both, "PostgreSQL lets both logins in, the old and the new")
        await self.until(lambda: self.refused(old), "the old login is refused")
        took = time.monotonic() - rotated
        self.check(took >= OVERLAP - 1, f"the old login is refused {took:.1f} s later")
        self.check(self.lets_in(new), "the new one goes on working")
        await self.until(lambda: self.forgotten(lease), "the provider has no old lease")
        self.check(True, f"the provider has no lease {lease} any more")

    async def heal(self) -> None:
        """Credentials are in the Secret and nowhere else: who deletes it gets others."""
        await self.wait(kube.is_ready, "DynamicLease orders-db is Ready")
        lease, old = await self.lease(), await self.values()
        self.tell(f"deleting the Secret {NAME}")
        await self.client.delete("Secret", NAME, NAMESPACE)
        deleted = time.monotonic()
        await self.until(self.values, "the Secret is there again")
        new, took = await self.values(), time.monotonic() - deleted
        self.check(took < 2, f"it is there again after {took:.1f} s")
        self.check(new != old, "with new credentials: the old ones stood nowhere else")
        self.check(self.lets_in(new), "PostgreSQL lets them in")
        await self.until(lambda: self.refused(old), "the lost login is refused")
        await self.until(lambda: self.forgotten(lease), "the provider has no lost lease")
        self.check(True, f"the lost login is refused, and lease {lease} is gone")

    async def outlive_an_outage(self) -> None:
        """No answer from the provider when a renewal is due: nothing is thrown away."""
        await self.wait(kube.is_ready, "DynamicLease orders-db is Ready")
        lease, values, minted = await self.lease(), await self.values(), await self.minted()
        before = await self.end_of(lease)
        self.faults.reset()
        self.tell(f"cutting the provider off; the lease ends {_clock(before)}")
        troubled = await self.wait(_is_troubled, "the outage is told")
        ready = kube.condition(troubled, "Ready")
        told = f"Ready={ready['status']}, {ready['reason']}: {ready['message']}"
        self.check(ready["status"] == "True", told)
        self.check(self.lets_in(values), "PostgreSQL lets the credentials in meanwhile")
        self.faults.clear()
        self.tell("the provider is back")
        await self.until(lambda: self.lives_beyond(lease, before), "the lease is extended")
        after = await self.end_of(lease)
        self.check(True, f"the same lease is extended: it ends {_clock(after)}")
        healed = await self.wait(_is_well, "the trouble is over")
        self.check(healed["status"]["lease"]["id"] == lease, f"Ready, with the same lease {lease}")
        self.check(await self.values() == values, "the Secret didn't change")
        self.check(await self.minted() == minted, "nothing was minted because of the outage")

    async def revoke(self) -> None:
        """Deletion, and what is left: nothing."""
        lease, values = await self.lease(), await self.values()
        self.tell("deleting the DynamicLease")
        await self.client.delete("DynamicLease", NAME, NAMESPACE)
        await self.wait(kube.is_gone, "the DynamicLease is gone")
        self.check(not self.lets_in(values), "PostgreSQL refuses the credentials")
        self.check(await self.forgotten(lease), f"the provider has no lease {lease} any more")
        self.check(not await self.admin.alive(), "of all that was minted, nothing lives")
        self.check(not await self.client.list("LeaseRecord"), "no record is left")
        self.check(not await self.values(), "the Secret is gone")

    def fitted(self, document: kube.Object) -> kube.Object:
        """An example with this world's address and login, and a life of a minute."""
        spec = document.get("spec", {})
        if document["kind"] == "Secret":
            document["stringData"] = {
                "clientId": self.world.infisical.client_id,
                "clientSecret": self.world.infisical.client_secret,
            }
        elif document["kind"] == "LeaseProvider":
            spec["infisical"]["url"] = self.world.provider_url
            if self.world.provider_ca_file is not None:
                spec["caBundle"] = self.world.provider_ca_file.read_text(encoding="utf-8")
        elif document["kind"] == "DynamicLease":
            spec["ttl"] = "60s"
            spec["renewal"] = {"afterPercent": 20}
            spec["rotation"] = {"overlap": f"{OVERLAP}s"}
            self.tell("  (ttl 60s and renewal after 20 %, so that you needn't wait an hour)")
        return document

    async def wait(
        self, until: typing.Callable[[kube.Object | None], bool], what: str
    ) -> kube.Object:
        """Wait for the DynamicLease; Missed when it takes too long."""
        try:
            found = await self.client.wait(
                "DynamicLease", NAME, NAMESPACE, until, what=what, timeout=40
            )
        except AssertionError as error:
            raise Missed(str(error)) from None
        return found or {}

    async def until(self, holds: typing.Callable[[], typing.Awaitable[object]], what: str) -> None:
        """Wait for a fact; Missed when it takes too long."""

        async def is_so() -> bool:
            return bool(await holds())

        try:
            await processes.wait_until_async(is_so, timeout=40, what=what)
        except processes.NotInTime as error:
            raise Missed(str(error)) from None

    async def lease(self) -> str:
        """The lease that the Secret shows."""
        found = await self.client.get("Secret", NAME, NAMESPACE)
        if found is None:
            raise Missed(f"there is no Secret {NAME}")
        return str(found["metadata"]["annotations"]["leaseholder.dev/lease-id"])

    async def values(self) -> dict[str, str]:
        """What is in the Secret; nothing where there is none."""
        return await self.client.secret_values(NAME, NAMESPACE) or {}

    async def differ(self, old: dict[str, str]) -> bool:
        """Whether the Secret holds other credentials than these."""
        return await self.values() not in ({}, old)

    async def refused(self, values: dict[str, str]) -> bool:
        """Whether PostgreSQL doesn't let these in."""
        return not self.lets_in(values)

    async def minted(self) -> int:
        """How many credentials the provider ever made."""
        return len(await self.admin.leases())

    async def row_of(self, lease: str) -> infisical.Row | None:
        """A lease as the provider has it; None where it has none."""
        return next((one.row for one in await self.admin.leases() if one.id == lease), None)

    async def end_of(self, lease: str) -> datetime.datetime:
        """When a lease ends, in the provider's own words."""
        row = await self.row_of(lease)
        if row is None:
            raise Missed(f"the provider has no lease {lease}")
        return row.expire_at

    async def lives_beyond(self, lease: str, moment: datetime.datetime) -> bool:
        """Whether a lease was extended."""
        return await self.end_of(lease) > moment

    async def forgotten(self, lease: str) -> bool:
        """Whether the provider has no such lease."""
        return await self.row_of(lease) is None

    def lets_in(self, values: dict[str, str]) -> bool:
        """Whether PostgreSQL does."""
        return self.world.postgres.can_log_in(values["DB_USERNAME"], values["DB_PASSWORD"])


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


async def _tell() -> None:
    print("starting Kubernetes, PostgreSQL and the Infisical emulator (about 5 s) …", flush=True)
    world = await asyncio.to_thread(lambda: worlds.World.start(provider_faults=True, min_ttl=2))
    try:
        async with (
            kube.Kube(world.control_plane) as client,
            infisical.InfisicalAdmin(world.infisical.url) as admin,
        ):
            demo = Demo(world, client, admin)
            demo.tell("applying crds/ and deploy/operator; starting the operator with its rights")
            await operator.install(client)
            running = await operator.Operator.start(world, client)
            try:
                await demo.run()
            finally:
                running.stop()
    finally:
        world.stop()


def main() -> int:
    """Tell, and say how it went."""
    try:
        asyncio.run(_tell())
    except Exception as error:
        print(f"demo: failed: {str(error) or type(error).__name__}")
        return 1
    print("demo: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
