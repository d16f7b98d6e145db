"""What came back from a provider: its status, its content in our shapes, and what a refusal means.

``client`` makes an ``Answer`` of what it read; an adapter parses it into its wire models, whose
moments and lengths are those below.

A server that is broken, or isn't the provider at all, may state the year 9999 or a lifetime of
10^400 seconds. Such a figure is well formed; sums with it aren't. So it is moved to the nearest
one that a lease can have, which says the same: over long ago, or not for a long time.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar

import pydantic
from pydantic import AfterValidator, AwareDatetime

from leaseholder import errors
from leaseholder.api import base
from leaseholder.providers.kit import documents, memory

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; the content can hold credentials and doesn't show."""

    status: int
    content: bytes | bytearray = field(repr=False)
    retry_after: float | None = None
    """Of a 429: seconds to wait."""
    listed: bool = False
    """It was a list, and ``Request.take`` was told each of its rows."""
    share: memory.Share | None = field(default=None, repr=False, compare=False)
    """The memory that the content takes; free again when the answer is."""

    def parse(self, model: type[Model]) -> Model | None:
        """The content as ``model``; None where it has another shape, or too much of anything."""
        if not documents.is_modest(self.content):
            return None
        try:
            return model.model_validate_json(self.content)
        except pydantic.ValidationError:
            return None

    def rows(self, *, under: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The objects of a long list: see ``documents.rows``."""
        return documents.rows(self.content, under=under)

    async def has_rows(self, *, under: str | None = None) -> bool:
        """Whether there is such a list, of which nothing is wanted."""
        try:
            async for _ in self.rows(under=under):
                pass
        except documents.Malformed:
            return False
        return True


def is_up(answer: Answer) -> bool:
    """Whether an answer shows a server that works: any but one of 5xx."""
    return answer.status < 500


def again(error: errors.ProviderError, *, retry_after: float | None = None) -> errors.ProviderError:
    """The same error as a new object, so that many may raise it."""
    wait = error.retry_after if retry_after is None else retry_after
    if isinstance(error, errors.Unavailable):
        return errors.Unavailable(error.reason, error.sentence, sent=error.sent, retry_after=wait)
    return type(error)(error.reason, error.sentence, retry_after=wait)
