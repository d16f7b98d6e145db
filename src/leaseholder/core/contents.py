"""What a Secret of ours is to hold, and whether it still does.

Flows in: a DynamicLease, a lease's values or a Secret that has them. Flows out: the data to write
with a note on it, for ``controller.deliver``; or whether data and note fit, for ``secret_facts``.
``templates`` renders, ``secret_data`` says what a Secret can hold.

The note says which keys we wrote and carries their seal: an HMAC under the lease's seal key, which
only the record knows. So a changed value shows without a copy of it anywhere, and data proves whose
it is when annotations were taken off. Namespace and name of the Secret are under the seal: what
somebody copied elsewhere proves nothing there.
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

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import DynamicLease, MergePolicy
from leaseholder.api.record import RecordedLease
from leaseholder.core import caches, secret_data, templates
from leaseholder.ports.secrets import SecretView
from leaseholder.secrecy import Credentials

_SEAL_LENGTH: Final = 32
_SEALED: Final = frozenset({"own", "rendered", "hidden", "template", "labels", "annotations"})
"""What of a note is under the seal, for good: with a further field, each Secret of an older version
would count as changed, and get a new lease."""
_MOST_NOTES: Final = 2**20
"""Bytes of notes that were read: a look asks for the same ones several times."""
_MOST_TEMPLATES: Final = 8 * 2**20
"""Bytes of templates that were compiled."""
_BYTES_FOR_ONE: Final = 12
"""About so many bytes are taken for each of a note by the text and what is read from it."""


_Names = Annotated[tuple[str, ...], pydantic.FailFast()]
"""The first that is no text is enough: somebody else may have written a note of any length."""


class Contents(base.Model):
    """What we wrote into a Secret: names of keys, never values."""

    model_config = pydantic.ConfigDict(extra="ignore")

    own: _Names = ()
    """Keys that hold the provider's values as they came."""
    rendered: _Names = ()
    """Keys that hold what the template made."""
    hidden: _Names = ()
    """The provider's keys that the Secret doesn't hold as they came."""
    template: str = ""
    """Which template data was rendered; empty: none."""
    labels: _Names = ()
    """The template's labels."""
    annotations: _Names = ()
    """The template's annotations."""
    seal: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    """Seal of the data and of the fields above."""

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


def noted(secret: SecretView) -> Contents | None:
    """The note on a Secret; None where there is none that can be read."""
    text = secret.annotations.get(names.CONTENTS)
    return None if text is None else _read(text)


def _read(text: str) -> Contents | None:
    kept = _notes.get(text)
    if kept is not None:
        return kept.contents
    try:
        found = Contents.model_validate_json(text)
    except pydantic.ValidationError:
        found = None
    return _notes.keep(text, _Read(found), 1000 + _BYTES_FOR_ONE * len(text)).contents


@dataclass(frozen=True, slots=True)
class _Read:
    """A note that was read; None: it can't be."""

    contents: Contents | None


_notes: Final = caches.ByteCache[str, _Read](_MOST_NOTES)


def holds(secret: SecretView, record: RecordedLease, contents: Contents) -> bool:
    """Whether the Secret's data is what we wrote for the record."""
    values = secret.values.reveal()
    if not values.keys() >= {*contents.keys}:
        return False
    ours = {key: values[key] for key in contents.keys}
    place = secret.namespace, secret.name
    return hmac.compare_digest(_sealed(place, record, contents, ours), contents.seal)


def filled(dl: DynamicLease, record: RecordedLease, values: Mapping[str, str]) -> Filling:
    """What the Secret is to hold for the values that the provider gave.

    Raises:
        errors.Invalid: the template can't be rendered, or no such Secret can hold what comes of it.
    """
    secret_data.require_names(values.keys())
    data = _compiled(dl).rendered(values)
    secret_data.require_values(dl.spec.target.type, data)
    return _filling(dl, record, data, provided=values)


def refilled(
    dl: DynamicLease, record: RecordedLease, secret: SecretView, contents: Contents
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
        data = _compiled(dl).rendered(own)
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
    return not unmade and _compiled(dl).variables <= set(contents.own)


def is_wanted(dl: DynamicLease, known: Contents) -> bool:
    """Whether the note of data that is as we wrote it is the one that would be written now."""
    unsealed = known.model_copy(update={"seal": ""})
    return _unsealed(dl, known.keys, known.provided) == unsealed


def assumed(dl: DynamicLease, record: RecordedLease, secret: SecretView) -> Contents:
    """A note for a Secret that lost it: what is there is taken for what was written."""
    values = secret.values.reveal()
    provided = values.keys() - dl.spec.target.template.data.keys()
    return _filling(dl, record, values, provided=provided).contents


def rehearsed(dl: DynamicLease, target: SecretView | None) -> Filling:
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
        template = _compiled(dl)
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
        return _compiled(dl).digest
    except errors.Invalid:
        return ""


def forget(uid: str) -> None:
    """Keep nothing of a DynamicLease that is gone."""
    _templates.forget(uid)


def _compiled(dl: DynamicLease) -> templates.CompiledTemplate:
    """The template of a DynamicLease: compiled once, and in place of the one that it had before.

    Raises:
        errors.Invalid: a text can't be read.
    """
    wanted = dl.spec.target.template
    if not wanted.data:
        return _untemplated(wanted.merge_policy)
    kept = _templates.get(dl.metadata.uid)
    if kept is None or (kept.texts, kept.policy) != (wanted.data, wanted.merge_policy):
        kept = _Compiled.of(wanted.data, wanted.merge_policy)
        _templates.keep(dl.metadata.uid, kept, kept.size)
    if kept.template is None:
        raise errors.Invalid(Reason.TEMPLATE_INVALID, kept.complaint)
    return kept.template


@functools.cache
def _untemplated(policy: MergePolicy) -> templates.CompiledTemplate:
    """One for all that have no template: nearly all."""
    return templates.compiled({}, policy)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A template, or what is wrong with it."""

    texts: Mapping[str, str]
    policy: MergePolicy
    template: templates.CompiledTemplate | None
    complaint: str

    @classmethod
    def of(cls, texts: Mapping[str, str], policy: MergePolicy) -> "_Compiled":
        """Compile it."""
        try:
            return cls(texts, policy, templates.compiled(texts, policy), "")
        except errors.Invalid as error:
            complaint = error.sentence
        return cls(texts, policy, None, complaint)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        texts = sum(500 + 4 * (len(key) + len(text)) for key, text in self.texts.items())
        return 1000 + texts + (self.template.size if self.template is not None else 0)


_templates: Final = caches.ByteCache[str, _Compiled](_MOST_TEMPLATES)


def _filling(
    dl: DynamicLease,
    record: RecordedLease,
    data: Mapping[str, str],
    *,
    provided: Collection[str],
) -> Filling:
    contents = _unsealed(dl, data, provided)
    place = dl.metadata.namespace, dl.secret_name
    sealed = contents.model_copy(update={"seal": _sealed(place, record, contents, data)})
    return Filling(Credentials(data), sealed)


def _unsealed(dl: DynamicLease, keys: Collection[str], provided: Collection[str]) -> Contents:
    wanted = dl.spec.target.template
    own = sorted({*keys} - wanted.data.keys())
    return Contents(
        own=tuple(own),
        rendered=tuple(sorted({*keys} & wanted.data.keys())),
        hidden=tuple(sorted({*provided}.difference(own))),
        template=digest(dl),
        labels=tuple(sorted(wanted.metadata.labels)),
        annotations=tuple(sorted(wanted.metadata.annotations)),
    )


def _sealed(
    place: tuple[str, str], record: RecordedLease, contents: Contents, values: Mapping[str, str]
) -> str:
    """The seal of what the Secret of that namespace and name holds: a copy's isn't proven by it."""
    note = {**contents.model_dump(mode="json", include={*_SEALED}), "seal": None}
    lease = record.attempt_id, record.lease_id
    text = json.dumps([place, lease, note, values], sort_keys=True, separators=(",", ":"))
    key = record.seal_key.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_SEAL_LENGTH]
