"""The slug of a project that is given by its id: the API takes slugs, which can change.

Resolved slugs are kept for a while, and resolved again when the server no longer knows one.
"""

from collections.abc import Mapping
from typing import Any, Final

from cachetools import TTLCache

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.providers.infisical import api, refusals
from leaseholder.providers.kit import answers, login
from leaseholder.providers.kit.requests import Request

_KEEP_SECONDS: Final = 600.0
_MOST: Final = 1024
"""So many are kept; a DynamicLease may ask for any id."""


class Projects:
    """Knows the slugs of projects."""

    def __init__(self, send: login.Send, clock: Clock, timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._known: TTLCache[str, str] = TTLCache(_MOST, _KEEP_SECONDS, timer=clock.monotonic)

    async def ask(self, source: Mapping[str, Any], request: Request) -> answers.Answer:
        """Send ``request`` with the source's project in it; again if its slug had changed."""
        slug = await self._slug(source)
        answer = await self._send(api.addressed(request, slug, source))
        project_id = source.get("projectId")
        if project_id is None or refusals.ERRORS.about(answer) != refusals.NO_PROJECT:
            return answer
        self._known.pop(project_id, None)
        renamed = await self._slug(source)
        if renamed == slug:
            return answer
        return await self._send(api.addressed(request, renamed, source))

    async def _slug(self, source: Mapping[str, Any]) -> str:
        project_id = source.get("projectId")
        if project_id is None:
            return str(source.get("projectSlug", ""))
        slug = self._known.get(project_id)
        if slug is None:
            slug = self._known[project_id] = await self._resolve(project_id)
        return slug

    async def _resolve(self, project_id: str) -> str:
        newer, older = api.projects(project_id)
        answer = await self._send(self._request_for(newer))
        if answer.status == 404:
            answer = await self._send(self._request_for(older))
        if answer.status != 200:
            raise _unresolved(answer, project_id)
        found = refusals.ERRORS.parsed(answer, api.ProjectAnswer)
        if found.slug is None:
            raise refusals.ERRORS.bad(answer, sent=False)
        return found.slug

    def _request_for(self, path: str) -> Request:
        return Request(operation="project", path=path, timeout=self._timeout)


def _unresolved(answer: answers.Answer, project_id: str) -> errors.ProviderError:
    if answer.status == 403:
        sentence = (
            f"{refusals.ERRORS.stated(answer)}: the identity may not look up project {project_id}: "
            "make it a member, or write projectSlug instead"
        )
        return errors.Denied(Reason.DENIED, sentence)
    if answer.status == 404 and refusals.body_of(answer) is not None:
        sentence = (
            f"{refusals.ERRORS.stated(answer)}: there is no project with the id {project_id}: "
            "check projectId"
        )
        return errors.Invalid(Reason.SOURCE_MISSING, sentence)
    return refusals.ERRORS.error(answer, {"projectId": project_id})
