"""TokenReviews and SubjectAccessReviews, before a small API server."""

import pathlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import test_utils, web

from leaseholder import errors
from leaseholder.cluster import reviewing
from leaseholder.ports.reviews import User
from leaseholder.secrecy import Hidden

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
CONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: ours}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
"""
PROMETHEUS = {
    "username": "system:serviceaccount:monitoring:prometheus",
    "uid": "7",
    "groups": ["system:serviceaccounts", "system:authenticated"],
    "extra": {"authentication.kubernetes.io/pod-name": ["prometheus-0"]},
}


@dataclass
class Server:
    """It answers each review with the same status, or refuses all."""

    status: Any = None
    forbids: bool = False
    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.path, body["spec"]))
        if self.forbids:
            resource = request.path.rpartition("/")[2]
            message = f'{resource} is forbidden: User "x" cannot create resource "{resource}"'
            return web.json_response({"kind": "Status", "message": message}, status=403)
        return web.json_response({**body, "status": self.status}, status=201)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest_asyncio.fixture
async def reviews(
    server: Server, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[reviewing.LiveReviews]:
    app = web.Application()
    app.router.add_post("/{path:.*}", server.answer)
    async with test_utils.TestServer(app) as running:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(CONFIG.format(server=running.make_url("")))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        async with reviewing.opened() as opened:
            yield opened


async def test_a_token_is_reviewed_and_its_user_is_asked_about_with_all_that_is_known(
    server: Server, reviews: reviewing.LiveReviews
) -> None:
    server.status = {"authenticated": True, "user": PROMETHEUS}
    user = await reviews.authenticate(Hidden("theirs"))
    assert user is not None
    assert user.name == PROMETHEUS["username"]
    server.status = {"allowed": True}
    assert await reviews.may_get(user, "/metrics")
    assert server.asked == [
        (TOKENS, {"token": "theirs"}),
        (
            ACCESS,
            {
                "user": PROMETHEUS["username"],
                "uid": "7",
                "groups": PROMETHEUS["groups"],
                "extra": PROMETHEUS["extra"],
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            },
        ),
    ]


@pytest.mark.parametrize(
    "status",
    [
        None,
        "authenticated",
        {},
        {"authenticated": False, "user": PROMETHEUS},
        {"authenticated": "false", "user": PROMETHEUS},
        {"authenticated": True},
        {"authenticated": True, "user": "prometheus"},
    ],
)
async def test_without_a_clear_word_a_token_is_nobodys(
    server: Server, reviews: reviewing.LiveReviews, status: Any
) -> None:
    server.status = status
    assert await reviews.authenticate(Hidden("theirs")) is None


@pytest.mark.parametrize("status", [None, [], {}, {"allowed": False}, {"allowed": "yes"}])
async def test_without_a_clear_word_nobody_may_get_anything(
    server: Server, reviews: reviewing.LiveReviews, status: Any
) -> None:
    server.status = status
    assert not await reviews.may_get(User("somebody"), "/metrics")


async def test_a_right_that_is_missing_is_told_with_the_role_that_has_it(
    server: Server, reviews: reviewing.LiveReviews
) -> None:
    server.forbids = True
    for resource, review in (
        ("tokenreviews", reviews.authenticate(Hidden("theirs"))),
        ("subjectaccessreviews", reviews.may_get(User("somebody"), "/metrics")),
    ):
        with pytest.raises(errors.Refused) as refused:
            await review
        assert refused.value.sentence == (
            f"can't create {resource}: the operator has no right to create {resource}: bind the "
            "ClusterRole system:auth-delegator, cluster-wide (in the chart's values: metricsAuth)"
        )
