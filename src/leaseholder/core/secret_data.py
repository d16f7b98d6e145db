"""What data a Secret can hold: names of keys, and what its type asks for.

Flows in: keys and values that are to be written. Flows out: what is wrong with them, in a sentence
of our own, before the write; ``contents`` asks. The API server checks the same, but its answer may
quote values, so that we can't pass it on.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import pydantic_core

from leaseholder import errors
from leaseholder.api import secret_types
from leaseholder.api.conditions import Reason
from leaseholder.core import template_texts
from leaseholder.secrecy import Credentials

_MOST_NAMES: Final = 16 * 1024
"""So many bytes the names of all keys may have: the note on the Secret lists them, and three times
as many, as JSON writes letters beyond ASCII, still fit beside the template's annotations."""
_MOST_NAMED: Final = 5
_PLAUSIBLE: Final = "rehearsal"
_LETTERS: Final = frozenset("-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def require_keys(type_: str, keys: Collection[str]) -> None:
    """See that a Secret of a type can have these keys, and these alone.

    Raises:
        errors.Invalid: with the keys in question, and what to write.
    """
    complaint = _odd(keys) or _missing(type_, keys)
    if complaint:
        raise errors.Invalid(Reason.TEMPLATE_INVALID, complaint)


def require_values(type_: str, values: Mapping[str, str]) -> None:
    """See that a Secret of a type can have this data.

    Raises:
        errors.Invalid: with the keys in question, and what to write; never with a value.
    """
    require_keys(type_, values.keys())
    complaint = _unfit(type_, values)
    if complaint:
        raise errors.Invalid(Reason.TEMPLATE_INVALID, complaint)


def require_names(provided: Collection[str]) -> None:
    """See that the names of what a provider gives can be noted on a Secret.

    Raises:
        errors.Invalid: they are too long, or too many.
    """
    size = sum(len(name.encode(errors="surrogatepass")) for name in provided)
    if size > _MOST_NAMES:
        raise errors.Invalid(
            Reason.TEMPLATE_INVALID,
            f"the names of what the provider gives have {size} bytes: at most {_MOST_NAMES} can be "
            "kept, so choose shorter names, or fewer, at the provider",
        )


def rehearsal(type_: str, keys: Iterable[str]) -> Credentials:
    """Made-up data for a Secret of a type: with these keys, and with those that the type needs."""
    asked = secret_types.TYPES.get(type_, secret_types.SecretType(()))
    known = dict.fromkeys([*asked.keys, *(key for key in keys if _is_key(key))], _PLAUSIBLE)
    return Credentials(known | dict.fromkeys(asked.keys, "{}" if asked.json else _PLAUSIBLE))


def _is_key(name: str) -> bool:
    letters = 0 < len(name) <= 253 and _LETTERS.issuperset(name)
    return letters and name != "." and not name.startswith("..")


def _odd(keys: Collection[str]) -> str:
    odd = sorted(key for key in keys if not _is_key(key))
    if not odd:
        return ""
    named = ", ".join(json.dumps(template_texts.short(key)) for key in odd[:_MOST_NAMED])
    more = f" and {len(odd) - _MOST_NAMED} more" if len(odd) > _MOST_NAMED else ""
    return (
        f"the provider gives {named}{more}, and no Secret can hold such a key: write the keys that "
        "you need in target.template.data, and target.template.mergePolicy: Replace"
    )


def _missing(type_: str, keys: Collection[str]) -> str:
    asked = secret_types.TYPES.get(type_)
    missing = asked.missing(frozenset(keys)) if asked is not None else ()
    if asked is None or not missing:
        return ""
    there = template_texts.short(", ".join(sorted(keys)), 200) or "none"
    fields = " or " if asked.any_key else " and "
    write = fields.join(f"target.template.data[{json.dumps(key)}]" for key in missing)
    return f"a Secret of type {type_} needs {asked.demand}, and the keys are {there}: write {write}"


def _unfit(type_: str, values: Mapping[str, str]) -> str:
    asked = secret_types.TYPES.get(type_)
    for key in asked.keys if asked is not None else ():
        value = values.get(key)
        if asked is None or value is None:
            continue
        if asked.filled and not value:
            return f"{key} is empty, and a Secret of type {type_} needs it: mend its template"
        if asked.json and not _is_json_object(value):
            return (
                f"{key} isn't a JSON object, and a Secret of type {type_} needs one: mend its "
                "template, and put | json behind each value instead of quotes around it"
            )
    return ""


def _is_json_object(text: str) -> bool:
    """Whether it is one; ``pydantic_core`` refuses deep nesting where ``json`` would recurse."""
    try:
        parsed: Any = pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return isinstance(parsed, dict)
