"""Manifests as the CRD's schema lets them pass, and worse: with something wrong in them.

CEL rules aren't heeded, as if the object was stored before they were there, but for the one that
keeps a lease from being replaced all the time (rotation.maxAge).
"""

import copy
from typing import Any, Final

from hypothesis import strategies as st

from leaseholder.api import crds
from tests.fuzz import answers
from tests.unit.controller import world

_TEXTS: Final = st.one_of(
    st.sampled_from(
        ["", "a", "orders", "{{ DB_USERNAME }}", "{{", "{% for a in b %}", "\n", "../.."]
    ),
    st.text(max_size=20),
)  # fmt: skip
_DURATIONS: Final = st.sampled_from(["60s", "1h", "0s", "99999h99999m99999s99999ms", "1ms", "2m"])
_MOMENTS: Final = st.sampled_from(
    [
        *("2026-11-21T12:00:00Z", "2026-11-21T14:00:00+02:00", "1970-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-11-21T12:30:00Z"),
    ]
)
_ANY: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


def _of(node: crds.Schema) -> st.SearchStrategy[Any]:
    """Values of a structural schema."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return st.dictionaries(_TEXTS, _ANY, max_size=3)
    if node.get("x-kubernetes-int-or-string"):
        return _DURATIONS
    match node["type"]:
        case "object" if "properties" in node:
            return _object(node)
        case "object":
            return st.dictionaries(_TEXTS, _of(node["additionalProperties"]), max_size=3)
        case "array":
            return st.lists(_of(node["items"]), max_size=3)
        case "integer":
            return st.integers(node.get("minimum"), node.get("maximum"))
        case "boolean":
            return st.booleans()
    return _MOMENTS if node.get("format") == "date-time" else _TEXTS


def _object(node: crds.Schema) -> st.SearchStrategy[dict[str, Any]]:
    required = set(node.get("required", ()))
    fields = {name: _of(inner) for name, inner in node["properties"].items()}
    return st.fixed_dictionaries(
        {name: values for name, values in fields.items() if name in required},
        optional={name: values for name, values in fields.items() if name not in required},
    )


_SCHEMA: Final = crds.schema(crds.KINDS[0])["properties"]
_SPECS: Final = _of(_SCHEMA["spec"])
_STATUSES: Final = _of(_SCHEMA["status"])


@st.composite
def dynamic_leases(draw: st.DrawFn) -> dict[str, Any]:
    """A DynamicLease; most find the provider, some have something wrong anywhere."""
    spec = draw(_SPECS)
    if draw(st.sampled_from([True, True, True, False])):
        spec = {k: v for k, v in spec.items() if k not in ("phase", "openbao")} | world.SPEC
    if "maxAge" in spec.get("rotation", {}):
        spec["rotation"]["maxAge"] = draw(st.sampled_from(["60s", "1h", "99999h"]))
    nonces = st.dictionaries(
        st.sampled_from([f"leaseholder.dev/{one}" for one in ("rotate", "renew", "force", "x")]),
        _TEXTS,
        max_size=3,
    )
    made = world.manifest(annotations=draw(nonces)) | {"spec": copy.deepcopy(spec)}
    if draw(st.booleans()):
        made["status"] = draw(_STATUSES)
    if draw(st.sampled_from([False, False, True])):
        answers.put(made["spec"], draw(st.integers(0, 999)), draw(answers.JUNK))
    return made
