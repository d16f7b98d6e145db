"""The main job, from outside: a lease becomes a Secret, is renewed, and is revoked on deletion."""

import asyncio
import collections.abc
import datetime
import json
import pathlib
import re
import subprocess
import typing

import aiohttp
import pytest
import pytest_asyncio

from leaseholder.telemetry import catalogue
from tests.cluster import sites
from tests.world import kube, processes
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAST: dict[str, typing.Any] = {"ttl": "60s", "renewal": {"afterPercent": 5}}
"""Renewed every three seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "life") as opened:
        yield opened


def _lease(found: kube.Object) -> kube.Object:
    lease: kube.Object = found["status"]["lease"]
    return lease


async def test_a_lease_becomes_a_secret_that_logs_in(site: sites.Site) -> None:
    await site.lease("becomes", ttl="1h")
    found = await site.ready("becomes")
    assert await site.logs_in("becomes")
    seen = await site.leases(_lease(found)["id"])
    assert seen is not None
    assert seen.row is not None
    assert _lease(found)["expiresAt"] == seen.row.expire_at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_lease_is_issued_once_and_on_record(site: sites.Site) -> None:
    await site.lease("once", source="endless-db", ttl="1h")
    found = await site.ready("once")
    assert len(await site.issued("endless-db")) == 1
    (record,) = await site.records("once")
    assert record["holderUid"] == found["metadata"]["uid"]
    assert record["attemptId"] == _lease(found)["attempt"]
    assert record["state"] == "Held"
    assert record["leaseId"] == _lease(found)["id"]


async def test_a_renewal_renews_at_the_provider_and_never_beyond_the_ttl(
    site: sites.Site,
) -> None:
    await site.lease("renewed", **FAST)
    first = await site.ready("renewed")
    before = await site.leases(_lease(first)["id"])
    values = await site.credentials("renewed")
    await site.renewals("renewed", 3)
    after = await site.leases(_lease(first)["id"])
    assert before is not None
    assert before.row is not None
    assert after is not None
    assert after.row is not None
    assert after.row.expire_at > before.row.expire_at
    now = datetime.datetime.now(datetime.UTC)
    assert after.row.expire_at - now <= datetime.timedelta(seconds=61)
    assert await site.credentials("renewed") == values
    assert site.lets_in(values)


async def test_without_a_ttl_the_providers_default_holds(site: sites.Site) -> None:
    await site.lease("default", source="short-db")
    first = await site.ready("default")
    await site.renewals("default", 1)
    later = await site.renewals("default", 2)
    assert _lease(later)["id"] == _lease(first)["id"]
    assert await site.logs_in("default")


async def test_deletion_revokes_and_leaves_nothing(site: sites.Site) -> None:
    await site.lease("deleted", ttl="1h")
    found = await site.ready("deleted")
    values = await site.credentials("deleted")
    assert site.lets_in(values)
    await site.delete("deleted")
    await site.gone("deleted")
    assert not site.lets_in(values)
    seen = await site.leases(_lease(found)["id"])
    assert seen is None or (seen.row is None and not seen.alive)
    assert await site.records("deleted") == []
    assert await site.client.get("Secret", "deleted", site.namespace) is None


async def test_values_that_are_no_strings_become_json(site: sites.Site) -> None:
    await asyncio.gather(
        site.lease("ldap", source="ldap"), site.lease("github", source="github", ttl="4h")
    )
    _, github = await asyncio.gather(site.ready("ldap"), site.ready("github"))
    assert isinstance(json.loads((await site.credentials("ldap"))["DN_ARRAY"]), list)
    assert isinstance(json.loads((await site.credentials("github"))["PERMISSIONS"]), dict)
    moment, lease = datetime.datetime.fromisoformat, _lease(github)
    life = moment(lease["expiresAt"]) - moment(lease["issuedAt"])
    assert life <= datetime.timedelta(seconds=3601), "GitHub's own end counts"


async def test_a_kind_that_cant_be_renewed_is_replaced_in_time(site: sites.Site) -> None:
    await site.lease(
        "replaced",
        source="k8s",
        ttl="60s",
        renewal={"afterPercent": 8},
        rotation={"overlap": "3s"},
    )
    first = await site.ready("replaced")
    assert _lease(first)["strategy"] == "Rotate"
    old = await site.credentials("replaced")
    await site.until(
        "replaced",
        lambda found: kube.is_ready(found) and _lease(found or {})["id"] != _lease(first)["id"],
        what="replaced by another lease",
    )
    assert await site.admin.check(await site.credentials("replaced"))
    assert await site.credentials("replaced") != old


async def test_a_replaced_lease_lives_through_the_overlap_and_is_revoked_then(
    site: sites.Site,
) -> None:
    await site.lease("overlap", ttl="1h", rotation={"overlap": "4s"})
    first = await site.ready("overlap")
    old = await site.credentials("overlap")
    await _annotate(site, "overlap", rotate="1")
    await site.until(
        "overlap",
        lambda found: _lease(found or {})["id"] != _lease(first)["id"],
        what="rotated",
    )
    assert site.lets_in(old)
    assert await site.logs_in("overlap")
    await site.until(
        "overlap", lambda found: not site.lets_in(old), what="the old login is refused"
    )
    assert await site.logs_in("overlap")


async def test_a_command_acts_once_for_each_nonce(site: sites.Site) -> None:
    await site.lease("nonce", source="apps-db", annotations={"leaseholder.dev/rotate": "old"})
    await site.client.patch(
        "DynamicLease",
        "nonce",
        site.namespace,
        {"spec": {"infisical": {"path": "/apps"}, "rotation": {"overlap": "1s"}}},
    )
    await site.ready("nonce")
    assert len(await site.issued("apps-db")) == 1
    await _annotate(site, "nonce", rotate="new")
    await site.until(
        "nonce",
        lambda found: (found or {})["status"]["handled"]["rotate"] == "new",
        what="the command is handled",
    )
    await site.until(
        "nonce",
        lambda found: kube.condition(found, "RevocationPending").get("status") == "False",
        what="nothing is pending",
    )
    assert len(await site.issued("apps-db")) == 2


async def test_settings_that_need_no_new_lease_issue_none(site: sites.Site) -> None:
    await site.lease("settings", ttl="1h")
    first = await site.ready("settings")
    change = {
        "ttl": "2h",
        "renewal": {"afterPercent": 50},
        "rotation": {"overlap": "9s"},
        "target": {"template": {"metadata": {"labels": {"team": "shop"}}}},
    }
    await site.client.patch("DynamicLease", "settings", site.namespace, {"spec": change})
    later = await site.until(
        "settings",
        lambda found: (found or {})["status"]["observedGeneration"] >= 2,
        what="the change is seen",
    )
    assert _lease(later)["id"] == _lease(first)["id"]


async def test_a_suspended_lease_is_not_issued_but_goes_on_being_renewed(
    site: sites.Site,
) -> None:
    await site.lease("suspended", suspend=True, **FAST)
    await site.reason("suspended", "Suspended")
    assert await site.credentials("suspended") == {}
    await site.client.patch(
        "DynamicLease", "suspended", site.namespace, {"spec": {"suspend": False}}
    )
    await site.ready("suspended")
    await site.client.patch(
        "DynamicLease", "suspended", site.namespace, {"spec": {"suspend": True}}
    )
    await site.renewals("suspended", 2)
    assert await site.logs_in("suspended")


async def test_an_orphaned_lease_and_its_secret_stay(site: sites.Site) -> None:
    await site.lease("orphan", ttl="1h", deletion={"policy": "Orphan"})
    await site.ready("orphan")
    await site.delete("orphan")
    await site.gone("orphan")
    assert await site.logs_in("orphan")
    assert await site.records("orphan") == []
    secret = await site.client.get("Secret", "orphan", site.namespace)
    assert secret is not None
    assert "ownerReferences" not in secret["metadata"]
    assert "leaseholder.dev/owner-uid" not in secret["metadata"].get("labels", {})


async def test_a_deleted_secret_is_written_anew_and_the_old_lease_revoked(
    site: sites.Site,
) -> None:
    await site.lease("healed", ttl="1h", rotation={"overlap": "3s"})
    await site.ready("healed")
    old = await site.credentials("healed")
    await site.client.delete("Secret", "healed", site.namespace)
    await site.client.wait(
        "Secret", "healed", site.namespace, lambda found: found is not None, what="healed"
    )
    assert await site.logs_in("healed")
    await site.until("healed", lambda found: not site.lets_in(old), what="the old one is dead")


async def test_a_foreign_secret_is_never_overwritten(site: sites.Site) -> None:
    await site.auth_secret("foreign", kept="yes")
    await site.lease("foreign", ttl="1h")
    await site.reason("foreign", "SecretNotOurs")
    assert await site.credentials("foreign") == {"kept": "yes"}
    assert await site.records("foreign") == []
    await site.client.delete("Secret", "foreign", site.namespace)
    await _annotate(site, "foreign", renew="look again")
    await site.ready("foreign")


async def test_a_source_that_is_being_deleted_is_not_issued_from(site: sites.Site) -> None:
    await site.lease("dying-holder", source="aws-user", ttl="1h")
    await site.ready("dying-holder")
    await site.admin.turn(jobsPaused=True)
    try:
        await site.admin.delete_dynamic_secret("aws-user")
        await site.lease("pause", **FAST)
        await site.renewals("pause", 1)  # a look at the source holds for two seconds
        await site.lease("dying", source="aws-user", ttl="1h")
        found = await site.reason("dying", "SourceBeingDeleted")
        assert kube.condition(found, "Stalled")["status"] == "True"
        assert await site.records("dying") == []
    finally:
        await site.admin.turn(jobsPaused=False)


async def test_a_ttl_above_the_maximum_says_what_the_maximum_is(site: sites.Site) -> None:
    await site.lease("long", ttl="48h")
    found = await site.reason("long", "TTLTooLong")
    assert "24h" in kube.condition(found, "Ready")["message"]
    assert await site.records("long") == []
    await site.client.patch("DynamicLease", "long", site.namespace, {"spec": {"ttl": "24h"}})
    await site.ready("long")


async def test_metrics_show_leases_expiry_and_deeds(site: sites.Site) -> None:
    await site.lease("measured", **FAST)
    await site.renewals("measured", 1)
    found = await site.renewals("measured", 2)
    metrics = site.operator.metrics()
    provider = (
        f'provider="infisical",provider_kind="LeaseProvider",provider_namespace="{site.namespace}"'
    )
    assert metrics[f'leaseholder_leases{{{provider},state="Held"}}'] >= 1
    ready = f'{{name="measured",namespace="{site.namespace}",reason="Ready"}}'
    assert metrics[f"leaseholder_dynamic_lease_ready{ready}"] == 1
    label = f'{{name="measured",namespace="{site.namespace}"}}'
    expiry = metrics[f"leaseholder_dynamic_lease_expiry_timestamp_seconds{label}"]
    told = datetime.datetime.fromisoformat(_lease(found)["expiresAt"]).timestamp()
    assert abs(expiry - told) <= 10
    assert metrics[f'leaseholder_renewals_total{{outcome="ok",{provider}}}'] >= 2
    assert metrics[f'leaseholder_issues_total{{outcome="ok",{provider}}}'] >= 1
    assert metrics[f'leaseholder_provider_requests_total{{outcome="ok",{provider}}}'] >= 3
    assert metrics[f"leaseholder_provider_circuit_open{{{provider}}}"] == 0
    assert site.operator.answers("/healthz")
    assert site.operator.answers("/readyz")


async def test_a_deleted_lease_and_a_deleted_provider_leave_no_series(site: sites.Site) -> None:
    await site.provider("passing")
    await site.lease("passed", provider="passing", ttl="1h")
    await site.ready("passed")
    await processes.wait_until_async(lambda: _shows(site, both=True), what="both have series")
    await site.delete("passed")
    await site.gone("passed")
    await site.client.delete("LeaseProvider", "passing", site.namespace)
    await processes.wait_until_async(lambda: _shows(site, both=False), what="no series is left")


async def _shows(site: sites.Site, *, both: bool) -> bool:
    shown = await asyncio.to_thread(site.operator.exposition)
    return all((one in shown) is both for one in ('name="passed"', 'provider="passing"'))


async def test_a_running_operators_metrics_pass_prometheus_own_check_in_both_formats(
    site: sites.Site, promtool: pathlib.Path
) -> None:
    shown = await asyncio.to_thread(site.operator.exposition)
    pipe = subprocess.PIPE
    check = await asyncio.create_subprocess_exec(
        *(promtool, "check", "metrics"), stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert await check.communicate(shown.encode()) == (b"", b"")
    assert check.returncode == 0
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with (
        aiohttp.ClientSession(site.operator.metrics_url, headers=accept) as session,
        session.get("/metrics") as answer,
    ):
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    families = {*re.findall(r"^# TYPE (\w+)", text, flags=re.MULTILINE)}
    assert {one.name.removesuffix("_total") for one in catalogue.ALL} - families == set()


async def test_a_provider_tells_that_it_answers_and_what_it_can(site: sites.Site) -> None:
    found = await site.client.wait(
        "LeaseProvider", "infisical", site.namespace, kube.is_ready, what="Ready"
    )
    assert found is not None
    assert "Revoke" in found["status"]["capabilities"]
    assert abs(found["status"]["clockSkewSeconds"]) <= 2


async def test_events_tell_deeds_without_spam(site: sites.Site) -> None:
    await site.lease("eventful", **FAST)
    await site.renewals("eventful", 3)
    events = [
        e
        for e in await site.client.list("Event", site.namespace)
        if e["involvedObject"]["name"] == "eventful"
    ]
    assert sorted(e["reason"] for e in events) == ["LeaseIssued"]


async def _annotate(site: sites.Site, name: str, **commands: str) -> None:
    marks = {f"leaseholder.dev/{command}": nonce for command, nonce in commands.items()}
    change = {"metadata": {"annotations": marks}}
    await site.client.patch("DynamicLease", name, site.namespace, change)


async def test_a_label_that_was_taken_off_comes_back_without_a_new_lease(
    site: sites.Site,
) -> None:
    await site.lease("marked", ttl="1h")
    first = await site.ready("marked")
    change = {"metadata": {"labels": {"leaseholder.dev/owner-uid": None}}}
    await site.client.patch("Secret", "marked", site.namespace, change)
    await site.client.wait(
        "Secret",
        "marked",
        site.namespace,
        lambda found: "leaseholder.dev/owner-uid" in (found or {})["metadata"]["labels"],
        what="the label is back",
    )
    found = await site.found("marked")
    assert found is not None
    assert _lease(found)["id"] == _lease(first)["id"]
    assert await site.logs_in("marked")


async def test_a_label_of_the_template_is_put_on_without_a_new_lease(site: sites.Site) -> None:
    await site.lease("labelled", ttl="1h")
    first = await site.ready("labelled")
    template = {"metadata": {"labels": {"team": "shop"}}}
    change = {"spec": {"target": {"template": template}}}
    await site.client.patch("DynamicLease", "labelled", site.namespace, change)
    await site.client.wait(
        "Secret",
        "labelled",
        site.namespace,
        lambda found: (found or {})["metadata"]["labels"].get("team") == "shop",
        what="the label is there",
    )
    found = await site.found("labelled")
    assert found is not None
    assert _lease(found)["id"] == _lease(first)["id"]
