"""What the API server refuses, in sentences for its user.

A user is shown what it says of their own manifests; the operator passes on no text of an answer.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import lease, provider, record
from leaseholder.api.conditions import Reason
from leaseholder.cli.exits import Failed
from leaseholder.cluster import places, refusals

_OWN_TOKEN: Final = "the operator's own token"  # noqa: S105 - words of a sentence
_KINDS: Final = {
    places.LEASES.plural: lease.DynamicLease.KIND,
    places.PROVIDERS.plural: provider.LeaseProvider.KIND,
    places.CLUSTER_PROVIDERS.plural: provider.ClusterLeaseProvider.KIND,
    places.RECORDS.plural: record.LeaseRecord.KIND,
}
"""What one of a resource is called in sentences."""


_IN_NAMESPACES: Final = frozenset(_KINDS) - {places.CLUSTER_PROVIDERS.plural}
_SERVER: Final = "the API server"


class Missing(Failed):
    """What was asked for isn't there."""


class Unserved(Missing):
    """The API server doesn't know the kind, or somebody else answers in its place."""


class Forbidden(Failed):
    """The user has no right to it: whether it is there isn't known."""


@contextlib.contextmanager
def translated(verb: str, place: places.Place, server: str = "") -> Iterator[None]:
    """What the API server refuses, as a sentence for its user.

    Args:
        verb: what is asked for, as in RBAC rules.
        place: of what.
        server: host and port of the API server, where they are known.

    Raises:
        Failed: instead of what was raised.
    """
    failure: Failed
    try:
        yield
    except refusals.NotFound as error:
        failure = _missing(place, error)
    except errors.Refused as error:
        failure = (
            _forbidden(verb, place) if error.reason == Reason.DENIED else Failed(error.sentence)
        )
    except errors.Conflict:
        failure = Failed(f"{place} was changed or made again meanwhile: try again")
    except errors.ClusterUnavailable as error:
        sentence = error.sentence.replace(_OWN_TOKEN, "your login")
        at = f"{_SERVER} at {server}" if server else _SERVER
        failure = Failed(sentence.replace(_SERVER, at, 1))
    else:
        return
    raise failure


def _missing(place: places.Place, error: refusals.NotFound) -> Missing:
    if not (place.name and error.names_object):
        return Unserved(
            f"the API server has no {place.resource}: is the operator installed there "
            "(docs/install.md), and is it the --context that you mean?"
        )
    what = _KINDS.get(place.resource, place.resource)
    where = f" in namespace {place.namespace}: mind -n" if place.namespace else ""
    return Missing(f"there is no {what} {place.name}{where}")


def _forbidden(verb: str, place: places.Place) -> Forbidden:
    where = f" in namespace {place.namespace}" if place.namespace else ""
    if not where and place.resource in _IN_NAMESPACES:
        where = " in all namespaces: write -n NAMESPACE"
    return Forbidden(f"you have no right to {verb} {place.resource}{where} (docs/cli.md, Rights)")


def complaints(status: Mapping[str, Any]) -> list[str]:
    """What the API server finds wrong with a manifest: each field with its sentence."""
    found = [
        f"{one['field']}: {one.get('message')}"
        for one in refusals.causes(status)
        if one.get("field")
    ]
    return found or [str(status.get("message") or "it is refused without a word")]
