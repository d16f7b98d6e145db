"""What a manifest would come to: pure, from the objects as they are and as they are to be.

The rules are the operator's own: core/schedule.py says when, core/templates.py what the Secret
holds. What the provider makes of it (its maximum, the keys that it gives) shows only with a lease.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import conditions, durations, lease, names, provider, refs, secret_types
from leaseholder.api.conditions import ConditionType
from leaseholder.cli import exits, views
from leaseholder.core import schedule, templates

_LONGEST: Final = 120


@dataclass(slots=True)
class ObjectReport:
    """What is said of one object: lines, and what is wrong with it."""

    title: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def say(self, label: str, text: str) -> None:
        """Say something that is well."""
        self.lines.append((label, text))

    def complain(self, text: str) -> None:
        """Say what is wrong."""
        self.faults.append(text)


def issue(report: ObjectReport, dl: lease.DynamicLease, before: lease.DynamicLease | None) -> None:
    """What becomes of the lease at once."""
    held = before.status.lease if before is not None else None
    if dl.spec.suspend:
        report.say("lease", "none is issued or replaced: spec.suspend is true")
    elif before is None or held is None:
        ttl = f"ttl {dl.spec.ttl}" if dl.spec.ttl else "the provider's default ttl"
        report.say("lease", f"one is issued at once, {_source(dl)}, {ttl}")
    elif (before.source, before.spec.provider_ref) != (dl.source, dl.spec.provider_ref):
        report.say(
            "lease",
            f"a new one is issued at once, as provider or source change, {_source(dl)}; the old "
            f"one lives on for {dl.spec.rotation.overlap} at least",
        )
    else:
        report.say("lease", "stays: neither provider nor source change")


def times(
    report: ObjectReport, dl: lease.DynamicLease, before: lease.DynamicLease | None, now: datetime
) -> None:
    """When it is renewed and replaced."""
    held = before.status.lease if before is not None else None
    strategy, renewal = dl.spec.renewal.strategy, dl.spec.renewal
    what = {
        "Auto": "renewed, or replaced where the provider can't renew it,",
        "Renew": "renewed",
        "Rotate": "replaced",
    }[strategy]
    life = durations.parse(dl.spec.ttl) if dl.spec.ttl else None
    if held is not None and life is None:
        life = held.expires_at - held.issued_at
    if life is None:
        share = f"after {renewal.after_percent or schedule.DEFAULT_PERCENT} % of the ttl"
        report.say(
            "then", f"{what} {f'{renewal.before} before its end' if renewal.before else share}"
        )
    else:
        due = schedule.due(renewal, life, now + life) - now
        report.say("then", f"{what} {views.length(due)} after its issue, and so on")
        if schedule.before_is_cut(renewal, life):
            half = views.length(life / 2)
            report.say("", f"renewal.before counts for at most half of the ttl: {half}")
    if dl.spec.rotation.max_age is not None:
        sentence = f"replaced when it is {dl.spec.rotation.max_age} old"
        age = now - held.issued_at if held is not None else timedelta()
        if age >= durations.parse(dl.spec.rotation.max_age):
            sentence += f": the present one is {views.length(age)} old, so at once"
        report.say("", sentence)


def login(report: ObjectReport, place: tuple[str, str], meta: Mapping[str, Any] | None) -> None:
    """Whether a provider can read what it logs in with; it waits for what isn't there yet.

    Args:
        report: where it is said.
        place: namespace and name of the Secret.
        meta: its metadata; None: there is none.
    """
    home, name = place
    if meta is None:
        report.say("login", f"there is no Secret {home}/{name} yet: the provider waits for it")
        return
    if (meta.get("labels") or {}).get(names.AUTH) == "true":
        report.say("login", f"by Secret {home}/{name}")
        return
    command = f"kubectl -n {exits.quoted(home)} label secret {exits.quoted(name)} {names.AUTH}=true"
    report.say(
        "login",
        f"by Secret {home}/{name}, which isn't labelled. Unless the operator runs with "
        f"requireAuthLabel: false, do: {command}",
    )


def secret(report: ObjectReport, dl: lease.DynamicLease, meta: Mapping[str, Any] | None) -> None:
    """What the Secret holds, and whether it may be written.

    Args:
        report: where it is said.
        dl: as it is to be.
        meta: the metadata of the Secret that stands there; None: there is none.
    """
    if meta is None:
        report.say("Secret", f"{dl.secret_name} is made")
        return
    owner = str((meta.get("annotations") or {}).get(names.OWNER_NAME) or "")
    if names.OWNER_UID in (meta.get("labels") or {}):
        if owner == dl.metadata.name:
            report.say("Secret", f"{dl.secret_name} is ours and stays")
            return
        report.complain(
            f"Secret {dl.secret_name} belongs to DynamicLease {owner}: of two that want one Secret "
            "the older gets it; write another target.secretName"
        )
        return
    sentence = (
        f"Secret {dl.secret_name} belongs to somebody else, and isn't touched (SecretNotOurs): "
    )
    if dl.spec.suspend:
        report.say("Secret", f"{sentence}take it over before you resume (docs/migration.md)")
        return
    report.complain(
        f"{sentence}delete it, write another target.secretName, or take it over (docs/migration.md)"
    )


def contents(
    report: ObjectReport, dl: lease.DynamicLease, before: lease.DynamicLease | None
) -> None:
    """What the template makes, with dummy values for what only the provider knows."""
    template = dl.spec.target.template
    try:
        compiled = templates.compiled(template.data, template.merge_policy)
    except errors.Invalid as error:
        report.complain(error.sentence)
        return
    given = _given(before)
    if given and not compiled.variables <= given:
        missing = ", ".join(sorted(compiled.variables - given))
        report.complain(f"template.data asks for {missing}, and the provider gives {_list(given)}")
    asked = secret_types.TYPES.get(dl.spec.target.type)
    if asked is not None and (lacking := asked.missing(frozenset(template.data))):
        report.say(
            "keys", f"the provider has to give {', '.join(lacking)}: type {dl.spec.target.type}"
        )
    if template.merge_policy == "Merge":
        report.say("keys", f"the provider's own{f': {_list(given)}' if given else ''}")
    dummies = {name: name for name in compiled.variables}
    try:
        made = compiled.rendered(dummies)
    except errors.Invalid as error:
        report.say("", f"no preview: {error.sentence.partition('; preview:')[0]}")
        return
    for key in sorted(template.data):
        text = made[key]
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        report.say("", f"{key} = {shown}")


def restarts(report: ObjectReport, dl: lease.DynamicLease) -> None:
    """What is restarted for each new lease."""
    targets = dl.spec.rotation.restart_targets
    if not targets:
        why = "pods that run keep the old credentials until these are revoked"
        report.say("restarts", f"none: {why}")
        return
    shown = []
    for one in targets:
        labels = one.selector.match_labels if one.selector is not None else {}
        chosen = ",".join(f"{key}={value}" for key, value in labels.items())
        shown.append(f"{one.kind} {one.name or f'with {chosen}'}")
    waits = "waits for them" if dl.spec.rotation.wait_for_rollout else "doesn't wait for them"
    report.say("restarts", f"{', '.join(shown)}, for each new lease; the old one {waits}")


def supply(
    report: ObjectReport,
    dl: lease.DynamicLease,
    known: provider.AnyProvider | None,
    labels: Mapping[str, str] | str,
    *,
    is_new: bool,
) -> None:
    """Whether the provider that it refers to is there, fits, serves the namespace, and is Ready.

    Args:
        report: where it is said.
        dl: as it is to be.
        known: the provider; None: there is none.
        labels: of the namespace, or why they aren't known.
        is_new: the provider is in the same file.
    """
    ref = dl.spec.provider_ref
    named = f"{ref.kind} {ref.name}"
    if known is None:
        report.complain(f"there is no {named}: create it, or mend spec.providerRef")
        return
    source = next((one for one in refs.TYPES if getattr(dl.spec, one) is not None), "")
    kind = provider.type_of(known.spec) or ""
    if source != kind:
        report.complain(
            f"{named} is of the kind {kind}, and the source is of {source}: mend spec.providerRef, "
            f"or write the source under spec.{kind}"
        )
    if isinstance(known, provider.ClusterLeaseProvider):
        _allowed(report, known, dl.metadata.namespace, labels)
    condition = conditions.find(known.status.conditions, ConditionType.READY)
    if is_new:
        report.say("provider", f"{named}, in this file: whether it answers shows when it is there")
    elif condition is None or condition.status != "True":
        why = views.sentence(condition) if condition is not None else "not checked yet"
        report.complain(f"{named} isn't Ready: {why}")
    else:
        version = f", version {known.status.server_version}" if known.status.server_version else ""
        report.say("provider", f"{named} answers, and the login works{version}")


def unknown_supply(report: ObjectReport, dl: lease.DynamicLease, why: str) -> None:
    """The provider that it refers to may not be seen by the user."""
    ref = dl.spec.provider_ref
    serves = ", serves this namespace" if ref.kind == "ClusterLeaseProvider" else ""
    what = f"whether it is there{serves} and is Ready"
    report.say("provider", f"{ref.kind} {ref.name}: {what} isn't known: {why}")


def _allowed(
    report: ObjectReport,
    known: provider.ClusterLeaseProvider,
    home: str,
    labels: Mapping[str, str] | str,
) -> None:
    named, ways = f"{known.KIND} {known.metadata.name}", known.spec.allowed_namespaces
    given = None if isinstance(labels, str) else labels
    if any(one.has(home, given) for one in ways):
        return
    if isinstance(labels, str) and any(one.selector is not None for one in ways):
        unknown = f"whether {named} allows namespace {home} isn't known: it goes by the labels: "
        report.say("namespace", unknown + labels)
        return
    report.complain(
        f"{named} doesn't allow namespace {home}: its administrator adds "
        "it to spec.allowedNamespaces"
    )


def _given(before: lease.DynamicLease | None) -> frozenset[str]:
    """The keys that the provider gave to the present lease; empty where that isn't known."""
    if before is None or before.status.target is None:
        return frozenset()
    template = before.spec.target.template
    if template.merge_policy != "Merge":
        return frozenset()
    return frozenset(before.status.target.keys).difference(template.data)


def _source(dl: lease.DynamicLease) -> str:
    spec = dl.spec
    if spec.openbao is not None:
        return f"of {spec.openbao.path}"
    if spec.phase is not None:
        return f"of {spec.phase.name or spec.phase.id} in {spec.phase.env}"
    if spec.infisical is not None:
        return f"of {spec.infisical.dynamic_secret_name} in {spec.infisical.environment_slug}"
    return ""


def _list(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys))
