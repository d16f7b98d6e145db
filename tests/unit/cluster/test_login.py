"""How the API server is found, as kubectl finds it, and what is read again."""

import asyncio
import contextlib
import os
import pathlib
import ssl
import threading
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from leaseholder import errors
from leaseholder.cluster import client, login, places, streams
from tests.world import certificates, processes

PLACE = places.NAMESPACES.at("", "kube-system")
ENVIRONMENT = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy", "NO_PROXY")


def config(server: str, *, context: str = "c", cluster: str = "", user: str = "token: t") -> str:
    return f"""
apiVersion: v1
kind: Config
{f"current-context: {context}" if context else ""}
clusters: [{{name: {context}, cluster: {{server: "{server}"{cluster}}}}}]
users: [{{name: {context}, user: {{{user}}}}}]
contexts: [{{name: {context}, context: {{cluster: {context}, user: {context}}}}}]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    return tmp_path


async def test_without_kubeconfig_and_pod_a_sentence_says_what_to_do() -> None:
    with pytest.raises(errors.ClusterUnavailable, match=r"set KUBECONFIG, write ~/\.kube/config"):
        await login.ClusterLogin.read()


async def test_the_file_in_the_home_directory_is_read_as_kubectl_does(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".kube" / "config").write_text(config("https://home.example"))
    assert (await login.ClusterLogin.read()).server == "https://home.example"
    other = home / "other"
    other.write_text(config("https://other.example"))
    monkeypatch.setenv("KUBECONFIG", str(other))
    assert (await login.ClusterLogin.read()).server == "https://other.example"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert (await login.ClusterLogin.read()).server == "https://other.example"


async def test_of_several_files_the_first_that_chooses_a_context_wins(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = home / "1", home / "2", home / "3"
    first.write_text(config("https://first.example", context="").replace("name: ,", "name: x,"))
    second.write_text(config("https://second.example", context="b"))
    third.write_text(config("https://third.example", context="d"))
    (home / "empty").touch()
    files = [home / "nowhere", home / "empty", second, third]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert (await login.ClusterLogin.read()).server == "https://second.example"


async def test_a_file_that_cannot_be_read_is_named_and_its_text_is_not_told(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = home / "broken"
    broken.write_text("users: [{name: u, user: {token: hunter2-canary")
    monkeypatch.setenv("KUBECONFIG", str(broken))
    with pytest.raises(errors.ClusterUnavailable, match=str(broken)) as told:
        await login.ClusterLogin.read()
    assert "canary" not in repr(told.value)
    assert told.value.__context__ is None


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("user: c}", "user: nobody}", "context 'c' names the user 'nobody', and {} has no such"),
        ("cluster: c,", "cluster: x,", "context 'c' names the cluster 'x', and {} has no such"),
        (", user: c}", "}", "context 'c' in {} names no user: mend the context"),
        ("current-context: c", "current-context: d", "current-context is 'd', and {} has no such"),
    ],
)
async def test_what_a_context_names_and_no_file_has_is_told(
    home: pathlib.Path, written: str, instead: str, told: str
) -> None:
    path = home / ".kube" / "config"
    path.write_text(config("https://x.example").replace(written, instead))
    with pytest.raises(errors.ClusterUnavailable) as caught:
        await login.ClusterLogin.read()
    assert caught.value.sentence.startswith(told.format(path))


@pytest.mark.parametrize(
    "server",
    [
        *("", "127.0.0.1:6443", "kube.example", "ftp://kube.example", "https://", "https://:6443"),
        *("https://127.0.0.1:99999", "https://kube.example:port", "https://[::1", "https://a b"),
    ],
)
async def test_a_server_that_is_no_url_is_told_with_what_to_write(
    home: pathlib.Path, server: str
) -> None:
    path = home / ".kube" / "config"
    path.write_text(config(server))
    with pytest.raises(errors.ClusterUnavailable) as caught:
        await login.ClusterLogin.read()
    assert caught.value.sentence == (
        f"cluster 'c' in {path} has the server {server!r}: write its address, such as "
        "https://10.0.0.1:6443"
    )


@pytest.mark.parametrize("cluster", ["{}", "{server: null}", "{server: [x]}", "null"])
async def test_a_cluster_without_a_server_is_told_with_what_to_write(
    home: pathlib.Path, cluster: str
) -> None:
    path = home / ".kube" / "config"
    path.write_text(config("x").replace('{server: "x"}', cluster))
    with pytest.raises(errors.ClusterUnavailable, match="write its address, such as https://10"):
        await login.ClusterLogin.read()


@pytest.mark.parametrize("instead", ["user: nobody}", "namespace: shop}"])
async def test_over_plain_http_a_context_needs_no_user(home: pathlib.Path, instead: str) -> None:
    path = home / ".kube" / "config"
    path.write_text(config("http://127.0.0.1:8001").replace("user: c}", instead))
    proxied = await login.ClusterLogin.read()
    assert (proxied.server, proxied.headers) == ("http://127.0.0.1:8001", {})


@pytest.mark.parametrize(
    ("environment", "cluster", "proxy"),
    [
        ({}, "", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "api.example"}, "", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, ", proxy-url: 'http://own:1'", "http://own:1"),
    ],
)
async def test_proxies_are_kubeconfigs_or_the_environments(
    home: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    cluster: str,
    proxy: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (home / ".kube" / "config").write_text(config("https://api.example:6443", cluster=cluster))
    assert (await login.ClusterLogin.read()).proxy == proxy


class Server:
    """A TLS server whose certificate, and whose authority, can be renewed."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home, self.logins = home, ["Bearer first"]
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    @contextlib.asynccontextmanager
    async def running(
        self,
        files: certificates.ServerFiles,
        port: int = 0,
        *,
        clients: pathlib.Path | None = None,
    ) -> AsyncIterator[int]:
        """It listens; ``clients``: the authority that those are known by who may speak to it."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(files.certificate, files.key)
        if clients is not None:
            tls.load_verify_locations(clients)
            tls.verify_mode = ssl.CERT_REQUIRED
        site = web.TCPSite(runner, processes.LOOPBACK, port, ssl_context=tls, reuse_address=True)
        await site.start()
        try:
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.set()
        await self.answer.wait()
        if request.headers.get("Authorization", "").strip() not in self.logins:
            return web.json_response({"kind": "Status"}, status=401)
        return web.json_response({"metadata": {"uid": "u"}})


async def test_a_renewed_authority_is_trusted_without_a_restart_and_what_is_under_way_ends_well(
    home: pathlib.Path,
) -> None:
    await asyncio.to_thread((home / "certs").mkdir)
    old = certificates.write_server(home / "certs", "old")
    new = certificates.write_server(home / "certs", "new")
    ca = home / "ca.crt"
    ca.write_bytes(old.ca.read_bytes())
    server = Server(home)
    now = 1000.0
    async with server.running(old) as port:
        (home / "token").write_text("first")
        where = config(
            f"https://127.0.0.1:{port}",
            cluster=f", certificate-authority: {ca}",
            user="tokenFile: token",
        )
        (home / ".kube" / "config").write_text(where.replace("token}", f"{home}/token}}"))
        api = await client.Api.connect(monotonic=lambda: now)
        assert await api.request("GET", PLACE)
        server.answer.clear()
        server.asked.clear()
        under_way = asyncio.create_task(api.request("GET", PLACE))
        await server.asked.wait()
        ca.write_bytes(new.ca.read_bytes())
        now += 61
        with pytest.raises(errors.ClusterUnavailable, match="its certificate isn't trusted"):
            await api.request("GET", PLACE)
        server.answer.set()
        assert await under_way
    async with server.running(new, port):
        now += 2
        assert await api.request("GET", PLACE)
    await api.aclose()


async def test_a_broken_connection_makes_it_read_again_at_once(home: pathlib.Path) -> None:
    await asyncio.to_thread((home / "certs").mkdir)
    old = certificates.write_server(home / "certs", "old")
    new = certificates.write_server(home / "certs", "new")
    ca = home / "ca.crt"
    ca.write_bytes(old.ca.read_bytes())
    now = 1000.0
    server = Server(home)
    server.logins.append("Bearer t")
    async with server.running(new) as port:
        where = config(f"https://127.0.0.1:{port}", cluster=f", certificate-authority: {ca}")
        (home / ".kube" / "config").write_text(where)
        api = await client.Api.connect(monotonic=lambda: now)
        with pytest.raises(errors.ClusterUnavailable, match="its certificate isn't trusted"):
            await api.request("GET", PLACE)
        ca.write_bytes(new.ca.read_bytes())
        now += 1.1
        assert await api.request("GET", PLACE)
        await api.aclose()


async def test_what_kubelet_puts_anew_into_a_pod_is_read_again(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread((home / "certs").mkdir)
    old = certificates.write_server(home / "certs", "old")
    new = certificates.write_server(home / "certs", "new")
    put = _Kubelet(home / "pod")
    put.files(old.ca, "first")
    now = 1000.0
    server = Server(home)
    async with server.running(old) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", processes.LOOPBACK)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        server.logins = ["bearer first"]
        pod = await login.ClusterLogin.read(pod=home / "pod", monotonic=lambda: now)
        api = client.Api(pod, lambda *_: None, lambda: now)
        assert await api.request("GET", PLACE)
        assert pod.namespace == "home"
        server.logins = ["bearer second"]
        put.files(old.ca, "second")
        with pytest.raises(errors.ClusterUnavailable, match="401"):
            await api.request("GET", PLACE)
        now += 1.1
        assert await api.request("GET", PLACE)
    put.files(new.ca, "second")
    async with server.running(new, port):
        now += 61
        assert await api.request("GET", PLACE)
    await api.aclose()


class _Kubelet:
    """Swaps all files of a pod at once, as kubelet does: they are links into a folder."""

    def __init__(self, pod: pathlib.Path) -> None:
        self._pod, self._times = pod, 0
        pod.mkdir()
        for name in ("ca.crt", "token", "namespace"):
            (pod / name).symlink_to(f"..data/{name}")

    def files(self, ca: pathlib.Path, token: str) -> None:
        self._times += 1
        folder = self._pod / f"..{self._times}"
        folder.mkdir()
        (folder / "ca.crt").write_bytes(ca.read_bytes())
        (folder / "token").write_text(token)
        (folder / "namespace").write_text("home")
        (self._pod / "..next").symlink_to(folder.name)
        (self._pod / "..next").rename(self._pod / "..data")


async def test_a_renewed_client_certificate_is_shown_without_a_restart(
    home: pathlib.Path,
) -> None:
    await asyncio.to_thread((home / "certs").mkdir)
    files = certificates.write_server(home / "certs", "server")
    old = certificates.write_client(home / "certs", "old")
    new = certificates.write_client(home / "certs", "new")
    certificate, key = home / "own.crt", home / "own.key"

    def renew(to: certificates.ServerFiles) -> None:
        certificate.write_bytes(to.certificate.read_bytes())
        key.write_bytes(to.key.read_bytes())

    renew(old)
    now = 1000.0
    server = Server(home)
    server.logins = [""]
    async with server.running(files, clients=old.ca) as port:
        where = config(
            f"https://127.0.0.1:{port}",
            cluster=f", certificate-authority: {files.ca}",
            user=f"client-certificate: {certificate}, client-key: {key}",
        )
        (home / ".kube" / "config").write_text(where)
        api = await client.Api.connect(monotonic=lambda: now)
        assert await api.request("GET", PLACE)
    async with server.running(files, port, clients=new.ca):
        with pytest.raises(errors.ClusterUnavailable):
            await api.request("GET", PLACE)
        renew(new)
        now += 1.1
        assert await api.request("GET", PLACE)
    await api.aclose()


async def test_kopfs_session_waits_out_a_401_and_asks_for_another_after_a_renewal(
    home: pathlib.Path,
) -> None:
    await asyncio.to_thread((home / "certs").mkdir)
    files = certificates.write_server(home / "certs", "one")
    ca, watch = home / "ca.crt", "/apis/leaseholder.dev/v1alpha1/dynamicleases"
    ca.write_bytes(files.ca.read_bytes())
    server = Server(home)
    now = 1000.0
    async with server.running(files) as port:
        where = config(
            f"https://127.0.0.1:{port}",
            cluster=f", certificate-authority: {ca}",
            user=f"tokenFile: {home}/token",
        )
        (home / ".kube" / "config").write_text(where)
        (home / "token").write_text("rotated")
        known = streams.Streams()
        known.expect([watch])
        used = await login.ClusterLogin.read(monotonic=lambda: now)
        async with streams.session(used, known, {}) as session:
            url = f"https://127.0.0.1:{port}{watch}"
            asking = asyncio.create_task(session.get(url, params={"watch": "true"}))

            async def is_refused() -> bool:
                return "401" in known.closed.get(watch, "")

            await processes.wait_until_async(is_refused, what="refused")
            now += 1.1
            (home / "token").write_text("first")
            (await asking).close()
            assert known.closed == {}
            async with session.get(url):
                assert known.closed == {watch: "no answer yet"}
            ca.write_text(ca.read_text() + "# renewed\n")
            now += 61
            with pytest.raises(streams.Renewed):
                await session.get(url)


async def test_a_context_can_be_chosen_and_has_a_namespace(home: pathlib.Path) -> None:
    path = home / ".kube" / "config"
    named = config("https://one.example", context="one")
    path.write_text(named.replace("user: one}", "user: one, namespace: shop}"))
    assert (await login.ClusterLogin.read()).namespace == "shop"
    assert (await login.ClusterLogin.read(context="one")).server == "https://one.example"
    path.write_text(named)
    assert (await login.ClusterLogin.read()).namespace == "default"
    with pytest.raises(errors.ClusterUnavailable, match="no kubeconfig has a context 'two'"):
        await login.ClusterLogin.read(context="two")


async def test_a_kubeconfig_that_can_be_read_once_will_do(home: pathlib.Path) -> None:
    pipe = home / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=[config("https://pipe.example")]).start()
    now = [0.0]
    known = await login.ClusterLogin.read(pipe, monotonic=lambda: now[0])
    assert known.server == "https://pipe.example"
    now[0] = 3600.0
    await known.refresh()
    assert known.server == "https://pipe.example"
