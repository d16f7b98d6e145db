"""Create, get, list, renew, revoke: order of checks, words, arithmetic."""

import datetime

import pytest

from tests.world.infisical import bench as benches
from tests.world.infisical import leases, ms, seeds

HOUR = datetime.timedelta(hours=1)


async def test_checks_come_in_the_servers_order(bench: benches.Bench) -> None:
    """Each request is wrong in every later way as well; fixing one shows the next."""
    await bench.admin.turn(planAllows=False, enforceMaxLeaseLimit=True, maxLeaseLimit=0)
    identity = seeds.Identity(name="poor", universal_auth=seeds.UniversalAuth(), grants=[])
    await bench.admin.seed(seeds.Seed(identities=[identity]))
    wrong: dict[str, object] = {"projectSlug": "nope", "path": "/no way", "ttl": "48h"}
    name = "nope"
    bench.token = None
    assert (await bench.create(name, **wrong)).message == "Token missing"
    await bench.login(identity)
    assert (await bench.create(name, **{**wrong, "ttl": "1s"})).status == 422
    assert (await bench.create(name, **wrong)).message == "Project with slug 'nope' not found"
    wrong["projectSlug"] = "demo"
    assert (await bench.create(name, **wrong)).body["error"] == "ForbiddenError"
    member = identity.model_copy(update={"grants": [seeds.Grant(actions=[])]})
    await bench.admin.seed(seeds.Seed(identities=[member]))
    assert (await bench.create(name, **wrong)).message == leases.PLAN.format(verb="create")
    await bench.admin.turn(planAllows=True)
    assert (await bench.create(name, **wrong)).message.startswith("Invalid secret path.")
    wrong["path"] = "/nope"
    told = "Folder with path '/nope' in environment with slug 'prod' not found"
    assert (await bench.create(name, **wrong)).message == told
    del wrong["path"]
    told = "Dynamic secret with name 'nope' in folder with path '/' not found"
    assert (await bench.create(name, **wrong)).message == told
    denied = await bench.create("k8s", **wrong)
    assert (denied.status, denied.body["error"]) == (403, "PermissionDenied")
    assert denied.message == "You are not allowed to lease on dynamic-secrets"
    allowed = identity.model_copy(update={"grants": [seeds.Grant(actions=["lease"])]})
    await bench.admin.seed(seeds.Seed(identities=[allowed]))
    assert (await bench.create("k8s", **wrong)).message == "Max lease limit reached. Limit: 0"
    await bench.admin.turn(enforceMaxLeaseLimit=False)
    assert (await bench.create("k8s", **wrong)).message == leases.TOO_LONG
    assert (await bench.create("k8s", ttl="24h")).status == 200


async def test_the_limit_of_leases_is_never_enforced_by_default(bench: benches.Bench) -> None:
    await bench.admin.turn(maxLeaseLimit=1)
    assert [(await bench.create("k8s")).status for _ in range(3)] == [200, 200, 200]


async def test_data_is_shown_once(bench: benches.Bench) -> None:
    created = await bench.created("k8s")
    lease_id = created["lease"]["id"]
    token = created["data"]["TOKEN"]
    answers = [await bench.get(lease_id), await bench.leases_of("k8s"), await bench.renew(lease_id)]
    assert all(answer.status == 200 and token not in str(answer.body) for answer in answers)


async def test_the_name_is_lowered_at_create_only(bench: benches.Bench) -> None:
    assert (await bench.create("K8S")).status == 200
    assert (await bench.leases_of("K8S")).status == 404
    assert len((await bench.leases_of("k8s")).body["leases"]) == 1


async def test_created_at_trails_the_expiry_less_ttl(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s", ttl="1h"))["lease"]
    behind = benches.moment(lease["createdAt"]) + HOUR - benches.moment(lease["expireAt"])
    assert datetime.timedelta(0) < behind < datetime.timedelta(seconds=5)


async def test_an_empty_ttl_means_the_default(bench: benches.Bench) -> None:
    assert (await bench.create("k8s", ttl="")).status == 200


async def test_any_config_comes_back(bench: benches.Bench) -> None:
    tag = {"leaseholder": {"uid": "u", "attempt": [1, None, "x"]}}
    lease = (await bench.created("k8s", config=tag))["lease"]
    listed = (await bench.leases_of("k8s")).body["leases"]
    got = (await bench.get(lease["id"])).body["lease"]
    assert lease["config"] == listed[0]["config"] == got["config"] == tag


async def test_a_config_can_be_rejected(bench: benches.Bench) -> None:
    await bench.admin.turn(configRejected=True)
    assert (await bench.create("k8s", config={"tag": 1})).status == 400
    assert (await bench.create("k8s", config={})).status == 200


async def test_the_kubernetes_route_types_its_config(bench: benches.Bench) -> None:
    path = f"{benches.LEASES}/kubernetes"
    asked = {**benches.address(), "dynamicSecretName": "k8s"}
    made = await bench.call("POST", path, {**asked, "config": {"namespace": "shop", "tag": 1}})
    assert made.body["lease"]["config"] == {"namespace": "shop"}
    bad = await bench.call("POST", path, {**asked, "config": {"namespace": 1}})
    assert (bad.status, bad.message[0]["path"]) == (422, ["config", "namespace"])


async def test_renewal_adds_to_the_old_expiry(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s", ttl="1h"))["lease"]
    renewed = (await bench.renew(lease["id"], ttl="2h")).body["lease"]
    before, after = (benches.moment(one["expireAt"]) for one in (lease, renewed))
    assert after == before + 2 * HOUR
    again = (await bench.renew(lease["id"])).body["lease"]
    assert benches.moment(again["expireAt"]) == after + HOUR
    assert again["version"] == 1


async def test_renewal_is_all_or_nothing_at_the_maximum(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s", ttl="1h"))["lease"]
    refused = await bench.renew(lease["id"], ttl="1382m")
    assert (refused.status, refused.message) == (400, leases.PAST_MAXIMUM)
    assert (await bench.get(lease["id"])).body["lease"]["expireAt"] == lease["expireAt"]
    assert (await bench.renew(lease["id"], ttl="23h")).status == 200


async def test_a_lease_without_maximum_grows_without_bound(bench: benches.Bench) -> None:
    secret = seeds.DynamicSecret(name="endless", type="kubernetes", max_ttl=None)
    await bench.admin.seed(seeds.Seed(dynamic_secrets=[secret]))
    lease = (await bench.created("endless"))["lease"]
    assert (await bench.renew(lease["id"], ttl="9y")).status == 200
    assert (await bench.renew(lease["id"], ttl="9y")).status == 200


async def test_renewal_checks_the_plan_and_revocation_does_not(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s"))["lease"]
    await bench.admin.turn(planAllows=False)
    assert (await bench.renew(lease["id"])).message == leases.PLAN.format(verb="renew")
    assert (await bench.revoke(lease["id"])).status == 200


@pytest.mark.parametrize("ttl", ["30s", "3600", "11y", "-1h"])
async def test_a_ttl_out_of_bounds_is_a_custom_issue(bench: benches.Bench, ttl: str) -> None:
    reply = await bench.create("k8s", ttl=ttl)
    assert (reply.status, reply.message[0]["code"]) == (422, "custom")
    assert reply.message[0]["message"] in (ms.TOO_SHORT, ms.TOO_LONG)


async def test_an_overlong_ttl_is_a_400(bench: benches.Bench) -> None:
    reply = await bench.create("k8s", ttl="1" * 101)
    assert reply.message.startswith("Invalid date format string: ")


async def test_an_unparsable_ttl_leaves_an_orphan_behind(bench: benches.Bench) -> None:
    reply = await bench.create("k8s", ttl="1h30m")
    assert (reply.status, reply.message) == (500, "Something went wrong")
    (orphan,) = await bench.admin.leases()
    assert (orphan.id, orphan.row, orphan.alive) == (None, None, True)


async def test_an_unparsable_ttl_is_a_400_for_sql(sql_bench: benches.Bench) -> None:
    made = await sql_bench.create(ttl="PT1H")
    assert (made.status, made.message) == (
        400,
        "Failed to create lease from provider: Invalid time value",
    )
    lease = (await sql_bench.created())["lease"]
    renewed = await sql_bench.renew(lease["id"], ttl="soon")
    assert renewed.message == "Failed to renew lease from provider: Invalid time value"


async def test_a_lease_in_another_folder_is_not_found(bench: benches.Bench) -> None:
    created = await bench.created("k8s")
    lease_id = created["lease"]["id"]
    secret_id = created["dynamicSecret"]["id"]
    lease = f"Dynamic secret lease with ID '{lease_id}' not found"
    assert (await bench.renew(lease_id, path="/apps")).message == lease
    assert (await bench.revoke(lease_id, path="/apps")).message == lease
    got = await bench.get(lease_id, path="/apps")
    assert (got.status, got.message) == (404, f"Dynamic secret with ID '{secret_id}' not found")
    assert (await bench.get(lease_id, path="/nope")).message == "Folder with path '/nope' not found"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/apps/", 200), (" /apps ", 200), ("apps", 404), ("", 404), ("/a b", 400), ("//apps", 400)],
)
async def test_paths_are_trimmed_and_then_taken_literally(
    sql_bench: benches.Bench, path: str, status: int
) -> None:
    assert (await sql_bench.create("apps-db", path=path)).status == status


async def test_a_failing_target_is_a_200_that_says_so(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s"))["lease"]
    await bench.admin.turn(revokeError="x" * 300, revokeErrorNames=["k8s"])
    failed = await bench.revoke(lease["id"])
    assert failed.status == 200
    assert failed.body["lease"]["status"] == "Failed to delete"
    assert failed.body["lease"]["statusDetails"] == "x" * 255
    assert (await bench.renew(lease["id"])).body["lease"]["status"] == "Failed to delete"
    await bench.admin.turn(revokeError=None)
    assert (await bench.revoke(lease["id"])).body["lease"]["status"] is None
    assert (await bench.get(lease["id"])).status == 404


async def test_force_forgets_a_credential_that_lives_on(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s"))["lease"]
    await bench.admin.turn(revokeError="down")
    forced = await bench.revoke(lease["id"], isForced=True)
    assert (forced.status, forced.body["lease"]["status"]) == (200, None)
    (known,) = await bench.admin.leases()
    assert (known.row, known.alive) == (None, True)


async def test_revoking_what_is_gone_is_a_404(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s"))["lease"]
    assert (await bench.revoke(lease["id"])).status == 200
    again = await bench.revoke(lease["id"])
    assert again.message == f"Dynamic secret lease with ID '{lease['id']}' not found"


async def test_revoking_needs_a_body(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s"))["lease"]
    path = f"{benches.LEASES}/{lease['id']}"
    async with bench.session.delete(
        bench.url + path,
        params=benches.address(),
        headers={"Authorization": f"Bearer {bench.token}"},
    ) as response:
        assert response.status == 422
