"""JSON merge patches (RFC 7386) that replace what they name, and objects read with the models.

Flows in: an object as it was read, and as it is to be. Flows out: the patch between the two, with
uid and resourceVersion, for ``objects``, ``records`` and ``secrets``.

A merge patch leaves alone what it doesn't mention, so what is to go has to be named with null.
What is stored may be a newer version's, which was rolled back: fields that this one doesn't know
are left alone, wherever they stand. Users are refused unknown fields by the schema.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import pydantic

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason

Kind = TypeVar("Kind", bound=base.CustomResource)
_MOST_PLACES: Final = 10
_LONGEST_PLACE: Final = 200


def replace(old: Mapping[str, Any], new: Mapping[str, Any], stored: Any = None) -> dict[str, Any]:
    """The patch that turns ``old`` into ``new``: nested, lists whole, null for what goes.

    ``stored`` is ``old`` as the API server has it, with what we don't know: objects in lists whose
    known fields stay keep the others.
    """
    there = stored if isinstance(stored, Mapping) else {}
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping):
            known = before if isinstance(before, Mapping) else {}
            patch[key] = replace(known, value, there.get(key))
        elif isinstance(value, list):
            patch[key] = [_as_stored(one, there.get(key)) for one in value]
        else:
            patch[key] = value
    return patch


def _as_stored(entry: Any, stored: Any) -> Any:
    """An entry of a list, with the unknown fields of the stored one that says the same."""
    if not isinstance(entry, dict) or not isinstance(stored, list):
        return entry
    same = (one for one in stored if isinstance(one, dict) and entry.items() <= one.items())
    return next(same, entry)


def guard(uid: str, resource_version: str) -> dict[str, Any]:
    """Metadata that makes a patch fail unless the object is still the one that was read."""
    return {"uid": uid, "resourceVersion": resource_version}


def preconditions(uid: str, resource_version: str = "") -> dict[str, Any]:
    """The body of a DELETE that fails unless the object is still the one that was read.

    Without a resourceVersion it may have been written since.
    """
    version = {"resourceVersion": resource_version} if resource_version else {}
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid, **version},
        "propagationPolicy": "Background",
    }


def writing(*, dry_run: bool = False) -> dict[str, str]:
    """Query parameters of a write."""
    return {"fieldManager": names.MANAGER, **({"dryRun": "All"} if dry_run else {})}


def read(model: type[Kind], body: Mapping[str, Any]) -> Kind:
    """``body`` as ``model``; fields that it doesn't know are dropped, unless it keeps them.

    Of one whose deletion waits for us, a part that can't be read keeps nobody from letting it go.

    Raises:
        Unreadable: it can't be read; the sentence names the fields, never their values.
    """
    try:
        return _validated(model, body)
    except pydantic.ValidationError as error:
        found = {_place(e["loc"]) for e in error.errors(include_input=False)}
        where = f"see {', '.join(sorted(found)[:_MOST_PLACES])}"
    except Exception as error:  # a validator of ours that met what it didn't think of
        where = type(error).__name__
    # Raised out here, because the error that was caught holds the values.
    rest, meta = _rest(model, body), metadata(body)
    if rest is not None and rest.WAITS_TO_GO and rest.metadata.deletion_timestamp is not None:
        return rest
    name = "/".join(filter(None, (str(meta.get(key) or "") for key in ("namespace", "name"))))
    raise errors.Unreadable(
        Reason.INVALID,
        f"{model.KIND} {name} can't be read by this version of the operator: {where}",
        rest=rest,
    )


def _validated(model: type[Kind], body: Mapping[str, Any]) -> Kind:
    return model.model_validate(body, extra=None if model.KEEPS_UNKNOWN else "ignore")


def _rest(model: type[Kind], body: Mapping[str, Any]) -> Kind | None:
    """What of an object can be read whose spec can't; None: nothing."""
    spec = body.get("spec")
    known = model.readable_spec(spec) if isinstance(spec, Mapping) else None
    if known is None:
        return None
    with contextlib.suppress(pydantic.ValidationError):
        return _validated(model, {**body, "spec": known})
    return None


def metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's metadata, whatever stands there."""
    meta = body.get("metadata")
    return meta if isinstance(meta, Mapping) else {}


def _place(path: tuple[int | str, ...]) -> str:
    """Where a mistake is, in one line; keys are whatever a user wrote."""
    text = ".".join(map(str, path))
    return "".join(one if one.isprintable() else "?" for one in text)[:_LONGEST_PLACE]
