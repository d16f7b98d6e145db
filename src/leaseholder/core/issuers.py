"""The issuer of a lease: as decisions see it, as a record keeps it, as an adapter is built of it.

Flows in: a DynamicLease with the provider object that it names. Flows out: the ``Supply`` that
decisions see, its form on a record, and the spec that an adapter is built of when the provider
object is gone. ``controller.supplies`` has the adapters.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pydantic

from leaseholder import errors
from leaseholder.api import durations, lease, provider, record
from leaseholder.api.conditions import Reason
from leaseholder.core.observation import Supply

MOST_SOURCE: Final = 64 * 1024
"""Bytes of a source, which is on record with each lease: free-form fields may have a megabyte."""


def supply(
    dl: lease.DynamicLease,
    known: provider.AnyProvider,
    address_of: Callable[[provider.ProviderSpec], str],
) -> Supply:
    """What a DynamicLease asks of a provider object.

    Raises:
        errors.Invalid: the source is for another kind of provider, or too long.
    """
    source, ref = _source(dl, known), dl.spec.provider_ref
    address = address_of(known.spec)
    return Supply(
        type=provider.type_of(known.spec) or "",
        kind=ref.kind,
        namespace=known.metadata.namespace,
        name=ref.name,
        uid=known.metadata.uid,
        address=address,
        auth_ref=provider.auth_of(known.spec),
        trust=provider.trust_of(known.spec),
        options=provider.options_of(known.spec),
        source=source,
        source_hash=_hash([ref.kind, ref.name, address, source]),
        slot=_hash([address, source]),
        probe_interval=durations.parse(known.spec.probe.interval),
    )


def recorded(supply: Supply) -> record.RecordProvider:
    """The provider of a lease, as a record has it."""
    return record.RecordProvider(
        type=supply.type,
        kind=supply.kind,
        namespace=supply.namespace,
        name=supply.name,
        uid=supply.uid,
        address=supply.address,
        auth_ref=dict(supply.auth_ref),
        trust=record.trust_key(dict(supply.trust)),
        options=dict(supply.options),
    )


def _source(dl: lease.DynamicLease, known: provider.AnyProvider) -> dict[str, Any]:
    wanted = provider.type_of(known.spec)
    if wanted is None or getattr(dl.spec, wanted) is None:
        name = f"{known.KIND} {known.metadata.name}"
        raise errors.Invalid(
            Reason.PROVIDER_MISMATCH,
            f"{name} is of the kind {wanted}: write the source under spec.{wanted}, or mend "
            "spec.providerRef",
        )
    if not fits_on_record(dl):
        raise errors.Invalid(
            Reason.INVALID,
            f"spec.{wanted} has {_size(dl.source)} bytes, and {MOST_SOURCE} fit on record: write "
            "less there",
        )
    return dl.source


def fits_on_record(dl: lease.DynamicLease) -> bool:
    """Whether its source isn't too long to be on record with each of its leases."""
    return _size(dl.source) <= MOST_SOURCE


def _size(source: Mapping[str, Any]) -> int:
    return len(json.dumps(source, ensure_ascii=False).encode(errors="replace"))


def digest(source: Mapping[str, Any]) -> str:
    """What tells one source from another."""
    return _hash([source])


def rebuilt(issuer: record.RecordProvider, trust: Mapping[str, Any]) -> provider.LeaseProviderSpec:
    """A provider's spec from what the record kept of it.

    Raises:
        errors.Invalid: another version of ours, or somebody else, wrote what can't be read.
    """
    server = {"url": issuer.address, "auth": issuer.auth_ref, **issuer.options}
    kept = {issuer.type: server, **trust}
    try:
        return provider.LeaseProviderSpec.model_validate(kept)
    except pydantic.ValidationError:
        sentence = f"what the record kept of {issuer.kind} {issuer.name} can't be read"
    raise errors.Invalid(Reason.PROVIDER_MISMATCH, sentence)


def _hash(parts: list[Any]) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
