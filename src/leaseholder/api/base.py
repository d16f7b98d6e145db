"""What all resources share: field conventions, object metadata, moments in time.

Python names are snake_case, names on the wire camelCase. Moments are UTC and whole seconds,
because that is what status stores: a moment that is compared must be the one that was stored.
"""

import functools
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

from leaseholder.api import durations

_WIRE: Final = ConfigDict(
    alias_generator=to_camel,
    validate_by_name=True,
    validate_by_alias=True,
    serialize_by_alias=True,
    frozen=True,
    defer_build=True,
)
"""Names on the wire, values that don't change; built when first used: few are by a command."""


@functools.lru_cache(maxsize=1024)
def _one_set(fields: frozenset[str]) -> set[str]:
    return {*fields}


_SHORT: Final = 64
"""Characters: a uid has 36, a hash 32."""


def interned(text: str) -> str:
    """The same text as one object for all who say it.

    Uids, names and hashes stand in an object, its record and its Secret; thousands are kept.
    """
    return sys.intern(text) if len(text) <= _SHORT else text


Interned: Final = AfterValidator(interned)


class _Lean(BaseModel):
    """Has one set of the names of given fields for all that were given the same.

    pydantic makes one for each object, of 2 KiB for a lease on record. None is changed: all objects
    are frozen, and a copy gets its own before it is.
    """

    def model_post_init(self, context: Any, /) -> None:
        """After validation."""
        self._share()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same with other values, which aren't validated."""
        copied = super().model_copy(update=update, deep=deep)
        copied._share()
        return copied

    def _share(self) -> None:
        given = _one_set(frozenset(self.__pydantic_fields_set__))
        object.__setattr__(self, "__pydantic_fields_set__", given)


class Model(_Lean):
    """Base of everything that stands in a manifest: frozen, camelCase, no unknown fields."""

    model_config = ConfigDict(**_WIRE, extra="forbid")

    def dump(self) -> dict[str, Any]:
        """The model as JSON values under its wire names, without absent fields."""
        return self.model_dump(mode="json", exclude_none=True)


def rule(cel: str, message: str) -> dict[str, str]:
    """One CEL validation rule with its own sentence (``x-kubernetes-validations``)."""
    return {"rule": cel, "message": message}


def rules(*entries: Mapping[str, str]) -> dict[str, Any]:
    """JSON schema extra that carries CEL rules into the CRD."""
    return {"x-kubernetes-validations": [dict(e) for e in entries]}


_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2999, 12, 31, tzinfo=UTC)


def sensible(moment: datetime) -> datetime:
    """``moment`` itself, or the nearest between 1970 and 2999: with others, sums overflow."""
    return min(max(moment, _FIRST), _LAST)


def whole_second(moment: datetime) -> datetime:
    """``moment`` in UTC, sensible, cut to the second."""
    if moment.tzinfo is UTC and not moment.microsecond and _FIRST <= moment <= _LAST:
        return moment  # as nearly all are: each look compares dozens
    return sensible(moment).astimezone(UTC).replace(microsecond=0)


def render_moment(moment: datetime) -> str:
    """``moment`` as RFC 3339 in UTC with a ``Z``: ``2026-11-21T03:04:05Z``."""
    return whole_second(moment).replace(tzinfo=None).isoformat() + "Z"


def counted(number: int, what: str) -> str:
    """So many of something, whose plural has an s: ``1 lease``, ``2 leases``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


Moment = Annotated[
    AwareDatetime,
    AfterValidator(whole_second),
    PlainSerializer(render_moment, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]

_IS_DURATION: Final = f"self.matches('{durations.PATTERN}')"
DURATION_RULE: Final = rule(_IS_DURATION, durations.SENTENCE)


def at_least(length: str, what: str) -> dict[str, str]:
    """A CEL rule that a duration isn't shorter than ``length``."""
    return rule(
        f"!({_IS_DURATION}) || duration(self) >= duration('{length}')",
        f"{what} is too short: write {length} or more",
    )


def shorter(one: str, other: str) -> str:
    """A CEL expression that one duration is shorter than another, where both are durations."""
    sound = " && ".join(_IS_DURATION.replace("self", field) for field in (one, other))
    return f"!({sound}) || duration({one}) < duration({other})"


def _checked_duration(text: str) -> str:
    durations.parse(text)
    return text


def duration_schema(*extra: Mapping[str, str]) -> WithJsonSchema:
    """JSON schema of a duration, with further CEL rules.

    The pattern is for tools that read the schema, the rule for its sentence.
    """
    return WithJsonSchema(
        {
            "type": "string",
            "maxLength": durations.MAX_LENGTH,
            "pattern": durations.PATTERN,
            **rules(DURATION_RULE, *extra),
        }
    )


Duration = Annotated[str, AfterValidator(_checked_duration), duration_schema()]
"""A GEP-2257 duration, kept as it was written."""

_ONE_LINE: Final = rule(
    r"!self.matches('[\\p{C}\\p{Zl}\\p{Zp}]')",
    "write it in one line, without control characters",
)


def text(most: int, *wanted: Mapping[str, str], least: int = 1) -> WithJsonSchema:
    """JSON schema of a text that stands in sentences, logs and requests.

    Args:
        most: characters that it may have.
        wanted: its rules; none: it stands in one line.
        least: characters that it has to have.
    """
    shape = {"type": "string", "minLength": least, "maxLength": most}
    if not least:
        del shape["minLength"]
    return WithJsonSchema({**shape, **rules(*(wanted or (_ONE_LINE,)))})


_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    text(
        253,
        rule(
            f"self.matches('^{_LABEL}([.]{_LABEL})*$')",
            "write a Kubernetes object name: lower-case letters, digits, '-' and '.', "
            "each part beginning and ending with a letter or digit",
        ),
    ),
]
NamespaceName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    text(
        63,
        rule(
            f"self.matches('^{_LABEL}$')",
            "write a namespace's name: up to 63 lower-case letters, digits and '-'",
        ),
    ),
]
_IS_KEY: Final = "{0}.matches('^[-._a-zA-Z0-9]{{1,253}}$') && {0} != '.' && !{0}.startsWith('..')"
KEYS_RULE: Final = rule(
    f"self.all(key, {_IS_KEY.format('key')})",
    "write keys of a Secret: up to 253 letters, digits, '-', '_' and '.', not beginning with '..'",
)
Key = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$"),
    text(
        253,
        rule(
            _IS_KEY.format("self"),
            "write a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'",
        ),
    ),
]
"""A key of a Secret or ConfigMap."""


_PREFIXED: Final = f"({_LABEL}([.]{_LABEL})*/)?[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?"
NAMES_RULE: Final = rule(
    f"self.all(key, key.matches('^{_PREFIXED}$') && size(key.split('/')[0]) <= 253 && "
    "size(key.split('/')[key.split('/').size() - 1]) <= 63)",
    "write names such as team or example.com/team: letters, digits, '-', '_' and '.', up to 253 "
    "before the slash and up to 63 after it",
)
"""Of the keys of labels and annotations. The models don't bound them: a name that an older CRD took
would make its object one that can't be read."""
LABELS_RULES: Final = (
    NAMES_RULE,
    rule(
        "self.all(key, self[key].matches('^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$'))",
        "write label values of letters, digits, '-', '_' and '.', a letter or digit at both ends",
    ),
)
Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=63)]],
    Field(max_length=32, json_schema_extra=rules(*LABELS_RULES)),
]
"""Labels, or those that a selector wants."""
SomeLabels = Annotated[
    dict[str, Annotated[str, Field(max_length=63)]],
    Field(
        min_length=1,
        max_length=32,
        json_schema_extra=rules(
            *LABELS_RULES, rule("size(self) > 0", "write one label or more, such as app: orders")
        ),
    ),
]
"""Labels that choose something: none would choose all."""


def bytes_at_most(most: int, message: str) -> dict[str, str]:
    """A CEL rule that the values of a map have no more bytes in all; letters may have four."""
    return rule(f"self.map(key, size(bytes(self[key]))).sum() <= {most}", message)


class ObjectMeta(_Lean):
    """The metadata that we read; the API server knows more fields, which are ignored."""

    model_config = ConfigDict(**_WIRE, extra="ignore")

    name: Annotated[str, Interned]
    namespace: Annotated[str, Interned] = ""
    uid: Annotated[str, Interned] = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)


def _read_or_lost(status: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(status)
    except ValidationError:
        return read({})


DERIVED: Final = WrapValidator(_read_or_lost)
"""Of a status, which is rebuilt when it is lost: one that a newer version wrote and that this one
can't read counts as lost, or a rollback would keep its resource from being served."""


class Outline(_Lean):
    """Metadata of an object; what else it has is ignored."""

    model_config = ConfigDict(**_WIRE, extra="ignore")

    metadata: ObjectMeta


class CustomResource(Outline):
    """Base of the kinds: metadata beside spec and status; unknown top-level fields ignored."""

    KIND: ClassVar[str]
    KEEPS_UNKNOWN: ClassVar[bool] = False
    """Whether each part says itself what becomes of unknown fields; else they are dropped."""
    WAITS_TO_GO: ClassVar[bool] = False
    """Whether its deletion waits for the operator, which lets it go whatever its spec says."""

    @classmethod
    def readable_spec(cls, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """A spec that can be read, in the place of one that can't; None: there is none.

        It says no more than what it takes to let the object go, or to write its status.
        """
        del spec
        return None


def build_all() -> None:
    """Build all models that are imported now: 40 ms, in which nobody else may be at work.

    The operator would build them at its first objects, in the loop that serves everybody, and
    kopf's thread may come to the same model at the same moment.
    """
    waiting: list[type[BaseModel]] = [_Lean]
    while waiting:
        model = waiting.pop()
        model.model_rebuild()
        waiting += model.__subclasses__()
