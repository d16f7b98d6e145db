"""Who asks, and about what: the token first, the environment next, then addresses and throttle."""

from typing import Final

from tests.world.phase import calls, errors, state

WORDS: Final = ("ServiceAccount", "User", "Service")
NO_KEY: Final = "{who} cannot access this environment"
ADDRESS: Final = "Access denied: a network access policy restricts access from your IP address."


def admit(call: calls.Call) -> None:
    """Fill in who calls and which environment is meant, or refuse, in the server's order."""
    call.token = token_of(call)
    if any("\0" in call.query.get(name, "") for name in ("app_id", "id", "name")):
        raise errors.internal()  # the database takes no such text
    if call.token.account_id is not None:
        call.caller = call.world.accounts[call.token.account_id]
    call.environment = _environment(call)
    if call.environment is not None and call.caller is not None:
        _check_key(call.caller, call.environment)
    if call.caller is not None and not call.caller.allowed_ips:
        raise errors.ApiError(403, ADDRESS)
    call.world.throttle.take(call.token.account_id or call.token.value)


def token_of(call: calls.Call) -> state.Token:
    header = call.request.headers.get("Authorization")
    if not header:
        raise errors.not_provided()
    words = header.split(" ")
    if len(words) != 3 or words[0].lower() != "bearer" or words[1] not in WORDS:
        raise errors.ApiError(401, "Invalid token")
    if ":" in words[2]:
        raise errors.ApiError(401, "Invalid token")
    known = call.world.tokens.get(words[2])
    if known is None or known.word != words[1] or known.deleted or _expired(call, known):
        raise errors.ApiError(401, "Token expired or deleted")
    return known


def _expired(call: calls.Call, token: state.Token) -> bool:
    return token.expires_at is not None and token.expires_at <= call.world.clock.now()


def _environment(call: calls.Call) -> state.Environment | None:
    """The environment that the request is about; a secret's id wins over app and name."""
    world, query = call.world, call.query
    secret_id = query.get("secret_id") or call.request.headers.get("secret_id")
    if secret_id:
        secret = world.secrets.get(secret_id)
        if secret is None:
            raise errors.ApiError(404, "Secret not found")
        return secret.environment
    header = call.request.headers.get("Environment")
    if header:
        found = world.environment(header)
        if found is None:
            raise errors.ApiError(401, "Environment not found")
        return found
    app_id, name = query.get("app_id"), query.get("env")
    if not app_id:
        return None
    app = world.app(app_id)
    return world.environment_in(app, name) if name else None


def _check_key(caller: state.Account, environment: state.Environment) -> None:
    if environment.id not in caller.locked_out:
        return
    if caller.kind == "user":
        raise errors.ApiError(403, NO_KEY.format(who="User"))
    raise errors.ApiError(401, NO_KEY.format(who="Service account"))
