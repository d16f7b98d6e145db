"""How the API server is reached: by kubectl's own rules, and read again when it changes.

Flows in: kubeconfig files, else what a pod has. Flows out: address, trust and token, for ``client``
and for kopf's connection (``streams``).

``KUBECONFIG`` (one file or several), else ``~/.kube/config``, else the ServiceAccount of the pod
that we run in. Token, authority and client certificate are read again every minute, and soon after
the API server refused us or a connection broke: they rotate. ``kubernetes.aio`` reads the files;
it would read tokens again in a pod only, and certificates never.

Proxies are those of kubeconfig, else of ``HTTPS_PROXY`` and ``NO_PROXY``, as for kubectl. aiohttp's
``trust_env`` isn't used for that: it looks for ~/.netrc in a thread before every request.
"""

import hashlib
import logging
import math
import os
import pathlib
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, TypeGuard
from urllib.parse import urlsplit

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import lean
from leaseholder.cluster.lean import aiohttp
from leaseholder.secrecy import Hidden

with lean.importing():
    from kubernetes.aio import client as kube
    from kubernetes.aio.config import incluster_config as pod_files
    from kubernetes.aio.config import kube_config as kube_files

_RELOAD: Final = 60.0
_AT_MOST: Final = 1.0
"""Seconds between two reads of the files, however often the API server refuses us."""
_BEARER: Final = "BearerToken"
_BUFFER: Final = 2**21
"""Bytes: events of a watch may be long."""
_POD: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where kubelet puts a pod's authority, token and namespace, and puts them anew."""
_NOWHERE: Final = (
    "no API server is configured: set KUBECONFIG, write ~/.kube/config, "
    "or run in a pod with a ServiceAccount's token"
)
_NO_CONTEXT: Final = "no kubeconfig has a context {}: kubectl config get-contexts lists them"
_NO_CURRENT: Final = "current-context is {}, and {} has no such context: mend current-context"
_NOT_NAMED: Final = "context {} in {} names no {}: mend the context"
_NOT_THERE: Final = "context {} names the {} {}, and {} has no such {}: mend the context"
_NO_URL: Final = (
    "cluster {} in {} has the server {}: write its address, such as https://10.0.0.1:6443"
)
_log = logging.getLogger(__name__)

# The library's own functions aren't typed.
_pod_loader: Callable[..., Any] = pod_files.InClusterConfigLoader
_merged: Callable[[str], kube_files.KubeConfigMerger] = kube_files.KubeConfigMerger
_loader: Callable[..., Any] = kube_files.KubeConfigLoader


class _Nowhere(Exception):
    """Nothing says where the API server is; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody chose instead of what kubectl would take."""

    kubeconfig: pathlib.Path | None = None
    context: str = ""
    """Empty: the one that is current."""


class ClusterLogin:
    """Address, trust and login, for one event loop."""

    def __init__(
        self,
        kubeconfig: pathlib.Path | None,
        context: str,
        pod: pathlib.Path,
        monotonic: Callable[[], float],
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._pod = pod
        self._namespace = ""
        self._monotonic = monotonic
        self._loaded = self._due = -math.inf
        self._configuration = kube.Configuration()
        self._digest = b""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # until it is loaded: trusts nobody

    @classmethod
    async def read(
        cls,
        kubeconfig: pathlib.Path | None = None,
        *,
        context: str = "",
        pod: pathlib.Path = _POD,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Read ``kubeconfig``, else what kubectl would read, else be the pod that we are.

        Args:
            kubeconfig: the file to read.
            context: which of its contexts; empty: the one that is current.
            pod: where a pod's own files are.
            monotonic: seconds that never jump.

        Raises:
            ClusterUnavailable: there is no usable configuration.
        """
        # Clients of Kubernetes have logged bodies at DEBUG; this one isn't to learn it.
        logging.getLogger("kubernetes").setLevel(logging.INFO)
        login = cls(kubeconfig, context, pod, monotonic)
        sentence = ""
        try:
            await login._load()
        except _Nowhere as nowhere:
            sentence = str(nowhere)
        except Exception as error:  # ConfigException, OSError, YAMLError, SSLError, a plugin's own
            sentence = (
                f"the way to the API server can't be read from {login._source} "
                f"({type(error).__name__}): see what kubectl cluster-info says"
            )
        if sentence:
            raise errors.ClusterUnavailable(Reason.CLUSTER, sentence)
        return login

    async def refresh(self) -> None:
        """Read it again if it is time; keep what is at hand if that fails."""
        if self._monotonic() < self._due or self._is_pipe:
            return
        try:
            await self._load()
        except Exception as error:  # whatever a half-written file or a plugin does
            _log.warning("the operator's own login can't be read again: %s", type(error).__name__)

    def expire(self) -> None:
        """Read it again before the next request, but at most once a second."""
        self._due = min(self._due, self._loaded + _AT_MOST)

    @property
    def server(self) -> str:
        """URL of the API server, without a slash at its end."""
        return str(self._configuration.host or "").rstrip("/")

    @property
    def base_path(self) -> str:
        """What stands before every path, where the API server is behind somebody else's."""
        return urlsplit(self.server).path

    @property
    def namespace(self) -> str:
        """The namespace that kubectl would work in."""
        return self._namespace or "default"

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port of the API server; None where its address names none."""
        parts = urlsplit(self.server)
        usual = 80 if parts.scheme == "http" else 443
        return (parts.hostname, parts.port or usual) if parts.hostname else None

    @property
    def tls(self) -> ssl.SSLContext:
        """Whom to trust, and our own certificate; another object when either changed."""
        return self._tls

    @property
    def tls_server_name(self) -> str | None:
        """The name that the certificate is for, where it isn't the host's."""
        return self._configuration.tls_server_name or None

    @property
    def proxy(self) -> str | None:
        """The proxy on the way, by kubeconfig or else by the environment."""
        if self._configuration.proxy:
            return str(self._configuration.proxy)
        parts = urlsplit(self.server)
        if parts.hostname is None or urllib.request.proxy_bypass(parts.netloc):
            return None
        return urllib.request.getproxies().get(parts.scheme)

    @property
    def headers(self) -> dict[str, str]:
        """The header that logs in; none where a certificate does."""
        key = self._configuration.api_key.get(_BEARER)
        return {"Authorization": key} if key else {}

    def bearer(self) -> Hidden | None:
        """The operator's own token, where it logs in with one."""
        scheme, _, token = self._configuration.api_key.get(_BEARER, "").partition(" ")
        return Hidden(token) if scheme.lower() == "bearer" else None

    def session(
        self,
        *middlewares: aiohttp.ClientMiddlewareType,
        response_class: type[aiohttp.ClientResponse] = aiohttp.ClientResponse,
    ) -> aiohttp.ClientSession:
        """Connections without a bound: each watch keeps one, who asks bounds the others."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            headers={"User-Agent": names.MANAGER},
            proxy=self.proxy,
            read_bufsize=_BUFFER,
            middlewares=middlewares,
            response_class=response_class,
        )

    async def _load(self) -> None:
        self._loaded = self._monotonic()
        self._due = self._loaded + _RELOAD
        found = kube.Configuration()
        paths = os.pathsep.join(self._files())
        files = _merged(paths) if paths else None
        contents = list(files.config_files.values()) if files is not None else []
        if files is not None and (context := _context(contents, self._context)) is not None:
            _require_whole(contents, context, self._source)
            self._namespace = _namespace(contents, context)
            await _loader(files.config, context, config_base_path=None).load_and_set(found)
        elif (
            not self._context
            and self._kubeconfig is None
            and "KUBERNETES_SERVICE_HOST" in os.environ
        ):
            ours = _pod_loader(self._pod / "token", self._pod / "ca.crt", try_refresh_token=False)
            ours.load_and_set(found)
            named = self._pod / "namespace"
            self._namespace = named.read_text("utf-8") if named.is_file() else ""
        else:
            raise _Nowhere(_NO_CONTEXT.format(ascii(self._context)) if self._context else _NOWHERE)
        if _BEARER in found.api_key:
            found.api_key[_BEARER] = found.api_key[_BEARER].strip()
        digest = _digest(found)
        if digest != self._digest:
            self._tls = _tls(found)
            self._digest = digest
        self._configuration = found

    def _files(self) -> list[str]:
        """The kubeconfigs that are there; an empty one says nothing."""
        if self._kubeconfig is not None:
            named = [self._kubeconfig]
        else:
            text = os.environ.get("KUBECONFIG") or "~/.kube/config"
            named = [pathlib.Path(os.path.expanduser(part)) for part in text.split(os.pathsep)]
        return [str(path) for path in named if _says_something(path)]

    @property
    def _is_pipe(self) -> bool:
        """Whether it can be read only once: to open a pipe again may wait for ever."""
        return self._kubeconfig is not None and self._kubeconfig.is_fifo()

    @property
    def _source(self) -> str:
        return ", ".join(self._files()) or "the pod's ServiceAccount"


def _says_something(path: pathlib.Path) -> bool:
    """Whether a kubeconfig is there and isn't empty; a pipe's end shows only when it is read."""
    return path.stat().st_size > 0 if path.is_file() else path.is_fifo()


def _context(contents: list[Any], wanted: str) -> str | None:
    """The context that kubectl would choose: the first file that names one; None: no file does."""
    if wanted:
        return wanted if any(one["name"] == wanted for one in _contexts(contents)) else None
    return next((one["current-context"] for one in contents if one.get("current-context")), None)


def _require_whole(contents: list[Any], context: str, source: str) -> None:
    """See that all is there that a context names: the library would end with a TypeError.

    Over plain http it needs no user: ``kubectl proxy`` logs in itself.

    Raises:
        _Nowhere: something isn't.
    """
    chosen = next((one for one in _contexts(contents) if one["name"] == context), None)
    if chosen is None:
        raise _Nowhere(_NO_CURRENT.format(ascii(context), source))
    for kind in ("cluster", "user"):
        named = (chosen.get("context") or {}).get(kind)
        if not named:
            raise _Nowhere(_NOT_NAMED.format(ascii(context), source, kind))
        there = [one for one in _entries(contents, f"{kind}s") if one["name"] == named]
        if not there:
            raise _Nowhere(_NOT_THERE.format(ascii(context), kind, ascii(named), source, kind))
        if kind != "cluster":
            continue
        server = (there[0].get("cluster") or {}).get("server")
        if not _is_url(server):
            raise _Nowhere(_NO_URL.format(ascii(named), source, ascii(server)))
        if server.startswith("http://"):
            return


def _is_url(server: object) -> TypeGuard[str]:
    """Whether that is the address of a server: others fail in as many ways as they are used."""
    try:
        parts = urlsplit(server if isinstance(server, str) else "")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    spaced = any(one.isspace() for one in host)
    return parts.scheme in ("http", "https") and bool(host) and not spaced and port != 0


def _namespace(contents: list[Any], context: str) -> str:
    """The namespace of a context; empty where it names none."""
    named = [one.get("context") or {} for one in _contexts(contents) if one["name"] == context]
    return str(named[0].get("namespace") or "") if named else ""


def _contexts(contents: list[Any]) -> Iterator[Any]:
    return _entries(contents, "contexts")


def _entries(contents: list[Any], kind: str) -> Iterator[Any]:
    return (one for content in contents for one in content.get(kind) or ())


def _digest(found: kube.Configuration) -> bytes:
    """What tells one trust and certificate from another: what is in the files, not their names."""
    parts = [repr((found.verify_ssl, found.disable_strict_ssl_verification, found.ca_cert_data))]
    files = (found.ssl_ca_cert, found.cert_file, found.key_file)
    contents = (pathlib.Path(name).read_bytes() if name else b"" for name in files)
    parts += [hashlib.sha256(content).hexdigest() for content in contents]
    return hashlib.sha256("\n".join(parts).encode()).digest()


def _tls(found: kube.Configuration) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=found.ssl_ca_cert, cadata=found.ca_cert_data)
    if found.cert_file:
        made.load_cert_chain(found.cert_file, keyfile=found.key_file)
    if not found.verify_ssl:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if found.disable_strict_ssl_verification:
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made
