"""What an adapter logs in with at its provider, read live each time.

Flows in: the references of a provider object. Flows out: the text of a Secret's key, a token of a
ServiceAccount, a CA bundle. The adapters' logins (``providers.kit.login``) ask.

References stay in the provider's namespace; only a ClusterLeaseProvider names another. A token
for the API server's own audience would let the provider act in this cluster as the
ServiceAccount, so none is made.

A provider object that is gone refers to nothing any more: whoever made its namespace or its name
again owns what now stands under the same names, and never agreed to its server's address.
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import names, refs
from leaseholder.api.conditions import Reason
from leaseholder.cluster import client, places, refusals
from leaseholder.ports.credentials import Access
from leaseholder.secrecy import Hidden

_LIFETIME: Final = 600
_API_SERVERS: Final = frozenset(
    {
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default",
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc",
        "kubernetes.default",
    }
)


class LiveCredentialing:
    """``Credentialing`` for one provider."""

    def __init__(self, api: client.Api, access: Access, *, require_label: bool = False) -> None:
        """``require_label``: Secrets without the label ``leaseholder.dev/auth`` aren't used."""
        self._api = api
        self._access = access
        self._require_label = require_label

    async def secret_value(self, ref: refs.SecretKeyRef) -> Hidden:
        """One value of a Secret, without white space round it."""
        place = places.SECRETS.at(self._namespace(ref.namespace), ref.name)
        found = await self._read(place)
        await self._check_still_there()
        text = _decoded((found.get("data") or {}).get(ref.key))
        if text is None or not text.strip():
            raise _missing(f"the Secret {_named(place)} has no text under {ref.key}: add it")
        return Hidden(text.strip())

    async def service_account_token(self, ref: refs.ServiceAccountRef, audience: str) -> Hidden:
        """A token for ``audience`` that lives ten minutes."""
        if self._is_api_servers(audience):
            raise _missing("no token is made for the API server's own audience: name another")
        place = places.SERVICE_ACCOUNTS.at(self._namespace(ref.namespace), ref.name, "token")
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": _LIFETIME},
        }
        answer = await self._asked("POST", place, body, what=f"ServiceAccount {_named(place)}")
        await self._check_still_there()
        return Hidden(answer["status"]["token"])

    async def ca_bundle(self) -> str | None:
        """The PEM in the spec or where it points."""
        spec = self._access.spec
        ref = spec.ca_bundle_ref
        if ref is None:
            return spec.ca_bundle
        resource = places.SECRETS if ref.kind == "Secret" else places.CONFIG_MAPS
        place = resource.at(self._namespace(ref.namespace), ref.name)
        found = (await self._read(place, ref.kind)).get("data") or {}
        await self._check_still_there()
        text = _decoded(found.get(ref.key)) if ref.kind == "Secret" else found.get(ref.key)
        if not isinstance(text, str) or not text.strip():
            raise _missing(f"the {ref.kind} {_named(place)} has no text under {ref.key}: add it")
        return text

    def _namespace(self, named: str | None) -> str:
        own = self._access.namespace
        if own is not None and named not in (None, own):
            raise _missing("references of a LeaseProvider stay in its own namespace")
        namespace = named or own
        if namespace is None:
            raise _missing("each reference of a ClusterLeaseProvider names its namespace")
        return namespace

    async def _check_still_there(self) -> None:
        """See that the provider object is the one whose references these are.

        After what it refers to was read: an object dies with its namespace, so the same uid
        afterwards proves that the namespace was the same one, too.

        Raises:
            Denied: it is gone, or another one stands under its name.
            Unavailable: the API server is away.
        """
        of = self._access.of
        resource = places.PROVIDERS if of.namespace else places.CLUSTER_PROVIDERS
        found = await self._asked("GET", resource.at(of.namespace, of.name), None, absent={})
        if (found.get("metadata") or {}).get("uid") != of.uid:
            raise errors.Denied(
                Reason.AUTH_GONE,
                f"{of.kind} {of.name} is gone, so what it refers to isn't read for its server any "
                "more",
            )

    def _is_api_servers(self, audience: str) -> bool:
        plain = _plain(audience)
        return not plain or plain in _API_SERVERS or plain in audiences_of(self._api.bearer())

    async def _read(self, place: places.Place, kind: str = "Secret") -> client.Body:
        found = await self._asked("GET", place, None, what=f"{kind} {_named(place)}")
        if kind == "Secret" and self._require_label:
            _check_label(found, place)
        return found

    async def _asked(
        self,
        method: str,
        place: places.Place,
        body: client.Body | None,
        *,
        what: str = "",
        absent: client.Body | None = None,
    ) -> client.Body:
        """The answer; where there is no such object ``absent``, or an error about ``what``."""
        try:
            return await self._api.request(method, place, body=body)
        except refusals.NotFound:
            if absent is not None:
                return absent
            raise _missing(f"there is no {what}: create it") from None
        except errors.ClusterUnavailable as away:
            raise errors.Unavailable(
                away.reason, away.sentence, sent=False, retry_after=away.retry_after
            ) from None
        except errors.ClusterError as refusal:
            raise _missing(refusal.sentence) from None


def _check_label(found: client.Body, place: places.Place) -> None:
    """See that whoever may write the Secret meant it for providers.

    Raises:
        Denied: it isn't labelled so.
    """
    if ((found["metadata"].get("labels")) or {}).get(names.AUTH) != "true":
        raise _missing(
            f"the Secret {_named(place)} isn't labelled for providers: kubectl -n "
            f"{place.namespace} label secret {place.name} {names.AUTH}=true"
        )


def audiences_of(token: Hidden | None) -> frozenset[str]:
    """Audiences and issuer in the operator's own token: those of the API server."""
    claims = _claims(token.reveal()) if token is not None else {}
    audience = claims.get("aud") or ()
    named = [audience] if isinstance(audience, str) else list(audience)
    return frozenset(_plain(text) for text in (*named, claims.get("iss") or "") if text)


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    with contextlib.suppress(ValueError):
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        if isinstance(claims, dict):
            return claims
    return {}


def _plain(audience: str) -> str:
    return audience.strip().rstrip("/").lower()


def _named(place: places.Place) -> str:
    return f"{place.namespace}/{place.name}"


def _missing(sentence: str) -> errors.Denied:
    return errors.Denied(Reason.AUTH_MISSING, sentence)


def _decoded(value: str | None) -> str | None:
    with contextlib.suppress(binascii.Error, UnicodeDecodeError):
        return base64.b64decode(value).decode() if value else None
    return None
