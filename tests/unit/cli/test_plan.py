"""``plan``: manifests read, and what would become of them."""

import pathlib
from datetime import UTC, datetime
from typing import Any

import pytest

from leaseholder.api import lease, provider
from leaseholder.cli import manifests, planned
from leaseholder.cli.exits import Failed

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCE = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"}
HELD = {
    "attempt": "u-1",
    "id": "95e5ca9d",
    "issuedAt": "2026-01-01T11:00:00Z",
    "expiresAt": "2026-01-01T13:00:00Z",
    "strategy": "Renew",
}


def dl(*, held: Any = None, keys: Any = (), source: Any = None, **spec: Any) -> lease.DynamicLease:
    return lease.DynamicLease.model_validate(
        {
            "metadata": {"namespace": "shop", "name": "orders", "uid": "u"},
            "spec": {
                "providerRef": {"name": "infisical"},
                **(source or {"infisical": SOURCE}),
                **spec,
            },
            "status": {"lease": held, "target": {"secretName": "orders", "keys": keys}},
        }
    )


def known(kind: str = "LeaseProvider", ready: str = "", **spec: Any) -> provider.AnyProvider:
    model = {one.KIND: one for one in (provider.LeaseProvider, provider.ClusterLeaseProvider)}[kind]
    ref = {"name": "a", "key": "b", **({"namespace": "n"} if kind.startswith("C") else {})}
    server = {"url": "https://x.test", "auth": {"tokenAuth": {"tokenSecretRef": ref}}}
    told = {"type": "Ready", "status": "True" if ready == "Ready" else "False", "reason": ready}
    moment = {"lastTransitionTime": "2026-01-01T11:00:00Z", "message": "why"}
    return model.model_validate(
        {
            "metadata": {"name": "infisical"},
            "spec": {"infisical": server, **spec},
            "status": {"conditions": [{**told, **moment}] if ready else []},
        }
    )


def said(report: planned.ObjectReport) -> str:
    return "\n".join(text for _, text in report.lines)


def report() -> planned.ObjectReport:
    return planned.ObjectReport("x")


# ------------------------------------------------------------------------------- files


def write(path: pathlib.Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_documents_and_lists_are_read_singly(tmp_path: pathlib.Path) -> None:
    text = "kind: A\n---\n---\nkind: AList\nitems:\n- {kind: B, apiVersion: g/v1}\n- kind: C\n"
    found = manifests.read(write(tmp_path / "x.yaml", text))
    assert [one["kind"] for one in found] == ["A", "B", "C"]
    assert [manifests.group(one) for one in found] == ["", "g", ""]


BOMB = "kind: A\na0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "kind: A\na0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{n + 1}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}\n" for n in range(12)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {", "line 1 is no YAML"),
        ("- 1", "a document is no object of Kubernetes"),
        ("kind: 7", "a document is no object of Kubernetes"),
        ("!!python/object/apply:os.system ['true']", "is no YAML"),
        ("kind: A\nx: !!binary aGk=", "holds what no JSON can say"),
        ("kind: A\nx: &a [*a]", "its aliases grow to more than a million"),
        (BOMB, "its aliases grow to more than a million"),
        (MERGES, "line [0-9]+ is no YAML: its merges grow to more than a million"),
        ("kind: A\nx: &a {<<: &b {<<: *a}}", "no YAML|no JSON"),
        ("kind: A\nx: " + "[" * 9999, "no YAML|no JSON"),
        ("kind: List\nitems: [7]", "a document is no object of Kubernetes"),
        ("", "x.yaml is empty: nothing but blanks and comments"),
        ("# nothing\n---\n", "x.yaml is empty"),
    ],
)
def test_what_is_no_manifest_is_a_sentence(text: str, told: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Failed, match=told):
        manifests.read(write(tmp_path / "x.yaml", text))


def test_a_merge_is_what_kubectl_reads(tmp_path: pathlib.Path) -> None:
    text = "kind: A\nx: &x {a: 1, b: 2}\ny: {<<: [*x, {c: 3}], b: 4}\n"
    (found,) = manifests.read(write(tmp_path / "x.yaml", text))
    assert found["y"] == {"a": 1, "b": 4, "c": 3}


def test_a_date_is_a_text_as_for_kubectl(tmp_path: pathlib.Path) -> None:
    (found,) = manifests.read(write(tmp_path / "x.yaml", "kind: A\nx: 2026-01-01\n"))
    assert found["x"] == "2026-01-01"


def test_a_file_that_is_not_there_or_is_no_text_is_a_sentence(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Failed, match="can't be read: No such file"):
        manifests.read(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Failed, match="it isn't UTF-8"):
        manifests.read(str(tmp_path / "binary"))


def test_what_stands_in_a_manifest_may_be_anything() -> None:
    odd = {"kind": "X", "metadata": 7, "spec": []}
    assert (manifests.name(odd), manifests.namespace(odd, "d"), manifests.spec(odd)) == (
        "",
        "d",
        {},
    )


# ------------------------------------------------------------------------------- lease


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (dl(ttl="1h"), None, "one is issued at once, of d in e, ttl 1h"),
        (dl(), None, "the provider's default ttl"),
        (dl(), dl(held=HELD), "stays: neither provider nor source change"),
        (dl(ttl="9h", renewal={"afterPercent": 10}), dl(held=HELD), "stays"),
        (dl(providerRef={"name": "other"}), dl(held=HELD), "a new one is issued at once"),
        (
            dl(source={"infisical": {**SOURCE, "path": "/apps"}}),
            dl(held=HELD),
            "the old one lives on for 2m at least",
        ),
        (dl(source={"infisical": {**SOURCE, "path": "/"}}), dl(held=HELD), "stays"),
        (dl(suspend=True), None, "spec.suspend is true"),
        (
            dl(source={"openbao": {"path": "database/creds/orders"}}),
            None,
            "of database/creds/orders",
        ),
        (dl(source={"phase": {"appId": "a", "env": "prod", "id": "i"}}), None, "of i in prod"),
    ],
)
def test_whether_a_lease_is_issued(
    now: lease.DynamicLease, before: lease.DynamicLease | None, told: str
) -> None:
    made = report()
    planned.issue(made, now, before)
    assert told in said(made)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"ttl": "1h"}, "renewed, or replaced where the provider can't renew it, 39m 36s after"),
        ({"ttl": "1h", "renewal": {"strategy": "Rotate", "before": "10m"}}, "replaced 50m 0s"),
        ({"ttl": "1h", "renewal": {"before": "50m"}}, "counts for at most half of the ttl: 30m 0s"),
        ({"renewal": {"strategy": "Renew"}}, "renewed after 66 % of the ttl"),
        ({"renewal": {"before": "5m"}}, "5m before its end"),
        ({"rotation": {"maxAge": "24h"}}, "replaced when it is 24h old"),
    ],
)
def test_when_a_lease_is_renewed_and_replaced(spec: Any, told: str) -> None:
    made = report()
    planned.times(made, dl(**spec), None, NOON)
    assert told in said(made)


def test_a_lease_that_is_there_gives_the_life_and_its_age() -> None:
    made = report()
    planned.times(made, dl(rotation={"maxAge": "30m"}), dl(held=HELD), NOON)
    assert "1h 19m after its issue" in said(made)
    assert "the present one is 1h 0m old, so at once" in said(made)


# ------------------------------------------------------------------------------ Secret


def test_a_secret_of_somebody_else_is_a_fault_and_one_of_ours_is_not() -> None:
    ours = {"labels": {"leaseholder.dev/owner-uid": "u"}}
    mine = {**ours, "annotations": {"leaseholder.dev/owner-name": "orders"}}
    other = {**ours, "annotations": {"leaseholder.dev/owner-name": "billing"}}
    faults = []
    for meta in (None, mine, other, {}):
        made = report()
        planned.secret(made, dl(), meta)
        faults.append("; ".join(made.faults))
    assert faults[:2] == ["", ""]
    assert "belongs to DynamicLease billing" in faults[2]
    assert "belongs to somebody else, and isn't touched" in faults[3]


def template(**texts: str) -> Any:
    return {"template": {"data": texts}}


def test_a_template_is_rendered_with_its_own_names() -> None:
    made = report()
    planned.contents(made, dl(target=template(URL="p://{{ USER }}:{{ PASS | urlquote }}@db")), None)
    assert "URL = p://USER:PASS@db" in said(made)
    assert made.faults == []


def test_a_template_that_cannot_be_read_or_filled_is_a_fault() -> None:
    made = report()
    planned.contents(made, dl(target=template(URL="{{ a.b }}")), None)
    assert "template.data.URL: line 1: an attribute" in made.faults[0]
    made, before = report(), dl(held=HELD, keys=["DB_USERNAME", "URL"], target=template(URL="x"))
    planned.contents(made, dl(target=template(URL="{{ NOPE }}")), before)
    assert made.faults == ["template.data asks for NOPE, and the provider gives DB_USERNAME"]


def test_a_filter_that_takes_no_dummy_leaves_the_preview_out() -> None:
    made = report()
    planned.contents(made, dl(target=template(KEY="{{ K_! | b64decode }}".replace("_!", ""))), None)
    assert made.faults == []
    assert "no preview: template.data.KEY" in said(made)


def test_a_type_names_the_keys_that_the_provider_has_to_give() -> None:
    made = report()
    planned.contents(made, dl(target={"type": "kubernetes.io/tls"}), None)
    assert "the provider has to give tls.crt, tls.key: type kubernetes.io/tls" in said(made)


def test_long_texts_are_cut() -> None:
    made = report()
    planned.contents(made, dl(target=template(LONG="x" * 9999)), None)
    assert max(len(text) for _, text in made.lines) < 200


def test_restarts_are_named() -> None:
    targets = [
        {"kind": "Deployment", "name": "orders"},
        {"kind": "DaemonSet", "selector": {"matchLabels": {"app": "x"}}},
    ]
    made = report()
    planned.restarts(made, dl(rotation={"restartTargets": targets, "waitForRollout": False}))
    assert said(made).startswith("Deployment orders, DaemonSet with app=x, for each new lease")
    assert "doesn't wait for them" in said(made)


# ---------------------------------------------------------------------------- provider


UNKNOWN = "you have no right to namespaces"


def supplied(
    asked: lease.DynamicLease, found: provider.AnyProvider | None, **more: Any
) -> planned.ObjectReport:
    made = report()
    labels = more.get("labels", UNKNOWN)
    planned.supply(made, asked, found, labels, is_new=more.get("is_new", False))
    return made


def test_a_provider_that_is_missing_or_of_another_kind_is_a_fault() -> None:
    assert supplied(dl(), None).faults == [
        "there is no LeaseProvider infisical: create it, or mend spec.providerRef"
    ]
    bao = dl(source={"openbao": {"path": "a/b"}})
    (fault,) = supplied(bao, known(ready="Ready")).faults
    assert "is of the kind infisical, and the source is of openbao" in fault


def test_a_provider_that_is_not_ready_says_why() -> None:
    assert supplied(dl(), known(ready="PlainHttp")).faults == [
        "LeaseProvider infisical isn't Ready: PlainHttp: why"
    ]
    assert supplied(dl(), known()).faults == [
        "LeaseProvider infisical isn't Ready: not checked yet"
    ]
    assert supplied(dl(), known(), is_new=True).faults == []
    assert "the login works" in said(supplied(dl(), known(ready="Ready")))


@pytest.mark.parametrize(
    ("allowed", "labels", "faults"),
    [
        ([], UNKNOWN, 1),
        ([{"names": ["shop"]}], UNKNOWN, 0),
        ([{"names": ["other"]}], UNKNOWN, 1),
        ([{"selector": {"matchLabels": {"team": "x"}}}], {"team": "x", "y": "z"}, 0),
        ([{"selector": {"matchLabels": {"team": "x"}}}], {"team": "y"}, 1),
    ],
)
def test_a_shared_provider_has_to_allow_the_namespace(
    allowed: Any, labels: Any, faults: int
) -> None:
    shared = known("ClusterLeaseProvider", ready="Ready", allowedNamespaces=allowed)
    asked = dl(providerRef={"kind": "ClusterLeaseProvider", "name": "infisical"})
    assert len(supplied(asked, shared, labels=labels).faults) == faults


def test_what_the_user_may_not_see_of_a_shared_provider_is_unknown_and_no_fault() -> None:
    by_label = [{"names": ["other"]}, {"selector": {"matchLabels": {"team": "x"}}}]
    shared = known("ClusterLeaseProvider", ready="Ready", allowedNamespaces=by_label)
    asked = dl(providerRef={"kind": "ClusterLeaseProvider", "name": "infisical"})
    made = supplied(asked, shared)
    assert made.faults == []
    assert (
        "whether ClusterLeaseProvider infisical allows namespace shop isn't known: it goes by the "
        "labels: you have no right to namespaces"
    ) in said(made)
    assert "the login works" in said(made)


def test_a_provider_that_the_user_may_not_see_is_unknown_and_no_fault() -> None:
    made = report()
    planned.unknown_supply(made, dl(), "you have no right to leaseproviders")
    asked = dl(providerRef={"kind": "ClusterLeaseProvider", "name": "shared"})
    planned.unknown_supply(made, asked, "you have no right to clusterleaseproviders")
    assert made.faults == []
    assert said(made).splitlines() == [
        "LeaseProvider infisical: whether it is there and is Ready isn't known: you have no right "
        "to leaseproviders",
        "ClusterLeaseProvider shared: whether it is there, serves this namespace and is Ready "
        "isn't known: you have no right to clusterleaseproviders",
    ]


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (None, "there is no Secret shop/infisical-auth yet: the provider waits for it"),
        ({"labels": {"leaseholder.dev/auth": "true"}}, "by Secret shop/infisical-auth"),
        (
            {"name": "infisical-auth"},
            "by Secret shop/infisical-auth, which isn't labelled. Unless the operator runs with "
            "requireAuthLabel: false, do: kubectl -n shop label secret infisical-auth "
            "leaseholder.dev/auth=true",
        ),
    ],
)
def test_what_a_provider_logs_in_with_is_said_with_what_to_do(meta: Any, told: str) -> None:
    made = report()
    planned.login(made, ("shop", "infisical-auth"), meta)
    assert (made.faults, said(made)) == ([], told)
