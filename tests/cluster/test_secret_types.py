"""Secrets that take not just any data: of Kubernetes' own types, immutable, with odd keys."""

import asyncio
import collections.abc
import json
import typing

import pytest
import pytest_asyncio
from aiohttp import web

from tests.cluster import rogue, sites
from tests.world import kube
from tests.world import world as worlds

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTRY = (
    '"registry.example": {"username": {{ DB_USERNAME | json }}, '
    '"password": {{ DB_PASSWORD | json }}}'
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(world: worlds.World) -> collections.abc.AsyncIterator[sites.Site]:
    async with sites.site(world, "types") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def server(site: sites.Site) -> collections.abc.AsyncIterator[rogue.Rogue]:
    async with rogue.serving() as serving:
        yield serving


def _both(values: dict[str, str]) -> tuple[str, str]:
    return values["username"], values["password"]


def _pair(values: dict[str, str]) -> tuple[str, str]:
    return values["tls.crt"], values["tls.key"]


def _key(values: dict[str, str]) -> tuple[str, str]:
    user, _, password = values["ssh-privatekey"].partition(":")
    return user, password


def _config(values: dict[str, str]) -> tuple[str, str]:
    return _both(json.loads(values[".dockerconfigjson"])["auths"]["registry.example"])


def _old_config(values: dict[str, str]) -> tuple[str, str]:
    return _both(json.loads(values[".dockercfg"])["registry.example"])


Read = collections.abc.Callable[[dict[str, str]], tuple[str, str]]
TYPES: dict[str, tuple[dict[str, str], Read]] = {
    "basic-auth": ({"username": "{{ DB_USERNAME }}", "password": "{{ DB_PASSWORD }}"}, _both),
    "tls": ({"tls.crt": "{{ DB_USERNAME }}", "tls.key": "{{ DB_PASSWORD }}"}, _pair),
    "ssh-auth": ({"ssh-privatekey": "{{ DB_USERNAME }}:{{ DB_PASSWORD }}"}, _key),
    "dockerconfigjson": ({".dockerconfigjson": f'{{"auths": {{ {REGISTRY} }} }}'}, _config),
    "dockercfg": ({".dockercfg": f"{{ {REGISTRY} }}"}, _old_config),
}
"""By type: a template's texts, and how to read user and password out of what they become."""


@pytest.mark.parametrize("policy", ["Merge", "Replace"])
@pytest.mark.parametrize("kind", TYPES)
async def test_a_secret_of_a_type_of_kubernetes_holds_credentials_that_log_in(
    site: sites.Site, kind: str, policy: str
) -> None:
    texts, read = TYPES[kind]
    name = f"{kind}-{policy.lower()}"
    template = {"data": texts, "mergePolicy": policy}
    await site.lease(name, ttl="1h", target={"type": f"kubernetes.io/{kind}", "template": template})
    await site.ready(name)
    secret = await site.client.get("Secret", name, site.namespace)
    assert secret is not None
    assert secret["type"] == f"kubernetes.io/{kind}"
    own = {"DB_USERNAME", "DB_PASSWORD"} if policy == "Merge" else set[str]()
    assert secret["data"].keys() >= {*texts, *own}
    user, password = read(await site.credentials(name))
    assert await site.world.postgres.can_log_in_async(user, password)


async def test_a_lease_in_a_secret_of_such_a_type_is_rotated(site: sites.Site) -> None:
    texts, read = TYPES["dockerconfigjson"]
    target = {"type": "kubernetes.io/dockerconfigjson", "template": {"data": texts}}
    await site.lease("rotated", ttl="1h", target=target, rotation={"overlap": "0s"})
    first = (await site.ready("rotated"))["status"]["lease"]["id"]
    change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "now"}}}
    await site.client.patch("DynamicLease", "rotated", site.namespace, change)
    await site.until(
        "rotated",
        lambda found: kube.is_ready(found) and (found or {})["status"]["lease"]["id"] != first,
        what="another lease",
    )
    user, password = read(await site.credentials("rotated"))
    assert await site.world.postgres.can_log_in_async(user, password)


async def test_a_rule_of_admission_sees_the_annotations_that_will_be_there(
    site: sites.Site,
) -> None:
    """A cluster's rule asks every Secret of the namespace for an annotation and a key."""
    rule = "has(object.metadata.annotations) && 'team' in object.metadata.annotations"
    await _guard(site, f"{rule} && 'username' in object.data")
    target = {
        "template": {
            "metadata": {"annotations": {"team": "shop"}},
            "data": {"username": "{{ DB_USERNAME }}"},
        }
    }
    await site.lease("guarded", ttl="1h", target=target)
    await site.ready("guarded")
    assert await site.logs_in("guarded")


async def _guard(site: sites.Site, rule: str) -> None:
    """Refuse Secrets named guarded… that don't keep a CEL rule; waits until it counts."""
    group = "admissionregistration.k8s.io/v1"
    await site.client.apply(
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "types"},
            "spec": {
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["secrets"],
                        }
                    ]
                },
                "validations": [
                    {"expression": f"!object.metadata.name.startsWith('guarded') || ({rule})"}
                ],
            },
        }
    )
    selector = {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}}
    await site.client.apply(
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "types"},
            "spec": {
                "policyName": "types",
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            },
        }
    )
    for attempt in range(300):
        try:
            await site.auth_secret(f"guarded-{attempt}", a="b")
        except kube.Refused:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the rule never counted")


async def test_a_key_that_the_type_needs_and_nobody_gives_is_named_and_costs_one_lease(
    site: sites.Site, server: rogue.Rogue
) -> None:
    await site.provider_at("lacking", server.url)
    await site.lease("lacking", provider="lacking", target={"type": "kubernetes.io/basic-auth"})
    found = await site.reason("lacking", "TemplateInvalid")
    message = kube.condition(found, "Ready")["message"]
    assert "kubernetes.io/basic-auth needs username or password" in message
    assert "the keys are DB_PASSWORD, DB_USERNAME" in message
    assert 'write target.template.data["username"]' in message
    await _tried_again(site, "lacking")
    change = {"target": {"template": {"data": {"username": "{{ DB_USERNAME }}"}}}}
    await site.client.patch("DynamicLease", "lacking", site.namespace, {"spec": change})
    await site.ready("lacking")
    assert (await site.credentials("lacking"))["username"] == "nobody"
    assert server.count(rogue.ISSUE) == 1


@pytest.mark.parametrize("key", ["aws/key", "", "..", "k" * 254])
async def test_a_key_that_no_secret_can_hold_is_named_and_costs_one_lease(
    site: sites.Site, server: rogue.Rogue, key: str
) -> None:
    server.trick(rogue.ISSUE, _giving(server, {key: "odd", "DB_USERNAME": "u", "DB_PASSWORD": "p"}))
    name = f"odd-{len(key)}"
    await site.provider_at(name, server.url)
    await site.lease(name, provider=name)
    found = await site.reason(name, "TemplateInvalid")
    message = kube.condition(found, "Ready")["message"]
    assert f'"{key[:50]}' in message
    assert "target.template.mergePolicy: Replace" in message
    assert kube.condition(found, "Stalled")["status"] == "True"
    await _tried_again(site, name)
    template = {"mergePolicy": "Replace", "data": {"url": "pg://{{ DB_USERNAME }}"}}
    change = {"spec": {"target": {"template": template}}}
    await site.client.patch("DynamicLease", name, site.namespace, change)
    await site.ready(name)
    assert await site.credentials(name) == {"url": "pg://u"}
    assert server.count(rogue.ISSUE) == 1


async def test_under_one_key_the_text_wins_over_the_providers_value(site: sites.Site) -> None:
    texts = {"DB_USERNAME": "as {{ DB_USERNAME }}", "user": "{{ DB_USERNAME }}"}
    await site.lease("clashing", ttl="1h", target={"template": {"data": texts}})
    first = (await site.ready("clashing"))["status"]["lease"]["id"]
    values = await site.credentials("clashing")
    assert values["DB_USERNAME"] == f"as {values['user']}"
    assert values.keys() == {"DB_USERNAME", "DB_PASSWORD", "user"}
    found = await site.renewals("clashing", 0)
    assert found["status"]["lease"]["id"] == first


@pytest.mark.parametrize("kind", TYPES)
async def test_replace_without_the_types_keys_is_refused_when_it_is_applied(
    site: sites.Site, kind: str
) -> None:
    template = {"mergePolicy": "Replace", "data": {"other": "{{ DB_USERNAME }}"}}
    target = {"type": f"kubernetes.io/{kind}", "template": template}
    with pytest.raises(kube.Refused, match=r"^422") as refused:
        await site.lease(f"refused-{kind}", target=target)
    assert f"a Secret of type kubernetes.io/{kind} needs" in refused.value.message


async def test_an_immutable_secret_is_told_at_once_and_made_again_when_it_is_deleted(
    site: sites.Site,
) -> None:
    await site.lease("frozen", ttl="1h", rotation={"overlap": "0s"})
    first = (await site.ready("frozen"))["status"]["lease"]["id"]
    await site.client.patch("Secret", "frozen", site.namespace, {"immutable": True})
    found = await site.reason("frozen", "SecretWriteRefused")
    ready = kube.condition(found, "Ready")
    assert ready["status"] == "True", "what is in it is good"
    assert "Secret frozen is immutable" in ready["message"]
    assert "delete it, and it is made again, with a new lease" in ready["message"]
    assert kube.condition(found, "Stalled")["status"] == "True"
    change = {"metadata": {"annotations": {"leaseholder.dev/rotate": "now"}}}
    await site.client.patch("DynamicLease", "frozen", site.namespace, change)
    template = {"metadata": {"labels": {"team": "shop"}}, "data": {"user": "{{ DB_USERNAME }}"}}
    wanted = {"spec": {"target": {"template": template}}}
    await site.client.patch("DynamicLease", "frozen", site.namespace, wanted)
    await _tried_again(site, "frozen", failures=1)
    assert [one["leaseId"] for one in await site.records("frozen")] == [first]
    assert await site.logs_in("frozen")
    await site.client.delete("Secret", "frozen", site.namespace)
    await site.until(
        "frozen",
        lambda found: kube.is_ready(found) and (found or {})["status"]["lease"]["id"] != first,
        what="another lease",
    )
    assert await site.logs_in("frozen")
    values = await site.credentials("frozen")
    assert values["user"] == values["DB_USERNAME"]


async def test_a_dynamic_lease_that_is_made_again_with_another_type_says_what_to_do(
    site: sites.Site,
) -> None:
    await site.lease("retyped", ttl="1h")
    first = (await site.ready("retyped"))["status"]["lease"]["id"]
    unowned: kube.Object = {"metadata": {"ownerReferences": None}}  # as with --cascade=orphan
    site.operator.kill()
    await site.client.patch("Secret", "retyped", site.namespace, unowned)
    await site.delete("retyped")
    forced: kube.Object = {"metadata": {"finalizers": None}}
    await site.client.patch("DynamicLease", "retyped", site.namespace, forced)
    await site.gone("retyped")
    texts, read = TYPES["basic-auth"]
    target = {"type": "kubernetes.io/basic-auth", "template": {"data": texts}}
    await site.lease("retyped", ttl="1h", target=target)
    await site.restart()
    found = await site.reason("retyped", "SecretWriteRefused")
    message = kube.condition(found, "Ready")["message"]
    assert "of another type" in message
    assert "delete it, and it is made again" in message
    await site.until(
        "retyped",
        lambda one: "kubernetes.io/basic-auth" in kube.condition(one, "Ready")["message"],
        what="the type that is wanted",
    )
    assert kube.condition(found, "Stalled")["status"] == "True"
    assert (await site.living()) >= {first}, "what is in the Secret is good"
    await site.client.delete("Secret", "retyped", site.namespace)
    await site.until(
        "retyped",
        lambda found: kube.is_ready(found) and (found or {})["status"]["lease"]["id"] != first,
        what="another lease",
    )
    secret = await site.client.get("Secret", "retyped", site.namespace)
    assert secret is not None
    assert secret["type"] == "kubernetes.io/basic-auth"
    user, password = read(await site.credentials("retyped"))
    assert await site.world.postgres.can_log_in_async(user, password)


def _giving(server: rogue.Rogue, data: dict[str, str]) -> rogue.Answer:
    """Issue a lease with these values."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return server.issued(await request.json(), data)

    return answer


async def _tried_again(site: sites.Site, name: str, *, failures: int = 2) -> None:
    """Wait until the delivery was tried, and was refused, so many times."""

    def again(found: kube.Object | None) -> bool:
        retry: dict[str, typing.Any] = ((found or {}).get("status") or {}).get("retry") or {}
        return int(retry.get("failures", 0)) >= failures

    await site.until(name, again, what="another try")
