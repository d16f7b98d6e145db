"""What ``doctor`` finds: from what the API server shows to sentences that say what to do.

Nothing here asks anybody: whether a provider answers stands in its status, as the operator saw it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import leaseholder
from leaseholder.api import base, conditions, crds, lease, names, provider, reasons
from leaseholder.api.conditions import Condition, ConditionType, Reason
from leaseholder.cli import views
from leaseholder.cli.event import moment

_MOST: Final = 10
"""So many objects are named in each check."""
_SKEW: Final = 60
"""Seconds of difference between clocks that somebody should see to."""
_OVERDUE: Final = timedelta(seconds=60)
_LONG_PENDING: Final = timedelta(hours=1)
_ELECTION: Final = timedelta(seconds=30)
"""A Lease that nobody renewed for so long: nobody leads."""


class Level(StrEnum):
    """How bad it is; ``UNSEEN``: you have no right to see it."""

    OK = "ok"
    UNSEEN = "unseen"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``."""

    level: Level
    check: str
    message: str


def of_crds(found: Mapping[str, Mapping[str, Any] | None]) -> list[Finding]:
    """Whether each CRD is there, served, and the one of this command's version.

    Args:
        found: what the API server has, by the CRD's name; None: it isn't there.
    """
    wrong = []
    for kind in crds.KINDS:
        wanted = crds.manifest(kind)
        name = wanted["metadata"]["name"]
        why = _crd_fault(found.get(name), wanted["spec"]["versions"][0])
        if why:
            wrong.append(Finding(Level.FAIL, "crds", f"{name} {why}"))
    sentence = f"{len(found)} of {len(crds.KINDS)}, as version {leaseholder.__version__} has them"
    return wrong or [Finding(Level.OK, "crds", sentence)]


def _crd_fault(crd: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> str:
    apply = (
        f"apply the CRDs of version {leaseholder.__version__}, which this command is of "
        "(leaseholder crds | kubectl apply --server-side -f -, or the chart)"
    )
    if crd is None:
        return f"isn't there: {apply}"
    versions = (crd.get("spec") or {}).get("versions") or []
    served = next((one for one in versions if one.get("name") == names.VERSION), None)
    if served is None or not served.get("served"):
        return f"doesn't serve {names.VERSION}: {apply}"
    known = (crd.get("status") or {}).get("conditions") or []
    if not any(one.get("type") == "Established" and one.get("status") == "True" for one in known):
        return "isn't established yet: see its conditions"
    if served.get("schema") != wanted["schema"]:
        return f"is that of another version: {apply}, or take the command of the operator's version"
    return ""


def of_operator(seat: Mapping[str, Any] | None, where: str, now: datetime) -> Finding:
    """Whether an operator leads, by its Lease; ``where`` is its namespace, and its shard."""
    if seat is None:
        sentence = (
            f"there is no Lease of an operator in {where}: none ran there, or with "
            "leaderElection: false; write --operator where it is another"
        )
        return Finding(Level.WARN, "operator", sentence)
    spec = seat.get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    renewed = moment(spec.get("renewTime"))
    if not holder or renewed is None or now - renewed > _ELECTION:
        since = f"since {views.length(now - renewed)}" if renewed is not None else "at all"
        sentence = f"no operator leads in {where} {since}: see whether its pods run"
        return Finding(Level.FAIL, "operator", sentence)
    ago = views.length(now - renewed)
    return Finding(Level.OK, "operator", f"{holder} leads in {where}, as it said {ago} ago")


def of_providers(known: Sequence[provider.AnyProvider]) -> list[Finding]:
    """Whether providers answer and the login works, and how their clocks differ."""
    found, skewed = list[Finding](), list[str]()
    ready = 0
    for one in known:
        condition = conditions.find(one.status.conditions, ConditionType.READY)
        if condition is not None and condition.status == "True":
            ready += 1
        else:
            found.append(_unready("providers", _named(one), condition))
        skew = one.status.clock_skew_seconds
        if skew is not None and abs(skew) > _SKEW:
            skewed.append(
                f"the clock of {_named(one)} differs by {skew:+d}s from the operator's: set it "
                "(docs/runbook.md, LeaseholderClockSkew)"
            )
    sentence = f"{ready} of {len(known)} Ready: they answer, and the login works"
    good = [Finding(Level.OK, "providers", sentence)] if ready == len(known) and known else []
    if not known:
        good = [Finding(Level.WARN, "providers", "there is none: see kubectl leaseholder init")]
    clocks = [Finding(Level.WARN, "clocks", one) for one in skewed]
    return [*good, *_some(found), *_some(clocks), *_unrecorded(known)]


def _unrecorded(known: Sequence[provider.AnyProvider]) -> list[Finding]:
    """What the last sweeps found; nothing where no provider is swept."""
    swept = [
        (one, condition)
        for one in known
        if (condition := conditions.find(one.status.conditions, ConditionType.UNRECORDED_LEASES))
        is not None
    ]
    found = []
    for one, condition in swept:
        reason = conditions.reason_of(condition.reason)
        if reason is Reason.ALL_RECORDED:
            continue
        level = Level.FAIL if condition.status == "True" else Level.WARN
        remedy = views.unmarked(reasons.entry(reason).remedy)
        sentence = f"{_named(one)}: {views.sentence(condition)}. Do: {remedy}"
        found.append(Finding(level, "sweeps", sentence))
    if swept and not found:
        where = base.counted(len(swept), "provider")
        return [Finding(Level.OK, "sweeps", f"no lease is on no record at {where} with spec.sweep")]
    return _some(found)


def of_leases(known: Sequence[lease.DynamicLease], now: datetime) -> list[Finding]:
    """Which DynamicLeases aren't Ready, are overdue, suspended, or have revocations pending."""
    states = [(dl, conditions.find(dl.status.conditions, ConditionType.READY)) for dl in known]
    unready = [
        _unready("leases", _named(dl), state)
        for dl, state in states
        if state is None or (state.status != "True" and state.reason != Reason.SUSPENDED)
    ]
    troubled = [
        Finding(Level.WARN, "leases", f"{_named(dl)}: {views.sentence(state)}")
        for dl, state in states
        if state is not None
        and state.status == "True"
        and conditions.reason_of(state.reason) not in views.CALM
    ]
    overdue = [
        Finding(Level.FAIL, "renewals", f"{_named(dl)}: {views.next_step(held, now)}")
        for dl in known
        if (held := dl.status.lease) is not None
        and held.renew_at is not None
        and now - held.renew_at > _OVERDUE
        and not dl.deleting
    ]
    suspended = [_named(dl) for dl in known if dl.spec.suspend]
    ready = len(known) - len(unready)
    sentence = (
        f"{ready} of {len(known)} Ready or suspended" if known else "there is no DynamicLease"
    )
    return [
        *([Finding(Level.OK, "leases", sentence)] if not unready else _some(unready)),
        *_some(troubled),
        *_some(overdue),
        *([Finding(Level.WARN, "leases", _listed("suspended", suspended))] if suspended else []),
        _budget(known),
        *_pending(known, now),
    ]


def _budget(known: Sequence[lease.DynamicLease]) -> Finding:
    """Whether something waits because its provider takes no more requests for now."""
    throttled = [_named(dl) for dl in known if Reason.THROTTLED in _waits_for(dl)]
    if not throttled:
        return Finding(Level.OK, "budget", "nothing waits for requests that a provider allows")
    what = "waits" if len(throttled) == 1 else "wait"
    sentence = _listed(f"{what} for requests that the provider allows", throttled)
    remedy = views.unmarked(reasons.entry(Reason.THROTTLED).remedy)
    return Finding(Level.WARN, "budget", f"{sentence}. Do: {remedy}")


def _waits_for(dl: lease.DynamicLease) -> set[str]:
    """The reasons that a DynamicLease's status has."""
    retry = {dl.status.retry.reason} if dl.status.retry is not None else set()
    return retry | {one.reason for one in dl.status.conditions}


def _pending(known: Sequence[lease.DynamicLease], now: datetime) -> list[Finding]:
    pending = [
        (condition.last_transition_time, dl, condition)
        for dl in known
        if (condition := conditions.find(dl.status.conditions, ConditionType.REVOCATION_PENDING))
        is not None
        and condition.status == "True"
    ]
    if not pending:
        return [Finding(Level.OK, "revocations", "none is pending")]
    pending.sort(key=lambda one: one[0])
    found = []
    for since, dl, condition in pending:
        calm = (
            condition.reason in (Reason.REVOCATION_PENDING, Reason.DELETING)
            and now - since < _LONG_PENDING
        )
        level = Level.OK if calm else Level.FAIL
        said = views.sentence(condition)
        sentence = f"{_named(dl)}: pending since {views.length(now - since)}, {said}"
        found.append(Finding(level, "revocations", sentence))
    return _some(found)


def _unready(check: str, name: str, known: Condition | None) -> Finding:
    if known is None or known.status == "Unknown":
        sentence = (
            f"{name}: the operator hasn't checked it yet: does it run, and serve the namespace?"
        )
        return Finding(Level.WARN, check, sentence)
    reason = conditions.reason_of(known.reason)
    if reason in (Reason.PROGRESSING, Reason.DELETING, Reason.ROTATING):
        return Finding(Level.WARN, check, f"{name}: {views.sentence(known)}")
    remedy = views.unmarked(reasons.entry(reason).remedy)
    return Finding(Level.FAIL, check, f"{name}: {views.sentence(known)}. Do: {remedy}")


def _some(found: Sequence[Finding]) -> list[Finding]:
    """The worst of them, and how many more there are."""
    worst = sorted(found, key=lambda one: list(Level).index(one.level), reverse=True)
    if len(worst) <= _MOST:
        return worst
    rest = worst[_MOST:]
    return [*worst[:_MOST], Finding(rest[0].level, rest[0].check, f"and {len(rest)} more")]


def _listed(what: str, who: Sequence[str]) -> str:
    more = f" and {len(who) - _MOST} more" if len(who) > _MOST else ""
    return f"{len(who)} {what}: {', '.join(who[:_MOST])}{more}"


def _named(one: provider.AnyProvider | lease.DynamicLease) -> str:
    meta = one.metadata
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


def worst(found: Iterable[Finding]) -> Level:
    """The worst level of all."""
    return max((one.level for one in found), key=list(Level).index, default=Level.OK)


def summary(found: Sequence[Finding]) -> str:
    """How it ends, in a line."""
    levels = [one.level for one in found]
    counts = [
        (levels.count(level), what, more)
        for level, what, more in (
            (Level.FAIL, "failure", ""),
            (Level.WARN, "warning", ""),
            (Level.UNSEEN, "check", " that you have no right to"),
        )
    ]
    parts = [f"{base.counted(n, what)}{more}" for n, what, more in counts if n]
    return f"doctor: {', '.join(parts) or 'all is well'}"
