"""A fleet of DynamicLeases of several kinds, and a user who does things to them.

Each act notes what it asks for, so that the account of issues can be drawn up later. Acts go to
the API server itself, past the fault proxy: they are to happen, whatever the operator meets.
"""

import asyncio
import base64
import collections
import collections.abc
import dataclasses
import datetime
import random
import time
import typing

from tests.cluster import accounts, sites
from tests.world import kube

Act = collections.abc.Callable[["Fleet", str], collections.abc.Awaitable[object]]

GONE = 300.0
"""Seconds within which a DynamicLease is gone, whatever happens meanwhile."""
SPOILED = "spoiled by a user"
TTL = 60.0
"""Seconds: the shortest that a DynamicLease may ask for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """How a DynamicLease is kept alive."""

    spec: dict[str, typing.Any]
    source: str = ""
    """Its only source; empty: one of the site's, which may be changed."""
    interval: float | None = None
    """Seconds after which its lease is replaced; None: it is renewed."""


def kinds(percent: int, *, others: bool = False) -> dict[str, Kind]:
    """Every kind, renewed after that share of its life or replaced after three times as much.

    ``others``: those that other providers than Infisical have, too. They are told to renew,
    because Phase's would be replaced.
    """
    spec = {"ttl": f"{TTL:g}s", "rotation": {"overlap": "3s"}}
    later = {"afterPercent": 3 * percent}
    interval = TTL * 3 * percent / 100
    renewed: kube.Object = {**spec, "renewal": {"afterPercent": percent}}
    if others:
        renewed["renewal"]["strategy"] = "Renew"
    token = Kind({**spec, "renewal": later}, source="k8s", interval=interval)
    return {
        "renewed": Kind(renewed),
        **({} if others else {"token": token}),
        "rotated": Kind({**spec, "renewal": {"strategy": "Rotate", **later}}, interval=interval),
        "aged": Kind({**renewed, "rotation": {"overlap": "3s", "maxAge": "60s"}}, interval=TTL),
    }


@dataclasses.dataclass(slots=True)
class Ship:
    """One DynamicLease that is wanted."""

    name: str
    uid: str
    kind: Kind
    source: str
    secret: str
    suspended: bool = False


class Fleet:
    """The DynamicLeases of a site."""

    def __init__(self, site: sites.Site, chance: random.Random, *, percent: int) -> None:
        self.site = site
        self.ships: dict[str, Ship] = {}
        """Those that are wanted now, by name."""
        self.wishes: dict[str, accounts.Wishes] = {}
        """Of every DynamicLease that ever was, by uid."""
        self.acts: collections.Counter[str] = collections.Counter()
        self._chance = chance
        self._kinds = kinds(percent, others=site.house is not None)
        self._launched = 0
        self._nonces = 0

    async def grow(self, count: int) -> None:
        """So many more, of all kinds in turn; every other one can be renewed."""
        order = ["renewed", "token", "renewed", "rotated", "renewed", "aged"]
        order = [kind for kind in order if kind in self._kinds]
        first = self._launched
        for number in range(first, first + count):
            await self.create(f"ship-{number}", order[number % len(order)])

    async def create(self, name: str, kind: str) -> None:
        """Launch one; a name that was used before gets a new uid."""
        self._launched += 1
        chosen = self._kinds[kind]
        source = chosen.source or self._chance.choice(self.site.sources)
        await self.site.lease(name, source=source, **chosen.spec)
        found = await self.site.found(name)
        assert found is not None
        uid = found["metadata"]["uid"]
        self.wishes[uid] = accounts.Wishes(name=name, interval=chosen.interval)
        self.ships[name] = Ship(name, uid, chosen, source, secret=name)
        self.acts["created"] += 1

    async def delete(self, name: str) -> None:
        ship = self.ships.pop(name)
        self.wishes[ship.uid].deleted = time.time()
        await self.site.delete(name)
        self.acts["deleted"] += 1

    async def recreate(self, name: str) -> None:
        """Delete one and make another of its name, as soon as the name is free."""
        kind = next(k for k, v in self._kinds.items() if v == self.ships[name].kind)
        await self.delete(name)
        self.acts["created again"] += 1
        await self.site.gone(name, timeout=GONE)
        await self.create(name, kind)

    async def rotate(self, name: str) -> None:
        self._nonces += 1
        nonce = f"nonce-{self._nonces}"
        self.wishes[self.ships[name].uid].nonces.add(nonce)
        await self._annotate(name, "rotate", nonce)

    async def renew(self, name: str) -> None:
        self._nonces += 1
        await self._annotate(name, "renew", f"nonce-{self._nonces}")

    async def change_source(self, name: str) -> None:
        """The other source; a kind with one source only is left alone."""
        ship = self.ships[name]
        if ship.kind.source:
            return
        ship.source = next(one for one in self.site.sources if one != ship.source)
        self.wishes[ship.uid].sources += 1
        await self._edit(name, self.site.source(ship.source))
        self.acts["source changed"] += 1

    async def change_ttl(self, name: str) -> None:
        """Another life for a lease that is renewed; a replaced one's interval stays known."""
        if self.ships[name].kind.interval is None:
            await self._edit(name, {"ttl": self._chance.choice(["60s", "75s", "90s"])})
            self.acts["ttl changed"] += 1

    async def change_labels(self, name: str) -> None:
        """Labels of the DynamicLease, which concern nobody."""
        labels = {"team": f"team-{self._chance.randint(1, 9)}"}
        await self._patch(name, {"metadata": {"labels": labels}})
        self.acts["labels changed"] += 1

    async def change_template(self, name: str) -> None:
        """Labels and annotations that the Secret is to have."""
        number = str(self._chance.randint(1, 9))
        metadata = {"labels": {"tier": number}, "annotations": {"note": number}}
        await self._edit(name, {"target": {"template": {"metadata": metadata}}})
        self.acts["template metadata changed"] += 1

    async def suspend(self, name: str) -> None:
        """Suspend one that is not, and the other way round."""
        ship = self.ships[name]
        ship.suspended = not ship.suspended
        await self._edit(name, {"suspend": ship.suspended})
        self.acts["suspended" if ship.suspended else "resumed"] += 1

    async def delete_secret(self, name: str) -> None:
        """Once only: who harms a Secret again and again has to wait, as it is meant to be."""
        ship = self.ships[name]
        if self._harm(ship):
            await self.site.client.delete("Secret", ship.secret, self.site.namespace)
            self.acts["Secret deleted"] += 1

    async def edit_data(self, name: str) -> None:
        """The Secret holds a password or token that nobody lets in; once only."""
        ship = self.ships[name]
        if self._harm(ship):
            key = "TOKEN" if ship.kind.source else "DB_PASSWORD"
            wrong = base64.b64encode(SPOILED.encode()).decode()
            await self._patch_secret(name, {"data": {key: wrong}})
            self.acts["data edited"] += 1

    async def add_key(self, name: str) -> None:
        """One key more in the Secret than we wrote."""
        await self._patch_secret(name, {"data": {"FOREIGN": "bWluZQ=="}})
        self.acts["key added"] += 1

    async def strip_label(self, name: str) -> None:
        """Our label goes off the Secret; its owner reference stays."""
        labels = {"leaseholder.dev/owner-uid": None}
        await self._patch_secret(name, {"metadata": {"labels": labels}})
        self.acts["label stripped"] += 1

    async def strip_notes(self, name: str) -> None:
        """An annotation goes that tells what the Secret shows, or both."""
        notes = self._chance.choice([["attempt"], ["lease-id"], ["attempt", "lease-id"]])
        stripped = {f"leaseholder.dev/{note}": None for note in notes}
        await self._patch_secret(name, {"metadata": {"annotations": stripped}})
        self.acts["annotations stripped"] += 1

    async def rename_secret(self, name: str) -> None:
        """Another name for the Secret, or the first one again."""
        ship = self.ships[name]
        ship.secret = f"{name}-renamed" if ship.secret == name else name
        await self._edit(name, {"target": {"secretName": ship.secret}})
        self.acts["Secret renamed"] += 1

    async def change_template_data(self, name: str) -> None:
        """One more key in the Secret; for the kinds with a user and a password."""
        if self.ships[name].kind.source:
            return
        url = f"postgresql://{{{{ DB_USERNAME }}}}@db/{self._chance.randint(1, 9)}"
        await self._edit(name, {"target": {"template": {"data": {"URL": url}}}})
        self.acts["template data changed"] += 1

    async def calm(self) -> None:
        """From the next planned replacement on nothing is replaced for many minutes.

        Else there would always be one in its overlap, and it never could be told that what
        lives is what Secrets show.
        """
        for ship in list(self.ships.values()):
            if ship.kind.interval is not None:
                await self._edit(ship.name, {"ttl": "1h", "rotation": {"maxAge": None}})

    async def is_quiet(self) -> bool:
        """After ``calm``: whether nothing is under way or planned, and nothing lives in secret."""
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2)
        for lease in await self.site.client.list("DynamicLease", self.site.namespace):
            told = (lease.get("status") or {}).get("lease") or {"strategy": "Rotate"}
            planned = datetime.datetime.fromisoformat(told.get("renewAt", soon.isoformat()))
            if not kube.is_ready(lease) or (told["strategy"] == "Rotate" and planned <= soon):
                return False
        return await self.site.is_settled()

    async def ready(self, *, timeout: float = 60.0) -> None:
        """Wait until all that are wanted are Ready."""
        names = list(self.ships)
        await asyncio.gather(*(self.site.ready(name, timeout=timeout) for name in names))

    async def refused(self) -> list[str]:
        """Those whose Secret holds no credentials that log in."""
        found = []
        for ship in self.ships.values():
            values = await self.site.credentials(ship.secret)
            if not values or not await self.site.works(values):
                found.append(ship.name)
        return found

    async def unmet(self) -> list[str]:
        """Those that show a lease of another source than is wanted, or have a command to answer."""
        sources = await self.site.asked_of()
        found = []
        for ship in self.ships.values():
            lease = await self.site.found(ship.name)
            assert lease is not None
            status, notes = lease["status"], lease["metadata"].get("annotations", {})
            shown = sources.get(status.get("lease", {}).get("id"))
            handled = status.get("handled", {}).get("rotate", "")
            if shown != ship.source or handled != notes.get("leaseholder.dev/rotate", ""):
                found.append(f"{ship.name}: {shown}, wanted {ship.source}; handled {handled!r}")
        return found

    async def _annotate(self, name: str, command: str, nonce: str) -> None:
        annotations = {f"leaseholder.dev/{command}": nonce}
        await self._patch(name, {"metadata": {"annotations": annotations}})
        self.acts[f"{command} command"] += 1

    async def _edit(self, name: str, spec: kube.Object) -> None:
        await self._patch(name, {"spec": spec})

    async def _patch(self, name: str, change: kube.Object) -> None:
        await self.site.client.patch("DynamicLease", name, self.site.namespace, change)

    def _harm(self, ship: Ship) -> bool:
        """Note that a Secret is harmed, unless it was before."""
        noted = self.wishes[ship.uid].harmed
        if noted:
            return False
        noted.append(time.time())
        return True

    async def _patch_secret(self, name: str, change: kube.Object) -> None:
        """Change the Secret of a DynamicLease where there is one."""
        secret, namespace = self.ships[name].secret, self.site.namespace
        try:
            await self.site.client.patch("Secret", secret, namespace, change)
        except kube.Refused as error:
            if error.status != 404:
                raise
