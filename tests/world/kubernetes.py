"""A real Kubernetes API server with etcd and controllers, and how to speak to it.

There are no nodes: pods stay Pending, everything else is real: admission, RBAC, tokens of service
accounts, garbage collection, the end of namespaces. `KUBECONFIG_FOR_TESTS` names a kubeconfig of
another cluster that takes its place; then nothing is started and nothing is stopped.
"""

import base64
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import signal
import ssl
import sys
import tempfile
import typing
import urllib.error
import urllib.request

import aiohttp
import yaml

from tests.world import build, certificates, processes

KUBECONFIG_VARIABLE = "KUBECONFIG_FOR_TESTS"

_READY_TIMEOUT = 120.0
_CONTROLLERS_USER = "system:kube-controller-manager"
_GARBAGE = "400"
"""Go collects garbage when the heap has grown fivefold, not twofold."""
MEMORY: typing.Final = "800MiB"
"""From that size on it collects all the time. With 10,000 leases that takes two thirds of its
processor time."""


@dataclasses.dataclass(frozen=True, slots=True)
class ClientCertificate:
    """How an administrator of somebody else's cluster may prove who they are."""

    certificate: pathlib.Path
    key: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True)
class ControlPlane(processes.Stoppable):
    """Where the API server is and how to be its administrator."""

    directory: pathlib.Path
    url: str
    ca_file: pathlib.Path
    kubeconfig: pathlib.Path
    admin_token: str | None = dataclasses.field(repr=False)
    admin_certificate: ClientCertificate | None = None
    process: processes.Process | None = None
    command: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def start(
        cls,
        directory: pathlib.Path | None = None,
        *,
        controllers_by: int = 0,
        memory: str = MEMORY,
    ) -> "ControlPlane":
        """Start one in a directory, or speak to the cluster that KUBECONFIG_FOR_TESTS names.

        Args:
            directory: where it keeps what it has.
            controllers_by: port of loopback by which the controllers reach the API server.
            memory: what it may take.
        """
        directory = directory or pathlib.Path(tempfile.mkdtemp(prefix="leaseholder-kubernetes-"))
        given = os.environ.get(KUBECONFIG_VARIABLE)
        if given:
            return _from_kubeconfig(pathlib.Path(given), directory)
        return _start(directory, controllers_by, memory)

    @property
    def pids(self) -> list[int]:
        """The pids of guard and control plane."""
        return [] if self.process is None else [self.process.guard_pid, self.process.pid]

    def kubeconfig_for(
        self,
        token: str,
        *,
        url: str | None = None,
        ca_file: pathlib.Path | None = None,
        namespace: str = "default",
    ) -> pathlib.Path:
        """A kubeconfig with any bearer token, and if need be another way to the API server."""
        path = self.directory / f"{secrets.token_hex(6)}.kubeconfig"
        _write_kubeconfig(
            path,
            url=url or self.url,
            ca_file=ca_file or self.ca_file,
            token=token,
            namespace=namespace,
        )
        return path

    def tls(self) -> ssl.SSLContext:
        """What verifies the API server, and shows the administrator's certificate."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if self.admin_certificate is not None:
            context.load_cert_chain(self.admin_certificate.certificate, self.admin_certificate.key)
        return context

    def session(self, token: str | None = None) -> aiohttp.ClientSession:
        """An HTTP session as the administrator, or as whoever the token belongs to."""
        context = self.tls() if token is None else _plain_tls(self.ca_file)
        bearer = token or self.admin_token
        return aiohttp.ClientSession(
            base_url=self.url,
            connector=aiohttp.TCPConnector(ssl=context, limit=0),  # watches hold theirs
            headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
        )

    def healthy(self) -> bool:
        """Whether the API server is ready, and the namespaces that it makes itself are there."""
        return self._answers("/readyz") and self._answers("/api/v1/namespaces/kube-system")

    def stop(self) -> None:
        """Stop what was started."""
        if self.process is not None:
            self.process.stop()

    def backup(self, into: pathlib.Path) -> None:
        """Copy what etcd has: at one moment, as if the machine stopped there."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            shutil.copytree(self.directory / "etcd", into)
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def restore(self, backup: pathlib.Path) -> "ControlPlane":
        """Go back to a backup, at the same address; what came after it never was."""
        assert self.process is not None
        self.process.kill()
        processes.wait_until(
            lambda: not processes.alive(self.pids[1]), what="the control plane ended"
        )
        shutil.rmtree(self.directory / "etcd")
        shutil.copytree(backup, self.directory / "etcd")
        plane = dataclasses.replace(self, process=_run(self.directory, self.command))
        _wait(plane)
        return plane

    def _answers(self, path: str) -> bool:
        request = urllib.request.Request(self.url + path)
        if self.admin_token is not None:
            request.add_header("Authorization", f"Bearer {self.admin_token}")
        try:
            with urllib.request.urlopen(request, timeout=5, context=self.tls()) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _start(directory: pathlib.Path, controllers_by: int, memory: str) -> ControlPlane:
    binary = build.CONTROL_PLANE.ensure(_say)
    port, etcd_port, peer_port = processes.free_ports(3)
    server = certificates.write_server(directory, "apiserver")
    certificates.write_signing_key(directory / "service-accounts.key")
    admin, controllers = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    _write_private(
        directory / "tokens.csv",
        f'{admin},admin,admin,"system:masters"\n'
        f'{controllers},{_CONTROLLERS_USER},{_CONTROLLERS_USER},"system:masters"\n',
    )
    url = f"https://{processes.LOOPBACK}:{port}"
    kubeconfig = directory / "admin.kubeconfig"
    _write_kubeconfig(kubeconfig, url=url, ca_file=server.ca, token=admin)
    _write_kubeconfig(
        directory / "controllers.kubeconfig",
        url=f"https://{processes.LOOPBACK}:{controllers_by or port}",
        ca_file=server.ca,
        token=controllers,
    )
    command = (
        *(str(binary), f"--dir={directory}", f"--port={port}"),
        *(f"--etcd-port={etcd_port}", f"--etcd-peer-port={peer_port}"),
    )
    plane = ControlPlane(
        directory=directory,
        url=url,
        ca_file=server.ca,
        kubeconfig=kubeconfig,
        admin_token=admin,
        process=_run(directory, command, memory),
        command=command,
    )
    _wait(plane)
    return plane


def _run(
    directory: pathlib.Path, command: tuple[str, ...], memory: str = MEMORY
) -> processes.Process:
    return processes.Process.start(
        "controlplane",
        command,
        directory=directory,
        environment={"GOGC": _GARBAGE, "GOMEMLIMIT": memory},
        remove=[directory / "etcd"],
    )


def _wait(plane: ControlPlane) -> None:
    try:
        processes.wait_until(
            plane.healthy,
            timeout=_READY_TIMEOUT,
            what="the API server is ready",
            part=plane.process,
        )
    except BaseException:
        plane.stop()
        raise


def _from_kubeconfig(path: pathlib.Path, directory: pathlib.Path) -> ControlPlane:
    """Read the current context: certificates or a token, in files or inline; no exec plugins."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    ca_file = _material(cluster, "certificate-authority", base=path.parent, into=directory)
    if ca_file is None:
        raise ValueError(f"{path}: the cluster has no certificate-authority")
    certificate = _material(user, "client-certificate", base=path.parent, into=directory)
    key = _material(user, "client-key", base=path.parent, into=directory)
    plane = ControlPlane(
        directory=directory,
        url=cluster["server"].rstrip("/"),
        ca_file=ca_file,
        kubeconfig=path,
        admin_token=user.get("token"),
        admin_certificate=ClientCertificate(certificate, key) if certificate and key else None,
    )
    _wait(plane)
    return plane


def _named(entries: list[dict[str, typing.Any]], name: str) -> dict[str, typing.Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _material(
    entry: dict[str, str], field: str, *, base: pathlib.Path, into: pathlib.Path
) -> pathlib.Path | None:
    inline = entry.get(f"{field}-data")
    if inline:
        path = into / f"given-{field}.pem"
        _write_private(path, base64.b64decode(inline).decode())
        return path
    named = entry.get(field)
    return base / named if named else None


def _plain_tls(ca_file: pathlib.Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def _write_kubeconfig(
    path: pathlib.Path,
    *,
    url: str,
    ca_file: pathlib.Path,
    token: str,
    namespace: str = "default",
) -> None:
    """In JSON, which is YAML; with the CA inline, so that the file may be copied."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    cluster = {"server": url, "certificate-authority-data": authority}
    context = {"cluster": "world", "user": "world", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "world",
        "clusters": [{"name": "world", "cluster": cluster}],
        "users": [{"name": "world", "user": {"token": token}}],
        "contexts": [{"name": "world", "context": context}],
    }
    _write_private(path, json.dumps(config, indent=2) + "\n")


def _write_private(path: pathlib.Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
