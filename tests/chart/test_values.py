"""Each value of the chart does what the table says, and what can't be used gets a sentence."""

import collections.abc
import typing

import pytest
import yaml

from leaseholder import settings
from leaseholder.cluster import electing
from tests.world import charts, kube
from tools import values

pytestmark = pytest.mark.usefixtures("helm")

Objects = list[kube.Object]
Check = collections.abc.Callable[[Objects], object]


def render(changes: charts.Values) -> Objects:
    return charts.rendered(_merged(charts.HOSTS, changes))


def _merged(base: charts.Values, changes: charts.Values) -> dict[str, typing.Any]:
    """Values as Helm takes one file after the other."""
    found = dict(base)
    for key, value in changes.items():
        old = found.get(key)
        found[key] = _merged(old, value) if isinstance(old, dict) else value
    return found


def _nested(path: str, value: typing.Any) -> dict[str, typing.Any]:
    head, _, rest = path.partition(".")
    return {head: _nested(rest, value) if rest else value}


def of_kind(objects: Objects, kind: str) -> Objects:
    return [one for one in objects if one["kind"] == kind]


def one(objects: Objects, kind: str) -> kube.Object:
    (found,) = of_kind(objects, kind)
    return found


def pod(objects: Objects) -> kube.Object:
    found: kube.Object = one(objects, "Deployment")["spec"]["template"]
    return found


def container(objects: Objects) -> kube.Object:
    (found,) = pod(objects)["spec"]["containers"]
    return typing.cast("kube.Object", found)


def environment(objects: Objects) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(objects)["env"]}


def bound(objects: Objects) -> set[tuple[str, str]]:
    """Which role is bound where; ``*``: cluster-wide."""
    found = of_kind(objects, "ClusterRoleBinding") + of_kind(objects, "RoleBinding")
    return {(one["roleRef"]["name"], one["metadata"].get("namespace", "*")) for one in found}


def names(objects: Objects) -> set[str]:
    return {f"{one['kind']}/{one['metadata']['name']}" for one in objects}


def setting(name: str, value: str) -> Check:
    return lambda objects: environment(objects)[f"LEASEHOLDER_{name}"] == value


def in_pod(field: str, value: typing.Any) -> Check:
    return lambda objects: pod(objects)["spec"][field] == value


def right(name: str, *where: str) -> Check:
    return lambda objects: {(f"leaseholder-{name}", one) for one in where} <= bound(objects)


DIGEST: typing.Final = f"sha256:{'0' * 64}"
PEER: typing.Final = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
TOLERATION: typing.Final = {"key": "a", "operator": "Exists"}
SPREAD: typing.Final = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}


def scrape(field: str, value: typing.Any) -> Check:
    return lambda objects: one(objects, "ServiceMonitor")["spec"]["endpoints"][0][field] == value


SCRAPED: typing.Final = {"monitoring": {"serviceMonitor": {"enabled": True}}}
DROP: typing.Final = {"action": "labeldrop", "regex": "pod"}
LINUX: typing.Final = {"kubernetes.io/os": "linux"}
NDOTS: typing.Final = {"name": "ndots", "value": "1"}
ALIAS: typing.Final = {"ip": "10.1.2.3", "hostnames": ["bao.example.com"]}
CASES: typing.Final[list[tuple[str, typing.Any, dict[str, typing.Any], Check]]] = [
    ("providerHosts", ["a.b", "http://*.c"], {}, setting("PROVIDER_HOSTS", "a.b,http://*.c")),
    ("requireAuthLabel", False, {}, setting("REQUIRE_AUTH_LABEL", "false")),
    ("namespaces", ["a", "b"], {}, setting("NAMESPACES", "a,b")),
    (
        "rights.secrets.enabled",
        False,
        {},
        lambda all_: not any(role == "leaseholder-secrets" for role, _ in bound(all_)),
    ),
    (
        "rights.secrets.namespaces",
        ["a", "b"],
        {"namespaces": ["a"]},
        right("secrets", "a", "b"),
    ),
    ("rights.tokens.enabled", True, {}, right("tokens", "*")),
    (
        "rights.tokens.namespaces",
        ["a"],
        {"rights": {"tokens": {"enabled": True}}},
        right("tokens", "a"),
    ),
    ("rights.workloads.enabled", True, {}, right("workloads", "*")),
    (
        "rights.workloads.namespaces",
        ["a"],
        {"rights": {"workloads": {"enabled": True}}},
        right("workloads", "a"),
    ),
    ("rights.configmaps.enabled", True, {"namespaces": ["a"]}, right("configmaps", "a")),
    (
        "rights.configmaps.namespaces",
        ["b"],
        {"namespaces": ["a"], "rights": {"configmaps": {"enabled": True}}},
        right("configmaps", "b"),
    ),
    (
        "aggregateRoles",
        False,
        {},
        lambda all_: not any("aggregate-to" in str(one["metadata"]) for one in all_),
    ),
    ("crds.enabled", False, {}, lambda all_: not of_kind(all_, "CustomResourceDefinition")),
    (
        "crds.keep",
        False,
        {},
        lambda all_: (
            not any(
                one["metadata"].get("annotations")
                for one in of_kind(all_, "CustomResourceDefinition")
            )
        ),
    ),
    (
        "image.repository",
        "r.example:5000/a/b",
        {},
        lambda a: container(a)["image"] == "r.example:5000/a/b:0.1.0",
    ),
    ("image.tag", "v9", {}, lambda a: container(a)["image"] == "leaseholder:v9"),
    (
        "image.digest",
        DIGEST,
        {"image": {"tag": "v9"}},
        lambda a: container(a)["image"] == f"leaseholder@{DIGEST}",
    ),
    ("image.pullPolicy", "Always", {}, lambda a: container(a)["imagePullPolicy"] == "Always"),
    ("imagePullSecrets", [{"name": "r"}], {}, in_pod("imagePullSecrets", [{"name": "r"}])),
    ("replicas", 0, {}, lambda a: one(a, "Deployment")["spec"]["replicas"] == 0),
    (
        "leaderElection",
        False,
        {},
        lambda a: (
            setting("LEADER_ELECTION", "false")(a)
            and one(a, "Deployment")["spec"]["strategy"]["type"] == "Recreate"
            and "leases" not in str(of_kind(a, "Role"))
        ),
    ),
    (
        "shards",
        ["batch"],
        {},
        lambda a: {"Deployment/leaseholder", "Deployment/leaseholder-batch"} <= names(a),
    ),
    (
        "resources",
        {"limits": {"memory": "1Gi"}},
        {},
        lambda a: container(a)["resources"]["limits"] == {"memory": "1Gi"},
    ),
    ("nodeSelector", {"a": "b"}, {}, in_pod("nodeSelector", {"a": "b", **LINUX})),
    ("affinity", {"nodeAffinity": {}}, {}, in_pod("affinity", {"nodeAffinity": {}})),
    ("tolerations", [TOLERATION], {}, in_pod("tolerations", [TOLERATION])),
    ("topologySpreadConstraints", [SPREAD], {}, in_pod("topologySpreadConstraints", [SPREAD])),
    ("priorityClassName", "high", {}, in_pod("priorityClassName", "high")),
    ("dnsPolicy", "Default", {}, in_pod("dnsPolicy", "Default")),
    ("dnsConfig", {"options": [NDOTS]}, {}, in_pod("dnsConfig", {"options": [NDOTS]})),
    ("hostAliases", [ALIAS], {}, in_pod("hostAliases", [ALIAS])),
    (
        "terminationGracePeriodSeconds",
        60,
        {},
        lambda a: (
            in_pod("terminationGracePeriodSeconds", 60)(a)
            and setting("STOP_GRACE_SECONDS", "40")(a)
        ),
    ),
    (
        "deploymentAnnotations",
        {"a": "b"},
        {},
        lambda a: one(a, "Deployment")["metadata"]["annotations"] == {"a": "b"},
    ),
    ("podLabels", {"a": "b"}, {}, lambda a: pod(a)["metadata"]["labels"]["a"] == "b"),
    ("podAnnotations", {"a": "b"}, {}, lambda a: pod(a)["metadata"]["annotations"] == {"a": "b"}),
    ("runAsUser", None, {}, lambda a: "runAsUser" not in pod(a)["spec"]["securityContext"]),
    ("logFormat", "text", {}, setting("LOG_FORMAT", "text")),
    ("logLevel", "DEBUG", {}, setting("LOG_LEVEL", "DEBUG")),
    ("workers", 32, {}, setting("WORKERS", "32")),
    (
        "extraEnv",
        [{"name": "LEASEHOLDER_PHASE__SETTLE_SECONDS", "value": "200"}],
        {},
        setting("PHASE__SETTLE_SECONDS", "200"),
    ),
    (
        "serviceAccount.create",
        False,
        {"serviceAccount": {"name": "ours"}},
        lambda a: not of_kind(a, "ServiceAccount") and in_pod("serviceAccountName", "ours")(a),
    ),
    (
        "serviceAccount.name",
        "ours",
        {},
        lambda a: (
            one(a, "ServiceAccount")["metadata"]["name"] == "ours"
            and {subject["name"] for found in a for subject in found.get("subjects", ())}
            == {"ours"}
        ),
    ),
    (
        "serviceAccount.annotations",
        {"a": "b"},
        {},
        lambda a: one(a, "ServiceAccount")["metadata"]["annotations"] == {"a": "b"},
    ),
    ("podDisruptionBudget.enabled", True, {}, lambda a: one(a, "PodDisruptionBudget")),
    (
        "podDisruptionBudget.maxUnavailable",
        "50%",
        {"podDisruptionBudget": {"enabled": True}},
        lambda a: one(a, "PodDisruptionBudget")["spec"]["maxUnavailable"] == "50%",
    ),
    (
        "metricsAuth",
        True,
        {},
        lambda a: (
            setting("METRICS_AUTH", "true")(a)
            and "tokenreviews" in str(of_kind(a, "ClusterRole"))
            and "ClusterRole/leaseholder-metrics-reader" in names(a)
        ),
    ),
    ("networkPolicy.enabled", False, {}, lambda a: not of_kind(a, "NetworkPolicy")),
    (
        "networkPolicy.from",
        [PEER],
        {},
        lambda a: one(a, "NetworkPolicy")["spec"]["ingress"][0]["from"] == [PEER],
    ),
    (
        "networkPolicy.egress",
        [{"to": [PEER]}],
        {},
        lambda a: (
            one(a, "NetworkPolicy")["spec"]["egress"] == [{"to": [PEER]}]
            and one(a, "NetworkPolicy")["spec"]["policyTypes"] == ["Ingress", "Egress"]
        ),
    ),
    ("monitoring.serviceMonitor.enabled", True, {}, lambda a: one(a, "ServiceMonitor")),
    (
        "monitoring.serviceMonitor.interval",
        "1m",
        {"monitoring": {"serviceMonitor": {"enabled": True}}},
        lambda a: one(a, "ServiceMonitor")["spec"]["endpoints"][0]["interval"] == "1m",
    ),
    ("monitoring.serviceMonitor.scrapeTimeout", "20s", SCRAPED, scrape("scrapeTimeout", "20s")),
    ("monitoring.serviceMonitor.relabelings", [DROP], SCRAPED, scrape("relabelings", [DROP])),
    (
        "monitoring.serviceMonitor.metricRelabelings",
        [DROP],
        SCRAPED,
        scrape("metricRelabelings", [DROP]),
    ),
    (
        "monitoring.serviceMonitor.tokenSecret",
        "prometheus-token",
        {"metricsAuth": True, "monitoring": {"serviceMonitor": {"enabled": True}}},
        lambda a: (
            one(a, "ServiceMonitor")["spec"]["endpoints"][0]["authorization"]
            == {"credentials": {"name": "prometheus-token", "key": "token"}}
        ),
    ),
    (
        "monitoring.serviceMonitor.labels",
        {"release": "p"},
        {"monitoring": {"serviceMonitor": {"enabled": True}}},
        lambda a: one(a, "ServiceMonitor")["metadata"]["labels"]["release"] == "p",
    ),
    ("monitoring.prometheusRule.enabled", True, {}, lambda a: one(a, "PrometheusRule")),
    (
        "monitoring.prometheusRule.docsUrl",
        "https://git.example.com/docs/",
        {"monitoring": {"prometheusRule": {"enabled": True}}},
        lambda a: all(
            rule["annotations"]["runbook_url"].startswith(
                "https://git.example.com/docs/runbook.md#"
            )
            for group in one(a, "PrometheusRule")["spec"]["groups"]
            for rule in group["rules"]
        ),
    ),
    (
        "monitoring.prometheusRule.labels",
        {"release": "p"},
        {"monitoring": {"prometheusRule": {"enabled": True}}},
        lambda a: one(a, "PrometheusRule")["metadata"]["labels"]["release"] == "p",
    ),
    ("monitoring.dashboard.enabled", True, {}, lambda a: one(a, "ConfigMap")),
    (
        "monitoring.dashboard.labels",
        {"mine": "1"},
        {"monitoring": {"dashboard": {"enabled": True}}},
        lambda a: one(a, "ConfigMap")["metadata"]["labels"]["mine"] == "1",
    ),
    (
        "monitoring.dashboard.annotations",
        {"folder": "x"},
        {"monitoring": {"dashboard": {"enabled": True}}},
        lambda a: one(a, "ConfigMap")["metadata"]["annotations"] == {"folder": "x"},
    ),
    (
        "commonLabels",
        {"team": "a"},
        {},
        lambda a: all(found["metadata"]["labels"]["team"] == "a" for found in a),
    ),
    ("nameOverride", "lease", {}, lambda a: "Deployment/leaseholder" in names(a)),
    ("fullnameOverride", "mine", {}, lambda a: {"Deployment/mine", "Role/mine-ledger"} <= names(a)),
]


@pytest.mark.parametrize(
    ("path", "value", "others", "holds"), CASES, ids=[path for path, *_ in CASES]
)
def test_a_value_does_what_it_says_and_the_default_does_not(
    path: str, value: typing.Any, others: charts.Values, holds: Check
) -> None:
    assert holds(render(_merged(others, _nested(path, value))))
    default = {one.path: one.default for one in values.read(charts.CHART / "values.yaml")}[path]
    assert value != default


def test_every_value_is_tried() -> None:
    assert [path for path, *_ in CASES] == [
        one.path for one in values.read(charts.CHART / "values.yaml")
    ]


def test_labels_of_one_object_go_before_those_of_all_and_no_key_is_there_twice() -> None:
    """The API server takes no YAML that has a key twice; PyYAML takes the last."""
    labelled = {"enabled": True, "labels": {"team": "c"}}
    kinds = ("serviceMonitor", "prometheusRule", "dashboard")
    changes = {
        "commonLabels": {"team": "a"},
        "podLabels": {"team": "b"},
        "monitoring": dict.fromkeys(kinds, labelled),
    }
    found = render(changes)
    assert one(found, "Deployment")["metadata"]["labels"]["team"] == "a"
    assert pod(found)["metadata"]["labels"]["team"] == "b"
    for kind in ("ServiceMonitor", "PrometheusRule", "ConfigMap"):
        assert one(found, kind)["metadata"]["labels"]["team"] == "c"
    text = charts.Helm().run("template", "x", str(charts.CHART), values={**charts.HOSTS, **changes})
    assert [twice for node in yaml.compose_all(text) for twice in _twice(node)] == []


def _twice(node: yaml.Node | None) -> typing.Iterator[str]:
    """Keys that are there more than once in a mapping."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from (key for key in {*keys} if keys.count(key) > 1)
        for _, inner in node.value:
            yield from _twice(inner)
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from _twice(inner)


def test_names_that_are_digits_stay_texts() -> None:
    found = charts.Helm(namespace="1").template(
        {
            **charts.HOSTS,
            "namespaces": ["2"],
            "serviceAccount": {"name": "3"},
            "priorityClassName": "4",
            "nameOverride": "5",
            "fullnameOverride": "6",
            "shards": ["7"],
            "metricsAuth": True,
            "monitoring": {"serviceMonitor": {"enabled": True, "tokenSecret": "8"}},
        },
        "9",
    )
    assert [number for object_ in found for number in _numbers(object_["metadata"])] == []
    bound = [part for object_ in found for part in object_.get("subjects", ())]
    assert {(one["name"], one["namespace"]) for one in bound} == {("3", "1")}
    assert {one["roleRef"]["name"][0] for one in found if "roleRef" in one} == {"6"}
    specs = [one["spec"]["template"]["spec"] for one in of_kind(found, "Deployment")]
    assert {one["serviceAccountName"] for one in specs} == {"3"}
    assert {one["priorityClassName"] for one in specs} == {"4"}
    assert [*_numbers(one(found, "ServiceMonitor")["spec"])] == []
    selectors = [one["spec"]["selector"] for one in of_kind(found, "Deployment")]
    assert [*_numbers(selectors)] == []


def _numbers(value: typing.Any) -> typing.Iterator[typing.Any]:
    """What isn't text, nor a truth."""
    match value:
        case dict():
            for inner in value.values():
                yield from _numbers(inner)
        case list():
            for inner in value:
                yield from _numbers(inner)
        case str() | bool():
            return
        case _:
            yield value


def test_by_default_only_secrets_are_bound_beside_what_the_operator_cant_do_without() -> None:
    assert bound(render({})) == {
        ("leaseholder", "*"),
        ("leaseholder-ledger", "leaseholder"),
        ("leaseholder-secrets", "*"),
    }


def test_prometheus_sends_a_token_only_where_it_is_asked_for_and_then_its_own() -> None:
    def scrape(**changes: typing.Any) -> kube.Object:
        found = render({"monitoring": {"serviceMonitor": {"enabled": True}}, **changes})
        (endpoint,) = one(found, "ServiceMonitor")["spec"]["endpoints"]
        return typing.cast("kube.Object", endpoint)

    usual = {"port": "http", "path": "/metrics", "interval": "30s", "honorLabels": True}
    assert scrape() == usual
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert scrape(metricsAuth=True) == {**usual, "bearerTokenFile": token}


def test_without_metrics_auth_the_operator_reviews_nobody() -> None:
    found = render({})
    assert setting("METRICS_AUTH", "false")(found)
    roles = str(of_kind(found, "ClusterRole"))
    assert not any(one in roles for one in ("tokenreviews", "accessreviews", "metrics-reader"))


def test_several_replicas_roll_over_and_are_not_drained_together() -> None:
    found = render({"replicas": 2})
    assert one(found, "Deployment")["spec"]["strategy"]["type"] == "RollingUpdate"
    budget = one(found, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert not of_kind(render({}), "PodDisruptionBudget")
    (spread,) = pod(found)["spec"]["topologySpreadConstraints"]
    assert _matching(spread["labelSelector"], pod(found)["metadata"]["labels"])
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"  # in a cluster of one node, too
    assert "topologySpreadConstraints" not in pod(render({}))["spec"]
    own = render({"replicas": 2, "topologySpreadConstraints": [SPREAD]})
    assert pod(own)["spec"]["topologySpreadConstraints"] == [SPREAD]
    reached = [rule for rule in one(found, "Role")["rules"] if rule["resources"] == ["leases"]]
    assert [rule["verbs"] for rule in reached] == [["create"], ["get", "patch"]]
    assert reached[1]["resourceNames"] == [electing.LEASE]


def test_each_shard_has_its_own_pods_lease_and_metrics_and_they_are_no_others() -> None:
    scraped = {"monitoring": {"serviceMonitor": {"enabled": True}}}
    found = render({"shards": ["batch", "web"], "replicas": 2, **scraped})
    shards = {"": "default", "-batch": "batch", "-web": "web"}
    chosen = {suffix: _of_shard(found, f"leaseholder{suffix}") for suffix in shards}
    for suffix, shard in shards.items():
        variables = environment([chosen[suffix]["Deployment"]])
        assert variables["LEASEHOLDER_SHARDS"] == "batch,web"
        assert variables.get("LEASEHOLDER_SHARD", "default") == shard
        labels = pod([chosen[suffix]["Deployment"]])["metadata"]["labels"]
        by = [_matching(chosen[one]["Deployment"]["spec"]["selector"], labels) for one in shards]
        assert by.count(True) == 1
        for kind in ("Deployment", "PodDisruptionBudget"):
            assert _matching(chosen[suffix][kind]["spec"]["selector"], labels)
        assert _matching(chosen[suffix]["NetworkPolicy"]["spec"]["podSelector"], labels)
        assert chosen[suffix]["Service"]["spec"]["selector"].items() <= labels.items()
        service = chosen[suffix]["Service"]["metadata"]["labels"]
        assert _matching(one(found, "ServiceMonitor")["spec"]["selector"], service)
    leases = one(found, "Role")["rules"][-1]["resourceNames"]
    assert leases == [electing.LEASE, f"{electing.LEASE}-batch", f"{electing.LEASE}-web"]


def _of_shard(objects: Objects, name: str) -> dict[str, kube.Object]:
    """The objects of that name, by kind."""
    return {one["kind"]: one for one in objects if one["metadata"]["name"] == name}


def _matching(selector: kube.Object, labels: kube.Object) -> bool:
    """Whether a selector takes these labels."""
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in among)
    return wanted <= labels.items() and all(labels[one["key"]] in one["values"] for one in among)


def test_shards_change_nothing_of_what_there_is_without_them() -> None:
    before = {name: one for one in render({}) for name in names([one])}
    with_shards = {name: one for one in render({"shards": ["batch"]}) for name in names([one])}
    changed = {name for name, one in before.items() if one != with_shards[name]}
    assert changed == {"Deployment/leaseholder", "Role/leaseholder-ledger"}
    selectors = {
        str(one["Deployment/leaseholder"]["spec"]["selector"]) for one in (before, with_shards)
    }
    assert len(selectors) == 1  # a Deployment's can't be changed


def test_in_single_namespaces_no_power_is_bound_cluster_wide() -> None:
    powers = ("secrets", "tokens", "workloads", "configmaps")
    rights = {power: {"enabled": True} for power in powers}
    found = bound(render({"namespaces": ["a", "b"], "rights": rights}))
    assert found == {
        ("leaseholder", "*"),
        ("leaseholder-ledger", "leaseholder"),
        *((f"leaseholder-{power}", where) for power in powers for where in ("a", "b")),
    }


def test_names_follow_the_release_and_two_releases_share_none() -> None:
    first, second = (
        names(
            charts.Helm(namespace=name).template({**charts.HOSTS, "crds": {"enabled": False}}, name)
        )
        for name in ("leaseholder", "second")
    )
    assert "ClusterRole/second-leaseholder-secrets" in second
    assert first & second == set()


def test_the_pod_may_nothing_that_the_restricted_standard_forbids() -> None:
    found = render({})
    assert pod(found)["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(found)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_operator_takes_the_environment_that_the_chart_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = environment(render({"namespaces": ["a", "b"]}))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(given)
    assert loaded.watched == ("a", "b")
    assert loaded.require_auth_label
    assert loaded.stop_grace_seconds < pod(render({}))["spec"]["terminationGracePeriodSeconds"]


def test_a_probe_that_has_to_wait_for_the_processor_restarts_nobody() -> None:
    probes = container(render({}))
    assert probes["livenessProbe"]["timeoutSeconds"] == 10  # by default a second
    assert probes["readinessProbe"]["timeoutSeconds"] == 5


def test_a_network_policy_without_peers_lets_nobody_in() -> None:
    found = one(render({"networkPolicy": {"from": []}}), "NetworkPolicy")["spec"]
    assert found["ingress"] == []
    assert found["policyTypes"] == ["Ingress"]


NULLS: typing.Final = (
    *(one.path for one in values.read(charts.CHART / "values.yaml")),
    *("rights", "rights.secrets", "crds", "image", "monitoring", "monitoring.dashboard"),
)


@pytest.mark.parametrize("path", NULLS)
def test_null_for_a_value_is_refused_with_what_to_write_or_means_what_the_table_says(
    path: str,
) -> None:
    if path == "runAsUser":
        left = pod(render({path: None}))["spec"]["securityContext"]
        assert left.keys() == {"runAsNonRoot", "seccompProfile"}
        return
    with pytest.raises(charts.Refused) as refused:
        render(_nested(path, None))
    told = str(refused.value)
    assert f"{path} is null, which takes its default away: leave the line out, or write " in told
    assert told.rpartition("or write ")[2].split()[0] in ("a", "true")


REFUSED: typing.Final[dict[str, tuple[charts.Values, str]]] = {
    "no hosts": (
        {"providerHosts": []},
        "at '/providerHosts': value must be 'the hosts that providers may be at, such as "
        "[us.infisical.com, bao.example.com]: write them into providerHosts",
    ),
    "hosts as a text": ({"providerHosts": "a.b"}, "at '/providerHosts': got string, want array"),
    "a url for a host": ({"providerHosts": ["https://a.b"]}, "at '/providerHosts/0'"),
    "two replicas that all work": (
        {"replicas": 2, "leaderElection": False},
        "all would work at once: leave leaderElection true",
    ),
    "a shard that there always is": (
        {"shards": ["web", "default"]},
        "shards has default, which there always is: take it out",
    ),
    "a shard that is no name": ({"shards": ["Web"]}, "at '/shards/0'"),
    "a shard whose Service would have too long a name": (
        {"shards": ["batch-of-the-night"], "fullnameOverride": "n" * 50},
        "shards has batch-of-the-night, and with it a name would have 69 characters, where a "
        "Service may have 63: write a shorter shard or fullnameOverride",
    ),
    "a shard by a variable": (
        {"extraEnv": [{"name": "LEASEHOLDER_SHARD", "value": "web"}]},
        "extraEnv has LEASEHOLDER_SHARD, which would be the same for all Deployments: write shards",
    ),
    "too many replicas": ({"replicas": 11}, "at '/replicas': maximum: got 11, want 10"),
    "a misspelt value": ({"requireAuthLabels": True}, "properties 'requireAuthLabels' not allowed"),
    "a misspelt right": ({"rights": {"secret": {}}}, "properties 'secret' not allowed"),
    "a digest that is none": ({"image": {"digest": "abc"}}, "at '/image/digest'"),
    "switched off as a whole": (
        {"enabled": False},
        "enabled is false, which is for a chart that depends on this one: take it out",
    ),
    "a tag in the image's name": (
        {"image": {"repository": "r.example:5000/leaseholder:0.1.0"}},
        "at '/image/repository'",
    ),
    "a ServiceAccount that is no name": (
        {"serviceAccount": {"name": "Ours"}},
        "at '/serviceAccount/name'",
    ),
    "a level that is none": ({"logLevel": "TRACE"}, "one of 'DEBUG', 'INFO', 'WARNING'"),
    "a namespace that is none": ({"namespaces": ["A_b"]}, "at '/namespaces/0'"),
    "root": ({"runAsUser": 0}, "at '/runAsUser': minimum: got 0, want 1"),
    "a setting that a value sets": (
        {"extraEnv": [{"name": "LEASEHOLDER_NAMESPACES", "value": "a"}]},
        "extraEnv has LEASEHOLDER_NAMESPACES, which a value of the chart sets: write that value",
    ),
    "a label of the chart's own": (
        {"podLabels": {"app.kubernetes.io/name": "x"}},
        "podLabels has app.kubernetes.io/name, which the chart sets: take it out",
    ),
    "a variable twice": (
        {"extraEnv": [{"name": "A", "value": "a"}, {"name": "A", "value": "b"}]},
        "extraEnv has A twice",
    ),
    "Secrets not where it serves": (
        {"namespaces": ["a", "b"], "rights": {"secrets": {"namespaces": ["a"]}}},
        "namespaces has b, and rights.secrets.namespaces hasn't: add it there",
    ),
    "Secrets in one namespace, and all are served": (
        {"rights": {"secrets": {"namespaces": ["a"]}}},
        "write the served ones into namespaces, too",
    ),
    "a ServiceAccount without a name": (
        {"serviceAccount": {"create": False}},
        "write the name of yours into serviceAccount.name",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cant_be_used_is_refused_with_a_sentence(
    changes: charts.Values, sentence: str
) -> None:
    with pytest.raises(charts.Refused) as refused:
        render(changes)
    assert sentence in str(refused.value)


def test_a_shard_that_makes_the_label_of_a_long_release_too_long_is_refused() -> None:
    values = {**charts.HOSTS, "shards": ["s" * 30], "fullnameOverride": "short"}
    charts.Helm().template(values, release="r" * 32)
    with pytest.raises(charts.Refused) as refused:
        charts.Helm().template(values, release="r" * 33)
    assert "a label would have 64 characters, where 63 may be" in str(refused.value)


def test_without_a_word_of_hosts_the_chart_is_refused_by_lint_and_install() -> None:
    for command in (("lint",), ("template", "x")):
        with pytest.raises(charts.Refused) as refused:
            charts.Helm().run(*command, str(charts.CHART), values={})
        assert "write them into providerHosts" in str(refused.value)


def test_helm_finds_nothing_to_complain_of() -> None:
    told = charts.Helm().run("lint", "--strict", str(charts.CHART), values=charts.HOSTS)
    assert "0 chart(s) failed" in told
    assert "WARNING" not in told
