"""Which changes issue: every row of docs/changes.md, each on a DynamicLease of its own.

All at the same time: first every lease is issued, then the provider's clock is set ten minutes
ahead, then every change is made. What happened is judged by the provider's leases and by logins.
"""

import asyncio
import base64
import collections
import collections.abc
import contextlib
import copy
import dataclasses
import re
import typing

import pytest
import pytest_asyncio
import yaml

from tests.cluster import sites
from tests.world import kube, operator, processes
from tests.world import world as worlds
from tests.world.infisical import client as infisical
from tests.world.infisical import seeds

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

DOCUMENT = processes.CHECKOUT / "docs" / "changes.md"
ROW = re.compile(r"^\| (?P<change>.+?) \| (?P<outcome>[A-Za-z ]+) \| (?:.* )?\|$")
SPAN = re.compile(r"`([^`]+)`")
OLD = 600
"""Seconds from the issues to the changes, on the provider's clock."""
WITHIN = 45.0
"""Seconds for each round of changes, all of them at once on a busy machine."""
ROUND = 0.25
"""Seconds between two looks at the world."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    kind: str
    """What is changed: DynamicLease, LeaseProvider or Secret."""
    change: str
    outcome: str
    number: int

    @property
    def name(self) -> str:
        """The row's own DynamicLease, and its provider where that is changed."""
        return f"row-{self.number}"

    @property
    def patches(self) -> list[kube.Object]:
        """The change, and what came before it."""
        return [yaml.safe_load(span) for span in SPAN.findall(self.change)]


def _rows() -> list[Row]:
    found: list[Row] = []
    kind = ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line.split()[-1]
        row = ROW.match(line)
        if kind and row and row["change"] != "Change":
            found.append(Row(kind, row["change"], row["outcome"], len(found)))
    return found


def _manifest() -> kube.Object:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    manifest: kube.Object = yaml.safe_load(text)
    return manifest


ROWS = _rows()


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """How the world stands for one DynamicLease."""

    lease: infisical.Lease
    secret: tuple[str, str]
    """Name and version."""
    values: dict[str, str]

    def since(self, before: "Seen") -> str:
        """What happened, in the words of the tables."""
        if self.lease.id != before.lease.id:
            return "new lease"
        if _end(self.lease) > _end(before.lease):
            return "lease renewed"
        return "nothing" if self.secret == before.secret else "Secret written"


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """The whole site at one moment."""

    wanted: dict[str, kube.Object]
    secrets: dict[str, kube.Object]
    leases: dict[str | None, infisical.Lease]

    @classmethod
    async def take(cls, site: sites.Site) -> typing.Self:
        wanted, secrets, leases = await asyncio.gather(
            site.client.list("DynamicLease", site.namespace),
            site.client.list("Secret", site.namespace),
            site.all_issued(),
        )
        return cls(
            {one["metadata"]["name"]: one for one in wanted},
            {one["metadata"]["name"]: one for one in secrets},
            {one.id: one for one in leases},
        )

    def seen(self, row: Row) -> Seen | None:
        """None while the picture isn't whole."""
        found = self.wanted[row.name]
        told = found.get("status", {}).get("lease", {}).get("id")
        name = found["spec"].get("target", {}).get("secretName", row.name)
        lease, secret = self.leases.get(told), self.secrets.get(name)
        if lease is None or lease.row is None or secret is None:
            return None
        values = {k: base64.b64decode(v).decode() for k, v in secret.get("data", {}).items()}
        return Seen(lease, (name, secret["metadata"]["resourceVersion"]), values)

    def is_through(self, row: Row) -> bool:
        """Whether the operator has told that it saw the spec, and that it obeyed the commands."""
        found = self.wanted[row.name]
        status, meta = found.get("status", {}), found["metadata"]
        if status.get("observedGeneration") != meta["generation"] or not self.seen(row):
            return False
        commands = {
            command: nonce
            for command, nonce in meta.get("annotations", {}).items()
            if command.startswith("leaseholder.dev/")
        }
        handled = {f"leaseholder.dev/{k}": v for k, v in status["handled"].items()}
        return found["spec"]["suspend"] or commands.items() <= handled.items()


@dataclasses.dataclass(frozen=True, slots=True)
class Trials:
    """What all changes came to."""

    site: sites.Site
    before: dict[Row, Seen]
    after: dict[Row, Seen]
    refused: set[Row]
    late: set[Row]
    """What the row says didn't happen in time."""
    issued: int
    """Leases that the provider issued for all changes together."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trials(world: worlds.World) -> collections.abc.AsyncIterator[Trials]:
    hosts = f"{operator.HOSTS},http://localhost,::1"  # another url of the same server
    async with sites.site(world, "change", LEASEHOLDER_PROVIDER_HOSTS=hosts) as site:
        await _furnish(site)
        await _gather(_hold(site, row) for row in ROWS)
        await _when(site, ROWS, Picture.is_through)
        before = await _prepared(site)
        issued = len(await site.all_issued())
        await site.admin.turn(clockOffsetSeconds=OLD)
        try:
            await site.lease("clock", ttl="1h")  # its answer carries the clock
            await site.ready("clock")
            refused, late = await _changed(site, before)
            after = _all_seen(await Picture.take(site))
            new = len(await site.all_issued()) - issued - 1
            yield Trials(site, before, after, refused, late, new)
        finally:
            await site.admin.turn(clockOffsetSeconds=0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.change}")
async def test_a_change_does_what_the_table_says(trials: Trials, row: Row) -> None:
    before, after = trials.before[row], trials.after[row]
    happened = "refused" if row in trials.refused else after.since(before)
    assert (happened, row in trials.late) == (row.outcome, False)
    assert after.lease.alive
    assert trials.site.lets_in(_login(after.values))
    if row.outcome in ("nothing", "lease renewed"):
        assert set(after.values) == set(before.values)
        assert _login(after.values) == _login(before.values)


async def test_each_row_that_says_so_issued_one_lease_and_no_other_row_did(
    trials: Trials,
) -> None:
    expected = collections.Counter(row.outcome for row in ROWS)
    assert trials.issued == expected["new lease"]
    assert set(expected) == {"nothing", "Secret written", "lease renewed", "new lease", "refused"}


async def _furnish(site: sites.Site) -> None:
    """What the rows mention."""
    elsewhere = [
        seeds.DynamicSecret(name="orders-db", type="sql-database", environment="staging"),
        seeds.DynamicSecret(name="orders-db", type="sql-database", path="/apps"),
    ]
    await site.admin.seed(seeds.Seed(dynamic_secrets=elsewhere))
    await site.auth_secret("other-auth")
    ca = site.world.provider_ca_file
    assert ca is not None
    metadata = {"name": "ca", "namespace": site.namespace}
    data = {"ca.crt": ca.read_text(encoding="utf-8")}
    await site.client.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    )
    await site.provider("other")


async def _hold(site: sites.Site, row: Row) -> None:
    """Apply the document's DynamicLease under the row's name."""
    manifest = copy.deepcopy(_manifest())
    manifest["metadata"] = {"name": row.name, "namespace": site.namespace}
    if row.kind == "LeaseProvider":
        await site.provider(row.name)
        manifest["spec"]["providerRef"]["name"] = row.name
    await site.client.apply(manifest)


async def _prepared(site: sites.Site) -> dict[Row, Seen]:
    """Make the changes that come before a row's own; how it all stands then."""
    rows = [row for row in ROWS if len(row.patches) > 1]
    await _gather(
        site.client.patch("DynamicLease", row.name, site.namespace, row.patches[1]) for row in rows
    )
    await _when(site, rows, Picture.is_through)
    await _look_again(site, rows)
    return _all_seen(await Picture.take(site))


async def _changed(site: sites.Site, before: dict[Row, Seen]) -> tuple[set[Row], set[Row]]:
    """Make every row's change and wait for what the row says; who was refused, and who is late.

    The writes of Secrets that are changes go into ``before``.
    """

    async def change(row: Row) -> bool:
        try:
            changed = await _change(site, row)
        except kube.Refused:
            return False
        if row.kind == "Secret" and changed is not None:
            version = changed["metadata"]["resourceVersion"]
            before[row] = dataclasses.replace(before[row], secret=(row.name, version))
        return True

    def has_happened(picture: Picture, row: Row) -> bool:
        seen = picture.seen(row)
        expected = seen is not None and seen.since(before[row]) == row.outcome
        return expected and picture.is_through(row)

    taken = dict(zip(ROWS, await _gather(change(row) for row in ROWS), strict=True))
    rows = [row for row in ROWS if taken[row]]
    late = await _left(site, rows, has_happened)
    await _look_again(site, rows)
    return {row for row in ROWS if not taken[row]}, set(late)


async def _look_again(site: sites.Site, rows: list[Row]) -> None:
    """Another change, of no import: when it is told, what came of the one before is over."""
    change = {"spec": {"deletion": {"timeout": "20m"}}}
    await _gather(
        site.client.patch("DynamicLease", row.name, site.namespace, change) for row in rows
    )
    await _when(site, rows, Picture.is_through)


async def _when(
    site: sites.Site, rows: list[Row], holds: collections.abc.Callable[[Picture, Row], bool]
) -> None:
    """Wait until it holds for all rows."""
    left = await _left(site, rows, holds)
    assert [f"{row.name}: {row.change}" for row in left] == []


async def _left(
    site: sites.Site, rows: list[Row], holds: collections.abc.Callable[[Picture, Row], bool]
) -> list[Row]:
    """The rows for which it didn't hold within the time, not even once."""
    left = rows

    async def none_left() -> bool:
        nonlocal left
        picture = await Picture.take(site)
        left = [row for row in left if not holds(picture, row)]
        return not left

    with contextlib.suppress(processes.NotInTime):
        await processes.wait_until_async(none_left, timeout=WITHIN, what="all rows", interval=ROUND)
    return left


def _all_seen(picture: Picture) -> dict[Row, Seen]:
    found = {row: picture.seen(row) for row in ROWS}
    assert [row for row, seen in found.items() if seen is None] == []
    return {row: seen for row, seen in found.items() if seen is not None}


async def _change(site: sites.Site, row: Row) -> kube.Object | None:
    if row.patches:
        return await site.client.patch(row.kind, row.name, site.namespace, row.patches[0])
    await IN_WORDS[row.kind, row.change](site, row)
    return None


async def _delete(site: sites.Site, row: Row) -> None:
    await site.client.delete(row.kind, row.name, site.namespace)


async def _make_again(site: sites.Site, row: Row) -> None:
    await _delete(site, row)
    await site.provider(row.name)


async def _make_again_elsewhere(site: sites.Site, row: Row) -> None:
    await _delete(site, row)
    url = site.world.provider_url.replace("127.0.0.1", "localhost")
    assert url != site.world.provider_url
    await site.provider(row.name, infisical={"url": url, "auth": site.universal_auth()})


IN_WORDS: dict[
    tuple[str, str], collections.abc.Callable[[sites.Site, Row], collections.abc.Awaitable[None]]
] = {
    ("LeaseProvider", "deleted"): _delete,
    ("LeaseProvider", "deleted and made again"): _make_again,
    ("LeaseProvider", "deleted and made again with another url"): _make_again_elsewhere,
    ("Secret", "deleted"): _delete,
}


T = typing.TypeVar("T")


async def _gather(
    tasks: collections.abc.Iterable[collections.abc.Coroutine[object, object, T]],
) -> list[T]:
    return list(await asyncio.gather(*tasks))


def _login(values: dict[str, str]) -> dict[str, str]:
    """Name and password, from the provider's keys or from the text of a template."""
    if "URL" not in values or "DB_PASSWORD" in values:
        return {**values, "DB_USERNAME": values["DB_USERNAME"].removeprefix("as ")}
    name, _, password = re.split("([:/])", values["URL"], maxsplit=1)
    return {"DB_USERNAME": name, "DB_PASSWORD": password}


def _end(lease: infisical.Lease) -> float:
    assert lease.row is not None
    return lease.row.expire_at.timestamp()
