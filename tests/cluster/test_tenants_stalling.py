"""A tenant who wants the operator for himself: others' leases are renewed in time all the same."""

import asyncio
import collections.abc
import contextlib
import pathlib
import time

import pytest
import pytest_asyncio
from aiohttp import web

from tests.cluster import court, rogue
from tests.fuzz import sockets
from tests.world import processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

ABUSES = (
    "one-byte-chunks",
    "trailers",
    "informational-answers",
    "chunk-extensions",
    "a-gzip-bomb",
    "leases-of-nothing",
    "one-lease-of-many-things",
    "credentials-of-many-names",
)
MANY = 60
"""Several times as many as the operator has workers."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(world: worlds.World) -> collections.abc.AsyncIterator[court.Court]:
    async with court.opened(world, "stalling") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def attack(place: court.Court) -> collections.abc.AsyncIterator[court.Court]:
    async with place.attacked() as attacked:
        yield attacked


async def test_a_server_that_never_answers_holds_up_nobody_else(attack: court.Court) -> None:
    attack.server.trick(rogue.ISSUE, attack.server.hang)
    await attack.own_provider(limits={"concurrency": 64})
    await _many(attack, MANY)
    await _asked(attack, rogue.ISSUE, 10)


async def test_many_servers_that_never_answer_hold_up_nobody_else(attack: court.Court) -> None:
    attack.server.trick(rogue.LOGIN, attack.server.hang)
    for number in range(MANY):
        secret = {"name": "own-auth", "key": "clientSecret"}
        own = {"universalAuth": {"clientId": f"own-{number}", "clientSecretRef": secret}}
        await attack.own_provider(f"own-{number}", auth=own)
        await attack.tenant.lease(f"lease-{number}", provider=f"own-{number}", ttl="1h")
    # No more are looked at at once, and their leases wait for the same logins.
    await _asked(attack, rogue.LOGIN, MANY // 3)


async def test_an_answer_without_end_takes_nobodys_memory(attack: court.Court) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        with_nothing = b" " * 2**20
        try:
            for _ in range(400):
                await answer.write(with_nothing)
        except ConnectionError:
            pass
        return answer

    before = attack.victim.operator.resident
    attack.server.trick(rogue.STATUS, endless)
    await attack.own_provider()
    await attack.told("own", "BadProviderAnswer")
    assert attack.victim.operator.resident - before < 100


async def test_servers_that_abuse_http_and_json_hold_up_nobody(
    attack: court.Court, tmp_path: pathlib.Path
) -> None:
    """Each at a server of its own, all at once: whatever they cost, they cost together."""
    before, tenant = attack.victim.operator.resident, attack.tenant
    with contextlib.ExitStack() as stack:
        for number, way in enumerate(ABUSES):
            port = stack.enter_context(sockets.served(way, tmp_path))
            await attack.provider(f"own-{number}", f"http://127.0.0.1:{port}")
            for lease in range(3):
                await tenant.lease(f"lease-{number}-{lease}", provider=f"own-{number}", ttl="1h")
        for number in range(len(ABUSES)):
            await attack.told(f"own-{number}", "BadProviderAnswer", timeout=60.0)
        await attack.is_untouched()
        assert attack.victim.operator.resident - before < 64


async def test_many_leases_without_a_provider_hold_up_nobody(attack: court.Court) -> None:
    await _many(attack, 200, provider="nowhere")


async def test_edits_in_a_loop_hold_up_nobody(attack: court.Court) -> None:
    await attack.own_provider()
    await _many(attack, 5)
    end = time.monotonic() + 8
    number = 0
    while time.monotonic() < end:
        number += 1
        change = {"spec": {"rotation": {"overlap": f"{number}s"}}}
        nonce = {"metadata": {"annotations": {"leaseholder.dev/renew": f"n{number}"}}}
        limits = {"spec": {"limits": {"concurrency": 1 + number % 60}}}
        await asyncio.gather(
            *(
                attack.tenant.client.patch(
                    "DynamicLease", f"lease-{one}", attack.tenant.namespace, {**change, **nonce}
                )
                for one in range(5)
            ),
            attack.tenant.client.patch("LeaseProvider", "own", attack.tenant.namespace, limits),
        )
    assert number > 20


async def test_a_flood_of_secrets_that_look_like_the_operators_holds_up_nobody(
    attack: court.Court,
) -> None:
    async def forge(number: int) -> None:
        await attack.tenant.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": f"forged-{number}",
                    "namespace": attack.tenant.namespace,
                    "labels": {"leaseholder.dev/owner-uid": f"uid-{number}"},
                    "annotations": {"leaseholder.dev/owner-name": f"lease-{number}"},
                },
            }
        )

    for start in range(0, 300, 20):
        await asyncio.gather(*(forge(number) for number in range(start, start + 20)))


async def test_templates_that_would_compute_are_not_rendered(attack: court.Court) -> None:
    await attack.own_provider()
    for number, text in enumerate(
        (
            "{% for a in range(10 ** 9) %}{{ a }}{% endfor %}",
            "{{ 10 ** 10 ** 10 }}",
            "{{ ''.__class__.__mro__ }}",
            "{{ 'x' * 10 ** 10 }}",
            "{{ cycler.__init__.__globals__.os.environ }}",
            "{{ DB_USERNAME | center(1000000000) }}",
            "{{ " + "(" * 5000 + "DB_USERNAME" + ")" * 5000 + " }}",
        )
    ):
        template = {"data": {"X": text}}
        await attack.tenant.lease(
            f"template-{number}", provider="own", ttl="1h", target={"template": template}
        )
    for number in range(7):
        found = await attack.tenant.reason(f"template-{number}", "TemplateInvalid")
        assert "lease" not in found["status"]


async def _many(attack: court.Court, count: int, *, provider: str = "own") -> None:
    for start in range(0, count, 20):
        numbers = range(start, min(count, start + 20))
        await asyncio.gather(
            *(attack.tenant.lease(f"lease-{n}", provider=provider, ttl="1h") for n in numbers)
        )


async def _asked(attack: court.Court, path: str, times: int) -> None:
    async def is_asked() -> bool:
        return attack.server.count(path) >= times

    await processes.wait_until_async(is_asked, what=f"{path} is asked {times} times")
