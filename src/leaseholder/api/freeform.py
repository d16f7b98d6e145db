"""Free-form fields of manifests: JSON of any shape, bounded in depth, number and size.

CEL doesn't see data whose type isn't known, so the bounds are a structural schema with its levels
written out. A node without a type takes any scalar, list or map, and the rules for each of them
hold at the same time. The last level takes numbers and texts only: because nothing is preserved
there, the API server also prunes what lies deeper in an object of an older CRD, when it reads it.
A schema can't bound the length of names, so they have no bound here: what a source has in all is
bounded where it is to be put on record.
"""

from typing import Annotated, Any, Final

from pydantic import Field, JsonValue, WithJsonSchema

LEVELS: Final = 3
"""A value may be a scalar, or so many levels of lists and maps less one around scalars."""
MOST_FIELDS: Final = 32
MOST_TEXT: Final = 4096
"""Characters of a text."""


def _level(left: int) -> dict[str, Any]:
    if left == 1:
        return {"x-kubernetes-int-or-string": True, "maxLength": MOST_TEXT}
    return {
        "x-kubernetes-preserve-unknown-fields": True,
        "maxLength": MOST_TEXT,
        "maxItems": MOST_FIELDS,
        "maxProperties": MOST_FIELDS,
        "items": _level(left - 1),
        "additionalProperties": _level(left - 1),
    }


Values = Annotated[
    dict[str, JsonValue],
    Field(max_length=MOST_FIELDS),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MOST_FIELDS,
            "additionalProperties": _level(LEVELS),
        }
    ),
]
"""Values by name: scalars, and up to two levels of lists and maps; the deepest hold numbers and
texts."""
