"""The emulators against the documents of the APIs that they stand for (their ``openapi.yaml``).

Schemathesis makes requests that a document allows, and such that it forbids; what names something
is mostly replaced by the name of something that is there, lest all of them end at the first look.
An answer has to have the shape that is documented for its status. What is allowed has to be taken
and what is forbidden refused, but for ``REFUSED`` and ``TAKEN``: there the real server is known to
do otherwise, and the emulator does as the server.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import hypothesis
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

from tests.fuzz import cases
from tests.world import postgres as servers
from tests.world.emulation import openapi
from tests.world.emulation import server as emulation
from tests.world.infisical import emulator as infisical_emulators
from tests.world.infisical import seeds as infisical_seeds
from tests.world.infisical import server as infisical_server
from tests.world.phase import emulator as phase_emulators
from tests.world.phase import seeds as phase_seeds
from tests.world.phase import server as phase_server

SHARE: Final = 0.02
"""Of the cases, for each operation, allowed and forbidden: 10 by default."""
LEASES: Final = 4
"""So many are there when an operation's first case comes."""
NOT_THERE: Final = (401, 403, 404)
"""Statuses of a request that is as it should be, about what isn't there or isn't allowed."""
SHAPE: Final = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
PICKS: Final = st.lists(st.integers(0, 999), min_size=12, max_size=12)

SERVICE: Final = "Infisical, dynamic-secret-lease-service.ts at 6b369999"
ROUTER: Final = "Infisical, dynamic-secret-lease-router.ts at 09a41c37"
SSH: Final = "Infisical, providers/ssh.ts at 161fb143"
VIEWS: Final = "Phase 2.73.2, ee/integrations/secrets/dynamic/rest/views.py"
RUN: Final = "Phase 2.73.2, as run"
NO_TTL: Final = r"\bttl=0?(&(?!.*\bttl=)|$)|\?(?!.*\bttl=)"
"""The last one counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Otherwise:
    """What the real server does otherwise than its document says."""

    operations: str
    """Regular expression for their ids."""
    said: str
    """Regular expression for status and body of a refusal, or for what was wrong with what is taken
    and its url."""
    why: str
    known_from: str


REFUSED: Final = {
    "infisical": (
        Otherwise(".*", "400 .*Invalid secret path", "a path has an alphabet", SERVICE),
        Otherwise(".*Lease", "500 .*FindById", "an id is a UUID", SERVICE),
        Otherwise(".*", "422 .*TTL must be", "a ttl is a minute to ten years", ROUTER),
        Otherwise(".*", "400 .*Invalid date format", "a ttl has 100 characters at most", ROUTER),
        Otherwise(".*", "400 .*Invalid time value", "a ttl that isn't one is found late", SERVICE),
        Otherwise(".*", "500 .*(Create|UpdateById)", "or later, at the database", SERVICE),
        Otherwise(".*", "400 .*TTL cannot be larger", "there is a maximum", SERVICE),
        Otherwise("renewLease", "400 .*would exceed the maximum", "there is a maximum", SERVICE),
        Otherwise("renewLease", "400 .*does not support renewal", "not all kinds can be", SERVICE),
        Otherwise("create.*", "400 .*at least one principal", "ssh needs to know for whom", SSH),
    ),
    "phase": (
        Otherwise(".*", "500 .*Internal server error", "env is empty, or there is a NUL", RUN),
        Otherwise(".*", "400 .*lease_id is required", "an empty one counts as none", VIEWS),
        Otherwise("getLeases", "400 .*secret_id is required", "the same", VIEWS),
        Otherwise("getDynamic.*", "400 .*ttl must be a valid integer", "no fractions", RUN),
        Otherwise("getDynamic.*", "400 .*The specified TTL", "a minute to the maximum", RUN),
        Otherwise("getSecrets", "400 .*could not be created", "all of them, or an error", RUN),
        Otherwise("renewLease", "400 .*would exceed the maximum", "there is a maximum", RUN),
        Otherwise("renewLease", "400 .*expired|already been revoked", "it is over", RUN),
        Otherwise("renewLease", "500 .*while renewing", "more than any clock shows", VIEWS),
    ),
}
TAKEN: Final = {
    "infisical": (Otherwise(".*", "`additionalProperties`", "unknown fields are dropped", ROUTER),),
    "phase": (
        Otherwise(".*", "`additionalProperties`", "unknown fields are ignored", RUN),
        Otherwise("get.*", "`type` at .*/lease ", "all but false is true", RUN),
        Otherwise("getSecrets", "`type` at .*/(dynamic|includeDynamic) ", "the same", RUN),
        Otherwise("getDynamic.*", f"`type` at .*/ttl .*({NO_TTL})", "none, none sent, or 0", RUN),
    ),
}


def documented(provider: str) -> dict[str, Any]:
    """The operations of a provider's document, by their ids."""
    schema = schemathesis.openapi.from_dict(openapi.read(provider))
    found: list[Any] = list(schema.get_all_operations())
    return {one.ok().definition.raw["operationId"]: one.ok() for one in found}


OPERATIONS: Final = {name: documented(name) for name in ("infisical", "phase")}
EACH: Final = pytest.mark.parametrize(
    ("provider", "name"),
    [(provider, name) for provider, operations in OPERATIONS.items() for name in operations],
)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """An emulator that runs."""

    url: str
    headers: Mapping[str, str]
    lease: Callable[[], Any]
    """Makes one; its answer."""
    known: Mapping[str, Callable[[], Sequence[Any]]]
    """What names something that is there, by the field that it stands in."""

    def furnish(self, case: Any, picks: Sequence[int]) -> None:
        """Let most of what is sound name what is there."""
        remaining = iter(picks)
        wrong = {one.parameter for one in case.meta.phase.data.mutations}
        for place in (case.path_parameters, case.query, case.body):
            for name in sorted(self.known.keys() & place.keys()) if isinstance(place, dict) else ():
                pick, there = next(remaining), self.known[name]()
                sound = place[name] and isinstance(place[name], str | int | float)
                if sound and name not in wrong and there and pick % 16 < 15:
                    place[name] = there[pick // 16 % len(there)]

    def answer(self, case: Any, picks: Sequence[int]) -> Any:
        """The answer to a case, which has the documented shape."""
        self.furnish(case, picks)
        answer = case.call(base_url=self.url, headers=self.headers)
        case.validate_response(answer, checks=SHAPE)
        return answer


@contextlib.contextmanager
def in_a_thread(emulator: emulation.Server) -> Iterator[tuple[str, BlockingPortal]]:
    """An emulator's url, and the way into its loop: Schemathesis waits for answers in ours."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(emulation.running(emulator)) as (url, _),
    ):
        yield url, portal


@pytest.fixture(scope="module")
def infisical(postgres: servers.Postgres) -> Iterator[Target]:
    settings = infisical_emulators.Settings(postgres_dsn=postgres.dsn)
    world = infisical_emulators.Emulator(settings)
    (identity,) = world.identities.values()
    auth, operations = identity.universal_auth, OPERATIONS["infisical"]
    assert auth is not None
    login = {"clientId": auth.client_id, "clientSecret": auth.client_secret}
    order = {"dynamicSecretName": "k8s", "projectSlug": "demo", "environmentSlug": "prod"}
    names = [one.name for one in world.secrets.values()]
    with in_a_thread(infisical_server.Server(world)) as (url, _):
        token = operations["logIn"].Case(body=login).call(base_url=url).json()["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        yield Target(
            url,
            headers,
            lambda: operations["createLease"].Case(body=order).call(base_url=url, headers=headers),
            {
                "projectSlug": lambda: ["demo"],
                "environmentSlug": lambda: ["prod"],
                "path": lambda: ["/", "/apps"],
                "dynamicSecretName": lambda: names,
                "name": lambda: names,
                "leaseId": lambda: [row.id for row in world.leases],
                "ttl": lambda: ["1h", "60s", "2 days", "10m"],
                "clientId": lambda: [auth.client_id],
                "clientSecret": lambda: [auth.client_secret],
                "organizationSlug": lambda: [infisical_seeds.ROOT_ORGANIZATION],
                "accessToken": lambda: [token],
            },
        )


@pytest.fixture(scope="module")
def phase() -> Iterator[Target]:
    world = phase_emulators.Emulator()
    (token,) = (one for one in world.tokens.values() if one.account_id == phase_seeds.DEMO_ACCOUNT)
    headers = {"Authorization": f"Bearer ServiceAccount {token.value}"}
    where = {"app_id": phase_seeds.DEMO_APP, "env": "production"}
    order = {**where, "name": "aws-deploy", "lease": "true"}
    getting = OPERATIONS["phase"]["getDynamicSecrets"]
    with in_a_thread(phase_server.Server(world)) as (url, portal):
        quick: dict[str, object] = {"awsSeconds": 0, "renewalSeconds": 0, "rowSeconds": 0}
        portal.call(world.turn, quick)
        yield Target(
            url,
            headers,
            lambda: getting.Case(query=order).call(base_url=url, headers=headers),
            {
                "app_id": lambda: [where["app_id"]],
                "env": lambda: [where["env"]],
                "path": lambda: ["/"],
                "id": lambda: [world.secret_named(order["name"]).id],
                "name": lambda: [order["name"]],
                "secret_id": lambda: list(world.secrets),
                "lease_id": lambda: list(world.leases),
                "ttl": lambda: [60, 3600],
            },
        )


@pytest.fixture
def target(request: pytest.FixtureRequest, provider: str) -> Target:
    found: Target = request.getfixturevalue(provider)
    for _ in range(LEASES):
        assert found.lease().status_code == 200
    return found


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A mistake of an emulator's own is answered as the real server's would be, and logged."""
    yield
    assert [one.getMessage() for one in caplog.get_records("call")] == []


def is_known(table: Sequence[Otherwise], name: str, said: str) -> bool:
    return any(re.fullmatch(one.operations, name) and re.search(one.said, said) for one in table)


@EACH
def test_what_is_allowed_is_taken(provider: str, name: str, target: Target) -> None:
    allowed = OPERATIONS[provider][name].as_strategy(
        generation_mode=schemathesis.GenerationMode.POSITIVE
    )
    statuses: list[int] = []

    @cases.cases(SHARE)
    @hypothesis.given(allowed, PICKS)
    def holds(case: Any, picks: list[int]) -> None:
        answer = target.answer(case, picks)
        statuses.append(answer.status_code)
        if answer.status_code not in (200, *NOT_THERE):
            said = f"{answer.status_code} {answer.text}"
            assert is_known(REFUSED[provider], name, said), said

    holds()
    print(f"{provider} {name}: {len(statuses)} allowed, {statuses.count(200)} answered with 200")
    assert 200 in statuses


@EACH
def test_what_is_forbidden_is_refused(provider: str, name: str, target: Target) -> None:
    forbidden = OPERATIONS[provider][name].as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )

    @cases.cases(SHARE)
    @hypothesis.given(forbidden, PICKS)
    def holds(case: Any, picks: list[int]) -> None:
        answer = target.answer(case, picks)
        if answer.status_code < 400:
            wrong = f"{case.meta.phase.data.description} {answer.request.url}"
            assert is_known(TAKEN[provider], name, wrong), wrong

    holds()
