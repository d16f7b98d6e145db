"""The whole world in one value: what the operator meets, started in parallel, stopped together.

    with World.start(min_ttl=2) as world:
        world.control_plane.kubeconfig, world.infisical.url, world.postgres.can_log_in(…)

Fault proxies are optional; where one stands, `kubernetes_url` and `provider_url` lead through it.
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import functools
import pathlib
import secrets
import shutil
import tempfile
import typing

import yaml

from tests.world import faults, kube, kubernetes, processes
from tests.world import forks as operators
from tests.world import postgres as postgres_server
from tests.world.emulation import part

_NAMESPACE = "shop"


@dataclasses.dataclass(frozen=True, slots=True)
class Infisical(processes.Stoppable):
    """The emulator of Infisical, whose default seed has project `demo` and secret `orders-db`."""

    url: str
    client_id: str
    client_secret: str = dataclasses.field(repr=False)
    process: processes.Process

    @classmethod
    def start(
        cls,
        *,
        directory: pathlib.Path,
        postgres_dsn: str,
        control_plane: kubernetes.ControlPlane | None = None,
        min_ttl: float | None = None,
        seed: pathlib.Path | None = None,
        arguments: collections.abc.Sequence[str] = (),
        name: str = "infisical",
    ) -> "Infisical":
        """Start an emulator that makes roles in PostgreSQL; `arguments` go to its command line."""
        identity, secret = secrets.token_hex(16), secrets.token_hex(32)
        options = [f"--client-id={identity}", f"--client-secret={secret}"]
        options.append(f"--postgres-dsn={postgres_dsn}")
        if control_plane is not None:
            options.append(f"--kubernetes-url={control_plane.url}")
            options.append(f"--kubernetes-ca={control_plane.ca_file}")
        options += [] if seed is None else [f"--seed={seed}"]
        url, process = part.started(
            "infisical",
            *options,
            name=name,
            directory=directory,
            min_ttl=min_ttl,
            arguments=arguments,
        )
        return cls(url=url, client_id=identity, client_secret=secret, process=process)

    def stop(self) -> None:
        """Stop the emulator; what it remembers goes, the roles that it made stay."""
        self.process.stop()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World(processes.Stoppable):
    """The parts that run."""

    directory: pathlib.Path
    control_plane: kubernetes.ControlPlane
    postgres: postgres_server.Postgres
    infisical: Infisical
    kubernetes_faults: faults.FaultProxy | None
    provider_faults: faults.FaultProxy | None
    forks: operators.Forks | None = None
    """Where operators are forked; None: each is started, as a user starts it."""
    _stack: contextlib.ExitStack = dataclasses.field(repr=False)

    @classmethod
    def start(
        cls,
        *,
        directory: pathlib.Path | None = None,
        control_plane: kubernetes.ControlPlane | None = None,
        database: postgres_server.Postgres | None = None,
        kubernetes_faults: bool = False,
        provider_faults: bool = False,
        forks: operators.Forks | None = None,
        min_ttl: float | None = None,
        seed: pathlib.Path | None = None,
        memory: str = kubernetes.MEMORY,
    ) -> "World":
        """Start what isn't given; given parts are used and left running.

        ``memory``: what the control plane may take.
        """
        with contextlib.ExitStack() as stack:
            home = directory or _temporary(stack)
            plane, base = _start_bases(stack, home, memory, control_plane, database)
            emulator = Infisical.start(
                directory=home,
                postgres_dsn=base.dsn,
                control_plane=plane,
                min_ttl=min_ttl,
                seed=seed,
            )
            stack.callback(emulator.stop)
            before_kubernetes = None
            if kubernetes_faults:
                before_kubernetes = faults.FaultProxy.start(
                    plane.url, directory=home, name="kubernetes-faults", upstream_ca=plane.ca_file
                )
                stack.callback(before_kubernetes.stop)
            before_provider = None
            if provider_faults:
                before_provider = faults.FaultProxy.start(
                    emulator.url, directory=home, name="provider-faults"
                )
                stack.callback(before_provider.stop)
            return cls(
                directory=home,
                control_plane=plane,
                postgres=base,
                infisical=emulator,
                kubernetes_faults=before_kubernetes,
                provider_faults=before_provider,
                forks=forks,
                _stack=stack.pop_all(),
            )
        raise AssertionError("the stack swallows nothing")

    @property
    def provider_url(self) -> str:
        """Where the operator finds Infisical."""
        return self.provider_faults.url if self.provider_faults else self.infisical.url

    @property
    def provider_ca_file(self) -> pathlib.Path | None:
        """What it is trusted by; None where it speaks plain HTTP."""
        return self.provider_faults.ca_file if self.provider_faults else None

    @property
    def kubernetes_url(self) -> str:
        """Where the operator finds the API server."""
        return self.kubernetes_faults.url if self.kubernetes_faults else self.control_plane.url

    def kubeconfig_for(self, token: str, *, namespace: str = "default") -> pathlib.Path:
        """A kubeconfig for the operator, through the fault proxy where there is one."""
        proxy = self.kubernetes_faults
        return self.control_plane.kubeconfig_for(
            token,
            url=self.kubernetes_url,
            ca_file=proxy.ca_file if proxy else None,
            namespace=namespace,
        )

    def stop(self) -> None:
        """Stop what was started, in the opposite order."""
        self._stack.close()


def manifest(world: World) -> str:
    """What to apply for a first lease: namespace, credentials, LeaseProvider, DynamicLease."""
    reference = {"name": "infisical-auth"}
    auth = {
        "clientIdSecretRef": {**reference, "key": "clientId"},
        "clientSecretRef": {**reference, "key": "clientSecret"},
    }
    provider: dict[str, object] = {
        "infisical": {"url": world.provider_url, "auth": {"universalAuth": auth}}
    }
    if world.provider_ca_file is not None:
        provider["caBundle"] = world.provider_ca_file.read_text(encoding="utf-8")
    source = {"projectSlug": "demo", "environmentSlug": "prod", "path": "/"}
    lease = {
        "providerRef": {"kind": "LeaseProvider", "name": "infisical"},
        "infisical": {**source, "dynamicSecretName": "orders-db"},
        "ttl": "2m",
    }
    credentials = {
        "clientId": world.infisical.client_id,
        "clientSecret": world.infisical.client_secret,
    }
    documents: list[kube.Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        _document("v1", "Secret", "infisical-auth", stringData=credentials),
        _document("leaseholder.dev/v1alpha1", "LeaseProvider", "infisical", spec=provider),
        _document("leaseholder.dev/v1alpha1", "DynamicLease", "orders-db", spec=lease),
    ]
    return written(documents)


def written(documents: collections.abc.Sequence[kube.Object]) -> str:
    """Manifests in YAML, as a person would write them."""
    return str(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False))


class _Dumper(yaml.SafeDumper):
    """Texts of several lines, certificates say, as a person would write them."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def _document(
    version: str, kind: str, name: str, **content: collections.abc.Mapping[str, object]
) -> dict[str, object]:
    metadata = {"name": name, "namespace": _NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _temporary(stack: contextlib.ExitStack) -> pathlib.Path:
    home = pathlib.Path(tempfile.mkdtemp(prefix="leaseholder-world-"))
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    return home


def _start_bases(
    stack: contextlib.ExitStack,
    home: pathlib.Path,
    memory: str,
    control_plane: kubernetes.ControlPlane | None,
    database: postgres_server.Postgres | None,
) -> tuple[kubernetes.ControlPlane, postgres_server.Postgres]:
    """Control plane and PostgreSQL at the same time; when one fails, the other is stopped."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        starting_database = None if database else pool.submit(postgres_server.Postgres.start, home)
        start = functools.partial(kubernetes.ControlPlane.start, home, memory=memory)
        starting_plane = None if control_plane else pool.submit(start)
        if starting_database is not None:
            stack.push(lambda *_: _stop_result(starting_database))
        if starting_plane is not None:
            stack.push(lambda *_: _stop_result(starting_plane))
    plane = control_plane or (starting_plane.result() if starting_plane else None)
    base = database or (starting_database.result() if starting_database else None)
    assert plane is not None
    assert base is not None
    return plane, base


def _stop_result(starting: "concurrent.futures.Future[typing.Any]") -> None:
    if starting.exception() is None:
        starting.result().stop()
