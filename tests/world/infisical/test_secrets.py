"""The dynamic secret routes and the project look-ups."""

from tests.world.infisical import bench as benches
from tests.world.infisical import leases, seeds

SECRETS = f"{benches.API}/dynamic-secrets"


async def act_as(bench: benches.Bench, *actions: seeds.Action) -> None:
    seed = benches.someone(grants=[seeds.Grant(actions=list(actions))])
    await bench.admin.seed(seed)
    await bench.login(seed.identities[0])


async def delete(bench: benches.Bench, name: str, **more: object) -> benches.Reply:
    return await bench.call("DELETE", f"{SECRETS}/{name}", {**benches.address(), **more})


async def patch(bench: benches.Bench, name: str, **data: object) -> benches.Reply:
    body = {**benches.address(), "data": data}
    return await bench.call("PATCH", f"{SECRETS}/{name}", body)


async def test_getting_one_needs_both_rights(bench: benches.Bench) -> None:
    path, query = f"{SECRETS}/k8s", benches.address()
    await act_as(bench, "lease")
    denied = await bench.call("GET", path, query=query)
    assert denied.message == "You are not allowed to read-root-credential on dynamic-secrets"
    await act_as(bench, "lease", "read-root-credential")
    denied = await bench.call("GET", path, query=query)
    assert denied.message == "You are not allowed to edit-root-credential on dynamic-secrets"
    await act_as(bench, "read-root-credential", "edit-root-credential")
    assert (await bench.call("GET", path, query=query)).status == 200


async def test_rights_may_be_bound_to_environment_and_path(bench: benches.Bench) -> None:
    seed = benches.someone(grants=[seeds.Grant(environment="dev", path="/apps*")])
    await bench.admin.seed(seed)
    await bench.login(seed.identities[0])
    denied = await bench.create("k8s")
    assert denied.body["details"] == [
        {
            "action": "lease",
            "inverted": False,
            "subject": "dynamic-secrets",
            "conditions": {"environment": {"$glob": "dev"}, "secretPath": {"$glob": "/apps*"}},
        }
    ]


async def test_the_404s_have_their_own_words(bench: benches.Bench) -> None:
    query = benches.address()
    gone = await bench.call("GET", f"{SECRETS}/nope", query=query)
    assert gone.message == "Dynamic secret with name 'nope in folder '/' not found"
    gone = await bench.call("GET", f"{SECRETS}/nope", query={**query, "path": "/nope"})
    assert gone.message == "Folder with path '/nope' in environment 'prod' not found"


async def test_the_list_leaves_out_what_may_not_be_read(bench: benches.Bench) -> None:
    full = await bench.call("GET", SECRETS, query=benches.address())
    assert {"k8s", "orders-db"} <= {one["name"] for one in full.body["dynamicSecrets"]}
    await act_as(bench, "lease")
    empty = await bench.call("GET", SECRETS, query=benches.address())
    assert empty.body == {"dynamicSecrets": []}


async def test_a_patch_counts_from_the_next_renewal(bench: benches.Bench) -> None:
    lease = (await bench.created("k8s", ttl="2h"))["lease"]
    changed = await patch(bench, "k8s", maxTTL="1h", newName="renamed")
    assert changed.body["dynamicSecret"]["maxTTL"] == "1h"
    assert (await bench.renew(lease["id"], ttl="1h")).message == leases.PAST_MAXIMUM
    assert (await bench.get(lease["id"])).body["lease"]["dynamicSecret"]["name"] == "renamed"
    assert (await bench.create("k8s")).status == 404


async def test_a_patch_is_validated(bench: benches.Bench) -> None:
    reply = await patch(bench, "k8s", defaultTTL="1s")
    assert (reply.status, reply.message[0]["path"]) == (422, ["data", "defaultTTL"])
    assert (await patch(bench, "k8s", newName="github")).status == 400


async def test_deleting_one_revokes_its_leases_first(bench: benches.Bench) -> None:
    created = await bench.created("k8s")
    await bench.admin.turn(jobsPaused=True)
    status = (await delete(bench, "k8s")).body["dynamicSecret"]["status"]
    assert status == "Revocation in process"
    held = (await bench.get(created["lease"]["id"])).body["lease"]
    assert held["dynamicSecret"]["status"] == "Revocation in process"
    await bench.admin.turn(jobsPaused=False)

    async def gone() -> bool:
        return (await bench.create("k8s")).status == 404

    await bench.until(gone)
    assert not await bench.admin.check(created["data"])
    assert (await bench.get(created["lease"]["id"])).status == 404


async def test_a_deletion_that_fails_at_the_target_says_so(bench: benches.Bench) -> None:
    await bench.created("k8s")
    await bench.admin.turn(revokeError="down")
    await delete(bench, "k8s")

    async def failed() -> bool:
        known = (await bench.admin.state())["dynamicSecrets"]
        status = next(one["status"] for one in known if one["name"] == "k8s")
        return bool(status == "Failed to delete")

    await bench.until(failed)


async def test_a_forced_deletion_forgets_what_lives(bench: benches.Bench) -> None:
    created = await bench.created("k8s")
    await bench.admin.delete_dynamic_secret("k8s", forced=True)
    assert (await bench.get(created["lease"]["id"])).status == 404
    assert await bench.admin.check(created["data"])


async def test_projects_are_found_by_id_and_slug(bench: benches.Bench) -> None:
    by_id = await bench.call("GET", f"{benches.API}/projects/{seeds.DEMO_PROJECT_ID}")
    old = await bench.call("GET", f"{benches.API}/workspace/{seeds.DEMO_PROJECT_ID}")
    by_slug = await bench.call("GET", f"{benches.API}/projects/slug/demo")
    assert by_id.body["project"] == old.body["workspace"] == by_slug.body
    assert by_slug.body["slug"] == "demo"
    assert (await bench.call("GET", f"{benches.API}/projects/slug/nope")).status == 404


async def test_a_slug_can_change_under_an_id(bench: benches.Bench) -> None:
    moved = seeds.Project(slug="moved", id=seeds.DEMO_PROJECT_ID)
    seed = benches.someone(grants=[seeds.Grant(project="moved")])
    await bench.admin.seed(seed.model_copy(update={"projects": [moved]}))
    await bench.login(seed.identities[0])
    assert (await bench.create("k8s")).message == "Project with slug 'demo' not found"
    assert (await bench.create("k8s", projectSlug="moved")).status == 200
