"""Issue, renew, look, take back, find again: what is asked, and what answers mean."""

import asyncio
import dataclasses
import re
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from leaseholder import errors
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import MOST_MARKED, Attempt, Issued, Lease
from leaseholder.providers.kit import cache
from leaseholder.providers.settings import InfisicalSettings
from tests import pages
from tests.unit.providers import support
from tests.unit.providers.support import NOW

ONE = f"{support.LEASES}/{support.LEASE_ID}"
RENEWAL = f"{ONE}/renew"
SECRET = "/api/v1/dynamic-secrets/orders-db"
LIST = f"{SECRET}/leases"
ADDRESS = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/"}
TAG = {"leaseholder": {"installation": "kube-1/leaseholder", "attempt": "attempt-1"}}


def after(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


def lease(**changes: Any) -> Lease:
    values: dict[str, Any] = {
        "id": support.LEASE_ID,
        "source": support.SOURCE,
        "issued_at": NOW,
        "expires_at": after(3600),
        "latest": after(86_400),
        "handle": {"type": "sql-database", "renewable": True, "maxTTL": 86_400},
    }
    return Lease(**(values | changes))


async def issue(bench: support.Bench, reply: support.Reply, **changes: Any) -> Issued:
    bench.server.say("POST", support.LEASES, reply)
    return await bench.adapter.issue(support.attempt(**changes))


async def test_an_issue_asks_in_the_servers_words_and_carries_the_tag() -> None:
    bench = support.bench()
    issued = await issue(bench, support.created())
    sent = support.body(bench.server.asked(support.LEASES)[0])
    assert sent == {"dynamicSecretName": "orders-db", "ttl": "3600s", "config": TAG, **ADDRESS}
    assert issued.credentials.reveal() == {
        "DB_USERNAME": "role",
        "DB_PASSWORD": f"{support.CANARY}-password",
    }
    assert issued.lease.id == support.LEASE_ID
    assert (issued.lease.issued_at, issued.lease.expires_at) == (NOW, after(3600))
    assert issued.lease.latest == after(86_400)
    assert issued.lease.handle == {
        "type": "sql-database",
        "renewable": True,
        "revocable": True,
        "slots": "Many",
        "recoverable": True,
        "createdAt": "2026-11-21T12:00:00Z",
        "maxTTL": 86_400,
    }


async def test_without_ttl_and_tag_the_servers_defaults_stand() -> None:
    bench = support.bench(settings=InfisicalSettings(tag_in_config=False))
    await issue(bench, support.created(), ttl_seconds=None)
    sent = support.body(bench.server.asked(support.LEASES)[0])
    assert sent == {"dynamicSecretName": "orders-db", **ADDRESS}
    assert not bench.adapter.capabilities({}).recoverable
    bench.server.say("GET", "/api/status", support.ok())
    assert "Recover" not in (await bench.adapter.check()).capabilities


async def test_the_leases_own_config_is_sent_beside_the_tag() -> None:
    bench = support.bench()
    await issue(bench, support.created(), source=support.SOURCE | {"config": {"namespace": "a"}})
    sent = support.body(bench.server.asked(support.LEASES)[0])
    assert sent["config"] == {"namespace": "a", **TAG}


async def test_values_that_are_no_strings_become_json_and_nulls_nothing() -> None:
    bench = support.bench()
    issued = await issue(
        bench, support.created(DN_ARRAY=["a", "b"], PERMISSIONS={"x": 1}, LEFT=3, GONE=None)
    )
    values = issued.credentials.reveal()
    assert values == {"DN_ARRAY": '["a","b"]', "PERMISSIONS": '{"x":1}', "LEFT": "3"}


@pytest.mark.parametrize("maximum", [None, "eternity", "200y"])
async def test_a_maximum_that_says_nothing_bounds_nothing(maximum: str | None) -> None:
    bench = support.bench()
    secret = support.wire_secret(maxTTL=maximum)
    reply = support.ok(lease=support.wire_lease(), dynamicSecret=secret, data={"A": "b"})
    assert (await issue(bench, reply)).lease.latest is None


@pytest.mark.parametrize(
    ("kind", "data", "renewable", "revocable", "slots"),
    [
        ("sql-database", "DB_PASSWORD", True, True, "Many"),
        ("kubernetes", "TOKEN", False, True, "Many"),
        ("aws-iam", "SECRET_ACCESS_KEY", True, True, "Many"),
        ("aws-iam", "SESSION_TOKEN", False, False, "Many"),
        ("gcp-iam", "TOKEN", False, False, "Many"),
        ("github", "TOKEN", False, False, "Many"),
        ("ssh", "PRIVATE_KEY", False, False, "Many"),
        ("totp", "TOTP", False, False, "Many"),
        ("tailscale", "AUTH_KEY", False, True, "Many"),
        ("oauth", "ACCESS_TOKEN", False, True, "Many"),
        ("azure-entra-id", "password", True, True, "One"),
        ("ldap", "PASSWORD", True, True, "One"),
    ],
)
async def test_each_kind_can_do_what_it_can(
    kind: str, data: str, renewable: bool, revocable: bool, slots: str
) -> None:
    bench = support.bench()
    issued = await issue(bench, support.created(kind, **{data: "x"}))
    able = bench.adapter.capabilities(issued.lease.handle)
    assert (able.renewable, able.revocable, able.slots) == (renewable, revocable, slots)
    assert (able.verifiable, able.recoverable) == (True, True)
    assert (able.minimum_renewal, able.settle, able.replica_lag) == (60, 160, 60)


def documented_kinds() -> list[Any]:
    """Rows of the table in docs/providers/infisical.md."""
    rows = pages.rows(pages.DOCS / "providers/infisical.md", "Kind")
    assert len(rows) > 25
    return [
        pytest.param(*name.split("`, "), *cells[:3], id=name)
        if "`" in name
        else pytest.param(name, "", *cells[:3], id=name)
        for name, cells in rows.items()
    ]


@pytest.mark.parametrize(("kind", "which", "kept", "revocation", "keys"), documented_kinds())
async def test_the_page_says_of_each_kind_what_is_done_for_it(
    kind: str, which: str, kept: str, revocation: str, keys: str
) -> None:
    bench = support.bench()
    secret = support.wire_secret(kind, inputs={"credentialType": which})
    bench.server.say("GET", SECRET, support.ok(dynamicSecret=secret))
    await bench.adapter.prepare(support.attempt())
    data = dict.fromkeys(re.findall(r"`(\w+)`", keys), "x")
    handle = (await issue(bench, support.created(kind, **data))).lease.handle
    able = bench.adapter.capabilities(handle)
    assert able.renewable == kept.startswith("renewing")
    assert able.revocable == (revocation != "no effect")
    assert (able.slots == "One") == kept.endswith("one slot")


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        (support.stamp(1800.0), 1800),
        (support.stamp(9000.0), 3600),
        ("soon", 3600),
        ("900", 3600),
        (7, 3600),
    ],
)
async def test_credentials_that_end_before_their_lease_end_it(end: object, seconds: int) -> None:
    bench = support.bench()
    lease = (await issue(bench, support.created("github", TOKEN="x", EXPIRES_AT=end))).lease
    assert lease.expires_at == after(seconds)
    lasting = support.created("sql-database", TOKEN="x", EXPIRES_AT=end)
    assert (await issue(bench, lasting)).lease.expires_at == after(3600)


@pytest.mark.parametrize(
    ("kind", "credential_type", "slots", "revocable"),
    [
        ("ldap", "dynamic", "Many", True),
        ("ldap", "static", "One", True),
        ("kubernetes", "static", "Many", False),
    ],
)
async def test_what_the_source_shows_is_remembered_for_its_leases(
    kind: str, credential_type: str, slots: str, revocable: bool
) -> None:
    bench = support.bench()
    secret = support.wire_secret(kind, inputs={"credentialType": credential_type})
    bench.server.say("GET", SECRET, support.ok(dynamicSecret=secret))
    noted = await bench.adapter.prepare(support.attempt())
    assert bench.adapter.capabilities(noted).slots == slots
    issued = await issue(bench, support.created(kind, X="y"))
    able = bench.adapter.capabilities(issued.lease.handle)
    assert (able.slots, able.revocable) == (slots, revocable)


@pytest.mark.parametrize(
    ("reply", "kind", "reason", "sent"),
    [
        (support.refused(400, "plan restriction. Upgrade"), errors.Denied, Reason.PLAN, None),
        (support.refused(400, "Max lease limit reached"), errors.Denied, Reason.TOO_MANY, None),
        (
            support.refused(400, "TTL cannot be larger than max TTL"),
            errors.Invalid,
            Reason.TTL_TOO_LONG,
            None,
        ),
        (
            support.refused(400, "Failed to create lease from provider: config"),
            errors.Invalid,
            Reason.UNAVAILABLE,
            None,
        ),
        (support.refused(400, "Invalid secret path."), errors.Invalid, Reason.INVALID, None),
        (support.refused(409, "x", "Conflict"), errors.Invalid, Reason.INVALID, None),
        (support.refused(403, "not a member", "F"), errors.Denied, Reason.DENIED, None),
        (support.refused(429, "try again in 3 s"), errors.Throttled, Reason.THROTTLED, None),
        (support.refused(500, "x", "E"), errors.Unavailable, Reason.UNAVAILABLE, True),
        (httpx2.Response(504, text="<html>"), errors.Unavailable, Reason.UNAVAILABLE, True),
        (httpx2.Response(403, text="<html>"), errors.Unavailable, Reason.BAD_ANSWER, False),
        (httpx2.Response(404, text="no route"), errors.Unavailable, Reason.BAD_ANSWER, False),
        (httpx2.Response(307), errors.Unavailable, Reason.BAD_ANSWER, False),
        (httpx2.Response(204), errors.Unavailable, Reason.BAD_ANSWER, True),
        (httpx2.Response(200, text="<html>"), errors.Unavailable, Reason.BAD_ANSWER, True),
        (support.ok(lease={"id": "x"}), errors.Unavailable, Reason.BAD_ANSWER, True),
        (
            support.ok(lease=support.wire_lease(), data={}),
            errors.Unavailable,
            Reason.BAD_ANSWER,
            True,
        ),
        (httpx2.ReadTimeout("x"), errors.Unavailable, Reason.UNAVAILABLE, True),
        (httpx2.ConnectError("x"), errors.Unavailable, Reason.UNREACHABLE, False),
    ],
)
async def test_each_failed_issue_has_its_type(
    reply: support.Reply, kind: type[errors.ProviderError], reason: Reason, sent: bool | None
) -> None:
    bench = support.bench()
    with pytest.raises(kind) as caught:
        await issue(bench, reply)
    assert caught.value.reason is reason
    assert getattr(caught.value, "sent", None) is sent
    assert bench.server.count(support.LEASES) == 1


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Project with slug 'demo' not found", "projectSlug"),
        ("Folder with path '/' in environment with slug 'prod' not found", "environmentSlug"),
        ("Dynamic secret with name 'orders-db' in folder", "dynamicSecretName"),
        ("Something else", "environment prod"),
    ],
)
async def test_a_404_says_which_part_is_missing(message: str, named: str) -> None:
    bench = support.bench()
    with pytest.raises(errors.Invalid) as caught:
        await issue(bench, support.refused(404, message, "NotFound"))
    assert caught.value.reason is Reason.SOURCE_MISSING
    assert named in caught.value.sentence
    assert "answered 404 (request req-abc123)" in caught.value.sentence


async def test_a_422_names_fields_and_quotes_nothing() -> None:
    bench = support.bench()
    issues = [{"path": ["ttl"], "message": "secret"}, {"path": ["evil"]}, {"path": 3}, 4]
    with pytest.raises(errors.Invalid) as caught:
        await issue(bench, support.refused(422, issues, "ValidationFailure"))
    assert caught.value.sentence.endswith("malformed (ttl)")


@pytest.mark.parametrize("text", ["<script>", "req-<script>", "a-credential-sent-back", "req-"])
async def test_a_request_id_that_is_none_is_not_shown(text: str) -> None:
    bench = support.bench()
    odd = {"reqId": text, "statusCode": 400, "message": "x", "error": "BadRequest"}
    with pytest.raises(errors.Invalid) as caught:
        await issue(bench, httpx2.Response(400, json=odd))
    assert text not in caught.value.sentence


async def test_a_ttl_above_the_maximum_names_the_maximum_where_it_is_known() -> None:
    bench = support.bench()
    await issue(bench, support.created())
    with pytest.raises(errors.Invalid) as caught:
        await issue(bench, support.refused(400, "TTL cannot be larger than max TTL"))
    assert "24h" in caught.value.sentence


NO_CONFIG = support.refused(400, "This provider does not accept a lease config")


async def noted(bench: support.Bench, **changes: Any) -> Attempt:
    """An attempt with what ``prepare`` notes for it."""
    planned = support.attempt(**changes)
    secret = SECRET.replace("orders-db", planned.source["dynamicSecretName"].lower())
    bench.server.say("GET", secret, support.ok(dynamicSecret=support.wire_secret()))
    return dataclasses.replace(planned, handle=await bench.adapter.prepare(planned))


async def test_a_rejected_tag_is_left_out_by_the_next_attempt_which_notes_it_before() -> None:
    bench = support.bench()
    bench.server.say("POST", support.LEASES, NO_CONFIG, support.created())
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.issue(await noted(bench))
    assert (caught.value.sent, bench.server.count(support.LEASES)) == (False, 1)
    again = await noted(bench)
    assert again.handle == {"tagged": False}
    issued = await bench.adapter.issue(again)
    sent = [support.body(request) for request in bench.server.asked(support.LEASES)]
    assert ["config" in one for one in sent] == [True, False]
    assert not bench.adapter.capabilities(issued.lease.handle).recoverable


async def test_whether_an_attempt_can_be_found_its_own_notes_say() -> None:
    bench = support.bench()
    tagged = await noted(bench)
    with pytest.raises(errors.Unavailable):
        await issue(bench, NO_CONFIG)
    tagless = await noted(bench)
    other = await noted(bench, source=support.SOURCE | {"dynamicSecretName": "other"})
    for adapter in (bench.adapter, support.bench().adapter):
        able = [adapter.capabilities(one.handle).recoverable for one in (tagged, tagless, other)]
        assert able == [True, False, True]


async def test_of_a_config_for_which_a_tag_was_refused_only_a_sign_is_kept() -> None:
    bench = support.bench()
    long = support.SOURCE | {"config": {"namespace": "x" * 100_000}}
    with pytest.raises(errors.Unavailable):
        await issue(bench, NO_CONFIG, source=long)
    assert (await noted(bench, source=long)).handle == {"tagged": False}
    assert sum(len(one) for one in bench.adapter._tags._refused) < 100


async def test_a_tag_is_tried_again_after_hours() -> None:
    bench = support.bench()
    with pytest.raises(errors.Unavailable):
        await issue(bench, NO_CONFIG)
    bench.clock.move(6 * 3600 + 1)
    assert (await noted(bench)).handle == {"tagged": True}


async def test_a_config_that_is_wrong_by_itself_is_told_and_does_not_cost_the_tag() -> None:
    bench = support.bench()
    wrong = support.SOURCE | {"config": {"namespace": "Wrong"}}
    issues = [{"path": ["config", "namespace"]}]
    bench.server.say("POST", support.LEASES, support.refused(422, issues, "ValidationFailure"))
    for kind in (errors.Unavailable, errors.Invalid, errors.Invalid):
        with pytest.raises(kind):
            await bench.adapter.issue(await noted(bench, source=wrong))
    mended = support.SOURCE | {"config": {"namespace": "right"}}
    assert (await noted(bench, source=mended)).handle == {"tagged": True}


async def test_no_issue_is_sent_at_or_after_its_deadline() -> None:
    bench = support.bench()
    bench.clock.move(30)
    with pytest.raises(errors.Unavailable) as caught:
        await issue(bench, support.created())
    assert not caught.value.sent
    assert bench.server.count(support.LEASES) == 0


async def test_the_deadline_is_measured_on_the_providers_clock() -> None:
    bench = support.bench()
    await issue(bench, support.created())
    ahead = {"date": "Sat, 21 Nov 2026 13:00:00 GMT"}
    bench.server.say("GET", "/api/status", httpx2.Response(200, headers=ahead, json={}))
    for _ in range(2):  # one answer alone doesn't set a clock
        assert (await bench.adapter.check()).clock_skew == 3600
    assert bench.adapter.now() == after(3600)
    with pytest.raises(errors.Unavailable):
        await issue(bench, support.created())


# ---------------------------------------------------------------------------- prepare


async def test_a_source_that_may_be_looked_at_and_is_well_passes() -> None:
    bench = support.bench()
    bench.server.say("GET", SECRET, support.ok(dynamicSecret=support.wire_secret()))
    await bench.adapter.prepare(support.attempt(ttl_seconds=86_400))
    assert dict(bench.server.asked(SECRET)[0].url.params) == ADDRESS


async def test_a_source_that_is_being_deleted_is_refused() -> None:
    bench = support.bench()
    secret = support.wire_secret(status="Revocation in process")
    bench.server.say("GET", SECRET, support.ok(dynamicSecret=secret))
    with pytest.raises(errors.Invalid) as caught:
        await bench.adapter.prepare(support.attempt())
    assert caught.value.reason is Reason.SOURCE_DELETED


async def test_a_ttl_above_the_maximum_is_refused_before_the_issue() -> None:
    bench = support.bench()
    bench.server.say("GET", SECRET, support.ok(dynamicSecret=support.wire_secret(maxTTL="2h")))
    with pytest.raises(errors.Invalid) as caught:
        await bench.adapter.prepare(support.attempt(ttl_seconds=7201))
    assert caught.value.reason is Reason.TTL_TOO_LONG
    assert "2h" in caught.value.sentence


async def test_a_ttl_below_the_minimum_is_refused_without_asking() -> None:
    bench = support.bench()
    with pytest.raises(errors.Invalid):
        await bench.adapter.prepare(support.attempt(ttl_seconds=59))
    assert bench.server.requests == []


async def test_a_forbidden_look_is_remembered_and_the_issue_goes_on() -> None:
    bench = support.bench()
    bench.server.say("GET", SECRET, support.refused(403, "x", "PermissionDenied"))
    await bench.adapter.prepare(support.attempt())
    bench.clock.move(299)
    await bench.adapter.prepare(support.attempt())
    assert bench.server.count(SECRET) == 2  # a fresh login is asked once more
    bench.clock.move(1)
    await bench.adapter.prepare(support.attempt())
    assert bench.server.count(SECRET) == 3


async def test_a_fresh_login_that_is_refused_once_is_asked_once_more() -> None:
    bench = support.bench()
    missing = support.refused(404, "Dynamic secret with name 'x", "NotFound")
    forbidden = support.refused(403, "x", "PermissionDenied")
    bench.server.say("GET", SECRET, forbidden, missing)
    with pytest.raises(errors.Invalid):
        await bench.adapter.prepare(support.attempt())
    assert bench.server.count(SECRET) == 2


async def test_many_leases_of_one_source_share_a_look() -> None:
    bench = support.bench()
    missing = support.refused(404, "Dynamic secret with name 'x", "NotFound")
    bench.server.say("GET", SECRET, missing)
    tries = (bench.adapter.prepare(support.attempt()) for _ in range(50))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(one, errors.Invalid) for one in outcomes)
    assert bench.server.count(SECRET) == 1
    bench.clock.move(10)
    with pytest.raises(errors.Invalid):
        await bench.adapter.prepare(support.attempt())
    assert bench.server.count(SECRET) == 2


async def test_a_look_with_an_odd_answer_is_no_reason_not_to_try() -> None:
    bench = support.bench()
    bench.server.say("GET", SECRET, support.ok(other=1))
    await bench.adapter.prepare(support.attempt())


async def test_a_look_that_fails_for_the_server_is_told_and_not_kept() -> None:
    bench = support.bench()
    good = support.ok(dynamicSecret=support.wire_secret())
    bench.server.say("GET", SECRET, httpx2.Response(503), good)
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.prepare(support.attempt())
    assert not caught.value.sent
    await bench.adapter.prepare(support.attempt())


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "a?b", "ü"])
async def test_a_name_that_is_no_slug_never_gets_into_a_url(name: str) -> None:
    bench = support.bench()
    with pytest.raises(errors.Invalid):
        await bench.adapter.prepare(
            support.attempt(source=support.SOURCE | {"dynamicSecretName": name})
        )
    assert bench.server.requests == []


async def test_what_is_remembered_of_sources_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST", 2)
    bench = support.bench()
    for number in range(5):
        name = f"db-{number}"
        found = support.ok(dynamicSecret=support.wire_secret(inputs={"credentialType": "static"}))
        bench.server.say("GET", f"/api/v1/dynamic-secrets/{name}", found)
        wanted = support.attempt(source=support.SOURCE | {"dynamicSecretName": name})
        await bench.adapter.prepare(wanted)
    known = bench.adapter._sources
    sizes = [len(known._checks), len(known._checks._locks), len(known._seen)]
    assert max(sizes) <= 2


async def test_a_credential_type_of_kilobytes_is_not_remembered() -> None:
    bench = support.bench()
    secret = support.wire_secret("ldap", inputs={"credentialType": "x" * 2**15})
    bench.server.say("GET", SECRET, support.ok(dynamicSecret=secret))
    noted = await bench.adapter.prepare(support.attempt())
    assert bench.adapter._sources.credential_type(support.SOURCE) is None
    assert bench.adapter.capabilities(noted).slots == "One"


# ---------------------------------------------------------------------- project by id

BY_ID = {k: v for k, v in support.SOURCE.items() if k != "projectSlug"} | {"projectId": "p-1"}
NEWER, OLDER = "/api/v1/projects/p-1", "/api/v1/workspace/p-1"


async def test_a_project_id_is_resolved_once_in_a_while() -> None:
    bench = support.bench()
    bench.server.say("GET", NEWER, support.ok(project={"slug": "demo"}))
    for _ in range(2):
        await issue(bench, support.created(), source=BY_ID)
    assert bench.server.count(NEWER) == 1
    assert support.body(bench.server.asked(support.LEASES)[0])["projectSlug"] == "demo"
    bench.clock.move(600)
    await issue(bench, support.created(), source=BY_ID, deadline=after(900))
    assert bench.server.count(NEWER) == 2


async def test_an_older_server_calls_it_workspace() -> None:
    bench = support.bench()
    bench.server.say("GET", NEWER, httpx2.Response(404, text="Route not found"))
    bench.server.say("GET", OLDER, support.ok(workspace={"slug": "demo"}))
    await issue(bench, support.created(), source=BY_ID)


async def test_a_renamed_project_is_resolved_again() -> None:
    bench = support.bench()
    old, new = support.ok(project={"slug": "old"}), support.ok(project={"slug": "new"})
    bench.server.say("GET", NEWER, old, new)

    def judge(request: httpx2.Request) -> httpx2.Response:
        if support.body(request)["projectSlug"] == "new":
            return support.created()
        return support.refused(404, "Project with slug 'old' not found", "NotFound")

    bench.server.say("POST", support.LEASES, judge)
    await bench.adapter.issue(support.attempt(source=BY_ID))
    assert bench.server.count(NEWER) == 2


async def test_a_project_that_keeps_its_slug_is_not_asked_for_twice() -> None:
    bench = support.bench()
    bench.server.say("GET", NEWER, support.ok(project={"slug": "demo"}))
    gone = support.refused(404, "Project with slug 'demo' not found", "NotFound")
    with pytest.raises(errors.Invalid):
        await issue(bench, gone, source=BY_ID)
    assert bench.server.count(support.LEASES) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (support.refused(404, "Project with ID", "NotFound"), errors.Invalid, "SourceNotFound"),
        (support.refused(403, "no", "ForbiddenError"), errors.Denied, "PermissionDenied"),
        (support.refused(500, "no", "E"), errors.Unavailable, "ProviderUnavailable"),
        (support.ok(project=None), errors.Unavailable, "BadProviderAnswer"),
        (support.ok(project={"slug": "x" * 257}), errors.Unavailable, "BadProviderAnswer"),
        (httpx2.Response(200, text="x"), errors.Unavailable, "BadProviderAnswer"),
        (httpx2.ReadTimeout("x"), errors.Unavailable, "ProviderUnavailable"),
    ],
)
async def test_a_project_that_cannot_be_resolved_issues_nothing(
    reply: support.Reply, kind: type[errors.ProviderError], reason: str
) -> None:
    bench = support.bench()
    bench.server.say("GET", NEWER, reply)
    bench.server.say("GET", OLDER, reply)
    with pytest.raises(kind) as caught:
        await bench.adapter.issue(support.attempt(source=BY_ID))
    assert caught.value.reason == reason
    assert not getattr(caught.value, "sent", False)


async def test_a_project_id_that_is_no_id_never_gets_into_a_url() -> None:
    bench = support.bench()
    with pytest.raises(errors.Invalid):
        await bench.adapter.issue(support.attempt(source=BY_ID | {"projectId": "../x"}))


# ------------------------------------------------------------------------------ renew


async def renew(bench: support.Bench, until: float, **changes: Any) -> Lease:
    return await bench.adapter.renew(lease(**changes), after(until))


async def test_a_renewal_asks_for_what_is_to_be_added() -> None:
    bench = support.bench()
    bench.server.say("POST", RENEWAL, support.ok(lease=support.wire_lease(expires=5000.9)))
    renewed = await renew(bench, 5000)
    assert support.body(bench.server.asked(RENEWAL)[0]) == {"ttl": "1400s", **ADDRESS}
    assert renewed.expires_at == after(5000)
    assert renewed.latest == after(86_400)
    assert renewed.handle["renewable"] is True


async def test_a_renewal_stays_below_the_longest_life() -> None:
    bench = support.bench()
    bench.server.say("POST", RENEWAL, support.ok(lease=support.wire_lease(expires=3700)))
    await renew(bench, 9000, latest=after(3702))
    assert support.body(bench.server.asked(RENEWAL)[0])["ttl"] == "100s"


@pytest.mark.parametrize(
    ("until", "changes", "reason", "latest"),
    [
        (3659, {}, Reason.RENEWAL_TOO_SOON, 86_400),
        (3000, {}, Reason.RENEWAL_TOO_SOON, 86_400),
        (3659, {"latest": None, "handle": {}}, Reason.RENEWAL_TOO_SOON, None),
        (9000, {"latest": None, "handle": {"maxTTL": 3661}}, Reason.CANNOT_RENEW, 3600),
        (9000, {"latest": after(3661)}, Reason.CANNOT_RENEW, 3600),
        (9000, {"handle": {"renewable": False}}, Reason.CANNOT_RENEW, 3600),
    ],
)
async def test_a_renewal_that_makes_no_sense_is_not_asked_for(
    until: float, changes: dict[str, Any], reason: Reason, latest: float | None
) -> None:
    bench = support.bench()
    with pytest.raises(errors.CannotRenew) as caught:
        await renew(bench, until, **changes)
    assert caught.value.reason is reason
    assert caught.value.latest == (None if latest is None else after(latest))
    assert bench.server.requests == []


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (support.refused(400, "would exceed"), errors.CannotRenew, Reason.CANNOT_RENEW),
        (support.refused(400, "plan restriction"), errors.Denied, Reason.PLAN),
        (httpx2.Response(400, text="<html>"), errors.Unavailable, Reason.BAD_ANSWER),
        (
            support.refused(404, "Dynamic secret lease with ID 'x' not found", "NotFound"),
            errors.LeaseGone,
            Reason.GONE,
        ),
        (httpx2.ReadTimeout("x"), errors.Unavailable, Reason.UNAVAILABLE),
        (support.ok(lease=support.wire_lease(id="b")), errors.Unavailable, Reason.BAD_ANSWER),
    ],
)
async def test_each_failed_renewal_has_its_type(
    reply: support.Reply, kind: type[errors.ProviderError], reason: Reason
) -> None:
    bench = support.bench()
    bench.server.say("POST", RENEWAL, reply)
    with pytest.raises(kind) as caught:
        await renew(bench, 7200)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "text",
    [
        "connect ECONNREFUSED 10.0.0.7:5432",
        "getaddrinfo ENOTFOUND db.shop",
        "getaddrinfo EAI_AGAIN db.shop",
        "read ECONNRESET",
        "Connection terminated unexpectedly",
        "timeout expired",
        "Knex: Timeout acquiring a connection. The pool is probably full.",
        "the database system is starting up",
        "terminating connection due to administrator command",
        "sorry, too many clients already",
        "the database system is not yet accepting connections",
        "cannot execute ALTER ROLE in a read-only transaction",
        "The MySQL server is running with the --read-only option so it cannot execute this",
        "first line\nsocket hang up",
    ],
)
async def test_a_renewal_while_the_database_cannot_be_reached_says_nothing_of_the_lease(
    text: str,
) -> None:
    bench = support.bench()
    reply = support.refused(400, f"Failed to renew lease from provider: {text}")
    bench.server.say("POST", RENEWAL, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await renew(bench, 7200)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert text not in caught.value.sentence


@pytest.mark.parametrize(
    "message",
    [
        'Failed to renew lease from provider: role "x" does not exist',
        "Failed to renew lease from provider: syntax error at or near TIMEOUTS",
        "Failed to renew lease from provider: Invalid time value",
        "Github dynamic secret does not support renewal",
        "OAuth access tokens can't be extended. Create a new lease to get a new token.",
    ],
)
async def test_a_renewal_that_no_other_try_mends_leads_to_a_new_lease(message: str) -> None:
    bench = support.bench()
    bench.server.say("POST", RENEWAL, support.refused(400, message))
    with pytest.raises(errors.CannotRenew) as caught:
        await renew(bench, 7200)
    assert caught.value.reason is Reason.CANNOT_RENEW


# ------------------------------------------------------------- inspect, revoke, recover


async def test_a_look_at_a_lease_shows_it_as_it_is_now() -> None:
    bench = support.bench()
    secret = support.wire_secret(maxTTL="2h")
    found = support.wire_lease(expires=7000, status="Failed to delete", dynamicSecret=secret)
    bench.server.say("GET", ONE, support.ok(lease=found))
    seen = await bench.adapter.inspect(lease())
    assert (seen.expires_at, seen.latest) == (after(7000), after(7200))
    assert seen.handle["status"] == "Failed to delete"
    assert dict(bench.server.asked(ONE)[0].url.params) == ADDRESS
    bench.server.say("GET", ONE, support.ok(lease=support.wire_lease(dynamicSecret=secret)))
    assert "status" not in (await bench.adapter.inspect(seen)).handle


async def test_a_look_at_a_found_lease_tells_its_kind() -> None:
    bench = support.bench()
    found = support.wire_lease(dynamicSecret=support.wire_secret("github"))
    bench.server.say("GET", ONE, support.ok(lease=found))
    seen = await bench.adapter.inspect(lease(handle={"recoverable": True}))
    assert seen.handle["type"] == "github"
    assert not bench.adapter.capabilities(seen.handle).renewable


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Dynamic secret lease with ID 'x' not found", errors.LeaseGone),
        ("Dynamic secret with ID 'x' not found", errors.LeaseGone),
        ("Folder with path '/' not found", errors.Invalid),
        ("Project with slug 'demo' not found", errors.Invalid),
    ],
)
async def test_only_a_missing_lease_is_a_gone_one(
    message: str, kind: type[errors.ProviderError]
) -> None:
    bench = support.bench()
    for method in ("GET", "DELETE"):
        bench.server.say(method, ONE, support.refused(404, message, "NotFound"))
    for call in (bench.adapter.inspect, bench.adapter.revoke):
        with pytest.raises(kind):
            await call(lease())


MISSING = support.refused(404, "Dynamic secret lease with ID 'x' not found", "NotFound")
GONE_TO_ANOTHER = "shows no such lease to this identity"


def logged_in_as(bench: support.Bench, identity: str) -> None:
    """Logins make that identity's tokens from now on; the one that is held is over."""
    stamp = bench.clock.wall().timestamp()
    token = support.jwt(identityId=identity, iat=stamp, exp=stamp + 600)
    bench.server.say("POST", support.LOGIN, support.logged_in(token, expires_in=600))


async def test_a_lease_that_another_identity_is_not_shown_may_live_to_its_end() -> None:
    """Somebody writes credentials of another organization into the Secret, in which a project has
    the same slug."""
    bench = support.bench()
    logged_in_as(bench, "first")
    issued = (await issue(bench, support.created())).lease
    for method, path in (("GET", ONE), ("DELETE", ONE), ("POST", RENEWAL)):
        bench.server.say(method, path, MISSING)
    with pytest.raises(errors.LeaseGone):
        await bench.adapter.inspect(issued)
    bench.clock.move(601)
    logged_in_as(bench, "second")
    for ask in (
        bench.adapter.inspect(issued),
        bench.adapter.revoke(issued),
        bench.adapter.renew(issued, after(7200)),
    ):
        with pytest.raises(errors.Denied, match=GONE_TO_ANOTHER):
            await ask
    bench.clock.move(3600)
    logged_in_as(bench, "second")
    with pytest.raises(errors.LeaseGone):
        await bench.adapter.inspect(issued)


async def test_another_identity_that_was_shown_a_lease_is_believed_that_it_is_gone() -> None:
    """Credentials are replaced in place within one project, too."""
    bench = support.bench()
    logged_in_as(bench, "first")
    issued = (await issue(bench, support.created())).lease
    bench.clock.move(601)
    logged_in_as(bench, "second")
    bench.server.say("DELETE", ONE, support.ok(lease=support.wire_lease()))
    assert (await bench.adapter.revoke(issued)).done
    bench.server.say("GET", ONE, MISSING)
    with pytest.raises(errors.LeaseGone):
        await bench.adapter.inspect(issued)


@pytest.mark.parametrize("slug", ["sub", None])
async def test_the_organization_that_a_provider_names_tells_logins_of_one_identity_apart(
    slug: str | None,
) -> None:
    bench = support.bench()
    logged_in_as(bench, "first")
    issued = (await issue(bench, support.created())).lease
    named = {**support.UNIVERSAL["universalAuth"], "organizationSlug": slug}
    other = support.bench({"universalAuth": named})
    logged_in_as(other, "first")
    other.server.say("GET", ONE, MISSING)
    with pytest.raises(errors.LeaseGone if slug else errors.Denied):
        await other.adapter.inspect(issued)


async def test_an_attempt_of_another_identity_that_is_not_found_may_have_a_lease() -> None:
    bench = support.bench()
    logged_in_as(bench, "first")
    bench.server.say("GET", SECRET, support.refused(403, "no", "PermissionDenied"))
    noted = await bench.adapter.prepare(support.attempt())
    bench.server.say("GET", LIST, support.ok(leases=[]))
    assert await bench.adapter.recover(support.attempt(handle=noted)) == ()
    bench.clock.move(601)
    logged_in_as(bench, "second")
    with pytest.raises(errors.Denied, match=GONE_TO_ANOTHER):
        await bench.adapter.recover(support.attempt(handle=noted))
    bench.clock.move(3600)
    logged_in_as(bench, "second")
    assert await bench.adapter.recover(support.attempt(handle=noted)) == ()


async def test_an_ingress_that_knows_no_route_makes_no_lease_gone() -> None:
    bench = support.bench()
    bench.server.say("GET", ONE, httpx2.Response(404, text="default backend - 404"))
    with pytest.raises(errors.Unavailable):
        await bench.adapter.inspect(lease())


@pytest.mark.parametrize("force", [False, True])
async def test_a_revocation_sends_its_address_in_the_body(force: bool) -> None:
    bench = support.bench()
    bench.server.say("DELETE", ONE, support.ok(lease=support.wire_lease()))
    revocation = await bench.adapter.revoke(lease(), force=force)
    assert revocation.done
    forced = {"isForced": True} if force else {}
    assert support.body(bench.server.asked(ONE)[0]) == {**ADDRESS, **forced}


async def test_a_200_whose_lease_failed_to_delete_is_not_done() -> None:
    bench = support.bench()
    failed = support.wire_lease(status="Failed to delete", statusDetails=support.CANARY)
    bench.server.say("DELETE", ONE, support.ok(lease=failed))
    revocation = await bench.adapter.revoke(lease())
    assert (revocation.done, revocation.reason) == (False, Reason.FAILED_TO_DELETE)
    assert support.CANARY not in revocation.sentence


async def test_a_lost_issue_is_found_by_its_tag_alone() -> None:
    bench = support.bench()
    other = {"leaseholder": {"installation": "kube-2/leaseholder", "attempt": "attempt-1"}}
    listed = [
        support.wire_lease(config=TAG | {"namespace": "a"}),
        support.wire_lease(id="b", config=other),
        support.wire_lease(id="c", config=None),
        support.wire_lease(id="d", config="text"),
    ]
    bench.server.say("GET", LIST, support.ok(leases=listed))
    found = await bench.adapter.recover(support.attempt())
    assert [one.id for one in found] == [support.LEASE_ID]
    assert found[0].expires_at == after(3600)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (support.refused(403, "x", "PermissionDenied"), errors.Denied),
        (support.refused(404, "Dynamic secret with name 'x", "NotFound"), errors.Invalid),
        (support.ok(items=[]), errors.Unavailable),
    ],
)
async def test_a_search_that_fails_finds_not_nothing(
    reply: httpx2.Response, kind: type[errors.ProviderError]
) -> None:
    bench = support.bench()
    bench.server.say("GET", LIST, reply)
    with pytest.raises(kind):
        await bench.adapter.recover(support.attempt())


ATTEMPT = "0123456789abcdef" * 2
HERE = "kube-1/leaseholder"


def tagged(lease_id: str, attempt: object = ATTEMPT, installation: str = HERE) -> dict[str, Any]:
    """A lease with an installation's tag."""
    config = {"leaseholder": {"installation": installation, "attempt": attempt}}
    return support.wire_lease(id=lease_id, config=config)


async def test_a_sweep_shows_this_installations_leases_that_are_not_known_and_no_others() -> None:
    bench = support.bench()
    listed = [
        tagged("ours"),
        tagged("known"),
        tagged("theirs", installation="kube-2/leaseholder"),
        tagged("no-attempt-id", attempt="attempt-1"),
        tagged("no-text", attempt=["x"]),
        support.wire_lease(id="a", config=None),
        support.wire_lease(id="b", config={"leaseholder": "text"}),
    ]
    bench.server.say("GET", LIST, support.ok(leases=listed))
    found = await bench.adapter.sweep(HERE, support.SOURCE, {"known"})
    assert [(one.lease.id, one.attempt_id) for one in found] == [("ours", ATTEMPT)]
    assert bench.adapter.capabilities({}).sweepable


async def test_a_sweep_of_a_long_list_takes_no_more_than_it_tells() -> None:
    bench = support.bench()
    listed = [tagged(f"lease-{number}") for number in range(MOST_MARKED + 50)]
    bench.server.say("GET", LIST, support.ok(leases=listed))
    found = await bench.adapter.sweep(HERE, support.SOURCE, set())
    assert len(found) == MOST_MARKED


async def test_a_sweep_shows_that_a_lease_is_of_a_shared_account() -> None:
    bench = support.bench()
    await issue(bench, support.created("azure-entra-id"))
    bench.server.say("GET", LIST, support.ok(leases=[tagged("ours")]))
    (found,) = await bench.adapter.sweep(HERE, support.SOURCE, set())
    assert bench.adapter.capabilities(found.lease.handle).slots == "One"


# ------------------------------------------------------------------------------ check


@pytest.mark.parametrize(
    ("reply", "version"),
    [
        (support.ok(version="v0.154.0"), "v0.154.0"),
        (support.ok(message="Ok"), None),
        (support.ok(version="<b>"), None),
        (httpx2.Response(404, text="x"), None),
        (httpx2.Response(200, text="x"), None),
    ],
)
async def test_health_tolerates_a_server_that_does_not_state_its_version(
    reply: httpx2.Response, version: str | None
) -> None:
    bench = support.bench()
    bench.server.say("GET", "/api/status", reply)
    health = await bench.adapter.check()
    assert health.server_version == version
    assert health.capabilities == ("Renew", "Inspect", "Revoke", "ForceRevoke", "Recover", "Sweep")


@pytest.mark.parametrize(("status", "kind"), [(503, errors.Unavailable), (429, errors.Throttled)])
async def test_health_is_bad_when_the_server_is_in_trouble(
    status: int, kind: type[errors.ProviderError]
) -> None:
    bench = support.bench()
    bench.server.say("GET", "/api/status", httpx2.Response(status))
    with pytest.raises(kind):
        await bench.adapter.check()


async def test_requests_are_told_to_metrics_by_operation_and_outcome() -> None:
    bench = support.bench()
    await issue(bench, support.created())
    assert bench.observed == [("login", "ok"), ("issue", "ok")]
    await bench.adapter.aclose()


async def test_the_administrators_bound_on_requests_is_kept() -> None:
    bench = support.bench(limits=provider.Limits(requests_per_minute=1))
    with pytest.raises(errors.Throttled):
        await issue(bench, support.created())
    assert bench.server.count(support.LEASES) == 0


async def test_near_the_end_of_the_budget_revocations_wait_first_then_issues_then_the_rest() -> (
    None
):
    bench = support.bench(limits=provider.Limits(requests_per_minute=8))
    bench.server.say("POST", RENEWAL, support.ok(lease=support.wire_lease(expires=7200)))
    bench.server.say("DELETE", ONE, support.ok(lease=support.wire_lease()))
    done: list[str] = []
    for _ in range(8):
        for name, call in (
            ("revoke", lambda: bench.adapter.revoke(lease())),
            ("check", bench.adapter.check),
            ("issue", lambda: issue(bench, support.created())),
            ("renew", lambda: bench.adapter.renew(lease(), after(7200))),
        ):
            try:
                await call()
            except errors.Throttled:
                continue
            done.append(name)
            break
    assert done == ["revoke", "revoke", "revoke", "issue", "issue", "renew", "renew"]
