"""What others do to a Secret of ours: seen at once, put right, and a lease only for changed data.

docs/changes.md has what costs a lease; here is how it goes.
"""

import asyncio
import base64
import collections.abc
import datetime
import typing

import pytest
import pytest_asyncio

from tests.cluster import sites
from tests.world import faults, kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTICED = 2.0 + 2.0
"""Two seconds to notice a change, and as much again for a busy machine."""
ISSUE = "/api/v1/dynamic-secrets/leases$"
OVERLAP = {"overlap": "4s"}
OWNER_UID = "leaseholder.dev/owner-uid"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "drift") as opened:
        yield opened


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _no_faults(site: sites.Site) -> collections.abc.AsyncIterator[None]:
    yield
    _provider(site).clear()
    _cluster(site).clear()


async def test_edited_data_is_told_before_it_is_healed_and_the_old_login_lasts_the_overlap(
    site: sites.Site,
) -> None:
    old = await _held(site, "edited", rotation=OVERLAP)
    issued = len(await site.all_issued())
    slow = _provider(site).latency(5.0, method="POST", path=ISSUE)
    await _edit(site, "edited")
    told = await site.until("edited", _is_not_ready, what="it is told", timeout=NOTICED)
    assert kube.condition(told, "Ready")["reason"] == "SecretChanged"
    assert (await site.credentials("edited"))["DB_PASSWORD"] == "edited"
    assert site.lets_in(old)
    await site.ready("edited")
    _provider(site).remove(slow)
    assert await site.logs_in("edited")
    assert site.lets_in(old)
    await site.until("edited", lambda _: not site.lets_in(old), what="the old login is dead")
    assert await site.logs_in("edited")
    assert len(await site.all_issued()) == issued + 1


async def test_a_deleted_secret_is_told_before_it_is_there_again(site: sites.Site) -> None:
    old = await _held(site, "deleted", rotation=OVERLAP)
    slow = _provider(site).latency(5.0, method="POST", path=ISSUE)
    await site.client.delete("Secret", "deleted", site.namespace)
    told = await site.until("deleted", _is_not_ready, what="it is told", timeout=NOTICED)
    assert kube.condition(told, "Ready")["reason"] == "SecretChanged"
    assert site.lets_in(old)
    await site.ready("deleted")
    _provider(site).remove(slow)
    assert await site.logs_in("deleted")
    await site.until("deleted", lambda _: not site.lets_in(old), what="the old login is dead")


async def test_who_edits_again_gets_no_lease_for_it_until_the_wait_is_over_or_a_command(
    site: sites.Site,
) -> None:
    await _held(site, "contested", rotation=OVERLAP)
    await _edit(site, "contested")
    await _shows_another(site, "contested", "edited")
    healed = await site.ready("contested")
    issued = len(await site.all_issued())
    await _edit(site, "contested")
    found = await site.reason("contested", "SecretContested", timeout=NOTICED)
    assert kube.condition(found, "Ready")["status"] == "False"
    assert "a new lease is acquired at" in kube.condition(found, "Ready")["message"]
    await _looked_again(site, "contested")
    assert len(await site.all_issued()) == issued
    assert await _alive(site, healed)
    await _annotate(site, "contested", rotate="now")
    await site.ready("contested")
    assert await site.logs_in("contested")
    assert len(await site.all_issued()) == issued + 1


async def test_marks_taken_off_keys_put_in_and_a_foreign_owner_are_put_right_at_once(
    site: sites.Site,
) -> None:
    names = ("stripped", "added", "owned")
    template = {"metadata": {"labels": {"team": "shop"}, "annotations": {"team": "shop"}}}
    await asyncio.gather(*(_held(site, name, target={"template": template}) for name in names))
    before = [await _secret(site, name) for name in names]
    issued = len(await site.all_issued())
    strange = await site.client.get("LeaseProvider", "infisical", site.namespace)
    assert strange is not None
    owner = {
        "apiVersion": strange["apiVersion"],
        "kind": strange["kind"],
        "name": "infisical",
        "uid": strange["metadata"]["uid"],
    }
    changes: list[kube.Object] = [
        {"metadata": {"labels": None, "annotations": None}},
        {"data": {"THEIRS": "eA=="}},
        {"metadata": {"ownerReferences": [owner], "labels": {OWNER_UID: "somebody"}}},
    ]
    for name, change in zip(names, changes, strict=True):
        await site.client.patch("Secret", name, site.namespace, change)
    for name, whole in zip(names, before, strict=True):
        await site.client.wait(
            "Secret",
            name,
            site.namespace,
            lambda found, whole=whole: _is_as(found, whole),  # type: ignore[misc]
            what="put right",
            timeout=NOTICED,
        )
        await _looked_again(site, name)
        assert (await _secret(site, name))["data"] == whole["data"]
        assert kube.is_ready(await site.found(name))
    assert len(await site.all_issued()) == issued


async def test_a_uid_written_on_a_foreign_secret_costs_nobody_a_lease(site: sites.Site) -> None:
    await _held(site, "impersonated")
    await site.auth_secret("forged", kept="yes")
    found = await site.ready("impersonated")
    secret, issued = await _secret(site, "impersonated"), len(await site.all_issued())
    marks = {
        "labels": {OWNER_UID: found["metadata"]["uid"]},
        "annotations": {"leaseholder.dev/owner-name": "nobody"},
    }
    await site.client.patch("Secret", "forged", site.namespace, {"metadata": marks})
    await _looked_again(site, "impersonated")
    assert await site.credentials("forged") == {"kept": "yes"}
    assert await _secret(site, "impersonated") == secret
    assert await _alive(site, found)
    assert len(await site.all_issued()) == issued


async def test_marks_taken_off_while_the_operator_is_away_are_put_on_without_an_issue(
    site: sites.Site,
) -> None:
    await _held(site, "away")
    whole, issued = await _secret(site, "away"), len(await site.all_issued())
    site.operator.kill()
    change = {"metadata": {"labels": None, "annotations": None}}
    await site.client.patch("Secret", "away", site.namespace, change)
    await site.restart()
    await site.client.wait(
        "Secret", "away", site.namespace, lambda found: _is_as(found, whole), what="put right"
    )
    await _looked_again(site, "away")
    assert (await _secret(site, "away"))["data"] == whole["data"]
    assert len(await site.all_issued()) == issued


async def test_an_operator_that_is_killed_between_edit_and_heal_issues_once(
    site: sites.Site,
) -> None:
    old = await _held(site, "killed", rotation=OVERLAP)
    issued = len(await site.all_issued())
    _cluster(site).hang(method="PATCH", path="/leaserecords")
    await _edit(site, "killed")
    await site.until("killed", _is_not_ready, what="it is told", timeout=NOTICED)
    site.operator.kill()
    _cluster(site).clear()
    assert len(await site.all_issued()) == issued
    await site.restart()
    await site.ready("killed")
    assert await site.logs_in("killed")
    await site.until("killed", lambda _: not site.lets_in(old), what="the old login is dead")
    assert len(await site.all_issued()) == issued + 1


async def test_a_lease_whose_new_secret_name_is_taken_keeps_the_former_secret(
    site: sites.Site,
) -> None:
    await _held(site, "moving")
    await site.auth_secret("theirs", kept="yes")
    await _spec(site, "moving", target={"secretName": "theirs"})
    await site.reason("moving", "SecretNotOurs")
    assert await site.credentials("theirs") == {"kept": "yes"}
    assert await site.logs_in("moving")
    issued = len(await site.all_issued())
    await site.client.delete("Secret", "theirs", site.namespace)
    await _annotate(site, "moving", renew="look again")
    await site.ready("moving")
    assert await site.logs_in("theirs")
    assert await site.credentials("moving") == {}
    assert len(await site.all_issued()) == issued


async def test_of_two_that_want_one_secret_the_older_wins_and_the_younger_says_so(
    site: sites.Site,
) -> None:
    shared: dict[str, typing.Any] = {"target": {"secretName": "shared"}}
    await site.lease("older", ttl="1h", suspend=True, **shared)
    older = await site.reason("older", "Suspended")
    made = older["metadata"]["creationTimestamp"]
    await processes.wait_until_async(
        lambda: _is_past(made), timeout=5, what="the next one is younger"
    )
    await site.lease("younger", ttl="1h", **shared)
    younger = await site.ready("younger")
    await _spec(site, "older", suspend=False)
    older = await site.ready("older")
    told = kube.condition(await site.reason("younger", "SecretNotOurs"), "Ready")["message"]
    assert "belongs to DynamicLease older: delete that one, or write another" in told
    secret = await _secret(site, "shared")
    assert secret["metadata"]["annotations"]["leaseholder.dev/lease-id"] == _id(older)
    assert await site.logs_in("shared")
    assert await _alive(site, younger)
    await _looked_again(site, "younger")
    await _looked_again(site, "older")
    assert (await _secret(site, "shared"))["metadata"] == secret["metadata"]
    await _spec(site, "younger", target={"secretName": "its-own"})
    await site.ready("younger")
    assert await site.logs_in("its-own")


async def test_a_dynamic_lease_that_is_made_again_takes_lease_and_secret_over(
    site: sites.Site,
) -> None:
    old = await _held(site, "successor", rotation=OVERLAP)
    former = await site.found("successor")
    issued = len(await site.all_issued())
    site.operator.kill()
    orphan: kube.Object = {"metadata": {"ownerReferences": None}}  # as with --cascade=orphan
    await site.client.patch("Secret", "successor", site.namespace, orphan)
    await site.delete("successor")
    forced: kube.Object = {"metadata": {"finalizers": None}}
    await site.client.patch("DynamicLease", "successor", site.namespace, forced)
    await site.gone("successor")
    await site.lease("successor", ttl="1h", rotation=OVERLAP)
    await site.restart()
    found = await site.ready("successor")
    assert _id(found) == _id(former)
    assert await site.credentials("successor") == old
    assert site.lets_in(old)
    await site.client.wait(
        "Secret",
        "successor",
        site.namespace,
        lambda one: (
            one is not None and one["metadata"]["labels"][OWNER_UID] == found["metadata"]["uid"]
        ),
        what="the Secret has its new owner",
    )
    assert len(await site.all_issued()) == issued
    (lease,) = await site.records("successor")
    assert (lease["state"], lease["holderUid"]) == ("Held", found["metadata"]["uid"])
    await _annotate(site, "successor", rotate="now")
    await site.until("successor", lambda _: not site.lets_in(old), what="the old login is dead")
    assert await site.logs_in("successor")


async def _held(site: sites.Site, name: str, **spec: typing.Any) -> dict[str, str]:
    """A lease of an hour in its Secret; returns its credentials."""
    await site.lease(name, ttl="1h", **spec)
    await site.ready(name)
    return await site.credentials(name)


async def _edit(site: sites.Site, name: str) -> None:
    change = {"data": {"DB_PASSWORD": base64.b64encode(b"edited").decode()}}
    await site.client.patch("Secret", name, site.namespace, change)


async def _shows_another(site: sites.Site, name: str, password: str) -> None:
    async def healed() -> bool:
        return (await site.credentials(name)).get("DB_PASSWORD", password) != password

    await processes.wait_until_async(healed, what="other data")


async def _secret(site: sites.Site, name: str) -> kube.Object:
    found = await site.client.get("Secret", name, site.namespace)
    assert found is not None
    return found


async def _spec(site: sites.Site, name: str, **spec: typing.Any) -> None:
    await site.client.patch("DynamicLease", name, site.namespace, {"spec": spec})


async def _annotate(site: sites.Site, name: str, **commands: str) -> None:
    marks = {f"leaseholder.dev/{command}": nonce for command, nonce in commands.items()}
    change = {"metadata": {"annotations": marks}}
    await site.client.patch("DynamicLease", name, site.namespace, change)


async def _looked_again(site: sites.Site, name: str) -> None:
    """A change of no import is told: what came of all before it is over."""
    await _spec(site, name, deletion={"timeout": "20m"})
    await site.until(name, _is_told, what="told")


def _is_told(found: kube.Object | None) -> bool:
    assert found is not None
    generation: int = found["metadata"]["generation"]
    return bool(found["status"]["observedGeneration"] == generation)


def _is_not_ready(found: kube.Object | None) -> bool:
    return kube.condition(found, "Ready").get("status") == "False"


def _is_as(found: kube.Object | None, whole: kube.Object) -> bool:
    """Whether a Secret has again all that is ours, and no keys of others."""
    assert found is not None
    now, then = found["metadata"], whole["metadata"]
    marks = ("labels", "annotations")
    owners = [owner["uid"] for owner in now.get("ownerReferences", ())]
    return (
        all((now.get(mark) or {}).items() >= then[mark].items() for mark in marks)
        and then["ownerReferences"][0]["uid"] in owners
        and bool(found["data"].keys() == whole["data"].keys())
    )


async def _is_past(moment: str) -> bool:
    second = datetime.timedelta(seconds=1)
    return datetime.datetime.now(datetime.UTC) > datetime.datetime.fromisoformat(moment) + second


def _id(found: kube.Object | None) -> str:
    return str((found or {})["status"]["lease"]["id"])


async def _alive(site: sites.Site, found: kube.Object | None) -> bool:
    lease = await site.leases(_id(found))
    return lease is not None and lease.alive


def _provider(site: sites.Site) -> faults.Faults:
    assert site.world.provider_faults is not None
    return site.world.provider_faults.faults


def _cluster(site: sites.Site) -> faults.Faults:
    assert site.world.kubernetes_faults is not None
    return site.world.kubernetes_faults.faults
