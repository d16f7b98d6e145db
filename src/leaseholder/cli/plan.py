"""``plan -f FILE``: what would become of a manifest, without a lease and without a change.

The API server is asked to apply each object without storing it; what it refuses is its own
sentence, because the manifest is the user's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click
import pydantic

from leaseholder.api import base, crds, lease, names, provider
from leaseholder.cli import exits, manifests, planned, refused, rights, session, tables
from leaseholder.cli.exits import Failed
from leaseholder.cli.manifests import Manifest
from leaseholder.cluster import places

_KINDS: Final = {kind.kind: kind for kind in crds.KINDS if kind.kind != "LeaseRecord"}
_MODELS: Final[Mapping[str, type[provider.AnyProvider]]] = {
    "LeaseProvider": provider.LeaseProvider,
    "ClusterLeaseProvider": provider.ClusterLeaseProvider,
}
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Beside:
    """What else a file brings along."""

    providers: Mapping[Key, provider.AnyProvider]
    namespaces: frozenset[str]
    secrets: Mapping[tuple[str, str], dict[str, Any]]
    """The metadata of Secrets, by namespace and name."""


async def show(login: dict[str, Any], path: str) -> bool:
    """Say of each object of ours in a file what would become of it.

    Returns:
        Whether nothing is wrong.

    Raises:
        Failed: the file can't be read, or there is no API server.
    """
    found = manifests.read(path)
    ours = [one for one in found if manifests.group(one) == names.GROUP and one["kind"] in _KINDS]
    if not ours:
        none = "has no DynamicLease, LeaseProvider or ClusterLeaseProvider"
        raise Failed(f"{manifests.title(path)} {none}")
    async with session.opened(**login) as user:
        spaces = (one for one in found if one["kind"] == "Namespace")
        namespaces = frozenset(map(manifests.name, spaces))
        secrets = {
            (manifests.namespace(one, user.namespace), manifests.name(one)): manifests.metadata(one)
            for one in found
            if one["kind"] == "Secret"
        }
        beside = Beside(_providers(ours, user.namespace), namespaces, secrets)
        reports = [await _report(user, one, beside) for one in ours]
    for number, report in enumerate(reports):
        tables.lines([""] if number else [])
        tables.lines([report.title])
        faults = [("FAIL", text) for text in report.faults]
        tables.details((f"  {label}", text) for label, text in (*faults, *report.lines))
    wrong = sum(len(report.faults) for report in reports)
    sentence = f"{base.counted(wrong, 'fault')}: mend them first" if wrong else _well(path)
    click.echo(exits.printable(f"Nothing was issued or changed. {sentence}"), err=True)
    return not wrong


def _well(path: str) -> str:
    return f"To apply it: kubectl apply -f {exits.quoted(path)}"


def _providers(ours: Sequence[Manifest], namespace: str) -> dict[Key, provider.AnyProvider]:
    """The providers that a file brings along, as far as they can be read."""
    found = dict[Key, provider.AnyProvider]()
    for one in ours:
        model = _MODELS.get(one["kind"])
        if model is None:
            continue
        try:
            read = model.model_validate(_placed(one, namespace))
        except pydantic.ValidationError:
            continue
        found[one["kind"], read.metadata.namespace, read.metadata.name] = read
    return found


def _placed(manifest: Manifest, namespace: str) -> Manifest:
    """The manifest in the namespace that kubectl would apply it to."""
    home = manifests.namespace(manifest, namespace) if _is_namespaced(manifest) else ""
    meta = {**manifests.metadata(manifest), "name": manifests.name(manifest)}
    return {**manifest, "metadata": {**meta, **({"namespace": home} if home else {})}}


def _is_namespaced(manifest: Manifest) -> bool:
    return _KINDS[manifest["kind"]].namespaced


async def _report(
    user: session.Session, manifest: Manifest, beside: Beside
) -> planned.ObjectReport:
    placed = _placed(manifest, user.namespace)
    kind, meta = _KINDS[manifest["kind"]], placed["metadata"]
    home, name = str(meta.get("namespace") or ""), str(meta["name"])
    report = planned.ObjectReport(f"{kind.kind} {f'{home}/{name}' if home else name}")
    if not name:
        report.complain("metadata.name is missing")
        return report
    place = places.Resource(f"/apis/{names.API_VERSION}", kind.plural).at(home, name)
    code, said = await user.tried(place, placed)
    if code == 404 and home in beside.namespaces:
        report.say("namespace", f"{home}, in this file: the schema is checked when it is there")
    elif code >= 300:
        report.faults += _refusal(code, said, home)
    model = _MODELS.get(kind.kind, lease.DynamicLease)
    try:
        read = model.model_validate(placed)
    except pydantic.ValidationError as error:
        if code < 300 or code == 404:
            report.faults += manifests.faults(error)
        return report
    if isinstance(read, lease.DynamicLease):
        await _lease(user, read, report, beside)
    else:
        await _provider(user, read, report)
        await _logins(user, read, report, beside)
    return report


def _refusal(code: int, said: list[str], home: str) -> list[str]:
    """What the API server says, in words of ours where it says little."""
    if code == 404 and any("namespaces" in one for one in said):
        return [f"there is no namespace {home}: create it first; then the schema is checked, too"]
    if code == 404:
        return ["the API server doesn't know this kind: install the operator (docs/install.md)"]
    if code == 403:
        return ["you have no right to apply it (docs/cli.md, Rights)"]
    return said


async def _provider(
    user: session.Session, read: provider.AnyProvider, report: planned.ObjectReport
) -> None:
    meta = read.metadata
    server = provider.server_of(read.spec)
    where = f"{provider.type_of(read.spec)} at {server.url}" if server is not None else "?"
    try:
        before = await user.provider(read.KIND, meta.namespace, meta.name)
    except refused.Forbidden as failure:
        report.say("unknown", f"{where}; whether it is there isn't known: {failure.message}")
        return
    if before is None:
        report.say("new", f"{where}; whether it answers shows in its status, seconds later")
    elif before.spec == read.spec:
        report.say("unchanged", where)
    else:
        report.say("changed", f"{where}; leases stay, and the next request goes by it")


async def _logins(
    user: session.Session, read: provider.AnyProvider, report: planned.ObjectReport, beside: Beside
) -> None:
    """Whether the Secrets that it logs in with are there; their data isn't read."""
    home = read.metadata.namespace
    refs = rights.references(provider.auth_of(read.spec), "SecretRef")
    for place in sorted({(str(ref.get("namespace") or home), str(ref["name"])) for ref in refs}):
        try:
            meta = beside.secrets.get(place) or await user.secret_metadata(*place)
        except refused.Forbidden as failure:
            unknown = f"whether Secret {'/'.join(place)} is there isn't known: {failure.message}"
            report.say("login", unknown)
        else:
            planned.login(report, place, meta)


async def _lease(
    user: session.Session,
    dl: lease.DynamicLease,
    report: planned.ObjectReport,
    beside: Beside,
) -> None:
    now, meta, ref = datetime.now(UTC), dl.metadata, dl.spec.provider_ref
    try:
        before = await user.dynamic_lease(meta.name, meta.namespace)
    except refused.Missing:
        before = None
    except refused.Forbidden as failure:
        before = None
        why = "whether it is there isn't known, and what follows is for a new one: "
        report.say("unknown", why + failure.message)
    home = meta.namespace if ref.kind == "LeaseProvider" else ""
    new = beside.providers.get((ref.kind, home, ref.name))
    try:
        stored = await user.provider(ref.kind, home, ref.name)
    except refused.Forbidden as failure:
        stored, hidden = None, failure.message
    else:
        hidden = ""
    if new is None and hidden:
        planned.unknown_supply(report, dl, hidden)
    else:
        labels = await _labels(user, dl)
        planned.supply(report, dl, stored or new, labels, is_new=stored is None)
    planned.issue(report, dl, before)
    planned.times(report, dl, before, now)
    try:
        planned.secret(report, dl, await user.secret_metadata(meta.namespace, dl.secret_name))
    except refused.Forbidden as failure:
        report.say(
            "Secret", f"{dl.secret_name}: whether it is there isn't known: {failure.message}"
        )
    planned.contents(report, dl, before)
    planned.restarts(report, dl)


async def _labels(user: session.Session, dl: lease.DynamicLease) -> Mapping[str, str] | str:
    """The labels of its Namespace; why they aren't known, where that is so, or counts for nothing.

    Raises:
        Failed: the API server doesn't say.
    """
    if dl.spec.provider_ref.kind != "ClusterLeaseProvider":
        return ""
    try:
        labels = await user.namespace_labels(dl.metadata.namespace)
    except refused.Forbidden as failure:
        return failure.message
    return "there is no such namespace yet" if labels is None else labels
