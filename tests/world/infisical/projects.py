"""Project look-ups by id and by slug, and the status route."""

from tests.world.infisical import calls, errors, guard, state, views


async def workspace(call: calls.Call) -> object:
    """GET /v1/workspace/{projectId}, deprecated and still in use."""
    return {"workspace": views.project(_by_id(call))}


async def by_id(call: calls.Call) -> object:
    """GET /v1/projects/{projectId}."""
    return {"project": views.project(_by_id(call))}


async def by_slug(call: calls.Call) -> object:
    """GET /v1/projects/slug/{slug}: the project, not wrapped in anything."""
    slug = call.params["slug"]
    found = call.world.project_by_slug(slug, call.caller.organization)
    if found is None:
        raise errors.not_found(f"Project with slug '{slug}' not found")
    guard.rights(call.world, call.caller, found)
    return views.project(found)


async def status(call: calls.Call) -> object:
    """GET /status."""
    return {
        "date": call.world.clock.http_date(),
        "message": "Ok",
        "emailConfigured": False,
        "inviteOnlySignup": True,
        "redisConfigured": True,
        "secretScanningConfigured": False,
        "samlDefaultOrgSlug": None,
        "version": "v0.154.0",
    }


def _by_id(call: calls.Call) -> state.Project:
    found = call.world.projects.get(call.params["projectId"])
    if found is None or found.organization != call.caller.organization:
        raise errors.not_found(f"Project with ID '{call.params['projectId']}' not found")
    guard.rights(call.world, call.caller, found)
    return found
