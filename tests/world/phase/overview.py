"""What an account can see of the server: apps, environments, and itself."""

from typing import Any

from tests.world.phase import calls, errors, guard, state, views


async def apps(call: calls.Call) -> object:
    """GET /v1/apps/: a right of its own."""
    if not call.may("Apps:read"):
        raise errors.ApiError(403, errors.NO_APPS)
    return {"data": [views.app(one) for one in call.world.apps.values()]}


async def environments(call: calls.Call) -> object:
    """GET /v1/environments/?app_id=: those that the account has a key for."""
    app = call.world.app(call.query.get("app_id", ""))
    return {"data": [views.environment(one) for one in app.environments if _open(call, one)]}


async def tokens(call: calls.Call) -> object:
    """GET /secrets/tokens/: whose token it is, snake_case; refusals are 403 here."""
    try:
        token = guard.token_of(call)
    except errors.ApiError as failure:
        raise errors.ApiError(403, failure.message) from failure
    account = call.world.accounts.get(token.account_id or "")
    shown: dict[str, Any] = {
        "wrapped_key_share": "ph:v1:not-a-key-share",
        "offline_enabled": False,
        "apps": [],
        "organisation": {"id": "org", "name": "demo"},
    }
    if account is not None:
        shown["user_id" if account.kind == "user" else "account_id"] = account.id
    return shown


def _open(call: calls.Call, environment: state.Environment) -> bool:
    return call.caller is None or environment.id not in call.caller.locked_out
