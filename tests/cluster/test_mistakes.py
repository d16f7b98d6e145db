"""What users are told about mistakes that only show once they are applied, and that mending helps.

All mistakes stand at the same time, one operator serves them, and each is mended while it runs.
docs/reasons.md quotes the sentences that are compared here.
"""

import asyncio
import base64
import collections.abc
import contextlib
import dataclasses
import pathlib
import re
import ssl

import pytest
import pytest_asyncio
from aiohttp import web

from leaseholder.api import reasons
from tests.cluster import mistakes, rogue, sites
from tests.cluster.mistakes import MISTAKES, Mistake
from tests.world import certificates, kube, operator, processes
from tests.world import world as worlds
from tests.world.infisical import client as infisical

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

ALLOWED = f"{operator.HOSTS},{mistakes.NOWHERE.partition(':')[0]},infisical.test"
SPOILT = ("leaving", "free-plan")
SERVERS = ("moved-away", "a-web-page", "busy", "ailing")
TOLD = 45.0
"""Seconds until a mistake is told, all being made at once."""
HEALED = 120.0
"""A minute or two, says docs/reasons.md."""
VARIES = (
    (re.compile(r" \(request req-\w+\)"), ""),
    (re.compile(r"^the credentials are good until \S+, but: "), ""),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a user saw while a mistake stood, and whether mending it was enough."""

    found: kube.Object
    events: list[kube.Object]
    asked: int
    """Issues that reached a server of its own."""
    secret: dict[str, str]
    unhealed: str
    """How the DynamicLease stood when mending hadn't been enough in time; empty where it was."""


Everything = dict[str, Seen | BaseException]
"""By the mistake's name; an error where making it or its telling went wrong."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(
    world: worlds.World, tmp_path_factory: pytest.TempPathFactory
) -> collections.abc.AsyncIterator[Everything]:
    """All mistakes, lived through at once."""
    directory = tmp_path_factory.mktemp("mistakes")
    async with _clinic(world, directory) as clinic:
        lives = (_lived_through(clinic, one) for one in MISTAKES)
        found = await asyncio.gather(*lives, return_exceptions=True)
        yield dict(zip((one.name for one in MISTAKES), found, strict=True))


def each(made: collections.abc.Iterable[Mistake]) -> pytest.MarkDecorator:
    """A test for each of them, by its name."""
    return pytest.mark.parametrize("mistake", made, ids=lambda one: one.name)


@each(MISTAKES)
async def test_a_mistake_is_told_with_reason_and_sentence(
    seen: Everything, mistake: Mistake
) -> None:
    ready = kube.condition(_of(seen, mistake).found, "Ready")
    assert (ready["reason"], _constant(ready["message"])) == (mistake.reason, mistake.sentence)
    assert ready["status"] == ("True" if mistake.delivered else "False")


@each(MISTAKES)
async def test_stalled_is_true_where_waiting_alone_does_not_help(
    seen: Everything, mistake: Mistake
) -> None:
    stalled = kube.condition(_of(seen, mistake).found, "Stalled")
    assert stalled["status"] == ("True" if mistake.stalls else "False")
    assert _constant(stalled["message"]) == mistake.sentence


@each(MISTAKES)
async def test_one_event_tells_the_same(seen: Everything, mistake: Mistake) -> None:
    told = [e for e in _of(seen, mistake).events if e["reason"] == mistake.reason]
    assert {_constant(e["message"]) for e in told} == {mistake.sentence}
    assert [e["type"] for e in told] == ["Warning"]


@each(MISTAKES)
async def test_a_mistake_that_is_mended_heals_by_itself(seen: Everything, mistake: Mistake) -> None:
    assert _of(seen, mistake).unhealed == ""


@each([one for one in MISTAKES if one.name in SERVERS])
async def test_a_server_in_trouble_is_not_asked_hot(seen: Everything, mistake: Mistake) -> None:
    assert _of(seen, mistake).asked <= 4


@each([one for one in MISTAKES if one.delivered])
async def test_a_secret_keeps_its_good_data(seen: Everything, mistake: Mistake) -> None:
    values = _of(seen, mistake).secret
    assert values["LOGIN"] == values["DB_USERNAME"]


async def test_the_documentation_quotes_these_sentences() -> None:
    compared = {one.reason: set[str]() for one in MISTAKES}
    for one in MISTAKES:
        compared[one.reason].add(one.sentence)
    quoted = {reason: reasons.entry(reason).example for reason in compared}
    assert {r: text for r, text in quoted.items() if text not in compared[r]} == {}


def _of(seen: Everything, mistake: Mistake) -> Seen:
    """What was seen of a mistake, or what went wrong with that one."""
    found = seen[mistake.name]
    if isinstance(found, BaseException):
        raise found
    return found


async def _lived_through(clinic: mistakes.Clinic, mistake: Mistake) -> Seen:
    site, name = clinic.at(mistake.namespace), mistake.name
    await mistake.make(clinic, name)
    found = await site.reason(name, mistake.reason, timeout=TOLD)
    events = await _events(site, name, mistake.reason)
    server = clinic.servers.get(name)
    asked = server.count(rogue.ISSUE) if server is not None else 0
    secret = await site.credentials(name) if mistake.delivered else {}
    await mistake.mend(clinic, name)
    return Seen(found, events, asked, secret, unhealed=await _unhealed(site, name))


async def _unhealed(site: sites.Site, name: str) -> str:
    try:
        await site.reason(name, "Ready", timeout=HEALED)
    except AssertionError as error:
        return str(error)
    return ""


async def _events(site: sites.Site, name: str, reason: str) -> list[kube.Object]:
    """The events about a DynamicLease, once one has the reason: they come after the status."""

    known: list[kube.Object] = []

    async def told() -> bool:
        events = await site.client.list("Event", site.namespace)
        about = {"kind": "DynamicLease", "name": name}
        known[:] = [e for e in events if about.items() <= e["involvedObject"].items()]
        return any(e["reason"] == reason for e in known)

    await processes.wait_until_async(told, timeout=TOLD, what=f"an event {reason}")
    return known


def _constant(message: str) -> str:
    """A message without what is different each time."""
    for pattern, instead in VARIES:
        message = pattern.sub(instead, message)
    return message


@contextlib.asynccontextmanager
async def _clinic(
    world: worlds.World, directory: pathlib.Path
) -> collections.abc.AsyncIterator[mistakes.Clinic]:
    served = ",".join((mistakes.NAMESPACE, mistakes.FULL, mistakes.GUARDED))
    settings = {"LEASEHOLDER_NAMESPACES": served, "LEASEHOLDER_PROVIDER_HOSTS": ALLOWED}
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(sites.site(world, mistakes.NAMESPACE, **settings))
        for name in (mistakes.FULL, mistakes.GUARDED):
            place: kube.Object = {"apiVersion": "v1", "kind": "Namespace"}
            await opened.client.apply({**place, "metadata": {"name": name}})
        spoilt = {name: await stack.enter_async_context(_spoilt(world, name)) for name in SPOILT}
        servers = {name: await stack.enter_async_context(rogue.serving()) for name in SERVERS}
        webhook = await stack.enter_async_context(_webhook(directory))
        yield mistakes.Clinic(opened, spoilt, servers, webhook)


@contextlib.asynccontextmanager
async def _spoilt(
    world: worlds.World, name: str
) -> collections.abc.AsyncIterator[tuple[worlds.Infisical, infisical.InfisicalAdmin]]:
    """An Infisical of one's own."""
    server = await asyncio.to_thread(
        worlds.Infisical.start,
        directory=world.directory,
        postgres_dsn=world.postgres.dsn,
        name=name,
    )
    try:
        async with infisical.InfisicalAdmin(server.url) as admin:
            yield server, admin
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def _webhook(directory: pathlib.Path) -> collections.abc.AsyncIterator[kube.Object]:
    """An admission webhook that says no, and how it is registered for one namespace."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        uid = (await request.json())["request"]["uid"]
        verdict = {"uid": uid, "allowed": False, "status": {"message": "the auditor said so"}}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return web.json_response({**review, "response": verdict})

    files = certificates.write_server(directory, "webhook")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    application = web.Application()
    application.router.add_post("/", refuse)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    ca = base64.b64encode(files.ca.read_bytes()).decode()
    try:
        yield _registration(f"https://127.0.0.1:{runner.addresses[0][1]}/", ca)
    finally:
        await runner.cleanup()


def _registration(url: str, ca: str) -> kube.Object:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["secrets"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": mistakes.GUARDED},
        "webhooks": [
            {
                "name": "no.leaseholder.dev",
                "clientConfig": {"url": url, "caBundle": ca},
                "rules": [rule],
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": mistakes.GUARDED}
                },
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
            }
        ],
    }
