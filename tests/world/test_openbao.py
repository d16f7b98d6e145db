"""The server is real: its leases are roles that log in, and they survive what it goes through."""

import concurrent.futures
import pathlib

import pytest

from tests.world import kube, kubernetes, openbao, openbao_mounts, processes
from tests.world import postgres as postgres_server


def read(
    bao: openbao.OpenBao, path: str, *, token: str | None = None, namespace: str = ""
) -> openbao.Json:
    return bao.call("GET", path, token=token, namespace=namespace)


def logs_in(postgres: postgres_server.Postgres, answer: openbao.Json) -> bool:
    return postgres.can_log_in(answer["data"]["username"], answer["data"]["password"])


def test_a_lease_logs_in_until_it_is_revoked(
    bao: openbao.OpenBao, postgres: postgres_server.Postgres
) -> None:
    answer = read(bao, openbao_mounts.ORDERS)
    assert logs_in(postgres, answer)
    assert answer["lease_id"] in bao.leases()
    bao.revoke_lease(answer["lease_id"])
    assert not logs_in(postgres, answer)
    assert bao.lease(answer["lease_id"]) is None


def test_a_lease_dies_with_the_token_that_made_it(
    bao: openbao.OpenBao, postgres: postgres_server.Postgres
) -> None:
    token = bao.token(ttl="1h")
    accessor = bao.call("GET", "auth/token/lookup-self", token=token)["data"]["accessor"]
    answer = read(bao, openbao_mounts.ORDERS, token=token)
    assert logs_in(postgres, answer)
    bao.revoke_accessor(accessor)
    processes.wait_until(lambda: not logs_in(postgres, answer), what="the credential is dead")


def test_a_read_that_is_under_way_when_its_login_ends_leases_all_the_same(
    bao: openbao.OpenBao, postgres: postgres_server.Postgres
) -> None:
    """Why an unclear issue is left alone until the server must have ended its request."""
    path = bao.role("slow", creation_statements=openbao_mounts.SLOWLY)
    token = bao.token(ttl="1h")
    accessor = bao.call("GET", "auth/token/lookup-self", token=token)["data"]["accessor"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        issuing = pool.submit(read, bao, path, token=token)
        processes.wait_until(lambda: bool(postgres.busy("pg_sleep")), what="the issue is under way")
        bao.revoke_accessor(accessor)
        answer = issuing.result()
    assert accessor not in bao.accessors()
    assert logs_in(postgres, answer)
    assert bao.leases(f"{path}/") == [answer["lease_id"]]
    bao.revoke_lease(answer["lease_id"])


def test_leases_survive_seal_and_restart(
    bao: openbao.OpenBao, postgres: postgres_server.Postgres
) -> None:
    answer = read(bao, openbao_mounts.ORDERS)
    bao.seal()
    assert bao.sealed()
    with pytest.raises(openbao.Refused) as caught:
        read(bao, openbao_mounts.ORDERS)
    assert caught.value.status == 503
    bao.unseal()
    bao.restart()
    assert bao.lease(answer["lease_id"]) is not None
    assert logs_in(postgres, answer)


def test_the_database_can_be_away(bao: openbao.OpenBao, postgres: postgres_server.Postgres) -> None:
    answer = read(bao, openbao_mounts.ORDERS)
    renewal = {"lease_id": answer["lease_id"]}
    bao.database.cut()
    with pytest.raises(openbao.Refused, match="failed to renew entry"):
        bao.call("PUT", "sys/leases/renew", renewal)
    with pytest.raises(openbao.Refused) as caught:
        read(bao, openbao_mounts.ORDERS)
    assert caught.value.status == 500
    assert logs_in(postgres, answer)
    bao.database.mend()
    assert bao.call("PUT", "sys/leases/renew", renewal)["lease_duration"] > 3500


def test_a_namespace_has_leases_of_its_own(
    bao: openbao.OpenBao, postgres: postgres_server.Postgres
) -> None:
    bao.make_namespace("team", postgres)
    answer = read(bao, openbao_mounts.ORDERS, namespace="team")
    assert logs_in(postgres, answer)
    assert bao.leases(namespace="team") == [answer["lease_id"]]
    assert answer["lease_id"] not in bao.leases()


def test_other_engines_lease_or_do_not(bao: openbao.OpenBao) -> None:
    otp = bao.call("POST", "ssh/creds/otp", {"ip": "10.0.0.1"})
    assert otp["lease_id"]
    assert not otp["renewable"]
    assert bao.call("POST", "pki/issue/web", {"common_name": "a.test"})["lease_id"]
    assert not bao.call("POST", "pki/issue/bare", {"common_name": "a.test"})["lease_id"]
    assert not read(bao, "kv/plain")["lease_id"]


def test_an_approle_may_do_what_the_docs_ask_for_and_no_more(bao: openbao.OpenBao) -> None:
    role = bao.approle("shop", token_ttl="1h")
    login = {"role_id": role.role_id, "secret_id": role.secret_id}
    token = bao.call("POST", "auth/approle/login", login, token="")["auth"]["client_token"]
    answer = read(bao, openbao_mounts.ORDERS, token=token)
    bao.call("PUT", "sys/leases/revoke", {"lease_id": answer["lease_id"]}, token=token)
    with pytest.raises(openbao.Refused) as caught:
        bao.call("LIST", "auth/token/accessors", token=token)
    assert caught.value.status == 403


def test_too_many_requests_are_told_when_to_come_again(bao: openbao.OpenBao) -> None:
    bao.quota(1, path="database/")
    refused = []
    for _ in range(5):
        try:
            read(bao, "database/roles/orders")
        except openbao.Refused as refusal:
            refused.append(refusal.status)
    bao.quota(None)
    assert set(refused) == {429}


def test_tls_is_trusted_by_its_own_authority(
    postgres: postgres_server.Postgres, tmp_path: pathlib.Path
) -> None:
    with openbao.OpenBao.start(tmp_path, postgres, tls=True) as secure:
        assert secure.url.startswith("https://")
        assert secure.active()


async def test_service_accounts_of_the_cluster_log_in(
    bao: openbao.OpenBao, control_plane: kubernetes.ControlPlane
) -> None:
    bao.trust_cluster(control_plane)
    async with kube.Kube(control_plane) as cluster:
        await cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "shop", "namespace": "default"},
            }
        )
    path = "/api/v1/namespaces/default/serviceaccounts/shop/token"
    for audience, allowed in (("openbao", True), ("other", False)):
        async with control_plane.session() as session:
            body = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
            async with session.post(path, json=body) as response:
                token = (await response.json())["status"]["token"]
        for mount in ("kubernetes", "jwt"):
            login = {"role": "leaseholder", "jwt": token}
            try:
                made = bao.call("POST", f"auth/{mount}/login", login, token="")
            except openbao.Refused:
                assert not allowed
            else:
                assert allowed
                assert made["auth"]["accessor"]
