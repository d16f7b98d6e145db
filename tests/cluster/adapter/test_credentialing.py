"""What adapters log in with: read live, from where the references may point."""

import base64
import json
import pathlib
from typing import Any

import pytest

from leaseholder import errors
from leaseholder.api import conditions, refs
from leaseholder.cluster import adapter
from leaseholder.ports.credentials import Access
from leaseholder.ports.provider import ProviderObject
from tests.cluster.adapter import objects
from tests.world import faults, kube, kubernetes


async def test_a_secret_value_is_read_live(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    credentials = cluster.credentialing(await objects.access(user, place))
    ref = refs.SecretKeyRef(name="auth", key="secret")
    with pytest.raises(errors.Denied, match=f"there is no Secret {place.shop}/auth: create it"):
        await credentials.secret_value(ref)
    values = {"other": "x", "secret": " \n"}
    await user.apply(objects.manifest("Secret", "auth", place.shop, stringData=values))
    for key in ("absent", "secret"):
        with pytest.raises(errors.Denied, match=f"has no text under {key}: add it") as denied:
            await credentials.secret_value(refs.SecretKeyRef(name="auth", key=key))
        assert denied.value.reason is conditions.Reason.AUTH_MISSING
    await user.patch(
        "Secret", "auth", place.shop, {"stringData": {"secret": f"{objects.CANARY}\n"}}
    )
    assert (await credentials.secret_value(ref)).reveal() == objects.CANARY


async def test_references_of_a_leaseprovider_stay_at_home_and_a_shared_ones_name_a_namespace(
    cluster: adapter.KubernetesCluster, place: objects.Place
) -> None:
    away = refs.SecretKeyRef(name="auth", key="k", namespace=place.home)
    none = refs.SecretKeyRef(name="auth", key="k")
    spec = objects.provider_spec()
    its = ProviderObject("LeaseProvider", place.shop, "infisical", "uid")
    own = cluster.credentialing(Access(spec=spec, of=its))
    its = ProviderObject("ClusterLeaseProvider", "", "shared", "uid")
    shared = cluster.credentialing(Access(spec=spec, of=its))
    with pytest.raises(errors.Denied, match="stay in its own namespace"):
        await own.secret_value(away)
    with pytest.raises(errors.Denied, match="names its namespace"):
        await shared.secret_value(none)
    with pytest.raises(errors.Denied, match=f"there is no Secret {place.home}/auth"):
        await shared.secret_value(away)


async def test_a_token_is_for_the_providers_audience_and_never_for_the_api_servers(
    control_plane: kubernetes.ControlPlane,
    cluster: adapter.KubernetesCluster,
    user: kube.Kube,
    place: objects.Place,
) -> None:
    await user.apply(objects.manifest("ServiceAccount", "login", place.shop))
    access = await objects.access(user, place)
    ref = refs.ServiceAccountRef(name="login")
    token = await cluster.credentialing(access).service_account_token(ref, "infisical")
    claims = _claims(token.reveal())
    assert claims["aud"] == ["infisical"]
    assert claims["exp"] - claims["iat"] == 600
    with pytest.raises(errors.Denied, match="there is no ServiceAccount"):
        await cluster.credentialing(access).service_account_token(
            refs.ServiceAccountRef(name="absent"), "infisical"
        )
    kubeconfig = await objects.powerless(user, control_plane, place)
    async with objects.connected(kubeconfig, place) as operator:
        powerless = operator.credentialing(access)
        own = await user.service_account_token("operator", place.home)
        (default,) = _claims(own)["aud"]
        for audience in ("", " ", "https://kubernetes.default.svc", default):
            with pytest.raises(errors.Denied, match="API server's own audience"):
                await powerless.service_account_token(ref, audience)
        with pytest.raises(errors.Denied, match="token: bind the ClusterRole leaseholder-tokens"):
            await powerless.service_account_token(ref, "infisical")


def _claims(token: str) -> objects.Body:
    payload = token.split(".")[1]
    claims: objects.Body = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


async def test_ca_certificates_are_inline_or_where_the_reference_points(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place
) -> None:
    held = {"ca.crt": "of-secret"}
    await user.apply(objects.manifest("Secret", "ca", place.shop, stringData=held))
    mapped = {"ca.crt": "of-configmap"}
    await user.apply(objects.manifest("ConfigMap", "ca", place.shop, data=mapped))

    async def bundle(**fields: Any) -> str | None:
        access = await objects.access(user, place, **fields)
        return await cluster.credentialing(access).ca_bundle()

    def ref(kind: str, key: str = "ca.crt") -> objects.Body:
        return {"kind": kind, "name": "ca", "key": key}

    assert await bundle() is None
    assert await bundle(caBundle="inline") == "inline"
    assert await bundle(caBundleRef=ref("Secret")) == "of-secret"
    assert await bundle(caBundleRef=ref("ConfigMap")) == "of-configmap"
    with pytest.raises(errors.Denied, match=r"the ConfigMap .*/ca has no text under nope"):
        await bundle(caBundleRef=ref("ConfigMap", "nope"))
    with pytest.raises(errors.Denied, match=r"there is no ConfigMap .*/no"):
        await bundle(caBundleRef={"kind": "ConfigMap", "name": "no", "key": "k"})


async def test_an_api_server_that_is_away_keeps_a_login_waiting(
    place: objects.Place, proxy: faults.FaultProxy, through_proxy: pathlib.Path
) -> None:
    proxy.faults.answer(503, path=f"{place.shop}/secrets/auth", times=1)
    async with objects.connected(through_proxy, place) as proxied:
        its = ProviderObject("LeaseProvider", place.shop, "infisical", "uid")
        credentials = proxied.credentialing(Access(spec=objects.provider_spec(), of=its))
        with pytest.raises(errors.Unavailable) as away:
            await credentials.secret_value(refs.SecretKeyRef(name="auth", key="k"))
    assert not away.value.sent


@pytest.mark.parametrize("made_again", [False, True], ids=["gone", "made again"])
async def test_nothing_is_read_for_a_provider_object_that_is_gone(
    cluster: adapter.KubernetesCluster, user: kube.Kube, place: objects.Place, made_again: bool
) -> None:
    """Who makes the namespace or the name again never agreed to the first one's server."""
    bundle = {"caBundleRef": {"kind": "Secret", "name": "auth", "key": "k"}}
    credentials = cluster.credentialing(await objects.access(user, place, **bundle))
    await user.delete("LeaseProvider", "infisical", place.shop)
    if made_again:
        await objects.access(user, place)
    await user.apply(objects.manifest("Secret", "auth", place.shop, stringData={"k": "another's"}))
    await user.apply(objects.manifest("ServiceAccount", "login", place.shop))
    account = refs.ServiceAccountRef(name="login")
    for attempt in (
        credentials.secret_value(refs.SecretKeyRef(name="auth", key="k")),
        credentials.service_account_token(account, "infisical"),
        credentials.ca_bundle(),
    ):
        with pytest.raises(errors.Denied, match="LeaseProvider infisical is gone") as denied:
            await attempt
        assert denied.value.reason is conditions.Reason.AUTH_GONE


async def test_with_the_setting_only_secrets_that_are_labelled_for_it_are_read(
    control_plane: kubernetes.ControlPlane, user: kube.Kube, place: objects.Place
) -> None:
    connected = objects.connected(control_plane.kubeconfig, place, require_auth_label=True)
    bundle = {"caBundleRef": {"kind": "Secret", "name": "auth", "key": "k"}}
    await user.apply(objects.manifest("Secret", "auth", place.shop, stringData={"k": "value"}))
    ref = refs.SecretKeyRef(name="auth", key="k")
    command = f"kubectl -n {place.shop} label secret auth leaseholder.dev/auth=true"
    async with connected as cluster:
        credentials = cluster.credentialing(await objects.access(user, place, **bundle))
        for attempt in (credentials.secret_value(ref), credentials.ca_bundle()):
            with pytest.raises(errors.Denied, match=command):
                await attempt
        labels = {"metadata": {"labels": {"leaseholder.dev/auth": "true"}}}
        await user.patch("Secret", "auth", place.shop, labels)
        assert (await credentials.secret_value(ref)).reveal() == "value"
        assert await credentials.ca_bundle() == "value"
