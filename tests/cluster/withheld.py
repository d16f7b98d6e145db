"""A right is taken out of a role on the API server, and comes back: what is told of it meanwhile.

``Right`` is a row of the table in ``rights``. ``Withheld`` takes it away for what uses it, in
``features`` and ``services``.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import re
import typing
import urllib.error
import urllib.request

from leaseholder.cluster import electing
from tests.cluster import sites
from tests.world import kube, processes

Feature = collections.abc.Callable[["Withheld"], collections.abc.Awaitable[None]]
LOG: typing.Final = "log"
READYZ: typing.Final = "/readyz"
METRICS: typing.Final = "/metrics"
SOON: typing.Final = 30.0
"""Seconds within which a missing right is told, and what needs it works again."""
_BAD: typing.Final = {"Ready": "False", "Stalled": "True", "RolloutComplete": "False"}
"""How conditions stand where something is wrong."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """A verb for resources where it is missed in the same way."""

    role: str
    """As sentences call it: ``ClusterRole leaseholder-secrets``."""
    verb: str
    of: tuple[tuple[str, str], ...]
    """Group and resource, with its subresource."""
    fails: str
    """What doesn't work without it, in a sentence."""
    told: tuple[str, ...]
    """Where it is told: reasons of conditions, and the places above."""
    feature: Feature
    at_start: bool = False
    """Whether it is also, or only, needed to begin."""
    bind: str = ""
    """The role that the sentence names, where that is another one."""

    @property
    def name(self) -> str:
        """What the objects are called that use it."""
        return f"{self.verb}-{self.resources[0].replace('/', '-')}"

    @property
    def cells(self) -> list[str]:
        """The row of docs/security.md."""
        told = ", ".join(one if one == LOG else f"`{one}`" for one in self.told)
        resources = ", ".join(f"`{one}`" for one in self.resources)
        return [f"{resources}: {self.verb}", f"`{self.role.split()[1]}`", self.fails, told]

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources, without their groups."""
        return tuple(resource for _, resource in self.of)


@dataclasses.dataclass(slots=True)
class Withheld:
    """A right, and the site where it is taken away."""

    site: sites.Site
    right: Right
    told: set[str] = dataclasses.field(default_factory=set)
    """Where the right was named while it was missing."""
    _logged: int = 0
    """How long the log was when the right went."""

    @property
    def name(self) -> str:
        """What the objects are called that use it."""
        return self.right.name

    @contextlib.asynccontextmanager
    async def gone(self) -> collections.abc.AsyncIterator[None]:
        """The right is missing."""
        kind, name = self.right.role.split()
        place = {"name": name, **({"namespace": self.site.home} if kind == "Role" else {})}
        found = await self.site.client.get(kind, name, place.get("namespace", ""))
        assert found is not None
        role = {"apiVersion": found["apiVersion"], "kind": kind, "metadata": place}
        self._logged = len(self.log())
        await self.site.client.apply({**role, "rules": [*_without(found["rules"], self.right)]})
        try:
            await self._known(allowed=False)
            yield
        finally:
            await self.site.client.apply({**role, "rules": found["rules"]})
            await self._known(allowed=True)

    def log(self) -> str:
        """What the operator logged, and those that were started in its place."""
        directory, home = self.site.operator.log.parent, self.site.home
        logs = (directory / f"{name}.log" for name in (home, f"{home}-again"))
        return "".join(one.read_text(encoding="utf-8") for one in logs if one.exists())

    async def at(
        self,
        name: str,
        *conditions: str,
        kind: str = "DynamicLease",
        resource: str = "",
        reason: str = "",
    ) -> None:
        """These conditions of an object name the right, for a reason of the row's."""
        wanted = reason or self.right.told[0]
        namespace = "" if kind == "ClusterLeaseProvider" else self.site.namespace

        def is_told(found: kube.Object | None) -> bool:
            shown = {one: kube.condition(found, one) for one in conditions}
            return all(
                (now.get("status"), now.get("reason")) == (_BAD[one], wanted)
                and self._sentence(resource) in now["message"]
                for one, now in shown.items()
            )

        await self.site.client.wait(
            kind, name, namespace, is_told, what=self._sentence(resource), timeout=SOON
        )
        self.told.add(wanted)

    async def in_log(self, words: str, resource: str = "") -> None:
        """A warning that begins with these words names the right."""

        def is_told() -> bool:
            lines = self.log()[self._logged :].splitlines()
            told = (one for one in lines if self._sentence(resource) in one)
            return any(re.search(rf" WARNING (\S+: )?{words}", one) for one in told)

        await _until(is_told, f"{words}: {self._sentence(resource)}")
        self.told.add(LOG)

    async def in_answer(self, path: str, resource: str = "", **headers: str) -> None:
        """What the operator's port answers names the right."""
        await _until(
            lambda: self._sentence(resource) in self.refusal(path, **headers),
            f"{path}: {self._sentence(resource)}",
        )
        self.told.add(path)

    def refusal(self, path: str, **headers: str) -> str:
        """Why the operator's port doesn't answer 200; empty: it does."""
        request = urllib.request.Request(self.site.operator.metrics_url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5):
                return ""
        except urllib.error.HTTPError as answer:
            return answer.read().decode()

    async def ready(self) -> None:
        """Wait until the operator is ready again."""
        await _until(self.site.operator.ready, READYZ)

    def _sentence(self, resource: str) -> str:
        resource, bind = resource or self.right.resources[0], self.right.bind or self.right.role
        return f"the operator has no right to {self.right.verb} {resource}: bind the {bind}"

    async def _known(self, *, allowed: bool) -> None:
        """Wait until the API server goes by the role."""

        async def is_known() -> bool:
            found = [await self._may(*one) for one in self.right.of]
            return found == [allowed] * len(found)

        await processes.wait_until_async(is_known, what="the role is known")

    async def _may(self, group: str, resource: str) -> bool:
        plain, _, sub = resource.partition("/")
        at_home = self.right.role.startswith("Role ")
        named = plain == "leases" and self.right.verb != "create"
        review = {
            "user": f"system:serviceaccount:{self.site.home}:leaseholder",
            "resourceAttributes": {
                "namespace": self.site.home if at_home else self.site.namespace,
                "verb": self.right.verb,
                "group": group,
                "resource": plain,
                "subresource": sub,
                "name": electing.LEASE if named else "",
            },
        }
        asked = {"kind": "SubjectAccessReview", "metadata": {}, "spec": review}
        answer = await self.site.client.create({"apiVersion": "authorization.k8s.io/v1", **asked})
        return bool(answer["status"]["allowed"])


def _without(rules: list[kube.Object], right: Right) -> collections.abc.Iterator[kube.Object]:
    """The rules of a role, one for each resource and verb, without a right."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                taken = [right.verb] if (group, resource) in right.of else []
                verbs = [one for one in rule["verbs"] if one not in taken]
                if verbs:
                    yield {**rule, "apiGroups": [group], "resources": [resource], "verbs": verbs}


async def _until(holds: collections.abc.Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(processes.wait_until, holds, what=what, timeout=SOON)
