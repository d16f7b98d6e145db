"""JSON merge patches (RFC 7386) that replace what they name, and objects read with the models.

A merge patch leaves alone what it doesn't mention, so what is to go has to be named with null.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import pydantic

from leaseholder import errors
from leaseholder.api import base, names
from leaseholder.api.conditions import Reason

Kind = TypeVar("Kind", bound=base.Resource)
_MOST_PLACES: Final = 10
_LONGEST_PLACE: Final = 200


def replace(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that turns ``old`` into ``new``: nested, lists whole, null for what goes."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping):
            patch[key] = replace(before if isinstance(before, Mapping) else {}, value)
        else:
            patch[key] = value
    return patch


def guard(uid: str, resource_version: str) -> dict[str, Any]:
    """Metadata that makes a patch fail unless the object is still the one that was read."""
    return {"uid": uid, "resourceVersion": resource_version}


def preconditions(uid: str, resource_version: str) -> dict[str, Any]:
    """The body of a DELETE that fails unless the object is still the one that was read."""
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
        "propagationPolicy": "Background",
    }


def writing(*, dry_run: bool = False) -> dict[str, str]:
    """Query parameters of a write."""
    return {"fieldManager": names.MANAGER, **({"dryRun": "All"} if dry_run else {})}


def read(model: type[Kind], body: Mapping[str, Any]) -> Kind:
    """``body`` as ``model``.

    Raises:
        Unreadable: it can't be read; the sentence names the fields, never their values.
    """
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        found = {_place(e["loc"]) for e in error.errors(include_input=False)}
        where = f"see {', '.join(sorted(found)[:_MOST_PLACES])}"
    except Exception as error:  # a validator of ours that met what it didn't think of
        where = type(error).__name__
    # Raised out here, because the error that was caught holds the values.
    meta = metadata(body)
    name = "/".join(filter(None, (str(meta.get(key) or "") for key in ("namespace", "name"))))
    raise errors.Unreadable(
        Reason.INVALID,
        f"{model.KIND} {name} can't be read by this version of the operator: {where}",
    )


def metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's metadata, whatever stands there."""
    meta = body.get("metadata")
    return meta if isinstance(meta, Mapping) else {}


def _place(path: tuple[int | str, ...]) -> str:
    """Where a mistake is, in one line; keys are whatever a user wrote."""
    text = ".".join(map(str, path))
    return "".join(one if one.isprintable() else "?" for one in text)[:_LONGEST_PLACE]
