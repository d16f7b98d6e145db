"""The emulator against the documented operations: parameters, defaults, shapes, status codes."""

import uuid
from typing import Any, Final

import pytest

from tests.world.emulation import openapi
from tests.world.infisical import bench as benches
from tests.world.infisical import seeds

NOWHERE = str(uuid.uuid4())
LOGINS: Final = ("logIn", "renewToken")
OPERATIONS: Final = {
    name: one for name, one in openapi.operations("infisical").items() if name not in LOGINS
}


def held_to(name: str, reply: benches.Reply) -> None:
    assert OPERATIONS[name].complaints(reply.status, reply.body) == []


def arguments(name: str) -> dict[str, Any]:
    """The required ones, with values that name something that exists."""
    values = {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "k8s"}
    return {field: values[field] for field in OPERATIONS[name].required}


async def send(
    bench: benches.Bench, name: str, values: dict[str, Any], token: str | None = None
) -> benches.Reply:
    known = OPERATIONS[name]
    path = known.path
    if "{leaseId}" in path:
        path = path.replace("{leaseId}", (await bench.created("k8s"))["lease"]["id"])
    path = path.replace("{name}", "k8s")
    if known.place == "query":
        return await bench.call(known.method, path, query=values, token=token)
    return await bench.call(known.method, path, values, token=token)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_minimal_request_gets_the_documented_answer(
    bench: benches.Bench, name: str
) -> None:
    reply = await send(bench, name, arguments(name))
    assert reply.status == 200
    held_to(name, reply)


MISSING: Final = [(name, field) for name, one in OPERATIONS.items() for field in one.required]


@pytest.mark.parametrize(("name", "field"), MISSING)
async def test_a_missing_field_is_one_issue_with_its_path(
    bench: benches.Bench, name: str, field: str
) -> None:
    values = arguments(name)
    del values[field]
    reply = await send(bench, name, values)
    held_to(name, reply)
    assert (reply.status, reply.body["error"]) == (422, "ValidationFailure")
    assert [(one["path"], one["message"]) for one in reply.message] == [([field], "Required")]


SHORTEST: Final = [
    (name, field)
    for name, one in OPERATIONS.items()
    for field, schema in one.fields.items()
    if schema.get("minLength")
]


@pytest.mark.parametrize(("name", "field"), SHORTEST)
async def test_an_empty_field_is_too_small(bench: benches.Bench, name: str, field: str) -> None:
    reply = await send(bench, name, {**arguments(name), field: ""})
    held_to(name, reply)
    assert (reply.status, reply.message[0]["code"]) == (422, "too_small")


DEFAULTS: Final = [
    (name, field, schema["default"])
    for name, one in OPERATIONS.items()
    for field, schema in one.fields.items()
    if "default" in schema
]


@pytest.mark.parametrize(("name", "field", "default"), DEFAULTS)
async def test_a_default_is_as_good_as_saying_it(
    bench: benches.Bench, name: str, field: str, default: object
) -> None:
    reply = await send(bench, name, {**arguments(name), field: default})
    assert reply.status == 200
    held_to(name, reply)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_unknown_fields_are_dropped(bench: benches.Bench, name: str) -> None:
    reply = await send(bench, name, {**arguments(name), "leaseId": "whatever"})
    assert reply.status == 200


@pytest.mark.parametrize("name", OPERATIONS)
async def test_errors_have_the_documented_shape(bench: benches.Bench, name: str) -> None:
    identity = seeds.Identity(
        name="poor", universal_auth=seeds.UniversalAuth(), grants=[seeds.Grant(actions=[])]
    )
    await bench.admin.seed(seeds.Seed(identities=[identity]))
    reply = await bench.call("POST", benches.LOGIN, benches.credentials(identity))
    poor = reply.body["accessToken"]
    values = arguments(name)
    attempts = {
        400: await send(bench, name, {**values, "path": "/no way"}),
        401: await bench.call(OPERATIONS[name].method, OPERATIONS[name].path, token=" "),
        403: await send(bench, name, values, token=poor),
        404: await send(bench, name, {**values, "path": "/nowhere"}),
        422: await send(bench, name, {}),
    }
    for status, attempt in attempts.items():
        assert attempt.status == status
        held_to(name, attempt)


@pytest.mark.parametrize(("name", "method"), [("getLease", "GET"), ("deleteLease", "DELETE")])
async def test_an_id_that_is_no_uuid_breaks_the_database(
    bench: benches.Bench, name: str, method: str
) -> None:
    path = f"{benches.LEASES}/not-a-uuid"
    by_query = await bench.call(method, path, benches.address(), query=benches.address())
    held_to(name, by_query)
    assert (by_query.status, by_query.body["error"]) == (500, "DynamicSecretLeaseFindById")
    assert by_query.message == "Something went wrong"


async def test_a_lease_that_never_was_is_a_404(bench: benches.Bench) -> None:
    reply = await bench.get(NOWHERE)
    held_to("getLease", reply)
    assert reply.message == f"Dynamic secret lease with ID '{NOWHERE}' not found"


async def test_every_answer_has_a_date_and_errors_a_request_id(bench: benches.Bench) -> None:
    reply = await bench.get(NOWHERE)
    assert reply.headers["Date"].endswith("GMT")
    assert len(reply.body["reqId"]) == len("req-") + 14


async def test_trailing_slashes_are_ignored(bench: benches.Bench) -> None:
    reply = await bench.call("GET", "/api/status/")
    assert (reply.status, "version" in reply.body) == (200, True)


async def test_a_body_that_is_no_json_is_a_500(bench: benches.Bench) -> None:
    headers = {"Authorization": f"Bearer {bench.token}", "Content-Type": "application/json"}
    async with bench.session.post(
        bench.url + benches.LEASES, data=b"{", headers=headers
    ) as response:
        assert response.status == 500
        assert (await response.json())["error"] == "InternalServerError"


async def test_a_name_with_a_line_break_is_looked_for_as_any_other(bench: benches.Bench) -> None:
    path = f"{benches.API}/dynamic-secrets/a%0Ab"
    reply = await bench.call("GET", path, query=benches.address())
    held_to("getDynamicSecret", reply)
    assert reply.message == "Dynamic secret with name 'a\nb in folder '/' not found"
