"""What the API server's refusals mean, in sentences of our own.

Flows in: an answer other than 2xx, as ``client`` read it. Flows out: one of our errors. An answer's
message may quote what was sent, Secret data included, and admission webhooks write there what they
like. So the message is looked at to tell cases apart and never passed on; of the rest only field
paths are, cut at the first key.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.cluster import places

_FIELD: Final = re.compile(r"(data|(?:metadata|spec|status|type|immutable)(?:\.[A-Za-z]+){0,6})\b")
_WEBHOOK: Final = re.compile(r'admission webhook "([a-z0-9.-]{1,253})" denied the request')
_POLICY: Final = re.compile(
    r"""(?:[a-z0-9.]+ "[^"]*" is forbidden: )?"""
    r"""ValidatingAdmissionPolicy '([a-z0-9.-]{1,253})' with """
)
"""How a message begins that tells whose rule it is (apiserver: admission/plugin/webhook/errors,
admission/plugin/policy/validating). What that one says comes after it."""
_IMMUTABLE: Final = "field is immutable when `immutable` is set"
"""What the API server says of the data of an immutable Secret (apis/core/validation)."""
_TOO_LARGE: Final = re.compile(
    "etcdserver: request is too large$"
    "|rpc error: code = ResourceExhausted desc = trying to send message larger than max"
)
"""What etcd says of an object of more than 1.5 MiB, managed fields and all: no later try helps. The
API server answers 500 for it (kubernetes/kubernetes#112152)."""
_WRITES: Final = frozenset({"create", "patch", "delete"})


def _power(name: str) -> str:
    """One of the four roles that the chart's values bind."""
    return f"the ClusterRole leaseholder-{name} there (in the chart's values: rights.{name})"


_REVIEWS: Final = (
    "the ClusterRole system:auth-delegator, cluster-wide (in the chart's values: metricsAuth)"
)
"""A role of Kubernetes' own, so that it is there without the chart, too."""

ROLES: Final[Mapping[str, str]] = {
    places.SECRETS.plural: _power("secrets"),
    f"{places.SERVICE_ACCOUNTS.plural}/token": _power("tokens"),
    places.CONFIG_MAPS.plural: _power("configmaps"),
    places.RECORDS.plural: "the Role leaseholder-ledger there",
    places.ELECTIONS.plural: "the Role leaseholder-ledger there",
    **{kind.plural: _power("workloads") for kind in places.WORKLOADS},
    places.TOKEN_REVIEWS.plural: _REVIEWS,
    places.ACCESS_REVIEWS.plural: _REVIEWS,
}
"""What to bind for a right that is missing, by resource: in a release of another name than
`leaseholder` the roles have its name before theirs."""
_WIDE: Final = "the ClusterRole leaseholder, cluster-wide"
_LONGEST_WAIT: Final = 30.0
"""Seconds for which an answer may hold the next try back: the API server itself says 1 to 10."""
_AWAY: Final = frozenset({401, 408, 429})


class NotFound(errors.Refused):
    """404: the object isn't there, or the namespace it was to be made in isn't."""

    names_object = False
    """Whether the answer names what isn't there; a CRD that isn't served, or a proxy on the way,
    answers 404 for all."""


def translate(
    verb: str,
    place: places.Place,
    *,
    code: int,
    status: Mapping[str, Any],
    retry_after: float | None = None,
) -> errors.ClusterError:
    """The error for an answer that isn't 2xx; ``status`` is its body, a ``meta/v1 Status``."""
    if code == 409 or (code == 422 and _is_another(status)):
        return errors.Conflict(Reason.CONFLICT, f"can't {verb} {place}: {_conflict(status)}")
    if code == 500 and _TOO_LARGE.match(str(status.get("message", ""))):
        code = 413
    if code in _AWAY or code >= 500:
        sentence = f"the API server couldn't {verb} {place} now: {_away(code)}"
        return errors.ClusterUnavailable(Reason.CLUSTER, sentence, retry_after=retry_after)
    sentence = f"can't {verb} {place}: {_refusal(verb, place, code, status)}"
    if code != 404:
        return errors.Refused(_reason(verb, code, place), sentence)
    gone = NotFound(_reason(verb, code, place), sentence)
    details = status.get("details")
    gone.names_object = isinstance(details, Mapping) and bool(details.get("name"))
    return gone


def seconds(retry_after: str | None) -> float | None:
    """Seconds to wait, by the answer; a proxy on the way may state a day, or what is no number."""
    if retry_after is None or not re.fullmatch("[0-9]{1,9}", retry_after):
        return None
    return min(float(retry_after), _LONGEST_WAIT)


def unreachable(verb: str, place: places.Place, what: str) -> errors.ClusterUnavailable:
    """The error for a request that got no usable answer."""
    return errors.ClusterUnavailable(
        Reason.CLUSTER, f"the API server couldn't {verb} {place} now: {what}"
    )


def _is_another(status: Mapping[str, Any]) -> bool:
    """Whether a patch met an object of another uid, which the API server calls invalid."""
    return any(cause.get("field") == "metadata.uid" for cause in causes(status))


def _reason(verb: str, code: int, place: places.Place) -> Reason:
    if place.resource == places.SECRETS.plural and verb in _WRITES:
        return Reason.WRITE_REFUSED
    return Reason.DENIED if code == 403 else Reason.INVALID


def _away(code: int) -> str:
    if code == 401:
        return "it doesn't accept the operator's own token (401)"
    return "too many requests (429)" if code == 429 else f"it answered {code}"


def _conflict(status: Mapping[str, Any]) -> str:
    if status.get("reason") == "AlreadyExists":
        return "it exists already"
    return "it was changed or replaced meanwhile"


def _refusal(verb: str, place: places.Place, code: int, status: Mapping[str, Any]) -> str:
    message = str(status.get("message", ""))
    if rule := _WEBHOOK.match(message):
        return f"the admission webhook {rule[1]} refuses it"
    if rule := _POLICY.match(message):
        return f"the ValidatingAdmissionPolicy {rule[1]} refuses it"
    if code == 403:
        return _forbidden(verb, place, status)
    if code == 404:
        return "not found"
    if code == 413:
        return "it is too large"
    if any(_IMMUTABLE in str(cause.get("message", "")) for cause in causes(status)):
        return "it is immutable: delete it, and it is made again, with a new lease"
    fields = ", ".join(sorted(set(_fields(status))))
    if fields == "type" and place.resource == places.SECRETS.plural and verb == "patch":
        return "it is of another type, and no write changes that: delete it, and it is made again"
    return f"the API server finds it invalid ({code})" + (f", see {fields}" if fields else "")


def _forbidden(verb: str, place: places.Place, status: Mapping[str, Any]) -> str:
    message = str(status.get("message", ""))
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes(status)):
        return f"the namespace {place.namespace} is being deleted"
    if "exceeded quota" in message:
        return "a resource quota of the namespace is used up"
    if "set blockOwnerDeletion" in message:
        return _lacking("update", f"{places.LEASES.plural}/finalizers")
    if f'cannot {verb} resource "' in message:
        return _lacking(verb, place.resource)
    return "an admission rule of the cluster forbids it"


def _lacking(verb: str, resource: str) -> str:
    """Which right is missing, and what to bind for it."""
    role = ROLES.get(resource, _WIDE)
    return f"the operator has no right to {verb} {resource}: bind {role}"


def causes(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What an answer of the API server says is wrong, one by one."""
    details = status.get("details")
    found = details.get("causes") if isinstance(details, Mapping) else None
    for cause in found if isinstance(found, list) else ():
        if isinstance(cause, Mapping):
            yield cause


def _fields(status: Mapping[str, Any]) -> Iterator[str]:
    for cause in causes(status):
        found = _FIELD.match(str(cause.get("field", "")))
        if found:
            yield found[1]
