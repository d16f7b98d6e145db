"""What the API server refuses, in sentences for its user.

A user is shown what it says of their own manifests; the operator passes on no text of an answer.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import lease, names, provider, record
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


class Missing(Failed):
    """What was asked for isn't there."""


class Forbidden(Failed):
    """The user has no right to it: whether it is there isn't known."""


@contextlib.contextmanager
def translated(place: places.Place) -> Iterator[None]:
    """What the API server refuses, as a sentence for its user.

    Raises:
        Failed: instead of what was raised.
    """
    where = f" in namespace {place.namespace}" if place.namespace else ""
    sentence = missing = forbidden = ""
    try:
        yield
    except refusals.NotFound:
        named = f" {place.name}" if place.name else ""
        known = f"is the CRD of {names.GROUP} installed?" if not place.name else "mind -n"
        what = _KINDS.get(place.resource, place.resource) if place.name else place.resource
        missing = f"there is no {what}{named}{where}: {known}"
    except errors.Refused as error:
        sentence = error.sentence
        if error.reason == Reason.DENIED:
            forbidden = f"you have no right to {place.resource}{where} (docs/cli.md, Rights)"
    except errors.Conflict:
        sentence = f"{place} was changed or made again meanwhile: try again"
    except errors.ClusterUnavailable as error:
        sentence = error.sentence.replace(_OWN_TOKEN, "your login")
    else:
        return
    if missing:
        raise Missing(missing)
    if forbidden:
        raise Forbidden(forbidden)
    raise Failed(sentence)


def complaints(status: Mapping[str, Any]) -> list[str]:
    """What the API server finds wrong with a manifest: each field with its sentence."""
    found = [
        f"{one['field']}: {one.get('message')}"
        for one in refusals.causes(status)
        if one.get("field")
    ]
    return found or [str(status.get("message") or "it is refused without a word")]
