"""What a Secret of ours is to hold, and whether it still does.

A note on the Secret says which keys we wrote and carries their seal: an HMAC under the attempt
id of the record, which only the ledger knows. So a changed value shows without a copy of it
anywhere, and data proves whose it is when annotations were taken off. Namespace and name of the
Secret are under the seal: what somebody copied elsewhere proves nothing there.
"""

import functools
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import pydantic
from pydantic import Field

from leaseholder import errors, ports
from leaseholder.api import base, names
from leaseholder.api.lease import DynamicLease, MergePolicy
from leaseholder.api.lease import Template as Wanted
from leaseholder.api.record import LeaseRecord
from leaseholder.core import secret_data, templates
from leaseholder.secrecy import Credentials

_SEAL_LENGTH: Final = 32


class Contents(base.Model):
    """What we wrote into a Secret: names of keys, never values."""

    own: tuple[str, ...] = ()
    """Keys that hold the provider's values as they came."""
    rendered: tuple[str, ...] = ()
    """Keys that hold what the template made."""
    hidden: tuple[str, ...] = ()
    """The provider's keys that the Secret doesn't hold as they came."""
    template: str = ""
    """Which template data was rendered; empty: none."""
    labels: tuple[str, ...] = ()
    """The template's labels."""
    annotations: tuple[str, ...] = ()
    """The template's annotations."""
    seal: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """Seal of the data and of all of this."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that are ours, sorted."""
        return tuple(sorted({*self.own, *self.rendered}))

    @property
    def provided(self) -> frozenset[str]:
        """The keys that the provider gave."""
        return frozenset((*self.own, *self.hidden))

    def text(self) -> str:
        """The note on the Secret."""
        return json.dumps(self.dump(), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Filling:
    """The whole data of a Secret, and the note about it."""

    values: Credentials
    contents: Contents


def noted(secret: ports.SecretView) -> Contents | None:
    """The note on a Secret; None where there is none that can be read."""
    text = secret.annotations.get(names.CONTENTS)
    return None if text is None else _read(text)


@functools.lru_cache(maxsize=4096)
def _read(text: str) -> Contents | None:
    try:
        return Contents.model_validate_json(text)
    except pydantic.ValidationError:
        return None


def holds(secret: ports.SecretView, record: LeaseRecord, contents: Contents) -> bool:
    """Whether the Secret's data is what we wrote for the record."""
    values = secret.values.reveal()
    if not values.keys() >= {*contents.keys}:
        return False
    ours = {key: values[key] for key in contents.keys}
    place = secret.namespace, secret.name
    return hmac.compare_digest(_sealed(place, record, contents, ours), contents.seal)


def filled(dl: DynamicLease, record: LeaseRecord, values: Mapping[str, str]) -> Filling:
    """What the Secret is to hold for the values that the provider gave.

    Raises:
        errors.Invalid: the template can't be rendered, or no such Secret can hold what comes of it.
    """
    secret_data.require_names(values.keys())
    data = _compiled(dl.spec.target.template).rendered(values)
    secret_data.require_values(dl.spec.target.type, data)
    return _filling(dl, record, data, provided=values)


def refilled(
    dl: DynamicLease, record: LeaseRecord, secret: ports.SecretView, contents: Contents
) -> Filling:
    """What the Secret is to hold, made from the Secret's own data (see ``refillable``).

    Raises:
        errors.Invalid: the template can't be rendered, or no such Secret can hold what comes of it.
    """
    values = secret.values.reveal()
    if contents.template == digest(dl):
        data = {key: values[key] for key in contents.keys}
    else:
        own = {key: values[key] for key in contents.own}
        data = _compiled(dl.spec.target.template).rendered(own)
        secret_data.require_values(dl.spec.target.type, data)
    return _filling(dl, record, data, provided=contents.provided)


def refillable(dl: DynamicLease, contents: Contents) -> bool:
    """Whether the Secret holds all that its template, as it is now, needs."""
    wanted = dl.spec.target.template
    if contents.template == digest(dl):
        return True
    if fault(dl, None) is not None:
        return False
    unmade = set() if wanted.merge_policy == "Replace" else set(contents.hidden) - set(wanted.data)
    return not unmade and _compiled(wanted).variables <= set(contents.own)


def assumed(dl: DynamicLease, record: LeaseRecord, secret: ports.SecretView) -> Contents:
    """A note for a Secret that lost it: what is there is taken for what was written."""
    values = secret.values.reveal()
    provided = values.keys() - dl.spec.target.template.data.keys()
    return _filling(dl, record, values, provided=provided).contents


def rehearsed(dl: DynamicLease, target: ports.SecretView | None) -> Filling:
    """Made-up data with the keys that the Secret will have, as far as they are known."""
    keys = {*dl.spec.target.template.data}
    known = noted(target) if target is not None else None
    if known is not None and dl.spec.target.template.merge_policy == "Merge":
        keys |= known.provided
    return Filling(secret_data.rehearsal(dl.spec.target.type, keys), Contents())


def fault(dl: DynamicLease, provided: Collection[str] | None) -> errors.Invalid | None:
    """What is wrong with the template; ``provided`` are the provider's keys, where known."""
    wanted = dl.spec.target.template
    own = frozenset[str]() if wanted.merge_policy == "Replace" else provided
    try:
        template = _compiled(wanted)
        if provided is not None:
            template.require(provided)
        if own is not None:
            secret_data.require_keys(dl.spec.target.type, {*own, *wanted.data})
    except errors.Invalid as error:
        return error
    return None


def digest(dl: DynamicLease) -> str:
    """Which data the template makes; empty where it makes none, or can't be read."""
    if not dl.spec.target.template.data:
        return ""
    try:
        return _compiled(dl.spec.target.template).digest
    except errors.Invalid:
        return ""


def _compiled(wanted: Wanted) -> templates.Template:
    return _compiled_once(tuple(sorted(wanted.data.items())), wanted.merge_policy)


@functools.lru_cache(maxsize=1024)
def _compiled_once(
    texts: tuple[tuple[str, str], ...], merge_policy: MergePolicy
) -> templates.Template:
    return templates.compiled(dict(texts), merge_policy)


def _filling(
    dl: DynamicLease,
    record: LeaseRecord,
    data: Mapping[str, str],
    *,
    provided: Collection[str],
) -> Filling:
    wanted = dl.spec.target.template
    own = sorted(data.keys() - wanted.data.keys())
    contents = Contents(
        own=tuple(own),
        rendered=tuple(sorted(data.keys() & wanted.data.keys())),
        hidden=tuple(sorted({*provided}.difference(own))),
        template=digest(dl),
        labels=tuple(sorted(wanted.metadata.labels)),
        annotations=tuple(sorted(wanted.metadata.annotations)),
    )
    place = dl.metadata.namespace, dl.secret_name
    sealed = contents.model_copy(update={"seal": _sealed(place, record, contents, data)})
    return Filling(Credentials(data), sealed)


def _sealed(
    place: tuple[str, str], record: LeaseRecord, contents: Contents, values: Mapping[str, str]
) -> str:
    """The seal of what the Secret of that namespace and name holds: a copy's isn't proven by it."""
    note = {**contents.dump(), "seal": None}
    lease = record.name, record.status.lease_id
    text = json.dumps([place, lease, note, values], sort_keys=True, separators=(",", ":"))
    key = record.spec.attempt_id.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_SEAL_LENGTH]
