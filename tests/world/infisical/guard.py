"""Who may do what: the bearer token first, membership next, then the right itself."""

import fnmatch
from typing import Final

from aiohttp import web

from tests.world.infisical import emulator as emulators
from tests.world.infisical import errors, seeds, state, tokens

SUBJECT: Final = "dynamic-secrets"
NOT_A_MEMBER: Final = "You are not a member of this project"
WRONG_TOKEN: Final = "This endpoint can't be used with a service token"


def authenticate(world: emulators.Emulator, request: web.Request) -> tokens.Holder:
    """The holder of the request's bearer token."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise errors.unauthorized("Token missing")
    if token.startswith("st."):
        raise errors.forbidden(WRONG_TOKEN)
    return world.tokens.authenticate(token)


def rights(
    world: emulators.Emulator, holder: tokens.Holder, project: state.Project
) -> list[seeds.Grant]:
    """The holder's grants in a project; none at all means not a member."""
    identity = world.identities.get(holder.identity_id)
    if identity is None:
        raise errors.unauthorized("Identity not found")
    found = [grant for grant in identity.grants if grant.project == project.slug]
    if not found:
        raise errors.forbidden(NOT_A_MEMBER)
    return found


def can(grants: list[seeds.Grant], action: seeds.Action, secret: state.DynamicSecret) -> bool:
    return any(action in grant.actions and _covers(grant, secret) for grant in grants)


def demand(grants: list[seeds.Grant], action: seeds.Action, secret: state.DynamicSecret) -> None:
    """Refuse as the server does, with the rules that concern the action."""
    if can(grants, action, secret):
        return
    rules = [_rule(grant, action) for grant in grants if action in grant.actions]
    raise errors.permission_denied(action, SUBJECT, rules)


def _covers(grant: seeds.Grant, secret: state.DynamicSecret) -> bool:
    return fnmatch.fnmatchcase(secret.environment, grant.environment) and fnmatch.fnmatchcase(
        secret.path, grant.path
    )


def _rule(grant: seeds.Grant, action: str) -> dict[str, object]:
    conditions = {
        "environment": {"$glob": grant.environment},
        "secretPath": {"$glob": grant.path},
    }
    return {"action": action, "inverted": False, "subject": SUBJECT, "conditions": conditions}
