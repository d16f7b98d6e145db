"""``kubectl leaseholder`` with a user's own rights: an edit role of one namespace, and no more."""

import asyncio
import collections.abc
import dataclasses
import json
import pathlib
import typing
from datetime import UTC, datetime

import click
import pytest
import pytest_asyncio
import yaml
from click import testing

from leaseholder.cli import completion, plugin
from leaseholder.cli.exits import Exit
from leaseholder.cluster import electing
from tests.cluster import commands, sites
from tests.world import kube
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

_RBAC: typing.Final = "rbac.authorization.k8s.io"
_EVENTS: typing.Final = {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list"]}
_SHIPPED: typing.Final = ("leaseholder-view", "leaseholder-edit")
"""ClusterRoles of the chart that Kubernetes adds to ``edit``, which has events of its own."""


def found_by(done: commands.Done) -> set[tuple[str, str]]:
    """The levels and checks that ``doctor -o json`` prints."""
    return {(one["level"], one["check"]) for one in json.loads(done.out)}


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """Somebody at a terminal, with a kubeconfig."""

    site: sites.Site
    kubeconfig: pathlib.Path

    async def types(self, *arguments: str) -> commands.Done:
        """Run ``kubectl leaseholder …`` in this process: to start another takes a second."""
        runner = testing.CliRunner()
        login = ("--kubeconfig", str(self.kubeconfig))
        done = await asyncio.to_thread(runner.invoke, plugin.main, [*arguments, *login])
        return commands.Done(done.exit_code, done.stdout, done.stderr)

    async def types_outside(self, *arguments: str) -> commands.Done:
        """Run it as kubectl does: as a program that reads ``KUBECONFIG``."""
        kubeconfig = {"KUBECONFIG": str(self.kubeconfig)}
        return await commands.run("leaseholder.cli.plugin", *arguments, environment=kubeconfig)

    async def shows(self, name: str) -> typing.Any:
        """What ``show -o json`` prints."""
        done = await self.types("show", name, "-o", "json")
        assert done.code == Exit.OK, done.err
        return json.loads(done.out)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def user(world: worlds.World) -> collections.abc.AsyncIterator[User]:
    async with sites.site(world, "plugin") as site:
        token = await _editor(site)
        path = world.control_plane.kubeconfig_for(token, namespace=site.namespace)
        yield User(site, path)


async def _editor(site: sites.Site) -> str:
    """The token of somebody who may edit the namespace."""
    place = {"name": "editor", "namespace": site.namespace}
    subject = {"kind": "ServiceAccount", **place}
    await site.client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})
    role = {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": place, "rules": [_EVENTS]}
    await site.client.apply(role)
    for kind, of in (("Role", "editor"), *(("ClusterRole", one) for one in _SHIPPED)):
        await site.client.apply(
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": of, "namespace": site.namespace},
                "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": of},
                "subjects": [subject],
            }
        )
    return await site.client.service_account_token("editor", site.namespace)


async def test_list_and_show_say_what_is_held_until_when_and_in_which_secret(user: User) -> None:
    site = user.site
    await asyncio.gather(site.lease("held", ttl="1h"), site.lease("lost", provider="nobody"))
    found, _ = await asyncio.gather(site.ready("held"), site.reason("lost", "ProviderMissing"))
    shown = await user.shows("held")
    lease = found["status"]["lease"]
    assert (shown["ready"], shown["reason"]) == (True, "Ready")
    assert shown["lease"]["id"] == lease["id"]
    assert shown["lease"]["expiresAt"] == lease["expiresAt"]
    assert {*shown["secret"]["keys"]} == {*await site.credentials("held")}
    assert shown["pendingRevocation"]["pending"] is False

    table = await user.types_outside("list", "--check")
    assert table.code == Exit.NOT_READY
    head, *rows = (line.split() for line in table.out.splitlines())
    assert head == [*("NAME", "READY", "PROVIDER", "LEFT", "NEXT"), "ROLLOUT", "PENDING", "MESSAGE"]
    verdicts = {row[0]: row[1:3] for row in rows}
    assert verdicts["held"] == ["True", "infisical"]
    assert verdicts["lost"] == ["False", "nobody"]
    assert "ProviderMissing: there is no LeaseProvider nobody" in table.out
    assert "not Ready" in table.err
    listed = yaml.safe_load((await user.types("list", "-o", "yaml")).out)
    assert {one["name"]: one["ready"] for one in listed}["lost"] is False

    words = ("show", "--kubeconfig", str(user.kubeconfig), "")
    offered = await asyncio.to_thread(testing.CliRunner().invoke, _tab, [*words])
    assert {line.partition("\t")[0] for line in offered.output.splitlines()} >= {"held", "lost"}

    detail = await user.types("show", "lost", "--check")
    assert detail.code == Exit.NOT_READY
    detail = await user.types("show", "lost")
    assert detail.code == Exit.OK
    assert "there is no LeaseProvider nobody: create it, or mend spec.providerRef" in detail.out
    assert "Do" in detail.out
    for values in (await site.credentials("held")).values():
        assert values not in json.dumps(shown) + table.out


async def test_rotate_waits_until_the_secret_holds_another_lease_that_logs_in(
    user: User, tmp_path: pathlib.Path
) -> None:
    site = user.site
    await site.lease("rotated", ttl="1h", rotation={"overlap": "0s"})
    before = (await site.ready("rotated"))["status"]["lease"]["id"]
    done = await user.types("rotate", "rotated", "--wait", "--timeout", "90")
    assert done.code == Exit.OK, done.err
    after = (await user.shows("rotated"))["lease"]["id"]
    assert after != before
    assert after in done.out
    assert await site.logs_in("rotated")
    picture = tmp_path / "life.svg"
    told = await user.types("show", "rotated", "--svg", str(picture))
    lines = [line for line in told.out.splitlines() if " issued " in line]
    assert [before in lines[0], after in lines[1], len(lines)] == [True, True, 2]
    assert "leaseholder.dev/rotate says so" in lines[1]
    bars = [line for line in told.out.splitlines() if line.startswith("[")]
    assert [line.rpartition("]")[2].strip() for line in bars] == [before, after]
    assert [before in picture.read_text("utf-8"), after in picture.read_text("utf-8")] == [True] * 2


async def test_suspend_and_resume_stop_and_start_what_wait_waits_for(user: User) -> None:
    site = user.site
    await site.lease("paused", ttl="1h", rotation={"overlap": "0s"})
    waited = await user.types("wait", "paused", "--timeout", "90")
    assert (waited.code, waited.out) == (Exit.OK, "paused: Ready True\n")
    paused = await user.types("suspend", "paused")
    assert "no lease is issued, replaced or repaired" in paused.out
    await site.reason("paused", "Suspended")
    late = await user.types("wait", "paused", "--for", "Ready=False", "--timeout", "1")
    assert late.code == Exit.NOT_DONE
    assert "paused isn't Ready False after 1 s: Ready is True, Suspended" in late.err
    assert (await user.types("resume", "paused")).code == Exit.OK
    await site.reason("paused", "Ready")
    await site.delete("paused")
    gone = await user.types("wait", "paused", "--for", "delete", "--timeout", "90")
    assert (gone.code, gone.out) == (Exit.OK, "paused: gone\n")


async def test_all_leases_of_a_provider_are_rotated_and_each_is_said(user: User) -> None:
    site, names = user.site, ("first", "second", "halting")
    await site.provider("breached")
    await asyncio.gather(*(site.lease(one, provider="breached", ttl="1h") for one in names))
    before = {one: (await site.ready(one))["status"]["lease"]["id"] for one in names}
    await user.types("suspend", "halting")
    command = ("rotate", "--all", "--provider", "breached", "--at-once", "1", "--yes")
    done = await user.types(*command)
    assert done.code == Exit.NOT_DONE
    assert [line[:5] for line in done.out.splitlines()] == ["[1/2]", "[2/2]"]
    assert "plugin/halting is left out: it is suspended" in done.err
    assert "2 rotated, 0 not, 1 left out" in done.err
    after = {one: (await user.shows(one))["lease"]["id"] for one in names}
    assert [one for one in names if after[one] == before[one]] == ["halting"]
    assert all(after[one] in done.out for one in ("first", "second"))
    assert await site.logs_in("first")
    await user.types("resume", "halting")
    again = await user.types(*command, "--issued-before", "2026-01-01T00:00:00Z")
    assert again.code == Exit.FAILED
    assert "no lease of provider breached is to be rotated" in again.err


async def test_renew_moves_the_end_of_the_lease_or_says_why_not(user: User) -> None:
    site = user.site
    await site.lease("longer", ttl="1h")
    before = (await site.ready("longer"))["status"]["lease"]
    done = await _renewed(user, "longer")
    after = (await user.shows("longer"))["lease"]
    assert after["id"] == before["id"]
    assert after["expiresAt"] > before["expiresAt"]
    assert after["expiresAt"] in done.out
    known = await site.leases(after["id"])
    assert known is not None
    assert known.row is not None
    assert known.row.expire_at.strftime("%Y-%m-%dT%H:%M:%SZ") == after["expiresAt"]
    await site.lease("fixed", ttl="1h", renewal={"strategy": "Rotate"})
    await site.ready("fixed")
    refused = await user.types("renew", "fixed", "--wait", "--timeout", "90")
    assert refused.code == Exit.NOT_DONE
    assert "not renewed: CannotRenew" in refused.err
    assert "leaseholder.dev/rotate" in refused.err


async def _renewed(user: User, name: str) -> commands.Done:
    """The answer to a renew command that was obeyed; a fresh lease can't be for some seconds."""
    for _ in range(20):
        done = await user.types("renew", name, "--wait", "--timeout", "90")
        if done.code == Exit.OK:
            return done
        assert done.code == Exit.NOT_DONE
        assert "not renewed: RenewalTooSoon" in done.err
    raise AssertionError("it was always too soon")


async def test_force_says_that_nothing_is_to_be_revoked_any_more(user: User) -> None:
    await user.site.lease("forced", ttl="1h")
    await user.site.ready("forced")
    done = await user.types("force", "forced", "--yes", "--wait", "--timeout", "90")
    assert done.code == Exit.OK, done.err
    assert "no lease is to be revoked any more" in done.out


async def test_a_command_that_waits_too_long_says_what_stands_in_the_way(user: User) -> None:
    site = user.site
    await site.lease("halted", ttl="1h", suspend=True)
    await site.until("halted", _is_handled, what="the first look")
    done = await user.types("rotate", "halted", "--wait", "--timeout", "2")
    assert done.code == Exit.NOT_DONE
    assert "spec.suspend is true" in done.err
    assert "no answer to rotate in 2 s" in done.err
    shown = await user.types("show", "halted")
    assert "leaseholder.dev/rotate: the operator hasn't acted on it yet" in shown.out


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def _tab(words: tuple[str, ...]) -> None:
    """What kubectl runs when somebody types Tab."""
    completion.main(words)


def _is_handled(found: kube.Object | None) -> bool:
    return (found or {}).get("status", {}).get("handled") is not None


async def test_providers_are_shown_as_far_as_one_may_see_them(user: User) -> None:
    await user.site.client.wait(
        "LeaseProvider", "infisical", user.site.namespace, kube.is_ready, what="Ready"
    )
    done = await user.types("providers", "-o", "json")
    (known,) = (one for one in json.loads(done.out) if one["name"] == "infisical")
    assert (known["name"], known["ready"], known["type"]) == ("infisical", True, "infisical")
    assert "ClusterLeaseProviders aren't shown: you have no right to" in done.err
    table = await user.types("providers")
    rows = [line.split()[:5] for line in table.out.splitlines()]
    assert ["infisical", "LeaseProvider", "infisical", "True", "Ready"] in rows


async def test_doctor_says_what_is_missing_as_far_as_one_may_see_it(user: User) -> None:
    site = user.site
    await site.lease("sick", provider="nobody")
    await site.reason("sick", "ProviderMissing")
    done = await user.types("doctor", "-o", "json")
    assert done.code == Exit.UNWELL
    found = found_by(done)
    assert {("unseen", "crds"), ("unseen", "operator"), ("unseen", "rights")} <= found
    assert {("ok", "yours"), ("FAIL", "leases")} <= found
    assert "plugin/sick: ProviderMissing" in done.out

    admin = dataclasses.replace(user, kubeconfig=site.world.control_plane.kubeconfig)
    spec = {"holderIdentity": "leaseholder-x", "renewTime": f"{datetime.now(UTC):%FT%T.%fZ}"}
    await site.client.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": electing.LEASE, "namespace": site.home},
            "spec": spec,
        }
    )
    where = ("-n", site.namespace, "--operator", f"{site.home}/leaseholder")
    done = await admin.types("doctor", *where, "-o", "json")
    assert {("ok", "crds"), ("ok", "operator"), ("ok", "rights")} <= found_by(done), done.out
    stranger = await admin.types("doctor", "-n", site.namespace, "--operator", "nowhere/nobody")
    assert stranger.code == Exit.UNWELL
    assert "no right to create, delete, get, list, patch, watch secrets: bind" in stranger.out
    assert "there is no Lease of an operator in namespace nowhere" in stranger.out
    await site.delete("sick")


async def test_plan_says_what_would_become_of_a_manifest_and_changes_nothing(
    user: User, tmp_path: pathlib.Path
) -> None:
    site, path = user.site, tmp_path / "orders.yaml"
    await site.lease("planned", ttl="1h")
    await site.ready("planned")
    texts = {"URL": "postgresql://{{ DB_USERNAME }}:{{ DB_PASSWORD }}@db"}
    path.write_text(
        "---\n".join(
            yaml.safe_dump(one)
            for one in (
                _lease("planned", ttl="2h", target={"template": {"data": texts}}),
                _lease("fresh", ttl="1h", rotation={"maxAge": "24h"}),
            )
        )
    )
    leases = len(await site.all_issued())
    done = await user.types("plan", "-f", str(path))
    assert done.code == Exit.OK, done.out
    assert "stays: neither provider nor source change" in done.out
    assert "URL = postgresql://DB_USERNAME:DB_PASSWORD@db" in done.out
    assert "one is issued at once, of orders-db in prod, ttl 1h" in done.out
    assert "39m 36s after its issue" in done.out
    assert f"To apply it: kubectl apply -f {path}" in done.err
    assert await site.found("fresh") is None
    assert len(await site.all_issued()) == leases

    taken = {"target": {"secretName": "infisical-auth"}, "ttl": "10s"}
    wrong = _lease("wrong", provider="nobody", **taken)
    path.write_text(yaml.safe_dump({"kind": "List", "items": [wrong]}))
    done = await user.types("plan", "-f", str(path))
    assert done.code == Exit.UNWELL
    assert "spec.ttl: Invalid value" in done.out
    assert "ttl is too short: write 60s or more" in done.out
    assert "there is no LeaseProvider nobody" in done.out
    assert "whether it is there isn't known: you have no right to get secrets" in done.out
    admin = dataclasses.replace(user, kubeconfig=site.world.control_plane.kubeconfig)
    done = await admin.types("plan", "-f", str(path), "-n", site.namespace)
    assert "Secret infisical-auth belongs to somebody else" in done.out

    login = {"tokenAuth": {"tokenSecretRef": {"name": "no-such", "key": "token"}}}
    other = {"infisical": {"url": "https://x.test", "auth": login}}
    meta = {"name": "other", "namespace": site.namespace}
    made = {"apiVersion": "leaseholder.dev/v1alpha1", "kind": "LeaseProvider", "metadata": meta}
    path.write_text(yaml.safe_dump({**made, "spec": other}))
    done = await admin.types("plan", "-f", str(path))
    assert done.code == Exit.OK, done.out
    assert f"there is no Secret {site.namespace}/no-such yet" in done.out
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "no-such"}}
    path.write_text(yaml.safe_dump_all([secret, {**made, "spec": other}]))
    done = await admin.types("plan", "-f", str(path))
    assert done.code == Exit.OK, done.out
    assert f"kubectl -n {site.namespace} label secret no-such leaseholder.dev/auth=true" in done.out


async def test_plan_says_what_a_tenant_may_not_see_and_goes_on_with_the_rest(
    user: User, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "shared.yaml"
    shared = {"kind": "ClusterLeaseProvider", "name": "shared"}
    path.write_text(yaml.safe_dump(_lease("tenant", providerRef=shared, ttl="1h")))
    done = await user.types("plan", "-f", str(path))
    assert done.code == Exit.OK, done.out
    assert "whether it is there, serves this namespace and is Ready isn't known: you have no" in (
        done.out
    )
    assert "one is issued at once, of orders-db in prod, ttl 1h" in done.out
    assert f"To apply it: kubectl apply -f {path}" in done.err


async def test_what_init_prints_passes_the_schema_and_is_applied_as_it_is(
    user: User, tmp_path: pathlib.Path
) -> None:
    site, path = user.site, tmp_path / "first.yaml"
    admin = dataclasses.replace(user, kubeconfig=site.world.control_plane.kubeconfig)
    ours = ("--project", "demo", "--environment", "prod", "--dynamic-secret", "orders-db")
    bao, identity = ("openbao", "--path", "database/creds/orders"), ("--identity", "i-1")
    for command in (
        ("phase", "--app", "a", "--environment", "production", "--dynamic-secret", "aws"),
        *(
            ("infisical", *ours, *identity, "--auth", way)
            for way in ("kubernetes", "oidc", "token")
        ),
        *((*bao, "--role-id", "r", "--auth", way) for way in ("kubernetes", "jwt", "approle")),
    ):
        path.write_text(_typed("init", *command, "-n", "default"))
        planned = await admin.types("plan", "-f", str(path))
        assert planned.code == Exit.OK, planned.out

    address: tuple[str, ...] = ("--url", site.world.provider_url, "-n", site.namespace)
    if site.world.provider_ca_file is not None:
        address = (*address, "--ca-file", str(site.world.provider_ca_file))
    for document in yaml.safe_load_all(
        _typed("init", "infisical", *ours, *address, "--name", "initial", "--ttl", "1h")
    ):
        await site.client.apply(document)
    await site.ready("initial")
    assert await site.logs_in("initial")


def _typed(*arguments: str) -> str:
    """What a command prints that asks no API server."""
    done = testing.CliRunner().invoke(plugin.main, arguments)
    assert done.exit_code == Exit.OK, done.output
    return done.stdout


def _lease(name: str, *, provider: str = "infisical", **spec: typing.Any) -> kube.Object:
    """A manifest as a user writes it, without a namespace."""
    source = {**sites.SOURCE, "dynamicSecretName": "orders-db"}
    return {
        "apiVersion": "leaseholder.dev/v1alpha1",
        "kind": "DynamicLease",
        "metadata": {"name": name},
        "spec": {"providerRef": {"name": provider}, "infisical": source, **spec},
    }


async def test_migrate_reads_the_cluster_and_the_secret_is_taken_over_without_a_gap(
    user: User, foreign: None
) -> None:
    """What docs/migration.md says, step by step; the Secret stays the same object all the time."""
    site, client = user.site, user.site.client
    admin = dataclasses.replace(user, kubeconfig=site.world.control_plane.kubeconfig)
    before = await client.apply(_secret(site.namespace, "moved", DB_USERNAME="theirs", OLD="x"))
    printed = await admin.types("migrate", "--live", "-n", site.namespace)
    assert printed.code == Exit.OK, printed.err
    assert "leaseRevocationPolicy to None before it is deleted" in printed.out
    for document in yaml.safe_load_all(printed.out):
        if document["kind"] == "LeaseProvider" and site.world.provider_ca_file is not None:
            pem = site.world.provider_ca_file.read_text(encoding="utf-8")
            document["spec"]["caBundle"] = pem
        await client.apply(document)
    found = await site.until("moved", _is_handled, what="the first look")
    assert (await site.credentials("moved"))["DB_USERNAME"] == "theirs"
    assert await site.records("moved") == []
    label = {"leaseholder.dev/owner-uid": found["metadata"]["uid"]}
    assert f"label secret moved -n {site.namespace} leaseholder.dev/owner-uid=" in printed.out
    await client.patch("Secret", "moved", site.namespace, {"metadata": {"labels": label}})
    assert (await site.credentials("moved"))["DB_USERNAME"] == "theirs"
    assert (await admin.types("resume", "moved", "-n", site.namespace)).code == Exit.OK
    waited = await admin.types("wait", "moved", "-n", site.namespace, "--timeout", "90")
    assert waited.code == Exit.OK, waited.err
    after = await client.get("Secret", "moved", site.namespace)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert {*await site.credentials("moved")} == {"DB_USERNAME", "DB_PASSWORD"}
    assert await site.logs_in("moved")


def _secret(namespace: str, name: str, **values: str) -> kube.Object:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": values}


@pytest_asyncio.fixture(loop_scope="module")
async def foreign(user: User) -> collections.abc.AsyncIterator[None]:
    """Infisical's own operator, as far as its CRD goes, and a resource of it."""
    site, group = user.site, "secrets.infisical.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True}
    crd = f"infisicaldynamicsecrets.{group}"
    kind = {"kind": "InfisicalDynamicSecret", "plural": "infisicaldynamicsecrets"}
    await site.client.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": crd},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {**kind, "singular": "infisicaldynamicsecret"},
                "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
            },
        }
    )
    await site.client.wait("CustomResourceDefinition", crd, "", _established, what="established")
    secret = {"secretNamespace": site.namespace}
    spec = {
        "hostAPI": f"{site.world.provider_url}/api",
        "dynamicSecret": {
            "secretName": "orders-db",
            "secretsPath": "/",
            "environmentSlug": "prod",
            "projectSlug": "demo",
        },
        "leaseTTL": "1h",
        "leaseRevocationPolicy": "Revoke",
        "authentication": {
            "universalAuth": {"credentialsRef": {"secretName": "infisical-auth", **secret}}
        },
        "managedSecretReference": {"secretName": "moved", **secret},
    }
    path = f"apis/{group}/v1alpha1/namespaces/{site.namespace}/infisicaldynamicsecrets"
    body = {
        "apiVersion": f"{group}/v1alpha1",
        "kind": "InfisicalDynamicSecret",
        "metadata": {"name": "moved", "namespace": site.namespace},
        "spec": spec,
    }
    async with (
        site.world.control_plane.session() as session,
        session.post(f"/{path}", json=body) as answer,
    ):
        assert answer.status == 201, await answer.text()
    yield
    await site.client.delete("CustomResourceDefinition", crd)


def _established(crd: kube.Object | None) -> bool:
    return kube.condition(crd, "Established").get("status") == "True"


async def test_what_one_may_not_or_what_is_not_there_is_a_sentence_and_changes_nothing(
    user: User,
) -> None:
    foreign = await user.types("list", "-n", "kube-system")
    assert foreign.code == Exit.FAILED
    assert "you have no right to list dynamicleases in namespace kube-system" in foreign.err
    everywhere = await user.types("list", "-A")
    assert everywhere.code == Exit.FAILED
    assert "list dynamicleases in all namespaces: write -n NAMESPACE" in everywhere.err
    typo = await user.types("list", "-n", "no-such", "--check")
    assert typo.code == Exit.FAILED
    missing = await user.types("rotate", "nothing")
    assert missing.code == Exit.FAILED
    assert "there is no DynamicLease nothing in namespace plugin" in missing.err
    context = await user.types("list", "--context", "none")
    assert context.code == Exit.FAILED
    assert "no kubeconfig has a context 'none'" in context.err
