from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.cluster import places, refusals

CANARY = "hunter2-canary"
SECRET = places.SECRETS.at("shop", "orders-db")


def status(reason: str, message: str, **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "reason": reason, "message": message, "details": details}


def translated(code: int, found: dict[str, Any] | None = None) -> errors.ClusterError:
    return refusals.translate("create", SECRET, code=code, status=found or {})


@pytest.mark.parametrize("code", [401, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_unavailable(code: int) -> None:
    assert isinstance(translated(code), errors.ClusterUnavailable)


@pytest.mark.parametrize("code", [400, 403, 405, 410, 413, 415, 422])
def test_what_can_not_succeed_as_it_is_is_refused(code: int) -> None:
    assert type(translated(code)) is errors.Refused


@pytest.mark.parametrize(
    "message",
    [
        "etcdserver: request is too large",
        "rpc error: code = ResourceExhausted desc = trying to send message larger than max "
        "(2127418 vs. 2097152)",
    ],
)
def test_what_etcd_finds_too_large_is_refused_though_the_api_server_says_500(message: str) -> None:
    refused = translated(500, {"kind": "Status", "message": message, "code": 500})
    assert type(refused) is errors.Refused
    assert refused.reason is Reason.WRITE_REFUSED
    assert refused.sentence == "can't create secrets orders-db in namespace shop: it is too large"
    assert isinstance(
        translated(500, status("", f"{CANARY}: {message}")), errors.ClusterUnavailable
    )


def test_an_absent_object_is_not_found() -> None:
    assert isinstance(translated(404), refusals.NotFound)


def test_an_existing_object_and_a_changed_one_are_both_conflicts() -> None:
    exists = translated(409, status("AlreadyExists", CANARY))
    changed = translated(409, status("Conflict", CANARY))
    assert isinstance(exists, errors.Conflict)
    assert isinstance(changed, errors.Conflict)
    assert "exists already" in exists.sentence
    assert "changed or replaced" in changed.sentence


def test_an_object_of_another_uid_is_a_conflict() -> None:
    causes = [{"field": "metadata.uid", "message": "field is immutable"}]
    assert isinstance(translated(422, status("Invalid", "", causes=causes)), errors.Conflict)


def test_the_servers_wish_to_wait_is_kept() -> None:
    error = refusals.translate("create", SECRET, code=429, status={}, retry_after=7.0)
    assert error.retry_after == 7.0


@pytest.mark.parametrize(
    ("message", "causes", "sentence"),
    [
        (
            f'secrets is forbidden: User "{CANARY}" cannot create resource "secrets" in API '
            'group "" in the namespace "shop"',
            [],
            "the operator has no right to create secrets",
        ),
        (
            f'secrets "x" is forbidden: exceeded quota: {CANARY}, requested: secrets=1',
            [],
            "a resource quota of the namespace is used up",
        ),
        (
            f"unable to create new content: {CANARY}",
            [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}],
            "the namespace shop is being deleted",
        ),
        (
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't "
            "set finalizers on",
            [],
            "the operator has no right to update dynamicleases/finalizers: bind the ClusterRole "
            "leaseholder, cluster-wide",
        ),
        (
            f'admission webhook "guard.example.com" denied the request: {CANARY}',
            [],
            "the admission webhook guard.example.com refuses it",
        ),
        (
            f'admission webhook "{CANARY} x" denied the request',
            [],
            "an admission rule of the cluster forbids it",
        ),
        (
            "secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'labels.example.com' with "
            f"binding 'all' denied request: {CANARY}",
            [],
            "the ValidatingAdmissionPolicy labels.example.com refuses it",
        ),
    ],
)
def test_what_is_forbidden_says_why_without_the_servers_text(
    message: str, causes: list[dict[str, str]], sentence: str
) -> None:
    error = translated(403, status("Forbidden", message, causes=causes))
    assert sentence in error.sentence
    assert "can't create secrets orders-db in namespace shop" in error.sentence
    assert CANARY not in repr(error)


def test_a_webhook_that_names_no_code_is_told_all_the_same() -> None:
    error = translated(400, status("", f'admission webhook "a.b" denied the request: {CANARY}'))
    assert isinstance(error, errors.Refused)
    assert "the admission webhook a.b refuses it" in error.sentence
    assert CANARY not in repr(error)


def test_an_invalid_object_names_its_fields_up_to_the_first_key() -> None:
    causes = [
        {"field": f"data[{CANARY}]", "message": CANARY},
        {"field": "metadata.labels", "message": CANARY},
        {"field": CANARY, "message": CANARY},
    ]
    error = translated(422, status("Invalid", CANARY, causes=causes))
    assert error.sentence.endswith("see data, metadata.labels")
    assert CANARY not in error.sentence


def test_an_immutable_secret_is_told_by_that_word() -> None:
    immutable = "Forbidden: field is immutable when `immutable` is set"
    causes = [{"field": "data", "message": f"{immutable} {CANARY}"}]
    error = translated(422, status("Invalid", CANARY, causes=causes))
    assert "it is immutable: delete it" in error.sentence
    assert CANARY not in error.sentence


def test_a_secret_of_another_type_is_told_by_that_word() -> None:
    causes = [{"field": "type", "message": f"field is immutable {CANARY}"}]
    found = status("Invalid", CANARY, causes=causes)
    error = refusals.translate("patch", SECRET, code=422, status=found)
    assert "it is of another type, and no write changes that: delete it" in error.sentence
    made = refusals.translate("create", SECRET, code=422, status=found)
    assert made.sentence.endswith("see type")
    assert CANARY not in error.sentence + made.sentence


def test_details_of_any_shape_are_survived() -> None:
    odd: tuple[dict[str, Any], ...] = (
        {"details": None},
        {"details": []},
        {"details": {"causes": "x"}},
        {"details": {"causes": [1]}},
    )
    for found in odd:
        assert isinstance(translated(403, found), errors.Refused)


def test_refused_writes_of_secrets_have_a_reason_of_their_own() -> None:
    lease = places.LEASES.at("shop", "orders", "status")
    assert translated(403).reason is Reason.WRITE_REFUSED
    assert refusals.translate("get", SECRET, code=403, status={}).reason is Reason.DENIED
    assert refusals.translate("patch", lease, code=403, status={}).reason is Reason.DENIED
    assert refusals.translate("patch", lease, code=422, status={}).reason is Reason.INVALID
