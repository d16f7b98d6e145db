"""What the OpenBao adapter sends, and what it makes of each answer."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.providers.openbao import api
from leaseholder.providers.openbao import notes as noted
from leaseholder.providers.settings import OpenBaoSettings
from tests.unit.clocks import NOW
from tests.unit.providers import baosupport as fake

HOUR = timedelta(hours=1)
APPROVAL: Any = {
    "lease_id": "",
    "data": None,
    "wrap_info": {"token": fake.CANARY, "accessor": "a", "ttl": 86400, "creation_path": fake.PATH},
}
"""What Vault Enterprise answers where a control group has to approve a read first."""


# -------------------------------------------------------------------------------- issuing


async def test_a_login_is_made_for_the_lease_and_its_accessor_noted_before_the_read() -> None:
    bench = fake.bench()
    attempt = await bench.prepared()
    assert attempt.handle["accessor"] == "acc"
    assert fake.CANARY not in str(attempt.handle)
    assert bench.server.count(fake.READ) == 0
    issued = await bench.adapter.issue(attempt)
    assert bench.server.count(fake.READ) == 1
    assert bench.server.count(fake.LOGIN) == 1
    assert issued.credentials.reveal()["username"] == "v-app"
    assert issued.lease.id == fake.LEASE_ID
    assert issued.lease.handle["accessor"] == "acc"
    assert fake.CANARY not in str(issued.lease)


async def test_each_request_names_the_namespace_but_the_health_check() -> None:
    bench = fake.bench(namespace="team/one")
    await bench.lease()
    await bench.adapter.check()
    for request in bench.server.requests:
        named = request.headers.get("x-vault-namespace")
        assert named == (None if request.url.path == fake.HEALTH else "team/one")
    [read] = bench.server.asked(fake.READ)
    assert read.headers["authorization"] == f"Bearer {fake.CANARY}-token"


async def test_each_request_says_that_it_is_one_for_proxies_that_want_to_see_it() -> None:
    bench = fake.bench(namespace="team/one")
    await bench.lease()
    await bench.adapter.check()
    paths = [one.url.path for one in bench.server.requests if "x-vault-request" not in one.headers]
    assert paths == []


async def test_parameters_are_the_body_of_a_post_and_the_query_of_a_get() -> None:
    bench = fake.bench()
    bench.server.say("POST", "/v1/pki/issue/web", lambda _: fake.leased())
    parameters = {"common_name": "a.test", "ip_sans": ["10.0.0.1"], "n": 3}
    source = {"path": "pki/issue/web", "method": "POST", "parameters": parameters}
    await bench.lease(source=source)
    [asked] = bench.server.asked("/v1/pki/issue/web")
    assert fake.body(asked) == parameters
    bench.server.say("GET", "/v1/aws/creds/x", lambda _: fake.leased())
    parameters = {"ttl": "15m", "exact": True}
    await bench.lease(source={"path": "aws/creds/x", "method": "GET", "parameters": parameters})
    [asked] = bench.server.asked("/v1/aws/creds/x")
    assert dict(asked.url.params) == {"ttl": "15m", "exact": "true"}


async def test_lists_among_the_parameters_of_a_get_are_said_name_by_name() -> None:
    bench = fake.bench()
    parameters = {"principals": ["a", "b c"], "ports": [22], "none": [], "flags": [True, 1.5]}
    await bench.lease(source={**fake.SOURCE, "parameters": parameters})
    [asked] = bench.server.asked(fake.READ)
    assert sorted(asked.url.params.multi_items()) == [
        *(("flags", "1.5"), ("flags", "true"), ("ports", "22")),
        *(("principals", "a"), ("principals", "b c")),
    ]


@pytest.mark.parametrize("value", [{"team": "a"}, [{"team": "a"}], [["a"]], [[]], {}])
async def test_what_no_query_can_say_is_refused_before_a_login(value: object) -> None:
    bench = fake.bench()
    with pytest.raises(errors.Invalid, match=r"parameter metadata .* method: POST") as caught:
        await bench.prepared(source={**fake.SOURCE, "parameters": {"metadata": value}})
    assert caught.value.reason is Reason.INVALID
    assert bench.server.requests == []


async def test_a_sentence_about_a_parameter_says_what_to_write_however_long_the_name() -> None:
    bench = fake.bench()
    with pytest.raises(errors.Invalid, match="or method: POST") as caught:
        await bench.prepared(source={**fake.SOURCE, "parameters": {"x" * 5000: {}}})
    assert len(caught.value.sentence) < 300


async def test_values_that_are_no_text_become_json_and_nulls_nothing() -> None:
    bench = fake.bench()
    data = {"text": "a", "number": 22, "list": ["b"], "flag": False, "nothing": None}
    bench.server.say("GET", fake.READ, fake.leased(data=data))
    values = (await bench.issued()).credentials.reveal()
    assert values == {"text": "a", "number": "22", "list": '["b"]', "flag": "false"}


async def test_the_read_is_never_tried_twice() -> None:
    bench = fake.bench()
    for reply in (httpx2.ReadTimeout("x"), fake.refused(500, "x"), fake.refused(502, "x")):
        bench.server.requests.clear()
        bench.server.say("GET", fake.READ, reply)
        attempt = await bench.prepared()
        with pytest.raises(errors.Unavailable) as caught:
            await bench.adapter.issue(attempt)
        assert caught.value.sent
        assert bench.server.count(fake.READ) == 1
        assert bench.server.count(fake.REVOKE_SELF) == 0  # it is found by the token
        with pytest.raises(errors.Unavailable) as caught:
            await bench.adapter.issue(attempt)
        assert not caught.value.sent
        assert bench.server.count(fake.READ) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (fake.refused(400, "unknown role: x"), errors.Invalid, Reason.SOURCE_MISSING),
        (fake.refused(404, 'no handler for route "x"'), errors.Invalid, Reason.SOURCE_MISSING),
        (fake.refused(404), errors.Invalid, Reason.SOURCE_MISSING),
        (
            fake.refused(405, "1 error occurred:\n\t* unsupported operation\n\n"),
            errors.Invalid,
            Reason.INVALID,
        ),
        (fake.refused(400, "missing common_name"), errors.Invalid, Reason.INVALID),
        (httpx2.Response(307, headers={"location": "x"}), errors.Unavailable, Reason.UNAVAILABLE),
        (fake.refused(412, "required index state"), errors.Unavailable, Reason.UNAVAILABLE),
        (fake.refused(403, "permission denied"), errors.Denied, Reason.DENIED),
        (fake.refused(429, "rate limit quota exceeded"), errors.Throttled, Reason.THROTTLED),
        (fake.refused(503, "Vault is sealed"), errors.Unavailable, Reason.UNAVAILABLE),
        (
            fake.refused(500, "1 error occurred:\n\t* unable to start transaction: dial tcp"),
            errors.Unavailable,
            Reason.UNAVAILABLE,
        ),
        (fake.leased(lease_id=""), errors.Invalid, Reason.INVALID),
        (fake.ok(**APPROVAL), errors.Denied, Reason.DENIED),
        (httpx2.ConnectError("x"), errors.Unavailable, Reason.UNREACHABLE),
        (httpx2.Response(404, text="<html>"), errors.Unavailable, Reason.BAD_ANSWER),
    ],
)
async def test_an_issue_that_made_nothing_says_so_and_ends_its_login(
    reply: fake.Reply, kind: type[errors.ProviderError], reason: Reason
) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.READ, reply)
    attempt = await bench.prepared()
    with pytest.raises(kind) as caught:
        await bench.adapter.issue(attempt)
    assert caught.value.reason is reason
    if isinstance(caught.value, errors.Unavailable) and caught.value.sent:
        assert reason is Reason.BAD_ANSWER
        return
    assert bench.server.count(fake.REVOKE_SELF) == 1


async def test_a_control_group_is_named_and_the_token_that_waits_for_it_shows_nowhere() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.READ, fake.ok(**APPROVAL))
    with pytest.raises(errors.Denied, match="take control_group off this path") as caught:
        await bench.issued()
    assert "plain value" not in caught.value.sentence
    assert fake.CANARY not in repr(caught.value)


async def test_an_answer_that_cannot_be_read_may_have_made_a_lease() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.READ, httpx2.Response(200, text="<html>"))
    attempt = await bench.prepared()
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.issue(attempt)
    assert caught.value.sent
    assert bench.server.count(fake.REVOKE_SELF) == 0


async def test_a_login_that_ended_before_its_read_makes_no_denial() -> None:
    bench = fake.bench()
    attempt = await bench.prepared()
    bench.server.say("GET", fake.READ, fake.refused(403, "permission denied"))
    bench.server.say("GET", fake.LOOKUP_SELF, fake.refused(403, "permission denied"))
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.issue(attempt)
    assert not caught.value.sent


async def test_a_leases_own_login_that_is_refused_once_is_asked_once_more() -> None:
    bench = fake.bench()
    refused = fake.refused(403, "permission denied")
    await bench.prepared()
    before = bench.server.count(fake.LOOKUP_SELF)
    bench.server.say("GET", fake.LOOKUP_SELF, refused, lambda _: fake.token())
    await bench.prepared(attempt_id="two")
    assert bench.server.count(fake.LOOKUP_SELF) == before + 2


async def test_logins_whose_issues_never_came_are_ended() -> None:
    bench = fake.bench()
    await bench.prepared(attempt_id="one")
    bench.clock.move(60)
    deadline = NOW + timedelta(seconds=90)
    await bench.prepared(attempt_id="two", deadline=deadline)
    assert bench.server.count(fake.REVOKE_SELF) == 1


async def test_after_its_deadline_an_issue_is_not_sent() -> None:
    bench = fake.bench()
    attempt = await bench.prepared()
    bench.clock.move(31)
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.issue(attempt)
    assert not caught.value.sent
    assert bench.server.count(fake.READ) == 0


FULL = fake.refused(429, "1 error occurred:\n\t* lease count quota exceeded\n\n")


async def test_a_quota_of_leases_that_is_full_stops_no_renewal() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    lease = await bench.lease()
    bench.server.say("GET", fake.READ, FULL)
    with pytest.raises(errors.Invalid, match="lease count quota: raise it, or revoke") as caught:
        await bench.issued(attempt_id="two")
    assert caught.value.reason is Reason.TOO_MANY
    assert bench.server.count(fake.REVOKE_SELF) == 1  # its login counts, too
    bench.server.say("POST", fake.RENEW, lambda r: fake.renewed(fake.body(r)["increment"]))
    renewed = await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert renewed.expires_at > lease.expires_at


async def test_a_login_that_a_quota_of_leases_refuses_is_not_held_against_its_credentials() -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.LOGIN, FULL, lambda _: fake.auth())
    with pytest.raises(errors.Invalid) as caught:
        await bench.prepared()
    assert caught.value.reason is Reason.TOO_MANY
    await bench.prepared(attempt_id="two")


async def test_a_quota_of_requests_is_waited_for() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.READ, fake.refused(429, "rate limit quota exceeded"))
    for _ in range(2):
        with pytest.raises(errors.Throttled):
            await bench.issued()
    assert bench.server.count(fake.READ) == 1


# ------------------------------------------------------------------------------ both ends


async def test_a_lease_ends_when_the_first_of_both_does() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(600))
    bench.server.say("POST", fake.RENEW_TOKEN, fake.auth(lease_duration=900))
    lease = await bench.lease()
    assert lease.expires_at <= fake.in_seconds(900)
    assert lease.expires_at >= fake.in_seconds(898)
    assert lease.latest == lease.expires_at
    [renewal] = bench.server.asked(fake.RENEW_TOKEN)
    assert fake.body(renewal)["accessor"] == "acc"
    assert 3595 <= fake.body(renewal)["increment"] <= 3600


@pytest.mark.parametrize("ttl", [600, 7200])
async def test_the_ttl_is_asked_for_by_a_renewal_longer_or_shorter(ttl: int) -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.RENEW, lambda r: fake.renewed(fake.body(r)["increment"]))
    bench.server.say(
        "POST",
        fake.RENEW_TOKEN,
        lambda r: fake.auth(lease_duration=fake.body(r)["increment"]),
    )
    lease = await bench.lease(ttl_seconds=ttl)
    assert fake.in_seconds(ttl - 2) <= lease.expires_at <= fake.in_seconds(ttl)
    assert lease.latest is None


async def test_a_shortening_whose_answer_is_lost_counts_as_done() -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.RENEW, httpx2.ReadTimeout("x"))
    lease = await bench.lease(ttl_seconds=600)
    assert lease.expires_at <= fake.in_seconds(600)


async def test_a_lengthening_that_fails_leaves_a_good_lease() -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.RENEW, fake.refused(400, "failed to renew entry: dial tcp"))
    lease = await bench.lease(ttl_seconds=7200)
    assert fake.in_seconds(3598) <= lease.expires_at <= fake.in_seconds(3600)
    assert lease.latest is None


async def test_a_maximum_that_was_learned_is_believed_for_a_while_only() -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.RENEW, fake.renewed(5400))
    bench.server.say("POST", fake.REVOKE, httpx2.Response(204))
    bench.server.say("POST", fake.REVOKE_TOKEN, httpx2.Response(204))
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    bench.server.say("POST", fake.LOOKUP, fake.refused(400, "invalid lease"))
    bench.server.say("POST", fake.LOOKUP_TOKEN, fake.refused(400, "invalid accessor"))
    with pytest.raises(errors.Invalid) as caught:
        await bench.issued(ttl_seconds=7200)
    assert caught.value.reason is Reason.TTL_TOO_LONG
    assert bench.server.count(fake.REVOKE) == bench.server.count(fake.REVOKE_TOKEN) == 1
    with pytest.raises(errors.Invalid):
        await bench.prepared(ttl_seconds=7200)
    assert bench.server.count(fake.READ) == 1
    bench.clock.move(301)
    deadline = NOW + timedelta(seconds=400)
    bench.server.say("POST", fake.RENEW, lambda r: fake.renewed(fake.body(r)["increment"]))
    lease = await bench.lease(ttl_seconds=7200, deadline=deadline)
    assert lease.latest is None  # an administrator raised it


@pytest.mark.parametrize(
    "reply",
    [
        fake.refused(400, "failed to revoke entry: dial tcp"),
        fake.refused(503, "Vault is sealed"),
        fake.refused(429, "x"),
        httpx2.ConnectError("x"),
    ],
)
async def test_a_lease_that_is_too_short_and_cannot_be_taken_back_is_unclear(
    reply: fake.Reply,
) -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.RENEW, fake.renewed(5400))
    bench.server.say("POST", fake.REVOKE, reply)
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    with pytest.raises(errors.Unavailable) as caught:
        await bench.issued(ttl_seconds=7200)
    assert caught.value.sent


async def test_a_renewal_never_shortens_and_never_outlives_the_token() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW_TOKEN, fake.auth(lease_duration=5400))
    bench.server.say("POST", fake.RENEW, lambda r: fake.renewed(fake.body(r)["increment"]))
    renewed = await bench.adapter.renew(lease, fake.in_seconds(7200))
    [renewal] = bench.server.asked(fake.RENEW)
    assert 5390 <= fake.body(renewal)["increment"] <= 5400
    assert renewed.expires_at == renewed.latest
    bench.server.requests.clear()
    with pytest.raises(errors.CannotRenew) as caught:
        await bench.adapter.renew(renewed, fake.in_seconds(600))
    assert caught.value.reason is Reason.RENEWAL_TOO_SOON
    assert bench.server.requests == []


async def test_a_token_that_lives_long_enough_is_left_alone() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(None))
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW, lambda r: fake.renewed(fake.body(r)["increment"]))
    renewed = await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert renewed.expires_at >= fake.in_seconds(7198)
    assert bench.server.count(fake.RENEW_TOKEN) == 0


@pytest.mark.parametrize(
    ("reply", "look", "kind"),
    [
        (fake.refused(400, "lease not found"), fake.refused(400, "invalid lease"), "LeaseGone"),
        (fake.refused(400, "lease expired"), fake.seen(0), "LeaseGone"),
        (fake.refused(400, "lease not found"), fake.seen(), "Unavailable"),
        (fake.refused(400, "something new"), fake.seen(), "Unavailable"),
        (fake.refused(400, "something new"), fake.refused(400, "invalid lease"), "LeaseGone"),
        (fake.refused(400, "lease is not renewable"), None, "CannotRenew"),
        (fake.refused(400, "past the max TTL, cannot renew"), None, "CannotRenew"),
        (
            fake.refused(400, 'failed to renew entry: could not find role with name "x"'),
            None,
            "CannotRenew",
        ),
        (
            fake.refused(400, 'failed to renew entry: ERROR: role "v" does not exist'),
            None,
            "CannotRenew",
        ),
        (
            fake.refused(400, "failed to renew entry: dial tcp: connection refused"),
            None,
            "Unavailable",
        ),
        (fake.refused(503, "Vault is sealed"), None, "Unavailable"),
        (fake.refused(500, "x"), None, "Unavailable"),
        (fake.refused(429, "x"), None, "Throttled"),
        (httpx2.Response(400, text="<html>"), None, "Unavailable"),
        (httpx2.ReadTimeout("x"), None, "Unavailable"),
    ],
)
async def test_a_renewal_that_fails_is_classified_and_confirmed(
    reply: fake.Reply, look: fake.Reply | None, kind: str
) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW, reply)
    bench.server.say("POST", fake.LOOKUP, look or AssertionError("nobody asked"))
    with pytest.raises(errors.ProviderError) as caught:
        await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert type(caught.value).__name__ == kind
    assert bench.server.count(fake.LOOKUP) == (look is not None)


@pytest.mark.parametrize(
    ("said", "served"),
    [
        ("failed to renew entry: dial tcp 10.0.0.1:5432: connect: no route to host", False),
        ("failed to renew entry: resp: (*logical.Response)(nil) err: EOF", False),
        ("failed to renew entry: FATAL: the database system is starting up", False),
        ("failed to renew entry: FATAL: the database system is not accepting connections", False),
        ("failed to renew entry: ERROR: cannot execute ALTER ROLE during recovery", False),
        ("failed to renew entry: driver: bad connection", False),
        ("failed to renew entry: invalid connection", False),
        ("failed to renew entry: rpc error: code = Unavailable desc = error reading", False),
        ("failed to renew entry: lookup db on 10.0.0.10:53: server misbehaving", False),
        ("failed to renew entry: ERROR: permission denied to alter role (SQLSTATE 42501)", True),
        ('failed to renew entry: ERROR: syntax error at or near "x"', True),
    ],
)
async def test_a_database_that_refuses_a_renewal_is_told_from_one_that_is_away(
    said: str, served: bool
) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW, fake.refused(400, said))
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert caught.value.served == served


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (fake.refused(400, "1 error occurred:\n\t* invalid accessor\n\n"), errors.LeaseGone),
        (fake.refused(500, "x"), errors.Unavailable),
        (fake.refused(400, "failed to renew entry: connection refused"), errors.Unavailable),
        (httpx2.Response(200, text="<html>"), errors.Unavailable),
    ],
)
async def test_a_token_that_is_not_renewed_ends_or_keeps_the_lease(
    reply: fake.Reply, kind: type[errors.ProviderError]
) -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW_TOKEN, reply)
    with pytest.raises(kind):
        await bench.adapter.renew(lease, fake.in_seconds(7200))


@pytest.mark.parametrize(
    "reply",
    [
        fake.ok(),
        fake.ok(lease_id=fake.LEASE_ID, renewable=True),
        fake.ok(lease_id=fake.LEASE_ID, lease_duration=5400),
        fake.ok(lease_id=f"{fake.PATH}/other", lease_duration=5400, renewable=True),
    ],
)
async def test_a_renewal_that_is_not_of_this_lease_says_nothing_of_it(reply: fake.Reply) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW, reply)
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert caught.value.reason is Reason.BAD_ANSWER
    await bench.prepared(attempt_id="two", ttl_seconds=7200)  # no maximum was learned


@pytest.mark.parametrize("made", [{}, {"renewable": True}])
async def test_a_renewal_of_the_token_without_its_length_says_nothing_of_it(
    made: dict[str, Any],
) -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW_TOKEN, fake.ok(auth=made))
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert caught.value.reason is Reason.BAD_ANSWER
    await bench.prepared(attempt_id="two", ttl_seconds=7200)


@pytest.mark.parametrize("lacking", ["ttl", "renewable"])
async def test_a_look_at_a_lease_that_lacks_something_does_not_say_that_it_is_gone(
    lacking: str,
) -> None:
    bench = fake.bench()
    lease = await bench.lease()
    seen = json.loads(fake.seen().content)
    del seen["data"][lacking]
    bench.server.say("POST", fake.LOOKUP, httpx2.Response(200, json=seen))
    with pytest.raises(errors.Unavailable) as caught:
        await bench.adapter.inspect(lease)
    assert caught.value.reason is Reason.BAD_ANSWER


async def test_a_token_that_cannot_be_renewed_is_the_end_of_the_lease() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.RENEW_TOKEN, fake.refused(400, "lease is not renewable"))
    renewed = await bench.adapter.renew(lease, fake.in_seconds(7200))
    assert renewed.expires_at == renewed.latest == fake.in_seconds(3600)


async def test_what_is_known_of_a_lease_survives_a_restart() -> None:
    before = fake.bench()
    before.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    before.server.say("POST", fake.RENEW, fake.renewed(5400))
    lease = await before.lease()
    renewed = await before.adapter.renew(lease, fake.in_seconds(7200))
    notes = noted.Notes.read(renewed.handle)
    assert notes.latest(renewed.issued_at) == renewed.latest
    after = fake.bench()
    with pytest.raises(errors.CannotRenew):
        await after.adapter.renew(renewed, fake.in_seconds(7200))
    assert after.server.requests == []


async def test_with_the_notes_of_before_the_issue_a_lease_is_still_renewed_right() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(90_000))
    attempt = await bench.prepared()
    lease = (await bench.adapter.issue(attempt)).lease
    restored = dataclasses.replace(lease, handle=attempt.handle, latest=None)
    bench.server.say("POST", fake.RENEW, lambda r: fake.renewed(fake.body(r)["increment"]))
    renewed = await bench.adapter.renew(restored, fake.in_seconds(7200))
    assert fake.in_seconds(7198) <= renewed.expires_at <= fake.in_seconds(7200)
    assert bench.server.count(fake.RENEW) == 1


# -------------------------------------------------------------- looking, revoking, finding


async def test_a_look_shows_the_earlier_end() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.LOOKUP, fake.seen(5000))
    bench.server.say("POST", fake.LOOKUP_TOKEN, fake.token(4000))
    assert (await bench.adapter.inspect(lease)).expires_at == fake.in_seconds(4000)
    bench.server.say("POST", fake.LOOKUP_TOKEN, fake.token(6000))
    assert (await bench.adapter.inspect(lease)).expires_at == fake.in_seconds(5000)
    bench.server.say("POST", fake.LOOKUP, fake.seen(id="another"))
    with pytest.raises(errors.Unavailable):
        await bench.adapter.inspect(lease)


@pytest.mark.parametrize(
    ("look", "token"),
    [
        (fake.refused(400, "invalid lease"), fake.token()),
        (fake.seen(0), fake.token()),
        (fake.seen(-12), fake.token()),
        (fake.seen(), fake.refused(400, "1 error occurred:\n\t* invalid accessor\n\n")),
    ],
)
async def test_a_lease_is_gone_with_its_token_or_when_it_is_being_revoked(
    look: httpx2.Response, token: httpx2.Response
) -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.LOOKUP, look)
    bench.server.say("POST", fake.LOOKUP_TOKEN, token)
    with pytest.raises(errors.LeaseGone):
        await bench.adapter.inspect(lease)


async def test_a_revocation_is_waited_for_and_looked_after() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.REVOKE, httpx2.Response(204))
    bench.server.say("POST", fake.REVOKE_TOKEN, httpx2.Response(204))
    undone = await bench.adapter.revoke(lease)
    assert not undone.done
    assert undone.reason is Reason.NOT_CONFIRMED
    assert bench.server.count(fake.REVOKE_TOKEN) == 0
    bench.server.say("POST", fake.LOOKUP, fake.refused(400, "invalid lease"))
    assert not (await bench.adapter.revoke(lease)).done
    bench.server.say("POST", fake.LOOKUP_TOKEN, fake.refused(400, "invalid accessor"))
    assert (await bench.adapter.revoke(lease, force=True)).done
    asked = [fake.body(request) for request in bench.server.asked(fake.REVOKE)]
    assert asked == [{"lease_id": fake.LEASE_ID, "sync": True}] * 3


async def test_a_revocation_that_the_database_did_not_take_keeps_the_token() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.REVOKE, fake.refused(400, "failed to revoke entry: dial tcp"))
    undone = await bench.adapter.revoke(lease)
    assert undone.reason is Reason.FAILED_TO_DELETE
    assert bench.server.count(fake.REVOKE_TOKEN) == 0


async def test_recovery_goes_by_the_accessor_alone() -> None:
    bench = fake.bench()
    attempt = await bench.prepared()
    bench.server.say("GET", fake.READ, httpx2.ReadTimeout("x"))
    with pytest.raises(errors.Unavailable):
        await bench.adapter.issue(attempt)
    [found] = await bench.adapter.recover(attempt)
    assert found.id == "accessor/acc"
    bench.server.say("POST", fake.REVOKE_TOKEN, httpx2.Response(204))
    bench.server.say("POST", fake.LOOKUP_TOKEN, fake.refused(400, "invalid accessor"))
    assert (await bench.adapter.revoke(found)).done
    assert bench.server.count(fake.REVOKE) == 0
    assert await bench.adapter.recover(attempt) == ()


async def test_a_revoked_token_that_is_not_there_is_fine() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.REVOKE, httpx2.Response(204))
    bench.server.say("POST", fake.LOOKUP, fake.refused(400, "invalid lease"))
    bench.server.say("POST", fake.REVOKE_TOKEN, fake.refused(400, "invalid accessor"))
    bench.server.say("POST", fake.LOOKUP_TOKEN, fake.refused(400, "invalid accessor"))
    assert (await bench.adapter.revoke(lease)).done
    bench.server.say("POST", fake.REVOKE_TOKEN, fake.refused(500, "x"))
    with pytest.raises(errors.Unavailable):
        await bench.adapter.revoke(lease)


# --------------------------------------------------------------------------------- logins


async def test_one_shared_login_serves_all_looks_and_is_renewed_in_time() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    for _ in range(3):
        await bench.adapter.inspect(lease)
    assert bench.server.count(fake.LOGIN) == 2  # the lease's own, and the shared one
    bench.server.say("POST", fake.RENEW_SELF, fake.auth())
    bench.clock.move(2600)
    await bench.adapter.inspect(lease)
    assert bench.server.count(fake.RENEW_SELF) == 1
    bench.server.say("POST", fake.RENEW_SELF, fake.auth(lease_duration=300))
    bench.clock.move(2600)
    await bench.adapter.inspect(lease)
    assert bench.server.count(fake.RENEW_SELF) == 2
    assert bench.server.count(fake.LOGIN) == 3


async def test_a_shared_login_that_cannot_be_replaced_is_used_to_its_end() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    await bench.adapter.inspect(lease)
    bench.server.say("POST", fake.RENEW_SELF, fake.refused(403, "permission denied"))
    bench.server.say("POST", fake.LOGIN, fake.refused(400, "invalid role or secret ID"))
    bench.clock.move(2600)
    await bench.adapter.inspect(lease)
    bench.clock.move(1100)
    with pytest.raises(errors.Denied) as caught:
        await bench.adapter.inspect(lease)
    assert caught.value.reason is Reason.LOGIN_REFUSED


async def test_a_403_is_a_dead_login_or_a_missing_right() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    await bench.adapter.inspect(lease)
    bench.server.say("POST", fake.LOOKUP, fake.refused(403, "permission denied"), fake.seen())
    bench.server.say("GET", fake.LOOKUP_SELF, fake.refused(403, "permission denied"))
    await bench.adapter.inspect(lease)
    assert bench.server.count(fake.LOGIN) == 3
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token())
    bench.server.say("POST", fake.LOOKUP, fake.refused(403, "permission denied"))
    with pytest.raises(errors.Denied, match='path "sys/leases/lookup"') as caught:
        await bench.adapter.inspect(lease)
    assert caught.value.reason is Reason.DENIED
    assert bench.server.count(fake.LOGIN) == 3
    bench.clock.move(61)  # the login may be older than the right
    with pytest.raises(errors.Denied):
        await bench.adapter.inspect(lease)
    with pytest.raises(errors.Denied):
        await bench.adapter.inspect(lease)
    assert bench.server.count(fake.LOGIN) == 4


async def test_a_login_that_is_never_taken_is_told() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    bench.server.say("POST", fake.LOOKUP, fake.refused(403, "permission denied"))
    bench.server.say("GET", fake.LOOKUP_SELF, fake.refused(403, "permission denied"))
    with pytest.raises(errors.Denied, match="default") as caught:
        await bench.adapter.inspect(lease)
    assert caught.value.reason is Reason.LOGIN_REFUSED


@pytest.mark.parametrize(
    ("reply", "kind", "sentence"),
    [
        (fake.refused(400, "invalid role or secret ID"), errors.Denied, "secret id"),
        (fake.refused(404, "namespace not found"), errors.Denied, "namespace"),
        (fake.refused(403, "permission denied"), errors.Denied, "mountPath"),
        (fake.auth(token_type="batch", accessor=""), errors.Denied, "token_type"),
        (fake.auth(num_uses=3), errors.Denied, "token_num_uses"),
        (fake.auth(client_token=""), errors.Denied, "MFA"),
        (fake.refused(500, "x"), errors.Unavailable, "trouble"),
        (fake.refused(503, "Vault is sealed"), errors.Unavailable, "unseal"),
        (fake.refused(429, "x"), errors.Throttled, "too many"),
        (httpx2.Response(200, text="<html>"), errors.Unavailable, "url"),
        (httpx2.Response(404, text="<html>"), errors.Unavailable, "url"),
    ],
)
async def test_a_refused_login_says_what_to_look_at(
    reply: fake.Reply, kind: type[errors.ProviderError], sentence: str
) -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.LOGIN, reply)
    with pytest.raises(kind, match=sentence):
        await bench.prepared()


async def test_wrong_credentials_are_tried_seldom_and_changed_ones_at_once() -> None:
    bench = fake.bench()
    bench.server.say("POST", fake.LOGIN, fake.refused(400, "invalid role or secret ID"))
    for _ in range(4):
        with pytest.raises(errors.Denied):
            await bench.prepared()
    assert bench.server.count(fake.LOGIN) == 1
    bench.credentialing.values["secret"] = "another"
    bench.server.say("POST", fake.LOGIN, fake.auth())
    await bench.prepared()


@pytest.mark.parametrize("way", ["kubernetes", "jwt"])
async def test_a_service_account_logs_in_with_a_token_made_for_it(way: str) -> None:
    login = {"role": "shop", "serviceAccountRef": {"name": "shop"}, "audience": "bao"}
    bench = fake.bench({way: {**login, "mountPath": f"{way}-two"}})
    where = f"/v1/auth/{way}-two/login"
    bench.server.say("POST", where, fake.auth())
    await bench.prepared()
    [asked] = bench.server.asked(where)
    assert fake.body(asked) == {"role": "shop", "jwt": f"{fake.CANARY}-sa-1"}
    assert bench.credentialing.audiences == ["bao"]


async def test_a_ready_made_token_is_kept_alive_but_never_shortened_or_revoked() -> None:
    bench = fake.bench(fake.TOKEN)
    bench.server.say("POST", fake.RENEW_SELF, fake.auth())
    lease = await bench.lease()
    assert bench.server.count(fake.LOGIN) == bench.server.count(fake.RENEW_SELF) == 0
    assert lease.handle["shared"] is True
    bench.clock.move(301)
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(1000, ttl=1000))
    await bench.adapter.inspect(lease)
    assert bench.server.count(fake.RENEW_SELF) == 1
    bench.server.say("POST", fake.REVOKE, httpx2.Response(204))
    bench.server.say("POST", fake.LOOKUP, fake.refused(400, "invalid lease"))
    assert (await bench.adapter.revoke(lease)).done
    assert bench.server.count(fake.REVOKE_TOKEN) == 0
    assert not bench.adapter.capabilities({}).recoverable


async def test_a_ready_made_token_that_ended_is_told_until_it_is_replaced() -> None:
    bench = fake.bench(fake.TOKEN)
    lease = await bench.lease()
    bench.server.say("POST", fake.LOOKUP, fake.refused(403, "permission denied"))
    bench.server.say("GET", fake.LOOKUP_SELF, fake.refused(403, "permission denied"))
    for _ in range(2):
        with pytest.raises(errors.Denied, match="write a new one"):
            await bench.adapter.inspect(lease)
    bench.credentialing.values["secret"] = "another"
    bench.server.say("POST", fake.LOOKUP, fake.seen())
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token())
    await bench.adapter.inspect(lease)


# ------------------------------------------------------------------- health and rights


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (httpx2.Response(503, json={"sealed": True, "version": "2"}), "unseal"),
        (httpx2.Response(501, json={"initialized": False}), "initialised"),
        (httpx2.Response(472, json={}), "stands by"),
        (httpx2.Response(502, text="<html>"), "trouble"),
        (httpx2.Response(404, text="<html>"), "url"),
        (httpx2.Response(200, text="<html>"), "url"),
    ],
)
async def test_a_server_that_does_not_serve_says_why(reply: httpx2.Response, sentence: str) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.HEALTH, reply)
    with pytest.raises(errors.Unavailable, match=sentence):
        await bench.adapter.check()


async def test_a_standby_serves_too() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.HEALTH, fake.ok(version="1.18.0", standby=True))
    assert (await bench.adapter.check()).server_version == "1.18.0"
    [asked] = bench.server.asked(fake.HEALTH)
    assert asked.url.params["standbyok"] == "true"


async def test_missing_rights_are_named_as_lines_of_a_policy() -> None:
    bench = fake.bench()
    held = {"database/creds/orders": ["read", "list"], "sys/leases/renew": ["create"]}
    held |= {"sys/leases/lookup": ["update"], "sys/leases/revoke": ["deny"]}
    bench.server.say("POST", fake.RIGHTS, fake.ok(data=held))
    with pytest.raises(errors.Denied) as caught:
        await bench.prepared()
    assert 'path "sys/leases/revoke" { capabilities = ["update"] }' in caught.value.sentence
    assert 'path "auth/token/renew-accessor"' in caught.value.sentence
    assert "sys/leases/renew" not in caught.value.sentence
    assert bench.server.count(fake.REVOKE_SELF) == 1
    with pytest.raises(errors.Denied):
        await bench.adapter.check()


NAMED: dict[str, Any] = {"policies": ["default", "shop"], "identity_policies": None}


async def test_rights_are_asked_once_for_all_logins_with_the_same_policies() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(**NAMED))
    for _ in range(3):
        await bench.issued()
    assert bench.server.count(fake.RIGHTS) == 1
    bench.clock.move(60)
    await bench.prepared()
    assert bench.server.count(fake.RIGHTS) == 2


@pytest.mark.parametrize(
    "policies",
    [["default"], [], None, "shop", [1, None]],
    ids=["others", "none", "null", "a text", "no texts"],
)
async def test_a_login_with_other_policies_or_that_shows_none_is_asked_for_its_rights(
    policies: object,
) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(**NAMED))
    await bench.issued()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(policies=policies))
    await bench.issued()
    assert bench.server.count(fake.RIGHTS) == 2


async def test_after_any_refusal_rights_are_asked_for_anew() -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.LOOKUP_SELF, fake.token(**NAMED))
    lease = await bench.lease()
    bench.server.say("POST", fake.LOOKUP, fake.refused(403, "permission denied"))
    with pytest.raises(errors.Denied):
        await bench.adapter.inspect(lease)
    bench.server.say("POST", fake.RIGHTS, fake.ok(data={}))
    with pytest.raises(errors.Denied):
        await bench.prepared()
    with pytest.raises(errors.Denied):
        await bench.prepared()
    assert bench.server.count(fake.RIGHTS) == 3


async def test_leases_that_come_together_log_in_with_what_was_read_once() -> None:
    bench = fake.bench()
    for _ in range(3):
        await bench.prepared()
    assert (bench.credentialing.reads, bench.server.count(fake.LOGIN)) == (1, 3)
    bench.clock.move(1)
    await bench.prepared()
    assert bench.credentialing.reads == 2


async def test_a_secret_that_was_just_replaced_is_read_again_before_its_refusal_is_reported() -> (
    None
):
    bench = fake.bench()
    await bench.prepared()
    bench.credentialing.values["secret"] = "another"
    bench.server.say(
        "POST", fake.LOGIN, fake.refused(400, "invalid role or secret ID"), fake.auth()
    )
    await bench.prepared()
    assert fake.body(bench.server.asked(fake.LOGIN)[-1])["secret_id"] == "another"


async def test_a_secret_that_is_refused_is_read_once_for_each_try() -> None:
    bench = fake.bench()
    await bench.prepared()
    bench.server.say("POST", fake.LOGIN, fake.refused(400, "invalid role or secret ID"))
    with pytest.raises(errors.Denied):
        await bench.prepared()
    assert (bench.credentialing.reads, bench.server.count(fake.LOGIN)) == (2, 2)
    with pytest.raises(errors.Denied):
        await bench.prepared()
    assert (bench.credentialing.reads, bench.server.count(fake.LOGIN)) == (3, 2)


async def test_a_database_that_is_down_is_no_outage_of_the_server() -> None:
    bench = fake.bench()
    lease = await bench.lease()
    for reply, is_up in ((fake.refused(500, "no transaction"), True), (fake.refused(502), False)):
        bench.server.say("POST", fake.LOOKUP, reply)
        for _ in range(6):
            with pytest.raises(errors.Unavailable):
                await bench.adapter.inspect(lease)
        asked = bench.server.count(fake.LOOKUP)
        with pytest.raises(errors.Unavailable):
            await bench.adapter.inspect(lease)
        assert (bench.server.count(fake.LOOKUP) > asked) is is_up


async def test_capabilities_follow_what_is_known_of_a_lease() -> None:
    bench = fake.bench(settings=OpenBaoSettings(settle_seconds=7, replica_lag_seconds=3))
    able = bench.adapter.capabilities({})
    assert (able.renewable, able.revocable, able.recoverable) == (True, True, True)
    assert (able.settle, able.replica_lag, able.slots) == (7, 3, "Many")
    bench.server.say("GET", fake.READ, fake.leased(renewable=False))
    lease = await bench.lease()
    assert not bench.adapter.capabilities(lease.handle).renewable
    assert bench.adapter.capabilities(lease.handle).recoverable


# ---------------------------------------------------------------------------- no secrets


@pytest.mark.parametrize(
    "reply",
    [
        fake.refused(400, fake.CANARY),
        fake.refused(403, fake.CANARY),
        fake.refused(500, f"unable to start transaction: {fake.CANARY}"),
        httpx2.Response(200, text=fake.CANARY),
        httpx2.ReadError(fake.CANARY),
        fake.leased(lease_id="", data={"password": fake.CANARY}),
    ],
)
async def test_no_failure_shows_a_secret(reply: fake.Reply) -> None:
    bench = fake.bench()
    bench.server.say("GET", fake.READ, reply)
    with pytest.raises(errors.ProviderError) as caught:
        await bench.issued()
    shown = f"{caught.value!r} {caught.value.sentence} {vars(caught.value)}"
    assert fake.CANARY not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# ------------------------------------------------------------------------ rules by property

SEGMENTS = st.sampled_from(
    ["sys", "auth", "identity", "cubbyhole", "..", ".", "", "team", "creds", "a b", "x%2f", "é"]
)


@given(st.lists(SEGMENTS, min_size=1, max_size=5))
def test_no_path_leads_to_the_server_itself(parts: list[str]) -> None:
    try:
        source = api.source({"path": "/".join(parts)})
    except errors.Invalid:
        return
    kept = source.path.split("/")
    assert kept[0] not in ("sys", "auth", "identity", "cubbyhole")
    assert not {"..", ".", ""} & set(kept)
    assert api.url(source.path).startswith("/v1/")
    assert not set(" %?#") & set(source.path)


@given(
    lease=st.none() | st.integers(1, 10**6),
    token=st.none() | st.integers(1, 10**6),
    lease_max=st.none() | st.integers(1, 10**6),
    token_max=st.none() | st.integers(1, 10**6),
)
def test_no_end_is_later_than_that_of_lease_or_token(
    lease: int | None, token: int | None, lease_max: int | None, token_max: int | None
) -> None:
    def at(seconds: int | None) -> Any:
        return None if seconds is None else fake.in_seconds(seconds)

    notes = noted.Notes(
        accessor="acc",
        token_issued_at=NOW,
        token_ends_at=at(token),
        token_max=token_max,
        lease_ends_at=at(lease),
        lease_max=lease_max,
    )
    assert noted.Notes.read(notes.dump()) == notes
    for end in (lease, token):
        assert end is None or notes.ends_at(NOW) <= fake.in_seconds(end)
    for longest in (lease_max, token_max):
        latest = notes.latest(NOW)
        assert longest is None or (latest is not None and latest <= fake.in_seconds(longest))


def test_notes_that_cannot_be_read_are_none() -> None:
    assert noted.Notes.read({"tokenEndsAt": "never"}) == noted.Notes()
    assert noted.Notes.read({"fromTheFuture": 1}) == noted.Notes()
