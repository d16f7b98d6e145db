"""Mistakes that the API server refuses at ``kubectl apply``, each with a sentence that helps."""

import pytest

from tests.cluster.adapter import objects
from tests.world import kube

DURATION = "write a Kubernetes duration made of h, m and s, such as 90s, 15m or 1h30m"
OURS = "names under leaseholder.dev/ are the operator's own: write others"
SOURCE = {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "orders-db"}
OTHERS = "other controllers act on Secrets with such names, with rights of their own"


def _nested(levels: int, *, lists: bool = False) -> object:
    """A scalar within so many lists or maps."""
    value: object = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


FREE_FORM = (
    ({"a": _nested(3)}, ".a.a.a.a"),
    ({"a": _nested(3, lists=True)}, "must be of type integer,string"),
    ({"a": _nested(400)}, ".a.a.a.a"),
    ({"a": _nested(400, lists=True)}, "must be of type integer,string"),
    ({f"a{n}": 1 for n in range(33)}, "must have at most 32 items"),
    ({"a": [1] * 33}, "must have at most 32 items"),
    ({"a": {f"a{n}": 1 for n in range(33)}}, "must have at most 32 items"),
    ({"a": "x" * 4097}, "may not be more than 4096"),
    ({"a": ["x" * 4097]}, "may not be more than 4096"),
)
"""Free-form values beyond the bounds, and what is said."""


def _marked(**metadata: objects.Body) -> objects.Body:
    """A DynamicLease's spec with labels or annotations for its Secret."""
    return {"target": {"template": {"metadata": metadata}}}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        *(({"ttl": ttl}, DURATION) for ttl in ("1d", "3600", "2 days", "1h 30m", "-1h", "")),
        *(({"ttl": ttl}, "ttl is too short: write 60s or more") for ttl in ("0s", "59999ms")),
        ({"ttl": 3600}, 'spec.ttl: Invalid value: "integer"'),
        ({"renewal": {"before": 600}}, "must be of type string"),
        ({"ttl": "1h", "renewal": {"before": "60m"}}, "renewal.before leaves no time between"),
        ({"renewal": {"before": "0s"}}, "renewal.before is too short: write 1s or more"),
        ({"renewal": {"afterPercent": 0}}, "should be greater than or equal to 1"),
        ({"renewal": {"afterPercent": 96}}, "should be less than or equal to 95"),
        ({"renewal": {"strategy": "Never"}}, 'supported values: "Auto", "Renew", "Rotate"'),
        ({"rotation": {"maxAge": "30s"}}, "rotation.maxAge is too short: write 60s or more"),
        ({"deletion": {"policy": "Keep"}}, 'supported values: "Revoke", "Orphan"'),
        ({"providerRef": None}, "spec.providerRef: Required value"),
        ({"tll": "1h"}, 'unknown field "spec.tll"'),
        *(
            ({"target": {"type": kind}}, "write one of Opaque, kubernetes.io/basic-auth,")
            for kind in (
                "bootstrap.kubernetes.io/token",
                "kubernetes.io/service-account-token",
                "helm.sh/release.v1",
                "cluster.x-k8s.io/secret",
                "addons.cluster.x-k8s.io/resource-set",
                "mirror.linkerd.io/remote-kubeconfig",
                "opaque",
            )
        ),
        *(
            (_marked(labels={name: "x"}), OTHERS)
            for name in (
                "owner",
                "argocd.argoproj.io/secret-type",
                "istio/multiCluster",
                "kustomize.toolkit.fluxcd.io/name",
                "cluster.x-k8s.io/cluster-name",
                "konghq.com/credential",
                "grafana_datasource",
            )
        ),
        *(
            (_marked(annotations={name: "x"}), OTHERS)
            for name in (
                "reflector.v1.k8s.emberstack.com/reflection-auto-enabled",
                "replicator.v1.mittwald.de/replicate-to",
                "kubed.appscode.com/sync",
                "kubernetes.io/service-account.name",
                "sealedsecrets.bitnami.com/managed",
                "velero.io/restore-name",
            )
        ),
        *(({"infisical": {**SOURCE, "config": config}}, told) for config, told in FREE_FORM),
        *(
            ({"infisical": None, "openbao": {"path": "a/b", "parameters": config}}, told)
            for config, told in FREE_FORM
        ),
        *(
            ({"target": {"secretName": name}}, "write a Kubernetes object name")
            for name in ("a..b", "a.-b", "-a", "a.", "a/b", "ä")
        ),
        *(
            ({"target": {"template": {"data": {key: "x"}}}}, "write keys of a Secret")
            for key in (".", "..", "..data", "a/b", "ä", "")
        ),
        ({"target": {"template": {"data": {"PORT": 5432}}}}, "must be of type string"),
        ({"target": {"template": {"data": "URL={{ A }}"}}}, "must be of type object"),
        (_marked(labels={"a b": "x"}), "write names such as team or example.com/team"),
        (_marked(labels={"n" * 64: "x"}), "write names such as team or example.com/team"),
        (_marked(labels={"team": "the shop"}), "write label values of letters"),
        (_marked(labels={"leaseholder.dev/owner-uid": "x"}), OURS),
        (_marked(annotations={"a/b/c": "x"}), "write names such as team or example.com/team"),
        (_marked(annotations={"restart.leaseholder.dev/x": "x"}), OURS),
        *(
            ({"infisical": {**SOURCE, **changed}}, sentence)
            for changed, sentence in (
                ({"projectId": "b0e5"}, "write exactly one of projectSlug and projectId"),
                ({"projectSlug": "My Project"}, "write the slug or id that Infisical shows"),
                ({"environmentSlug": "prod\nReady"}, "write the slug or id that Infisical shows"),
                ({"dynamicSecretName": "../leases"}, "write the slug or id that Infisical shows"),
                ({"dynamicSecretName": "n" * 65}, "may not be more than 64"),
                ({"path": "apps"}, "write an absolute folder path such as / or /apps/shop"),
                ({"path": "/apps/../x"}, "write an absolute folder path such as / or /apps/shop"),
            )
        ),
        *(
            ({"infisical": None, "phase": {"appId": "a", "env": "prod", **changed}}, sentence)
            for changed, sentence in (
                ({"name": "a", "id": "b"}, "write exactly one of name and id"),
                ({"name": "a\u2028b"}, "write it in one line, without control characters"),
                ({"name": "a\u202eb"}, "write it in one line, without control characters"),
                ({"name": "a", "path": "apps"}, "write an absolute folder path"),
                ({"name": "a", "path": "/a\tb"}, "write an absolute folder path"),
            )
        ),
        *(
            ({"infisical": None, "openbao": {"path": path}}, "write a path such as database/creds")
            for path in ("database/%2e%2e/sys", "a\\b/c", "a\x00/b", "a\u00a0b/c", "a//b", "a#b/c")
        ),
        ({"infisical": None, "openbao": {"path": "v1/database/creds/a"}}, "without /v1"),
        ({"infisical": None, "openbao": {"path": "database"}}, "write the engine's mount and what"),
        ({"infisical": None, "openbao": {"path": "a/b", "method": "LIST"}}, '"GET", "POST"'),
        (
            {"rotation": {"restartTargets": [{"kind": "CronJob", "name": "a"}]}},
            '"Deployment", "StatefulSet", "DaemonSet", "Rollout"',
        ),
        (
            {
                "rotation": {
                    "restartTargets": [
                        {"kind": "Deployment", "selector": {"matchLabels": {"a": "b c"}}}
                    ]
                }
            },
            "write label values of letters",
        ),
        ({"infisical": None}, "write exactly one source of the lease: infisical, phase, openbao"),
        (
            {"openbao": {"path": "database/creds/orders"}},
            "write exactly one source of the lease: infisical, phase, openbao",
        ),
        (
            {"infisical": None, "phase": {"appId": "a", "env": "prod"}},
            "write exactly one of name and id of the dynamic secret",
        ),
        *(
            ({"infisical": None, "openbao": {"path": path}}, "write a path")
            for path in ("/database/creds/a", "database/creds/a/", "database/creds/a?b", "a b/c")
        ),
        (
            {"infisical": None, "openbao": {"path": "database/../sys/raw"}},
            "write the path without . and .. in it",
        ),
        *(
            (
                {"infisical": None, "openbao": {"path": path}},
                "nothing under sys/, auth/, identity/, cubbyhole/ is a lease",
            )
            for path in (
                "sys/leases/lookup",
                "auth/token/create",
                "team1/identity/oidc/token/x",
                "a/sys/b/sys",
            )
        ),
        ({"ttl": "59s"}, "ttl is too short: write 60s or more"),
        (
            {"renewal": {"afterPercent": 50, "before": "1m"}},
            "write afterPercent or before, not both",
        ),
        (
            {"rotation": {"restartTargets": [{"kind": "Deployment"}]}},
            "write exactly one of name (one workload) and selector",
        ),
        (
            {
                "rotation": {
                    "restartTargets": [
                        {"kind": "Rollout", "name": "a", "selector": {"matchLabels": {"a": "b"}}}
                    ]
                }
            },
            "write exactly one of name (one workload) and selector",
        ),
        ({"target": {"secretName": "Orders_DB"}}, "write a Kubernetes object name"),
        (
            {"target": {"template": {"mergePolicy": "Replace"}}},
            "write template.data, or leave mergePolicy out",
        ),
        ({"target": {"template": {"data": {"a b": "x"}}}}, "write keys of a Secret"),
        ({"target": {"template": {"data": {"k" * 254: "x"}}}}, "write keys of a Secret"),
        (
            {"target": {"template": {"data": {"a": "x" * 40_000, "b": "x" * 40_000}}}},
            "write at most 64 KiB in all texts together",
        ),
        (
            {"target": {"template": {"data": {"a": "\U0001f511" * 16_500}}}},
            "write at most 64 KiB in all texts together",
        ),
        *(
            (
                _marked(annotations={f"a{n}": letter * 4096 for n in range(20)}),
                "write at most 128 KiB in all annotations",
            )
            for letter in ("\u00e4", "\U0001f511")
        ),
        (
            {
                "rotation": {
                    "restartTargets": [{"kind": "Deployment", "selector": {"matchLabels": {}}}]
                }
            },
            "write one label or more, such as app: orders",
        ),
    ],
)
async def test_a_bad_dynamiclease_is_refused_with_a_sentence_of_ours(
    user: kube.Kube, place: objects.Place, spec: objects.Body, sentence: str
) -> None:
    with pytest.raises(kube.Refused, match=r"^4(00|22)") as refused:
        await user.create(objects.orders(place, **spec))
    assert sentence in refused.value.message


LOGIN = {"clientId": "id", "clientSecretRef": {"name": "auth", "key": "secret"}}
TOKEN = objects.token_of()
APPROLE = {"roleId": "r", "secretIdSecretRef": {"name": "a", "key": "k"}}
PHASE: objects.Body = {"url": "https://api.phase.dev", "auth": TOKEN}
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n"
UNIVERSAL = {
    "clientId": "id",
    "clientIdSecretRef": {"name": "auth", "key": "id"},
    "clientSecretRef": {"name": "auth", "key": "secret"},
}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({}, "write exactly one provider: infisical, phase, openbao"),
        (
            {**objects.infisical_spec(), "phase": PHASE},
            "write exactly one provider: infisical, phase, openbao",
        ),
        (
            objects.infisical_spec(tokenAuth=objects.token_of(), universalAuth=LOGIN),
            "write exactly one way to log in: universalAuth, kubernetesAuth, oidcAuth, tokenAuth",
        ),
        (
            {"openbao": {"url": "https://bao.test", "auth": {"token": TOKEN, "appRole": APPROLE}}},
            "write exactly one way to log in: kubernetes, jwt, appRole, token",
        ),
        ({"phase": {"url": "https://api.phase.dev"}}, "spec.phase.auth: Required value"),
        ({**objects.infisical_spec(), "sweep": "Delete"}, 'supported values: "Report", "Revoke"'),
        *(
            ({"phase": {**PHASE, **shared}, "sweep": "Report"}, "write phase.exclusive: true, if")
            for shared in ({}, {"exclusive": False})
        ),
        (
            {"openbao": {"url": "https://bao.test", "auth": {"token": TOKEN}}, "sweep": "Revoke"},
            "leases of OpenBao and Vault have no mark of whose they are: leave sweep out",
        ),
        *(
            ({"phase": {**PHASE, "url": url}}, "write an http(s) URL without user, query or")
            for url in (
                "ftp://phase.test",
                "phase.test",
                "//phase.test",
                "https://",
                "https://token@phase.test",
                "https://phase.test/?a=b",
                "https://phase.test#a",
                "https://phase test",
                "https://phase.test:https",
                "https://phase.test\\@other.test",
                "https://phase.test/a\nb",
            )
        ),
        ({**objects.infisical_spec(), "caBundle": "MIIB"}, "write certificates in PEM"),
        ({**objects.infisical_spec(), "caBundle": f"{PEM}{KEY}"}, "write certificates only"),
        ({**objects.infisical_spec(), "limits": {"concurrency": 0}}, "equal to 1"),
        ({**objects.infisical_spec(), "limits": {"concurrency": 65}}, "equal to 64"),
        ({**objects.infisical_spec(), "probe": {"interval": "1s"}}, "write 10s or more"),
        ({**objects.infisical_spec(), "probe": {"interval": "1 day"}}, DURATION),
        (
            objects.infisical_spec(tokenAuth={"tokenSecretRef": {"name": "a", "key": "../k"}}),
            "write a key of a Secret or ConfigMap",
        ),
        (
            objects.infisical_spec(tokenAuth={"tokenSecretRef": {"name": "A_b", "key": "k"}}),
            "write a Kubernetes object name",
        ),
        (
            objects.infisical_spec(universalAuth={**LOGIN, "clientId": "a\nb"}),
            "write it in one line, without control characters",
        ),
        (
            {"openbao": {"url": "https://bao.test", "auth": {}}},
            "write exactly one way to log in: kubernetes, jwt, appRole, token",
        ),
        (
            {"phase": {"url": "https://api.phase.dev", "auth": objects.token_of("b")}},
            "references stay in the provider's own namespace",
        ),
        (
            {
                "openbao": {
                    "url": "https://bao.test",
                    "auth": {"appRole": {**APPROLE, "mountPath": "auth/approle"}},
                }
            },
            "write where the method is mounted, such as kubernetes, without auth/",
        ),
        (
            {
                "openbao": {
                    "url": "https://bao.test",
                    "namespace": "/team1",
                    "auth": {"token": objects.token_of()},
                }
            },
            "write a namespace such as team1",
        ),
        (
            objects.infisical_spec(universalAuth=UNIVERSAL),
            "write exactly one client id: clientId, clientIdSecretRef",
        ),
        (
            objects.infisical_spec(tokenAuth=objects.token_of("b")),
            "references stay in the provider's own namespace",
        ),
        (
            {
                "infisical": {
                    **objects.infisical_spec()["infisical"],
                    "url": "https://user:pass@us.infisical.com",
                }
            },
            "write an http(s) URL without user, query or fragment",
        ),
        (
            {
                **objects.infisical_spec(),
                "caBundle": "x",
                "caBundleRef": {"kind": "Secret", "name": "a", "key": "b"},
            },
            "write caBundle or caBundleRef, not both",
        ),
    ],
)
async def test_a_bad_provider_is_refused_with_a_sentence_of_ours(
    user: kube.Kube, place: objects.Place, spec: objects.Body, sentence: str
) -> None:
    with pytest.raises(kube.Refused, match=r"^4(00|22)") as refused:
        await user.create({**objects.infisical(place), "spec": spec})
    assert sentence in refused.value.message
