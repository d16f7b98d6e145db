"""The emulator against the documented operations: parameters, defaults, shapes, status codes."""

import uuid
from typing import Any

import pytest

from tests.world.infisical import bench as benches
from tests.world.infisical import golden, seeds

NOWHERE = str(uuid.uuid4())


def held_to(endpoint: str, reply: benches.Reply) -> None:
    assert golden.complaints(reply.body, golden.schema_of(endpoint, reply.status)) == []


def arguments(endpoint: str) -> dict[str, Any]:
    """The required ones, with values that name something that exists."""
    values = {"projectSlug": "demo", "environmentSlug": "prod", "dynamicSecretName": "k8s"}
    fields = golden.ENDPOINTS[endpoint]["fields"]
    return {name: values[name] for name, field in fields.items() if field.get("required")}


async def send(
    bench: benches.Bench, endpoint: str, values: dict[str, Any], token: str | None = None
) -> benches.Reply:
    known = golden.ENDPOINTS[endpoint]
    path = known["path"]
    if "{leaseId}" in path:
        path = path.replace("{leaseId}", (await bench.created("k8s"))["lease"]["id"])
    path = path.replace("{name}", "k8s")
    if known["in"] == "query":
        return await bench.call(known["method"], path, query=values, token=token)
    return await bench.call(known["method"], path, values, token=token)


@pytest.mark.parametrize("endpoint", golden.ENDPOINTS)
async def test_a_minimal_request_gets_the_documented_answer(
    bench: benches.Bench, endpoint: str
) -> None:
    reply = await send(bench, endpoint, arguments(endpoint))
    assert reply.status == 200
    held_to(endpoint, reply)


def missing() -> list[Any]:
    return [
        pytest.param(endpoint, name, id=f"{endpoint}-{name}")
        for endpoint, known in golden.ENDPOINTS.items()
        for name, field in known["fields"].items()
        if field.get("required")
    ]


@pytest.mark.parametrize(("endpoint", "name"), missing())
async def test_a_missing_field_is_one_issue_with_its_path(
    bench: benches.Bench, endpoint: str, name: str
) -> None:
    values = arguments(endpoint)
    del values[name]
    reply = await send(bench, endpoint, values)
    held_to(endpoint, reply)
    assert (reply.status, reply.body["error"]) == (422, "ValidationFailure")
    assert [(one["path"], one["message"]) for one in reply.message] == [([name], "Required")]


def shortest() -> list[Any]:
    return [
        pytest.param(endpoint, name, id=f"{endpoint}-{name}")
        for endpoint, known in golden.ENDPOINTS.items()
        for name, field in known["fields"].items()
        if field.get("minLength")
    ]


@pytest.mark.parametrize(("endpoint", "name"), shortest())
async def test_an_empty_field_is_too_small(bench: benches.Bench, endpoint: str, name: str) -> None:
    reply = await send(bench, endpoint, {**arguments(endpoint), name: ""})
    held_to(endpoint, reply)
    assert (reply.status, reply.message[0]["code"]) == (422, "too_small")


def defaulted() -> list[Any]:
    return [
        pytest.param(endpoint, name, field["default"], id=f"{endpoint}-{name}")
        for endpoint, known in golden.ENDPOINTS.items()
        for name, field in known["fields"].items()
        if "default" in field
    ]


@pytest.mark.parametrize(("endpoint", "name", "default"), defaulted())
async def test_a_default_is_as_good_as_saying_it(
    bench: benches.Bench, endpoint: str, name: str, default: object
) -> None:
    reply = await send(bench, endpoint, {**arguments(endpoint), name: default})
    assert reply.status == 200
    held_to(endpoint, reply)


@pytest.mark.parametrize("endpoint", golden.ENDPOINTS)
async def test_unknown_fields_are_dropped(bench: benches.Bench, endpoint: str) -> None:
    reply = await send(bench, endpoint, {**arguments(endpoint), "leaseId": "whatever"})
    assert reply.status == 200


@pytest.mark.parametrize("endpoint", golden.ENDPOINTS)
async def test_errors_have_the_documented_shape(bench: benches.Bench, endpoint: str) -> None:
    identity = seeds.Identity(
        name="poor", universal_auth=seeds.UniversalAuth(), grants=[seeds.Grant(actions=[])]
    )
    await bench.admin.seed(seeds.Seed(identities=[identity]))
    reply = await bench.call("POST", benches.LOGIN, benches.credentials(identity))
    poor = reply.body["accessToken"]
    values = arguments(endpoint)
    attempts = {
        400: await send(bench, endpoint, {**values, "path": "/no way"}),
        401: await bench.call(
            golden.ENDPOINTS[endpoint]["method"], golden.ENDPOINTS[endpoint]["path"], token=" "
        ),
        403: await send(bench, endpoint, values, token=poor),
        404: await send(bench, endpoint, {**values, "path": "/nowhere"}),
        422: await send(bench, endpoint, {}),
    }
    for status, attempt in attempts.items():
        assert attempt.status == status
        held_to(endpoint, attempt)


@pytest.mark.parametrize(("endpoint", "method"), [("getLease", "GET"), ("deleteLease", "DELETE")])
async def test_an_id_that_is_no_uuid_breaks_the_database(
    bench: benches.Bench, endpoint: str, method: str
) -> None:
    path = f"{benches.LEASES}/not-a-uuid"
    by_query = await bench.call(method, path, benches.address(), query=benches.address())
    held_to(endpoint, by_query)
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
