"""An API server with DynamicLeases in one namespace, and the command that talks to it."""

import asyncio
import collections.abc
import contextlib
import os
import pathlib
import sys
import typing

from aiohttp import test_utils, web

from tests.world import processes

Object = dict[str, typing.Any]
CONFIG: typing.Final = """
{{current-context: c, users: [], clusters: [{{name: c, cluster: {{server: "{server}"}}}}],
contexts: [{{name: c, context: {{cluster: c, user: c, namespace: {namespace}}}}}]}}
"""
HOME: typing.Final = "shop"
OURS: typing.Final = "/apis/leaseholder.dev/v1alpha1"
ISSUED: typing.Final = "2026-01-01T11:20:00Z"


def lease(name: str, *, ready: str = "True") -> Object:
    """A DynamicLease that holds a lease, as the API server has it."""
    at = {"lastTransitionTime": ISSUED}
    return {
        "metadata": {"namespace": HOME, "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": {
            "providerRef": {"name": "infisical"},
            "infisical": {
                "projectSlug": "p",
                "environmentSlug": "e",
                "dynamicSecretName": "d",
            },
        },
        "status": {
            "observedGeneration": 1,
            "handled": {"rotate": "", "renew": "", "force": ""},
            "conditions": [{"type": "Ready", "status": ready, "reason": "Ready", **at}],
            "lease": {
                "attempt": "0f3a",
                "id": f"lease-{name}",
                "issuedAt": ISSUED,
                "expiresAt": "2126-01-01T13:00:00Z",
                "strategy": "Renew",
            },
        },
    }


class Server:
    """What is there, and what is refused."""

    def __init__(self, *leases: Object) -> None:
        self.leases = {one["metadata"]["name"]: one for one in leases}
        self.obedient: set[str] = set()
        """Those whose operator acts on a command at once."""
        self.asked: set[str] = set()
        """Those that were given a command."""
        self.watched: set[str] = set()
        """Those that were read after that: the answer is waited for."""
        self.news = asyncio.Condition()
        self.forbidden: set[str] = set()
        """Ends of paths that the user has no right to."""
        self.served = True
        """Whether the CRDs are there."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as the API server does."""
        path = request.path
        if any(path.endswith(one) for one in self.forbidden):
            return _status(403, "forbidden")
        if path.startswith("/api/v1/namespaces/"):
            name = path.rpartition("/")[2]
            return web.json_response({}) if name == HOME else _status(404, name)
        if path.startswith(OURS) and not self.served:
            return web.Response(status=404, text="404 page not found")
        collection, _, name = path.removeprefix(OURS).partition("dynamicleases")
        name = name.strip("/")
        if not name:
            is_here = path.startswith(OURS) and HOME in collection and "dynamicleases" in path
            return web.json_response({"items": [*self.leases.values()] if is_here else []})
        if name not in self.leases or HOME not in collection:
            return _status(404, name)
        if request.method == "PATCH":
            self._command(name, (await request.json())["metadata"]["annotations"])
        elif name in self.asked:
            self.watched.add(name)
            async with self.news:
                self.news.notify_all()
        return web.json_response(self.leases[name])

    async def until_watched(self, *names: str) -> None:
        """Return when the answers to these are waited for."""
        async with asyncio.timeout(processes.PATIENCE), self.news:
            await self.news.wait_for(lambda: self.watched.issuperset(names))

    def _command(self, name: str, annotations: dict[str, str]) -> None:
        self.asked.add(name)
        found = self.leases[name]
        found["metadata"]["annotations"] = annotations
        if name in self.obedient:
            found["status"]["handled"]["rotate"] = annotations["leaseholder.dev/rotate"]
            found["status"]["lease"]["id"] = f"next-{name}"


def _status(code: int, name: str) -> web.Response:
    return web.json_response({"kind": "Status", "details": {"name": name}}, status=code)


@contextlib.asynccontextmanager
async def serving(
    server: Server, folder: pathlib.Path, namespace: str = HOME
) -> collections.abc.AsyncIterator[pathlib.Path]:
    """A kubeconfig for the server, which answers until the end of the context."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with test_utils.TestServer(app) as listening:
        path = folder / "kubeconfig"
        where = f"http://127.0.0.1:{listening.port}"
        await asyncio.to_thread(path.write_text, CONFIG.format(server=where, namespace=namespace))
        yield path


async def started(kubeconfig: pathlib.Path, *arguments: str) -> asyncio.subprocess.Process:
    """``kubectl leaseholder …`` as a process of its own."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leaseholder.cli.plugin", *arguments),
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )
