"""``make demo``: the life of a lease, told with facts from outside.

The world is started, the CRDs and the manifests of deploy/examples are applied as a user
would, and everything that is told is looked up at PostgreSQL, at the provider and at the API
server. Ends with ``demo: passed`` (exit code 0), or ``demo: failed: …`` (1).
"""

import asyncio
import datetime
import sys
import time
import typing

from tests.world import kube, operator, processes
from tests.world import world as worlds
from tests.world.infisical import client as infisical

EXAMPLES = processes.CHECKOUT / "deploy" / "examples"
NAMESPACE, NAME = "shop", "orders-db"


class Missed(Exception):
    """Something that should hold doesn't."""


class Demo:
    """One telling."""

    def __init__(
        self, world: worlds.World, client: kube.Kube, admin: infisical.InfisicalAdmin
    ) -> None:
        self.world, self.client, self.admin = world, client, admin
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
        values = await self.acquire()
        await self.renew(values)
        await self.revoke(values)

    async def acquire(self) -> dict[str, str]:
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
        values = await self.client.secret_values(NAME, NAMESPACE) or {}
        self.check(bool(values), f"Secret {NAME} holds {', '.join(sorted(values))}")
        self.check(self.lets_in(values), "PostgreSQL lets these credentials in")
        (record,) = await self.client.list("LeaseRecord")
        self.check(True, f"on record: {record['status']['state']} {record['status']['leaseId']}")
        return values

    async def renew(self, values: dict[str, str]) -> None:
        """The provider's own word on the expiry, before and after."""
        before = await self.at_provider()
        self.tell(f"waiting for a renewal; at the provider the lease ends {_clock(before)}")
        deadline = time.monotonic() + 40
        while (after := await self.at_provider()) == before:
            if time.monotonic() > deadline:
                raise Missed("the lease wasn't extended within 40 s")
            await asyncio.sleep(0.2)
        self.check(after > before, f"extended at the provider: now it ends {_clock(after)}")
        now = await self.client.secret_values(NAME, NAMESPACE)
        self.check(now == values, "the Secret didn't change")
        self.check(self.lets_in(values), "PostgreSQL still lets the credentials in")

    async def revoke(self, values: dict[str, str]) -> None:
        """Deletion, and what is left: nothing."""
        found = await self.client.get("DynamicLease", NAME, NAMESPACE)
        assert found is not None
        lease = found["status"]["lease"]["id"]
        self.tell("deleting the DynamicLease")
        await self.client.delete("DynamicLease", NAME, NAMESPACE)
        await self.wait(kube.is_gone, "the DynamicLease is gone")
        self.check(not self.lets_in(values), "PostgreSQL refuses the credentials")
        rows = [one for one in await self.admin.leases() if one.id == lease and one.row]
        self.check(not rows, f"the provider has no lease {lease} any more")
        self.check(not await self.client.list("LeaseRecord"), "no record is left")
        secret = await self.client.get("Secret", NAME, NAMESPACE)
        self.check(secret is None, "the Secret is gone")

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
        elif document["kind"] == "DynamicLease":
            spec["ttl"] = "60s"
            spec["renewal"] = {"afterPercent": 20}
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

    async def at_provider(self) -> datetime.datetime:
        """When the one lease ends, as the provider has it."""
        rows = [one.row for one in await self.admin.leases() if one.row is not None]
        if len(rows) != 1:
            raise Missed(f"the provider has {len(rows)} leases, not one")
        return rows[0].expire_at

    def lets_in(self, values: dict[str, str]) -> bool:
        """Whether PostgreSQL does."""
        return self.world.postgres.can_log_in(values["DB_USERNAME"], values["DB_PASSWORD"])


def _columns(found: kube.Object) -> str:
    status = found["status"]
    return f"expires {status['lease']['expiresAt']}, renews {status['lease']['renewAt']}"


def _clock(moment: datetime.datetime) -> str:
    return moment.strftime("%H:%M:%S")


async def _tell() -> None:
    print("starting Kubernetes, PostgreSQL and the Infisical emulator (about 5 s) …", flush=True)
    world = await asyncio.to_thread(lambda: worlds.World.start(min_ttl=2))
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
