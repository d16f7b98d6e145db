"""``migrate``: what other operators' resources become, and what is said not to carry over."""

import base64
import contextlib
import pathlib
import subprocess
import time
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from leaseholder.api import lease, provider
from leaseholder.cli import exits, plugin, refused, session
from leaseholder.cli.peers import common

VSO = """
apiVersion: secrets.hashicorp.com/v1beta1
kind: VaultDynamicSecret
metadata: {name: orders, namespace: shop}
spec:
  vaultAuthRef: login
  mount: database/
  path: /creds/orders
  renewalPercent: 50
  revoke: true
  rolloutRestartTargets: [{kind: Deployment, name: orders}, {kind: argo.Rollout, name: web}]
  destination:
    name: orders-db
    create: true
    labels: {team: shop, owner: helm}
    transformation:
      templates:
        url: {text: 'p://{{ .Secrets.username }}:{{ get .Secrets "password" | urlquery }}@db'}
        odd: {text: '{{ range .Secrets }}x{{ end }}'}
---
apiVersion: secrets.hashicorp.com/v1beta1
kind: VaultAuth
metadata: {name: login, namespace: shop}
spec:
  vaultConnectionRef: vso/vault
  method: kubernetes
  mount: k8s
  kubernetes: {role: shop, serviceAccount: shop, audiences: [vault]}
---
apiVersion: secrets.hashicorp.com/v1beta1
kind: VaultConnection
metadata: {name: vault, namespace: vso}
spec: {address: "https://vault.example.com:8200", caCertSecretRef: vault-ca, skipTLSVerify: true}
"""
ESO = """
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: reports, namespace: shop}
spec:
  refreshInterval: 1h0m0s
  target:
    name: reports-db
    template: {data: {DSN: "{{ .username }}:{{ .password | b64enc }}"}}
  dataFrom:
  - sourceRef: {generatorRef: {kind: VaultDynamicSecret, name: reports}}
---
apiVersion: generators.external-secrets.io/v1alpha1
kind: VaultDynamicSecret
metadata: {name: reports, namespace: shop}
spec:
  path: /database/creds/reports
  method: GET
  provider:
    server: https://vault.example.com:8200
    namespace: team
    auth: {appRole: {path: approle, roleId: r-1, secretRef: {name: approle, key: secretId}}}
"""
INFISICAL = """
apiVersion: secrets.infisical.com/v1alpha1
kind: InfisicalDynamicSecret
metadata: {name: billing, namespace: shop}
spec:
  hostAPI: https://us.infisical.com/api
  dynamicSecret: {secretName: bill, secretsPath: /, environmentSlug: prod, projectId: p-1}
  leaseTTL: 1d
  leaseRevocationPolicy: Revoke
  authentication:
    universalAuth: {credentialsRef: {secretName: infisical-auth, secretNamespace: shop}}
  managedSecretReference:
    secretName: billing-db
    secretNamespace: shop
    template: {includeAllSecrets: true, data: {URL: "{{ .DB_USERNAME.Value }}@db"}}
"""


@pytest.fixture
def migrate(tmp_path: pathlib.Path) -> Any:
    """The text that is printed for manifests."""

    def run(text: str, *, code: exits.Exit = exits.Exit.OK) -> str:
        path = tmp_path / "theirs.yaml"
        path.write_text(text)
        done = CliRunner().invoke(plugin.main, ["migrate", "-f", str(path)])
        assert done.exit_code == code, done.output
        return done.stdout if code is exits.Exit.OK else done.stderr

    return run


def ours(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The specs of the LeaseProvider and the DynamicLease; both are what the models take."""
    found = {one["kind"]: one for one in yaml.safe_load_all(text)}
    dl = found["DynamicLease"]
    lease.DynamicLease.model_validate(dl)
    known = found.get("LeaseProvider", {})
    if known:
        provider.LeaseProvider.model_validate(known)
        assert dl["spec"]["providerRef"]["name"] == known["metadata"]["name"]
        assert dl["metadata"]["namespace"] == known["metadata"]["namespace"]
    assert dl["spec"]["suspend"] is True
    return known.get("spec", {}), dl["spec"]


def test_a_resource_of_vault_secrets_operator_keeps_path_secret_restarts_and_login(
    migrate: Any,
) -> None:
    text = migrate(VSO)
    known, spec = ours(text)
    assert known == {
        "openbao": {
            "url": "https://vault.example.com:8200",
            "auth": {
                "kubernetes": {
                    "role": "shop",
                    "serviceAccountRef": {"name": "shop"},
                    "audience": "vault",
                    "mountPath": "k8s",
                }
            },
        },
        "caBundleRef": {"kind": "Secret", "name": "vault-ca", "key": "ca.crt"},
    }
    assert spec["openbao"] == {"path": "database/creds/orders"}
    assert spec["renewal"] == {"afterPercent": 50}
    targets = [{"kind": "Deployment", "name": "orders"}, {"kind": "Rollout", "name": "web"}]
    assert spec["rotation"]["restartTargets"] == targets
    assert spec["target"]["secretName"] == "orders-db"
    assert spec["target"]["template"] == {
        "metadata": {"labels": {"team": "shop"}},
        "data": {"url": "p://{{ username }}:{{ password | urlquote }}@db"},
    }


@pytest.mark.parametrize(
    "told",
    [
        "set its spec.revoke to false before it is deleted",
        "write the template of key odd anew",
        "the label owner isn't carried over",
        "the key _raw isn't written",
        "skipTLSVerify of VaultConnection vso/vault isn't carried over",
        "copy Secret vault-ca with its ca.crt from namespace vso",
        "bind leaseholder-tokens",
        "kubectl delete vaultdynamicsecrets.secrets.hashicorp.com orders -n shop --cascade=orphan",
        "kubectl label secret orders-db -n shop leaseholder.dev/owner-uid=",
        "kubectl leaseholder resume orders -n shop",
    ],
)
def test_what_does_not_carry_over_and_what_is_to_be_done_are_comments(
    migrate: Any, told: str
) -> None:
    comments = [line for line in migrate(VSO).splitlines() if line.startswith("#")]
    assert any(told in line for line in comments)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "source"),
    [
        (
            "mount: database/",
            "params: {a: b}\n  mount: db",
            {"method": "POST", "parameters": {"a": "b"}},
        ),
        ("mount: database/", "requestHTTPMethod: PUT\n  mount: db", {"method": "POST"}),
        ("mount: database/", "requestHTTPMethod: GET\n  mount: db", {}),
    ],
)
def test_what_is_sent_along_makes_a_post(migrate: Any, old: str, new: str, source: Any) -> None:
    _, spec = ours(migrate(changed(VSO, old, new)))
    assert spec["openbao"] == {"path": "db/creds/orders", **source}


def test_a_static_role_is_no_lease_and_stays_where_it_is(migrate: Any) -> None:
    text = migrate(changed(VSO, "revoke: true", "allowStaticCreds: true"))
    assert "it reads a static role, which is no lease" in text
    assert "It isn't carried over." in text
    assert [one for one in yaml.safe_load_all(text) if one] == []


def test_a_login_that_was_not_given_or_that_we_have_not_is_to_be_written(migrate: Any) -> None:
    alone = VSO.split("---")[0]
    text = migrate(alone)
    assert "VaultAuth login wasn't given: write LeaseProvider login yourself" in text
    assert ours(text)[1]["providerRef"] == {"name": "login"}
    text = migrate(changed(VSO, "method: kubernetes", "method: aws"))
    assert "the login method aws isn't supported" in text
    approle = "method: appRole\n  appRole: {roleId: r, secretRef: approle}"
    known, _ = ours(migrate(changed(VSO, "method: kubernetes", approle)))
    assert known["openbao"]["auth"]["appRole"] == {
        "roleId": "r",
        "secretIdSecretRef": {"name": "approle", "key": "id"},
        "mountPath": "k8s",
    }


def test_a_login_for_the_api_server_s_own_audience_gets_another_and_says_so(migrate: Any) -> None:
    text = migrate(changed(VSO, ", audiences: [vault]", ""))
    assert "set audience=vault at the role shop" in text
    assert ours(text)[0]["openbao"]["auth"]["kubernetes"]["audience"] == "vault"


def test_an_external_secret_is_renewed_now_and_replaced_after_its_interval(migrate: Any) -> None:
    text = migrate(ESO)
    known, spec = ours(text)
    assert known["openbao"] == {
        "url": "https://vault.example.com:8200",
        "namespace": "team",
        "auth": {
            "appRole": {
                "roleId": "r-1",
                "secretIdSecretRef": {"name": "approle", "key": "secretId"},
                "mountPath": "approle",
            }
        },
    }
    assert spec["openbao"] == {"path": "database/creds/reports"}
    assert spec["rotation"] == {"maxAge": "1h"}
    assert spec["target"] == {
        "secretName": "reports-db",
        "template": {
            "data": {"DSN": "{{ username }}:{{ password | b64encode }}"},
            "mergePolicy": "Replace",
        },
    }
    assert "live on until they end" in text
    assert "kubectl label secret approle -n shop leaseholder.dev/auth=true" in text


LOGINS: Any = [
    (
        "{tokenSecretRef: {name: t, key: k}}",
        {"token": {"tokenSecretRef": {"name": "t", "key": "k"}}},
    ),
    (
        "{kubernetes: {mountPath: k8s, role: r, serviceAccountRef: {name: s, audiences: [a]}}}",
        {
            "kubernetes": {
                "role": "r",
                "serviceAccountRef": {"name": "s"},
                "audience": "a",
                "mountPath": "k8s",
            }
        },
    ),
    (
        "{jwt: {role: r, kubernetesServiceAccountToken: {serviceAccountRef: {name: s}}}}",
        {
            "jwt": {
                "role": "r",
                "serviceAccountRef": {"name": "s"},
                "audience": "vault",
                "mountPath": "jwt",
            }
        },
    ),
]
APPROLE = "{appRole: {path: approle, roleId: r-1, secretRef: {name: approle, key: secretId}}}"


@pytest.mark.parametrize(("written", "login"), LOGINS)
def test_the_logins_of_a_generator_are_ours(migrate: Any, written: str, login: Any) -> None:
    known, _ = ours(migrate(changed(ESO, APPROLE, written)))
    assert known["openbao"]["auth"] == login


def test_a_generator_s_login_that_we_have_not_is_to_be_written(migrate: Any) -> None:
    text = migrate(changed(ESO, APPROLE, "{ldap: {path: ldap, username: x}}"))
    assert "the login (ldap) isn't supported: write LeaseProvider reports-vault" in text
    assert ours(text)[1]["providerRef"] == {"name": "reports-vault"}


def test_a_shared_generator_and_a_ca_bundle_are_read(migrate: Any) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
    bundle = base64.b64encode(pem.encode()).decode()
    whole = list(yaml.safe_load_all(ESO))
    whole[0]["spec"]["dataFrom"][0]["sourceRef"]["generatorRef"]["kind"] = "ClusterGenerator"
    spec = whole[1]["spec"]
    spec["provider"]["caBundle"] = bundle
    inner = {"kind": "VaultDynamicSecret", "generator": {"vaultDynamicSecretSpec": spec}}
    whole[1] = {**whole[1], "kind": "ClusterGenerator", "spec": inner}
    known, _ = ours(migrate(yaml.safe_dump_all(whole)))
    assert known["caBundle"] == pem


def test_an_external_secret_without_such_a_generator_is_none_of_ours(migrate: Any) -> None:
    told = migrate(
        changed(ESO, "kind: VaultDynamicSecret, name", "kind: Password, name"),
        code=exits.Exit.FAILED,
    )
    assert "there is no VaultDynamicSecret, no ExternalSecret with such a generator" in told
    lonely = ESO.split("---")[0]
    assert "generator reports wasn't given" in migrate(lonely)


def test_a_resource_of_infisical_s_operator_keeps_source_secret_and_login(migrate: Any) -> None:
    text = migrate(INFISICAL)
    known, spec = ours(text)
    assert known["infisical"]["url"] == "https://us.infisical.com"
    refs = known["infisical"]["auth"]["universalAuth"]
    assert refs["clientSecretRef"] == {"name": "infisical-auth", "key": "clientSecret"}
    assert spec["infisical"] == {
        "projectId": "p-1",
        "environmentSlug": "prod",
        "path": "/",
        "dynamicSecretName": "bill",
    }
    assert (spec["ttl"], spec["target"]["secretName"]) == ("24h", "billing-db")
    assert spec["target"]["template"] == {"data": {"URL": "{{ DB_USERNAME }}@db"}}
    assert "set its spec.leaseRevocationPolicy to None" in text
    assert "secrets.infisical.com/auto-reload" in text


@pytest.mark.parametrize(
    ("written", "ttl"),
    [
        ("1h", "1h"),
        ("3600", "1h"),
        ("90", "1m30s"),
        ("2d", "48h"),
        ("soon", None),
        ("'1.5h'", None),
    ],
)
def test_a_ttl_is_written_as_kubernetes_writes_it(
    migrate: Any, written: str, ttl: str | None
) -> None:
    quoted = f"'{written}'" if written.isdecimal() else written
    text = migrate(changed(INFISICAL, "leaseTTL: 1d", f"leaseTTL: {quoted}"))
    assert ours(text)[1].get("ttl") == ttl
    assert ("isn't carried over: write ttl" in text) == (ttl is None)


def test_a_secret_in_another_namespace_takes_the_lease_along(migrate: Any) -> None:
    text = migrate(
        changed(
            INFISICAL,
            "secretName: billing-db\n    secretNamespace: shop",
            "secretName: b\n    secretNamespace: team",
        )
    )
    found = list(yaml.safe_load_all(text))
    assert {one["metadata"]["namespace"] for one in found} == {"team"}
    assert "the DynamicLease is where its Secret is, in namespace team" in text
    assert "copy Secret infisical-auth from namespace shop" in text


def test_one_login_of_several_leases_is_printed_once(migrate: Any) -> None:
    second = changed(VSO.split("---")[0], "name: orders, namespace", "name: again, namespace")
    kinds = [one["kind"] for one in yaml.safe_load_all(migrate(f"{second}---{VSO}"))]
    assert kinds == ["LeaseProvider", "DynamicLease", "DynamicLease"]


@pytest.mark.parametrize("text", [VSO, ESO, INFISICAL])
def test_whatever_stands_in_a_field_ends_nothing(migrate: Any, text: str) -> None:
    for odd in ("7", "[1]", "{x: {y: z}}", "null", "'a\\x1b[2J'"):
        for document in yaml.safe_load_all(text):
            for key in document["spec"]:
                documents = list(yaml.safe_load_all(text))
                for one in documents:
                    if key in one["spec"]:
                        one["spec"][key] = yaml.safe_load(odd)
                path = yaml.safe_dump_all(documents)
                done = CliRunner().invoke(plugin.main, ["migrate", "-f", "-"], input=path)
                assert done.exit_code in (exits.Exit.OK, exits.Exit.FAILED), (key, odd)
                assert not isinstance(done.exception, Exception), (key, odd, done.exception)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (VSO, "labels: {team: shop, owner: helm}", "labels: [team, shop]"),
        (VSO, "labels: {team: shop, owner: helm}", "labels: {7: shop}"),
        (INFISICAL, "    universalAuth:", "    7: x\n    otherAuth:"),
    ],
)
def test_fields_of_another_shape_and_keys_that_are_no_texts_end_nothing(
    migrate: Any, text: str, old: str, new: str
) -> None:
    ours(migrate(changed(text, old, new)))


def test_parameters_as_deep_as_ours_may_be_are_carried_over_and_deeper_ones_end_nothing(
    migrate: Any,
) -> None:
    for deep, carried in (("{a: [{b: 1}]}", True), (f"{'{a: ' * 300}1{'}' * 300}", False)):
        text = migrate(changed(ESO, "  method: GET", f"  parameters: {deep}"))
        _, spec = ours(text)
        assert spec["openbao"].get("parameters") == (yaml.safe_load(deep) if carried else None)
        assert ("parameters isn't carried over" in text) != carried


@pytest.mark.parametrize("odd", ["{{", "{{ ", "{{-", "{{|"])
def test_a_template_costs_no_more_than_its_length(odd: str) -> None:
    began = time.process_time()
    for text in (odd * 100_000, f"{odd}{' ' * 500_000}", f"{{{{{' ' * 500_000}x}}}}"):
        assert common.templates(common.Migrated(""), {"key": text}) == {}
    assert time.process_time() - began < 10  # milliseconds; one that goes back takes days


def test_text_of_others_stays_in_its_comment(migrate: Any) -> None:
    evil = '"x\\nkind: Evil\\n---\\n\\u001b[2J"'
    text = migrate(changed(VSO, "kind: Deployment, name: orders", f"kind: {evil}, name: x"))
    assert "\x1b" not in text
    assert [one["kind"] for one in yaml.safe_load_all(text)] == ["LeaseProvider", "DynamicLease"]


@pytest.mark.parametrize("text", [VSO, ESO, INFISICAL])
def test_a_command_in_a_comment_runs_nothing_that_stands_in_a_name(
    migrate: Any, tmp_path: pathlib.Path, text: str
) -> None:
    evil = f"$(touch {tmp_path}/a) `touch {tmp_path}/b`; touch {tmp_path}/c' \n touch {tmp_path}/d"
    documents = list(yaml.safe_load_all(text))
    for name in ("orders-db", "reports-db", "billing-db", "infisical-auth", "approle"):
        _exchange(documents, name, evil)
    printed = migrate(yaml.safe_dump_all(documents))
    lines = [line.lstrip("#- ") for line in printed.splitlines() if "kubectl " in line]
    commands = [line[line.index("kubectl ") :] for line in lines]
    assert any("label secret" in one for one in commands)
    for command in commands:
        told = subprocess.run(["bash", "-c", f"kubectl() {{ echo 1; }}; {command}"], check=True)
        assert told.returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == ["theirs.yaml"]


def _exchange(node: Any, old: str, new: str) -> None:
    """Put another text in the place of each that is equal to ``old``."""
    for key, one in node.items() if isinstance(node, dict) else enumerate(node):
        if one == old:
            node[key] = new
        elif isinstance(one, dict | list):
            _exchange(one, old, new)


@pytest.mark.parametrize("arguments", [[], ["-f", "x", "--live"]])
def test_a_file_or_the_cluster_is_read_and_not_both(arguments: list[str]) -> None:
    done = CliRunner().invoke(plugin.main, ["migrate", *arguments])
    assert (done.exit_code, "write -f FILE or --live" in done.stderr) == (exits.Exit.USAGE, True)


# ------------------------------------------------------------------ several in one namespace


def named(text: str) -> dict[tuple[str, str], Any]:
    """The specs that are printed, by kind and name."""
    found = [one for one in yaml.safe_load_all(text) if one]
    made = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in found}
    assert len(made) == len(found)
    return made


def test_one_login_in_two_namespaces_of_vault_becomes_two_providers(migrate: Any) -> None:
    alone, *logins = VSO.split("---")
    again = changed(alone, "name: orders, namespace", "name: again, namespace")
    again = changed(again, "mount: database/", "namespace: team\n  mount: database/")
    made = named(migrate("---".join([alone, again, *logins])))
    for name, within in (("orders", None), ("again", "team")):
        ref = made["DynamicLease", name]["providerRef"]["name"]
        assert made["LeaseProvider", ref]["openbao"].get("namespace") == within


def test_resources_of_one_name_become_dynamicleases_of_two(migrate: Any) -> None:
    known = "kind: ExternalSecret\nmetadata: {name: "
    text = migrate(f"{changed(ESO, f'{known}reports', f'{known}orders')}---{VSO}")
    made = named(text)
    secrets = {made[kind, name]["target"]["secretName"] for kind, name in made if "Dyn" in kind}
    assert secrets == {"reports-db", "orders-db"}
    assert "another DynamicLease orders stands above: this one is orders-2" in text
    assert "kubectl leaseholder resume orders-2 -n shop" in text
    assert "delete vaultdynamicsecrets.secrets.hashicorp.com orders -n shop" in text


def test_a_resource_that_is_given_twice_is_printed_once_and_counted_once() -> None:
    done = CliRunner().invoke(
        plugin.main, ["migrate", "-f", "-"], input=f"{INFISICAL}---{INFISICAL}"
    )
    assert len(named(done.stdout)) == 2
    assert "It stands above already." in done.stdout
    assert "2 read, 1 carried over" in done.stderr


def test_what_is_deleted_is_named_where_it_is_and_not_where_its_secret_is(migrate: Any) -> None:
    text = migrate(
        changed(
            INFISICAL,
            "    secretNamespace: shop\n    template",
            "    secretNamespace: team\n    template",
        )
    )
    assert "delete infisicaldynamicsecrets.secrets.infisical.com billing -n shop" in text
    assert "kubectl leaseholder resume billing -n team" in text
    assert "get dynamicleases billing -n team" in text


def test_a_service_account_of_another_namespace_is_a_remark(migrate: Any) -> None:
    login = "kubernetesAuth: {identityId: i, serviceAccountRef: {name: sa, namespace: infra}}"
    old = "universalAuth: {credentialsRef: {secretName: infisical-auth, secretNamespace: shop}}"
    text = migrate(changed(INFISICAL, old, login))
    assert "ServiceAccount sa is in namespace infra: make one in namespace shop" in text


class Cluster:
    """A cluster in which the user may list some resources, and others not."""

    namespace = "shop"

    def __init__(self, *visible: str) -> None:
        self._visible = visible

    async def foreign(self, versions: Any) -> list[dict[str, Any]]:
        """Those of one kind."""
        plural = versions[0].resource
        if plural not in self._visible:
            raise refused.Forbidden(f"you have no right to list {plural}")
        found = yaml.safe_load_all(VSO)
        return [one for one in found if f"{one['kind'].lower()}s" == plural]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the command prints of a cluster."""

    def run(*visible: str) -> Any:
        @contextlib.asynccontextmanager
        async def opened(**_: Any) -> Any:
            yield Cluster(*visible)

        monkeypatch.setattr(session, "opened", opened)
        return CliRunner().invoke(plugin.main, ["migrate", "--live"])

    return run


def test_what_the_user_may_not_list_is_left_out_and_named(live: Any) -> None:
    done = live("vaultdynamicsecrets", "vaultauths")
    assert done.exit_code == exits.Exit.OK
    assert ("DynamicLease", "orders") in named(done.stdout)
    assert "left out: you have no right to list infisicaldynamicsecrets" in done.stderr


def test_where_nothing_may_be_listed_the_right_that_is_missing_is_named(live: Any) -> None:
    done = live()
    assert done.exit_code == exits.Exit.FAILED
    assert "you have no right to list vaultdynamicsecrets" in done.stderr
