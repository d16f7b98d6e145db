"""One connection to the API server, dicts in and out.

``kubernetes.aio`` brings configuration, TLS and the pool of connections; its generated models and
its exceptions, whose text holds the answer's body, aren't used: an answer is read here, and what
isn't 2xx becomes one of ``leaseholder.errors`` on the spot.
"""

import contextlib
import json
import logging
import math
import os
import pathlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import rest

from leaseholder import errors
from leaseholder.api import names
from leaseholder.api.conditions import Reason
from leaseholder.cluster import places, refusals
from leaseholder.secrecy import Hidden

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What to ask for where data needn't cross the wire."""
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"

Body = dict[str, Any]
Observe = Callable[[str, str], None]
"""Called with verb and resource of each request."""

_VERBS: Final = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
_TIMEOUT: Final = 30.0
PAGE: Final = 50
"""Objects in a page of a list: metadata alone can take a quarter of a MiB each."""
_LONGEST_LINE: Final = 16 * 2**20
"""Bytes of one event of a watch, whatever JSON makes of three MiB."""
_CONNECT_TIMEOUT: Final = 10.0
_SLACK: Final = 5.0
_RELOAD: Final = 60.0
_BEARER: Final = "BearerToken"
_BROKEN: Final = (TimeoutError, aiohttp.ClientError, OSError)
_log = logging.getLogger(__name__)

# The library's own functions aren't typed.
_load_pod: Callable[..., None] = kube_config.load_incluster_config
_load_file: Callable[..., Awaitable[object]] = kube_config.load_kube_config


class _Login:
    """Where the configuration comes from; read again every minute, because tokens rotate.

    ``kubernetes.aio`` would do so in a pod only, and by a wall clock that may be set back.
    """

    def __init__(self, kubeconfig: str | None, monotonic: Callable[[], float]) -> None:
        self._kubeconfig = kubeconfig
        self._monotonic = monotonic
        self._due = -math.inf

    async def load(self, configuration: kube.Configuration) -> None:
        """Read server, CA and login."""
        self._due = self._monotonic() + _RELOAD
        if self._kubeconfig is None:
            _load_pod(configuration, try_refresh_token=False)
        else:
            await _load_file(
                self._kubeconfig, client_configuration=configuration, persist_config=False
            )
        if _BEARER in configuration.api_key:
            configuration.api_key[_BEARER] = configuration.api_key[_BEARER].strip()

    async def refresh(self, configuration: kube.Configuration) -> None:
        """Read the login again if it is time; keep the one at hand if that fails."""
        if self._monotonic() < self._due:
            return
        try:
            await self.load(configuration)
        except Exception as error:  # whatever a half-written file or a plugin does
            _log.warning("the operator's own login can't be read again: %s", type(error).__name__)

    def expire(self) -> None:
        """Read the login again before the next request."""
        self._due = -math.inf


class Api:
    """The API server."""

    def __init__(self, api: kube.ApiClient, login: _Login, observe: Observe) -> None:
        self._api = api
        self._login = login
        self._observe = observe

    @classmethod
    async def connect(
        cls,
        kubeconfig: pathlib.Path | None = None,
        *,
        observe: Observe | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Connect by ``kubeconfig``, else ``KUBECONFIG``, else as the pod that we are.

        Raises:
            ClusterUnavailable: there is no usable configuration.
        """
        # Clients of Kubernetes have logged bodies at DEBUG; this one isn't to learn it.
        logging.getLogger("kubernetes").setLevel(logging.INFO)
        path = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG")
        login = _Login(path or None, monotonic)
        configuration = kube.Configuration()
        what = ""
        try:
            await login.load(configuration)
        except Exception as error:  # ConfigException, OSError, YAMLError, a plugin's own
            what = type(error).__name__
        if what:
            raise errors.ClusterUnavailable(
                Reason.CLUSTER, f"no usable KUBECONFIG, and not in a pod ({what})"
            )
        configuration.refresh_api_key_hook = login.refresh  # type: ignore[assignment]  # typed None
        # Each watch keeps a connection; requests are bounded by who makes them.
        configuration.connection_pool_maxsize = 0
        api = kube.ApiClient(configuration)
        api.user_agent = names.MANAGER
        return cls(api, login, observe or _unobserved)

    async def request(
        self,
        method: str,
        place: places.Place,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = _TIMEOUT,
    ) -> Body:
        """Send one request and give the answer's body; POST and PATCH are never sent twice.

        aiohttp sends GET and DELETE again on a fresh connection when a kept one turns out dead.

        Raises:
            NotFound: 404.
            Conflict: 409.
            Refused: any other 4xx.
            ClusterUnavailable: 401, 429, 5xx or no usable answer.
        """
        verb = _VERBS.get(method) or ("get" if place.name else "list")
        headers = {"Accept": accept, "Content-Type": content_type}
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_TIMEOUT)
        what = "its answer is no JSON"
        try:
            answer = await self._send(method, place, verb, query, headers, body, limit)
            found = _parse(await answer.response.read())
        except _BROKEN as error:
            what, found = _broken(error), None
        else:
            self._check(verb, place, answer, found)
        if found is None:
            raise refusals.unreachable(verb, place, what)
        return found

    async def pages(
        self, place: places.Place, *, query: Mapping[str, str], accept: str = JSON
    ) -> AsyncGenerator[Body, None]:
        """A list in pages of ``PAGE`` objects, so that no answer is longer than those.

        Raises:
            ClusterError: as ``request``; Refused (410) where it took too long from page to page.
        """
        following = ""
        while True:
            asked = {**query, "limit": str(PAGE), **({"continue": following} if following else {})}
            page = await self.request("GET", place, query=asked, accept=accept)
            yield page
            following = (page.get("metadata") or {}).get("continue") or ""
            if not following:
                return

    async def watch(
        self, place: places.Place, *, query: Mapping[str, str], accept: str, seconds: int
    ) -> AsyncGenerator[Body, None]:
        """The events of a watch until the API server ends it after ``seconds``.

        A connection that hangs is given up a little later.
        """
        headers = {"Accept": accept, "Content-Type": JSON}
        asked = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
        limit = aiohttp.ClientTimeout(total=seconds + _SLACK, sock_connect=_CONNECT_TIMEOUT)
        what = ""
        try:
            answer = await self._send("GET", place, "watch", asked, headers, None, limit)
            with contextlib.closing(answer.response):
                if answer.status != 200:
                    self._check("watch", place, answer, _parse(await answer.response.read()))
                async for line in _lines(answer.response.content):
                    event = _parse(line)
                    if event is None:
                        what = "its answer is no JSON"
                        break
                    yield event
        except _BROKEN as error:
            what = _broken(error)
        if what:
            raise refusals.unreachable("watch", place, what)

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port of the API server; None where its address names none."""
        parts = urlsplit(self._api.configuration.host or "")
        usual = 80 if parts.scheme == "http" else 443
        return (parts.hostname, parts.port or usual) if parts.hostname else None

    def bearer(self) -> Hidden | None:
        """The operator's own token, where it logs in with one."""
        scheme, _, token = self._api.configuration.api_key.get(_BEARER, "").partition(" ")
        return Hidden(token) if scheme.lower() == "bearer" else None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._api.rest_client.close()

    async def _send(
        self,
        method: str,
        place: places.Place,
        verb: str,
        query: Mapping[str, str] | None,
        headers: dict[str, str],
        body: Body | None,
        limit: aiohttp.ClientTimeout,
    ) -> rest.RESTResponse:
        self._observe(verb, place.resource)
        sent_method, url, sent_headers, sent_body, _ = await self._api.param_serialize(
            method,
            place.path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=[_BEARER],
        )
        return await self._api.call_api(
            sent_method, url, sent_headers, sent_body, _request_timeout=limit
        )

    def _check(
        self, verb: str, place: places.Place, answer: rest.RESTResponse, found: Body | None
    ) -> None:
        code = answer.status
        if 200 <= code < 300:
            return
        if code == 401:
            self._login.expire()
        raise refusals.translate(
            verb,
            place,
            code=code,
            status=found or {},
            retry_after=_seconds(answer.headers.get("Retry-After")),
        )


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """The lines of a stream; aiohttp's own are too short for an object with long annotations.

    Raises:
        aiohttp.ClientPayloadError: one is longer than any object can be.
    """
    rest = bytearray()
    async for piece in content.iter_any():
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield bytes(rest + line)
            rest.clear()
        rest += last
        if len(rest) > _LONGEST_LINE:
            raise aiohttp.ClientPayloadError
    if rest:
        yield bytes(rest)


def _broken(error: Exception) -> str:
    """What to say of a broken connection; the error itself, which may hold headers, is dropped."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"no connection ({type(error).__name__})"


def _parse(content: bytes) -> Body | None:
    # The error isn't passed on, not even as context: it holds the document.
    with contextlib.suppress(ValueError):
        found = json.loads(content)
        if isinstance(found, dict):
            return found
    return None


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _unobserved(verb: str, resource: str) -> None:
    """Count nothing."""
