"""What ``doctor`` makes of what the API server shows, and which rights it asks about."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaseholder.api import crds, lease, provider
from leaseholder.cli import checks, rights
from leaseholder.cli.checks import Finding, Level

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCE = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"}
HELD = {
    "attempt": "u-1",
    "id": "95e5ca9d",
    "issuedAt": "2026-01-01T11:20:00Z",
    "expiresAt": "2026-01-01T13:00:00Z",
    "renewAt": "2026-01-01T12:39:00Z",
    "strategy": "Renew",
}


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    told = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**told, "lastTransitionTime": "2026-01-01T11:50:00Z"}


def dl(*told: Any, name: str = "orders", held: Any = HELD, **spec: Any) -> lease.DynamicLease:
    return lease.DynamicLease.model_validate(
        {
            "metadata": {"namespace": "shop", "name": name, "uid": "u"},
            "spec": {"providerRef": {"name": "infisical"}, "infisical": SOURCE, **spec},
            "status": {"conditions": told, "lease": held},
        }
    )


READY = condition("Ready", "True", "Ready")


def levels(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.level.value, one.check) for one in found]


def served() -> dict[str, Any]:
    """The CRDs as the API server has them."""
    found = {}
    for kind in crds.KINDS:
        made = copy.deepcopy(crds.manifest(kind))
        made["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        found[made["metadata"]["name"]] = made
    return found


def test_crds_of_this_version_are_well() -> None:
    assert levels(checks.of_crds(served())) == [("ok", "crds")]


NAME = "dynamicleases.leaseholder.dev"


def without(path: str) -> dict[str, Any]:
    found = served()
    version = found[NAME]["spec"]["versions"][0]
    match path:
        case "crd":
            found[NAME] = None
        case "version":
            version["name"] = "v1beta1"
        case "served":
            version["served"] = False
        case "established":
            found[NAME]["status"] = {}
        case "field":
            del version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["ttl"]
    return found


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("crd", "isn't there: apply the CRDs of version"),
        ("version", "doesn't serve v1alpha1"),
        ("served", "doesn't serve v1alpha1"),
        ("established", "isn't established yet"),
        ("field", "is that of another version"),
    ],
)
def test_a_crd_that_is_missing_or_of_another_version_is_a_failure(path: str, told: str) -> None:
    (found,) = checks.of_crds(without(path))
    assert found.level is Level.FAIL
    assert found.message.startswith(f"{NAME} {told}")


def seat(renewed: str, holder: str = "leaseholder-x") -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed}}


@pytest.mark.parametrize(
    ("known", "level", "told"),
    [
        (None, Level.WARN, "write --operator where it is another"),
        (
            seat("2026-01-01T11:59:58.000000Z"),
            Level.OK,
            "leaseholder-x leads in namespace home, as it said 2s ago",
        ),
        (seat("2026-01-01T11:50:00Z"), Level.FAIL, "no operator leads in namespace home since 10m"),
        (seat("2026-01-01T11:59:58Z", holder=""), Level.FAIL, "no operator leads"),
        (seat("yesterday"), Level.FAIL, "no operator leads in namespace home at all"),
        ({}, Level.FAIL, "no operator leads in namespace home at all"),
    ],
)
def test_whether_an_operator_leads(known: Any, level: Level, told: str) -> None:
    found = checks.of_operator(known, "namespace home", NOON)
    assert (found.level, told in found.message) == (level, True), found.message


def known_provider(told: Any = (), skew: int | None = None, **auth: Any) -> provider.LeaseProvider:
    way = auth or {"tokenAuth": {"tokenSecretRef": {"name": "auth", "key": "token"}}}
    return provider.LeaseProvider.model_validate(
        {
            "metadata": {"namespace": "shop", "name": "infisical"},
            "spec": {"infisical": {"url": "https://x.test", "auth": way}},
            "status": {"conditions": told, "clockSkewSeconds": skew},
        }
    )


def test_providers_that_do_not_answer_say_what_to_do() -> None:
    plain = condition("Ready", "False", "PlainHttp", "the url is plain http")
    found = checks.of_providers([known_provider([plain]), known_provider([READY])])
    assert levels(found) == [("FAIL", "providers")]
    assert found[0].message.startswith("shop/infisical: PlainHttp: the url is plain http. Do: ")
    assert "LEASEHOLDER_PROVIDER_HOSTS" in found[0].message


def test_providers_that_nobody_looked_at_or_whose_clock_differs_are_warnings() -> None:
    assert levels(checks.of_providers([])) == [("warn", "providers")]
    assert levels(checks.of_providers([known_provider()])) == [("warn", "providers")]
    found = checks.of_providers([known_provider([READY], skew=-75)])
    assert levels(found) == [("ok", "providers"), ("warn", "clocks")]
    assert "differs by -75s" in found[1].message
    assert levels(checks.of_providers([known_provider([READY], skew=3)])) == [("ok", "providers")]


@pytest.mark.parametrize(
    ("told", "level", "message"),
    [
        (
            ("True", "OnNoRecord", "2 leases of this installation are on no record"),
            Level.FAIL,
            "shop/infisical: OnNoRecord: 2 leases of this installation are on no record. Do: "
            "Runbook (docs/runbook.md#leases-are-on-no-record)",
        ),
        (
            ("Unknown", "NotSweepable", "leases there have no mark"),
            Level.WARN,
            "shop/infisical: NotSweepable: leases there have no mark. Do: Take spec.sweep out",
        ),
        (
            ("False", "AllOnRecord", "the last sweep found no lease"),
            Level.OK,
            "no lease is on no record at 1 provider with spec.sweep",
        ),
    ],
)
def test_what_the_last_sweep_found_is_a_line(
    told: tuple[str, str, str], level: Level, message: str
) -> None:
    swept = known_provider([READY, condition("UnrecordedLeases", *told)])
    found = [one for one in checks.of_providers([swept]) if one.check == "sweeps"]
    assert [(one.level, one.message.startswith(message)) for one in found] == [(level, True)]
    assert all(one.check != "sweeps" for one in checks.of_providers([known_provider([READY])]))


def test_a_lease_that_is_ready_for_now_and_what_waits_for_a_budget_are_warnings() -> None:
    message = "the provider takes no more requests; good until 12:59"
    throttled = dl(condition("Ready", "True", "Throttled", message))
    found = checks.of_leases([throttled, dl(READY, name="calm")], NOON)
    assert levels(found)[:3] == [("ok", "leases"), ("warn", "leases"), ("warn", "budget")]
    assert found[1].message == f"shop/orders: Throttled: {message}"
    assert found[2].message.startswith(
        "1 waits for requests that the provider allows: shop/orders. Do: "
    )


def test_leases_that_are_well_are_a_line() -> None:
    found = checks.of_leases([dl(READY)], NOON)
    assert [(one.level, one.message) for one in found] == [
        (Level.OK, "1 of 1 Ready or suspended"),
        (Level.OK, "nothing waits for requests that a provider allows"),
        (Level.OK, "none is pending"),
    ]
    assert checks.of_leases([], NOON)[0].message == "there is no DynamicLease"


def test_a_lease_that_somebody_has_to_do_something_about_is_a_failure() -> None:
    broken = dl(condition("Ready", "False", "ProviderMissing", "there is no x"), held=None)
    on_its_way = dl(condition("Ready", "False", "Progressing"), held=None)
    unseen = dl(condition("Ready", "Unknown", "Pending"), held=None)
    found = checks.of_leases([broken, on_its_way, unseen], NOON)
    assert levels(found)[:3] == [("FAIL", "leases"), ("warn", "leases"), ("warn", "leases")]
    assert found[0].message.endswith("Do: Create it, or mend providerRef")
    assert "does it run, and serve the namespace?" in found[2].message


def test_a_renewal_that_is_overdue_and_what_is_suspended_are_told() -> None:
    late = NOON + timedelta(minutes=42)
    found = checks.of_leases([dl(READY, suspend=True)], late)
    assert ("FAIL", "renewals") in levels(found)
    assert any(one.message == "1 suspended: shop/orders" for one in found)
    halted = dl(condition("Ready", "False", "Suspended"), held=None, suspend=True)
    assert levels(checks.of_leases([halted], NOON))[:2] == [("ok", "leases"), ("warn", "leases")]
    assert ("FAIL", "renewals") not in levels(checks.of_leases([dl(READY)], NOON))


@pytest.mark.parametrize(
    ("reason", "minutes", "level"),
    [
        ("RevocationPending", 0, Level.OK),
        ("RevocationPending", 61, Level.FAIL),
        ("AuthGone", 0, Level.FAIL),
    ],
)
def test_a_pending_revocation_is_a_failure_when_it_does_not_go_on(
    reason: str, minutes: int, level: Level
) -> None:
    pending = condition("RevocationPending", "True", reason, "1 lease")
    found = checks.of_leases([dl(READY, pending)], NOON + timedelta(minutes=minutes))
    (told,) = (one for one in found if one.check == "revocations")
    assert told.level is level
    assert (
        f"shop/orders: pending since {10 + minutes if minutes < 50 else '1h 11'}m" in told.message
    )


def test_of_many_the_worst_are_named_and_the_others_counted() -> None:
    waiting = [dl(condition("Ready", "False", "Progressing"), held=None) for _ in range(30)]
    broken = dl(condition("Ready", "False", "ProviderMissing"), name="broken", held=None)
    found = [one for one in checks.of_leases([*waiting, broken], NOON) if one.check == "leases"]
    assert len(found) == 11
    assert (found[0].level, "shop/broken" in found[0].message) == (Level.FAIL, True)
    assert found[-1].message == "and 21 more"


def test_the_last_line_counts_and_the_worst_decides() -> None:
    found = [Finding(level, "x", "y") for level in (Level.OK, Level.WARN, Level.UNSEEN, Level.FAIL)]
    assert checks.worst(found) is Level.FAIL
    assert checks.summary(found) == (
        "doctor: 1 failure, 1 warning, 1 check that you have no right to"
    )
    assert checks.summary([found[2]] * 7) == "doctor: 7 checks that you have no right to"
    assert (checks.worst([]), checks.summary([])) == (Level.OK, "doctor: all is well")


def asked(**arguments: Any) -> set[tuple[str, str]]:
    found = rights.of_operator(
        arguments.get("leases", []), arguments.get("providers", []), home="home"
    )
    return {(one.namespace, f"{one.verb} {one.resource}") for one in found}


def test_only_rights_that_something_needs_are_asked_for() -> None:
    assert all(namespace == "home" for namespace, _ in asked())
    plain = asked(leases=[dl()])
    assert ("shop", "patch secrets") in plain
    assert not any("deployments" in right or "token" in right for _, right in plain)
    restarts = {"restartTargets": [{"kind": "Deployment", "name": "orders"}]}
    assert ("shop", "patch deployments") in asked(leases=[dl(rotation=restarts)])
    login = {"identityId": "i", "serviceAccountRef": {"name": "shop"}, "audience": "a"}
    tokens = asked(providers=[known_provider(kubernetesAuth=login)])
    assert ("shop", "create serviceaccounts/token") in tokens
    assert ("shop", "get secrets") in asked(providers=[known_provider()])
    assert not any("configmaps" in right for _, right in tokens)


def test_a_shared_provider_s_rights_are_those_where_its_references_are() -> None:
    ref = {"name": "auth", "key": "token", "namespace": "vault"}
    bundle = {"kind": "ConfigMap", "name": "ca", "key": "ca.crt", "namespace": "trust"}
    shared = provider.ClusterLeaseProvider.model_validate(
        {
            "metadata": {"name": "shared"},
            "spec": {
                "phase": {"url": "https://x.test", "auth": {"tokenSecretRef": ref}},
                "caBundleRef": bundle,
            },
        }
    )
    found = asked(providers=[shared])
    assert {("vault", "get secrets"), ("trust", "get configmaps")} <= found


def test_what_is_missing_is_told_by_namespace_with_the_role_to_bind() -> None:
    denied = [rights.Right("shop", "", "secrets", verb) for verb in ("patch", "get")]
    assert rights.missing(denied) == [
        "namespace shop: the operator has no right to get, patch secrets: bind the ClusterRole "
        "leaseholder-secrets there (in the chart's values: rights.secrets)"
    ]
    assert rights.Right("s", "", "serviceaccounts/token", "create").attributes == {
        "namespace": "s",
        "group": "",
        "resource": "serviceaccounts",
        "subresource": "token",
        "verb": "create",
    }
