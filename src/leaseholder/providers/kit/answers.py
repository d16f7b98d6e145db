"""What came back from a provider: its status, and its content in our shapes.

``client`` makes an ``Answer`` of what it read; an adapter parses it into its wire models, whose
moments and lengths are those below, or makes one of our errors of it (``refusals``).

A server that is broken, or isn't the provider at all, may state the year 9999 or a lifetime of
10^400 seconds. Such a figure is well formed; sums with it aren't. So it is moved to the nearest
one that a lease can have, which says the same: over long ago, or not for a long time.
"""

import functools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

import pydantic
from pydantic import AfterValidator, AwareDatetime, JsonValue
from pydantic.alias_generators import to_camel

from leaseholder.api import base
from leaseholder.providers.kit import answer_memory, json_documents

Model = TypeVar("Model", bound=pydantic.BaseModel)
CENTURY: Final = timedelta(days=36_525)


def _within_a_century(length: timedelta) -> timedelta:
    return min(max(length, -CENTURY), CENTURY)


def _seconds_within_a_century(seconds: int) -> int:
    most = int(CENTURY.total_seconds())
    return min(max(seconds, -most), most)


Moment = Annotated[AwareDatetime, AfterValidator(base.sensible)]
"""A moment with its time zone."""
Length = Annotated[timedelta, AfterValidator(_within_a_century)]
"""A length of time."""
Seconds = Annotated[int, AfterValidator(_seconds_within_a_century)]
"""A length of time in whole seconds."""
LONGEST_TOKEN: Final = 16 * 2**10
Token = Annotated[str, pydantic.Field(pattern=r"^[\x21-\x7e]+$", max_length=LONGEST_TOKEN)]
"""What a login gives: it stands in a header, where servers take 16 KiB at most, and is kept."""


class Wire(pydantic.BaseModel):
    """Base of what an API says, in camelCase: tolerant, and silent about input that doesn't fit."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; the content can hold credentials and doesn't show."""

    status: int
    content: bytes | bytearray = field(repr=False)
    retry_after: float | None = None
    """Of a 429: seconds to wait."""
    listed: bool = False
    """It was a list, and ``Request.take`` was told each of its rows."""
    share: answer_memory.Share | None = field(default=None, repr=False, compare=False)
    """The memory that the content takes; free again when the answer is."""

    def parse(self, model: type[Model], *, under: str | None = None) -> Model | None:
        """The content as ``model``, or what it has ``under`` that name.

        None where it has another shape, or too much of anything.
        """
        # N4: ``[{},{},…]`` of 8 MiB took 3.9 GiB, because pydantic builds an error for each entry.
        if not json_documents.is_modest(self.content):
            return None
        try:
            if under is None:
                return model.model_validate_json(self.content)
            found: Model = _around(model, under).model_validate_json(self.content).found
        except pydantic.ValidationError:
            return None
        return found

    def rows(self, *, under: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The objects of a long list: see ``json_documents.rows``."""
        return json_documents.rows(self.content, under=under)

    async def has_rows(self, *, under: str | None = None) -> bool:
        """Whether there is such a list, of which nothing is wanted."""
        try:
            async for _ in self.rows(under=under):
                pass
        except json_documents.Malformed:
            return False
        return True


@functools.cache
def _around(model: type[pydantic.BaseModel], under: str) -> Any:
    """What holds a ``model`` under one name, and else nothing of ours."""
    content: Any = (model, pydantic.Field(alias=under))
    return pydantic.create_model("Around", __base__=Wire, found=content)


def is_up(answer: Answer) -> bool:
    """Whether an answer shows a server that works: any but one of 5xx."""
    return answer.status < 500


def throttles(answer: Answer) -> bool:
    """Whether an answer asks for a pause before further requests: any 429."""
    return answer.status == 429


def values(data: Mapping[str, JsonValue]) -> dict[str, str]:
    """Credentials as the Secret is to hold them: what is no string as JSON, nulls not at all."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in data.items()
        if value is not None
    }
