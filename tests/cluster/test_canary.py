"""Canaries: every credential that was in play is searched for wherever it must not be.

The operator runs at DEBUG through good days and bad ones: issues, renewals, rotations, refused
logins, failing issues and revocations whose error texts carry a planted password. Then all that
it wrote but the target Secrets is searched, in plain and in the usual disguises.
"""

import asyncio
import base64
import collections.abc
import json
import re
import secrets
import urllib.parse

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import kube
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLANTED = f"canary-{secrets.token_hex(12)}"
_JWT = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.")
"""How every JSON web token begins."""
KINDS = ("DynamicLease", "LeaseProvider", "Event")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["text", "json"])
async def site(
    world: worlds.World, request: pytest.FixtureRequest
) -> collections.abc.AsyncIterator[sites.Site]:
    """At DEBUG: INFO logs the same without the lines of DEBUG."""
    name = f"canary-{request.param}"
    async with sites.site(world, name, LEASEHOLDER_LOG_FORMAT=request.param) as opened:
        yield opened


def _disguises(value: str) -> set[str]:
    """A value as logs and errors tend to show it."""
    raw = value.encode()
    return {
        value,
        base64.b64encode(raw).decode().rstrip("="),
        urllib.parse.quote(value, safe=""),
        raw.hex(),
        json.dumps(value)[1:-1],
    }


async def _bad_days(site: sites.Site) -> None:
    """What goes wrong now and then, each with a password in the server's text."""
    await site.auth_secret("wrong", clientId="nobody", clientSecret=PLANTED)
    await site.provider("wrong", auth=site.universal_auth("wrong"))
    await site.lease("refused", provider="wrong", ttl="1h")
    await site.admin.turn(createError=f"connect failed: password={PLANTED}")
    await site.lease("unissued", source="endless-db", ttl="1h")
    await site.reason("refused", "LoginRefused")
    await site.until(
        "unissued",
        lambda found: bool(((found or {}).get("status") or {}).get("retry")),
        what="the issue failed",
    )
    await site.admin.turn(createError=None, revokeError=f"drop failed: password={PLANTED}")
    await site.delete("held-0")
    await site.until(
        "held-0",
        lambda found: kube.condition(found, "RevocationPending").get("reason") == "FailedToDelete",
        what="the revocation failed",
    )
    await site.admin.turn(revokeError=None)


async def _written(site: sites.Site) -> dict[str, str]:
    """Everything that the operator wrote but Secrets, by where it stands."""
    texts = {"log": site.operator.log.read_text(encoding="utf-8")}
    for kind in KINDS:
        texts[kind] = json.dumps(await site.client.list(kind, site.namespace))
    texts["LeaseRecord"] = json.dumps(await site.client.list("LeaseRecord", site.home))
    texts["metrics"] = await asyncio.to_thread(site.operator.exposition)
    return texts


@pytest.mark.timeout(600)
async def test_no_credential_stands_anywhere_but_in_its_secret(site: sites.Site) -> None:
    names = [f"held-{number}" for number in range(3)]
    sources = ("orders-db", "ldap", "aws-sts")
    for name, source in zip(names, sources, strict=True):
        await site.lease(name, source=source, ttl="60s", renewal={"afterPercent": 5})
    await asyncio.gather(*(site.ready(name) for name in names))
    planted = {PLANTED, site.world.infisical.client_secret}
    for name in names:
        values = await site.credentials(name)
        planted.update(value for key, value in values.items() if _is_secret(key))
    await site.renewals("held-0", 2)
    await site.client.delete("Secret", "held-0", site.namespace)
    await site.until("held-0", kube.is_ready, what="healed")
    planted.update(
        value for key, value in (await site.credentials("held-0")).items() if _is_secret(key)
    )
    await _bad_days(site)
    texts = await _written(site)
    assert len(planted) >= 6
    assert {"DEBUG", "INFO", "WARNING"} <= {*re.findall(r"DEBUG|INFO|WARNING", texts["log"])}
    seen = [
        where
        for where, text in texts.items()
        for value in planted
        for shape in _disguises(value)
        if shape in text
    ]
    assert seen == [], "a credential was found; not shown here on purpose"
    tokens = [where for where, text in texts.items() if _JWT.search(text)]
    assert tokens == [], "an access token or a ServiceAccount token was found"


async def test_the_search_would_find_one(site: sites.Site) -> None:
    """The canary's own canary: a value that is in status for sure is found the same way."""
    await site.lease("found", ttl="1h")
    lease = (await site.ready("found"))["status"]["lease"]["id"]
    texts = await _written(site)
    assert any(shape in texts["DynamicLease"] for shape in _disguises(lease))


def _is_secret(key: str) -> bool:
    return any(word in key for word in ("PASSWORD", "SECRET", "TOKEN"))
