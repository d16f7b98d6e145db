"""The ways in: universal auth with its lockout, and the two that trust somebody else's token.

The order of checks is the server's: a locked-out identity learns nothing about its secret, a used
up secret is revoked by the login that finds it used up, and a good login clears the counter.
"""

import fnmatch
import hmac
from typing import Final

from tests.world.infisical import calls, errors, oidc, reviews, seeds, state
from tests.world.infisical import emulator as emulators

LOCKED: Final = "This identity auth method is temporarily locked, please try again later"
WRONG: Final = "Invalid credentials"
NO_KUBERNETES: Final = (
    "Kubernetes auth method not found for identity, did you configure Kubernetes auth?"
)
NO_OIDC: Final = "OIDC auth method not found for identity, did you configure OIDC auth?"


async def universal(call: calls.Call) -> object:
    """POST /v1/auth/universal-auth/login."""
    body = call.fields()
    client_id = body.needed("clientId", minimum=0)
    secret = body.needed("clientSecret", minimum=0)
    slug = body.text("organizationSlug", minimum=1, maximum=64)
    slug = slug or body.text("subOrganizationName", minimum=1, maximum=64)
    body.check()
    identity, auth = _by_client_id(call.world, client_id)
    if not auth.trusted:
        raise errors.forbidden("You are not allowed to access this resource")
    _check_secret(call.world, identity.id, auth, secret)
    _spend_secret(call.world, auth)
    organization = _organization(call.world, identity, slug, word="name")
    call.world.secret_uses[auth.client_id] = call.world.secret_uses.get(auth.client_id, 0) + 1
    return _issue(call.world, identity, auth, organization)


async def kubernetes(call: calls.Call) -> object:
    """POST /v1/auth/kubernetes-auth/login."""
    identity_id, token, slug = _foreign_token(call)
    identity = call.world.identities.get(identity_id)
    if identity is None or identity.kubernetes_auth is None:
        raise errors.not_found(NO_KUBERNETES)
    auth = identity.kubernetes_auth
    reviewed = await reviews.review(
        _cluster(call.world, auth),
        token=token,
        reviewer=auth.token_reviewer_jwt or token,
        audience=auth.allowed_audience,
    )
    _check_reviewed(auth, reviewed)
    organization = _organization(call.world, identity, slug, word="slug")
    return _issue(call.world, identity, auth, organization)


async def foreign(call: calls.Call) -> object:
    """POST /v1/auth/oidc-auth/login."""
    identity_id, token, slug = _foreign_token(call)
    identity = call.world.identities.get(identity_id)
    if identity is None or identity.oidc_auth is None:
        raise errors.not_found(NO_OIDC)
    await oidc.verify(call.world, identity.oidc_auth, token)
    organization = _organization(call.world, identity, slug, word="slug")
    return _issue(call.world, identity, identity.oidc_auth, organization)


async def renew(call: calls.Call) -> object:
    """POST /v1/auth/token/renew."""
    body = call.fields()
    token = body.needed("accessToken", minimum=0)
    body.check()
    return call.world.tokens.renew(token)


async def revoke(call: calls.Call) -> object:
    """POST /v1/auth/token/revoke."""
    body = call.fields()
    token = body.needed("accessToken", minimum=0)
    body.check()
    call.world.tokens.revoke(token)
    return {"message": "Successfully revoked access token"}


def _by_client_id(
    world: emulators.Emulator, client_id: str
) -> tuple[seeds.Identity, seeds.UniversalAuth]:
    for identity in world.identities.values():
        if identity.universal_auth and identity.universal_auth.client_id == client_id:
            return identity, identity.universal_auth
    raise errors.unauthorized(WRONG)


def _check_secret(
    world: emulators.Emulator, identity_id: str, auth: seeds.UniversalAuth, secret: str
) -> None:
    now = world.clock.now()
    attempts = world.attempts.get(identity_id)
    if attempts is not None and attempts.until <= now:
        del world.attempts[identity_id]
        attempts = None
    if attempts is not None and attempts.locked:
        raise errors.unauthorized(LOCKED)
    live = auth.client_id not in world.revoked_secrets
    if live and hmac.compare_digest(secret.encode(), auth.client_secret.encode()):
        world.attempts.pop(identity_id, None)
        return
    if auth.lockout_enabled:
        _count_failure(world, identity_id, auth)
    raise errors.unauthorized(WRONG)


def _count_failure(world: emulators.Emulator, identity_id: str, auth: seeds.UniversalAuth) -> None:
    if world.switches.login_lock_busy:
        raise errors.too_many("Failed to acquire lock: rate limit exceeded")
    attempts = world.attempts.setdefault(identity_id, state.Attempts())
    attempts.failed += 1
    attempts.locked = attempts.failed >= auth.lockout_threshold
    seconds = (
        auth.lockout_duration_seconds if attempts.locked else auth.lockout_counter_reset_seconds
    )
    attempts.until = world.clock.now() + seconds * 1000


def _spend_secret(world: emulators.Emulator, auth: seeds.UniversalAuth) -> None:
    """Age and uses of a secret that matched; the login that finds it spent revokes it."""
    age = world.clock.now() - world.secret_born.get(auth.client_id, 0.0)
    if 0 < auth.client_secret_ttl * 1000 < age:
        world.revoked_secrets.add(auth.client_id)
        raise errors.unauthorized("Access denied due to expired client secret")
    if 0 < auth.num_uses_limit <= world.secret_uses.get(auth.client_id, 0):
        world.revoked_secrets.add(auth.client_id)
        raise errors.unauthorized("Access denied due to client secret usage limit reached")


def _foreign_token(call: calls.Call) -> tuple[str, str, str | None]:
    body = call.fields()
    identity_id = body.needed("identityId", minimum=0).strip()
    token = body.needed("jwt", minimum=0)
    slug = body.text("organizationSlug", minimum=1, maximum=64)
    body.check()
    return identity_id, token, slug


def _organization(
    world: emulators.Emulator, identity: seeds.Identity, slug: str | None, *, word: str
) -> str:
    """The organization that the token will count in."""
    if slug is None or slug == seeds.ROOT_ORGANIZATION:
        return seeds.ROOT_ORGANIZATION
    if slug not in world.sub_organizations:
        raise errors.not_found(f"Sub organization with {word} {slug} not found")
    if slug not in identity.sub_organizations:
        raise errors.unauthorized(f"Identity not authorized to access sub organization {slug}")
    return slug


def _issue(
    world: emulators.Emulator,
    identity: seeds.Identity,
    life: seeds.TokenLife,
    organization: str,
) -> dict[str, object]:
    return world.tokens.issue(
        identity.id,
        life,
        organization=organization,
        generation=world.switches.token_generation,
    )


def _cluster(world: emulators.Emulator, auth: seeds.KubernetesAuth) -> reviews.Cluster:
    if auth.kubernetes_host:
        return reviews.Cluster(url=auth.kubernetes_host, ca_pem=auth.ca_cert)
    if world.cluster is None:
        raise errors.bad_request(
            "Failed to reach the Kubernetes API server: none is configured",
            name=reviews.REVIEW_ERROR,
        )
    return world.cluster


def _check_reviewed(auth: seeds.KubernetesAuth, reviewed: reviews.Reviewed) -> None:
    if not _listed(reviewed.namespace, auth.allowed_namespaces):
        raise errors.unauthorized("Access denied: K8s namespace not allowed.")
    if not _listed(reviewed.name, auth.allowed_names):
        raise errors.unauthorized("Access denied: K8s name not allowed.")
    if auth.allowed_audience and auth.allowed_audience not in reviewed.audiences:
        raise errors.unauthorized("Access denied: K8s audience not allowed.")


def _listed(value: str, allowed: str) -> bool:
    """In a comma list of names or globs; an empty list lets everybody in."""
    names = [name.strip() for name in allowed.split(",") if name.strip()]
    return not names or any(fnmatch.fnmatchcase(value, name) for name in names)
