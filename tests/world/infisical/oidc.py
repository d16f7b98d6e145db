"""OIDC auth: a foreign JWT, its keys from the issuer, its claims against the policy.

The keys come from discovery, from an API server's ``/openid/v1/jwks`` (then a ServiceAccount token
logs in), or are configured. Subject, audience and claims may be exact or globs.
"""

import fnmatch
from collections.abc import Mapping

import aiohttp
import jwt

from tests.world.infisical import emulator as emulators
from tests.world.infisical import errors, reviews, seeds

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"]


async def verify(world: emulators.Emulator, auth: seeds.OidcAuth, token: str) -> None:
    """Refuse unless signature, issuer, expiry and policy all agree."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as failure:
        raise errors.unauthorized("Invalid JWT") from failure
    key = auth.public_key or await _key(world, auth, token, kid)
    claims = _decode(world, auth, token, key)
    _check_policy(auth, claims)


async def _key(
    world: emulators.Emulator, auth: seeds.OidcAuth, token: str, kid: str | None
) -> jwt.PyJWK:
    try:
        if auth.jwks_from_api_server and world.cluster is not None:
            address = world.cluster.url.rstrip("/") + "/openid/v1/jwks"
            document = await reviews.fetch_json(
                address, ca_pem=world.cluster.ca_pem, bearer=auth.jwks_bearer or token
            )
        else:
            document = await _discovered(auth)
    except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
        raise errors.unauthorized(
            "Access denied: Failed to fetch OIDC discovery document from"
            f" {auth.oidc_discovery_url}. {failure}"
        ) from failure
    return reviews.key_from(document, kid)


async def _discovered(auth: seeds.OidcAuth) -> object:
    base = auth.oidc_discovery_url.rstrip("/")
    document = await reviews.fetch_json(
        f"{base}/.well-known/openid-configuration", ca_pem=auth.ca_cert
    )
    address = document.get("jwks_uri") if isinstance(document, dict) else None
    if not address:
        raise errors.unauthorized(
            "Access denied: OIDC discovery document does not contain a jwks_uri."
            " The identity provider may be misconfigured."
        )
    return await reviews.fetch_json(str(address), ca_pem=auth.ca_cert, bearer=auth.jwks_bearer)


def _decode(
    world: emulators.Emulator, auth: seeds.OidcAuth, token: str, key: jwt.PyJWK | str
) -> Mapping[str, object]:
    options: jwt.types.Options = {
        "verify_aud": False,
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }
    try:
        claims: dict[str, object] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            issuer=auth.bound_issuer or None,
            options=options,
        )
    except jwt.InvalidIssuerError as failure:
        told = f"Access denied: jwt issuer invalid. expected: {auth.bound_issuer}"
        raise errors.unauthorized(told) from failure
    except jwt.PyJWTError as failure:
        raise errors.unauthorized("Access denied: invalid signature") from failure
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires * 1000 <= world.clock.now():
        raise errors.unauthorized("Access denied: jwt expired")
    return claims


def _check_policy(auth: seeds.OidcAuth, claims: Mapping[str, object]) -> None:
    subject = str(claims.get("sub", ""))
    if auth.bound_subject and not fnmatch.fnmatchcase(subject, auth.bound_subject):
        raise errors.forbidden("Access denied: OIDC subject not allowed.")
    audience = claims.get("aud", [])
    audiences = audience if isinstance(audience, list) else [audience]
    if auth.bound_audiences and not _any_allowed(audiences, auth.bound_audiences):
        raise errors.unauthorized("Access denied: OIDC audience not allowed.")
    for name, allowed in auth.bound_claims.items():
        _check_claim(name, allowed, claims)


def _check_claim(name: str, allowed: str, claims: Mapping[str, object]) -> None:
    value: object = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if not value:
        raise errors.unauthorized(f"Access denied: token has no {name} field")
    if not _any_allowed([value], allowed):
        raise errors.unauthorized("Access denied: OIDC claim not allowed.")


def _any_allowed(values: list[object], policy: str) -> bool:
    wanted = policy.split(", ")
    return any(fnmatch.fnmatchcase(str(value), one) for value in values for one in wanted)
