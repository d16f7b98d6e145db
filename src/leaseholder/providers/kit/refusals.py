"""What a provider's refusals mean: one ladder for all providers, a table for each.

Flows in: an ``Answer`` other than 2xx. Flows out: one of our errors, whose sentence says what to
do; an answer's own text is matched and never passed on. An adapter writes the lines of its table
and asks its ``Refusals`` for the error, or for the content of an answer that is none (``parsed``,
``listed``).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pydantic

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import RevocationAnswer
from leaseholder.providers.kit import json_documents
from leaseholder.providers.kit.answers import Answer, Model, Wire

MOST_WANTED: Final = 16
"""Leases that one attempt can have left: far more than a client that asks once."""
LONGEST_REFUSAL: Final = 16 * 2**10
"""Characters of a refusal that are looked at: each line of a table may be searched for in them."""


UNREACHED: Final = (
    "timeout|timed out|connection (terminated|closed|lost|refused|reset)|terminating connection|"
    "starting up|shutting down|in recovery mode|too many (clients|connections)|connection slots|"
    "not (yet )?accepting connections|during recovery|in a read-only transaction|"
    "read-only option|database is read-only|not primary"
)
"""What drivers and databases say where a request never got through to them, or got no answer; and
those that take no writes, as while another one takes over."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line of a provider's table: which answers it is about, and what they mean to us."""

    status: int | Container[int]
    text: str | None
    """A regular expression that is searched for in what the answer says, in lower case; None:
    whatever it says, and even if it isn't the provider's."""
    reason: Reason
    """It decides the type of the error too."""
    sentence: str
    """May name words of the request: ``{where}``; one that isn't given is told as ``?``."""
    meaning: str = ""
    """By this name the adapter asks for it."""
    error: type[errors.ProviderError] | None = None
    """The error's type, where it isn't as usual."""
    unclear: bool = False
    """What was asked may have been done all the same."""
    served: bool = False
    """Of an ``Unavailable``: the system behind the provider refused this, and it isn't away."""
    retry_after: float | None = None

    def __post_init__(self) -> None:
        self.saying({})  # a sentence that can't be told fails here, not where an answer is refused

    def saying(self, words: Mapping[str, object]) -> str:
        """The sentence with these words in it."""
        return self.sentence.format_map(defaultdict[str, object](lambda: "?", words))

    def is_about(self, status: int, said: str | None) -> bool:
        """Whether an answer is one of these; ``said``: see ``Refusals.read``."""
        known = self.status if not isinstance(self.status, int) else (self.status,)
        if status not in known:
            return False
        return self.text is None or (said is not None and re.search(self.text, said) is not None)


def lines(
    status: int | Container[int], reason: Reason, sentences: Mapping[str, str]
) -> tuple[Refusal, ...]:
    """Lines of a table for one status and reason: by what is searched for, what to say."""
    return tuple(Refusal(status, text, reason, said) for text, said in sentences.items())


_TYPES: Final[Mapping[Reason, type[errors.ProviderError]]] = {
    Reason.UNAVAILABLE: errors.Unavailable,
    Reason.GONE: errors.LeaseGone,
    Reason.CANNOT_RENEW: errors.CannotRenew,
    Reason.INVALID: errors.Invalid,
    Reason.SOURCE_MISSING: errors.Invalid,
    Reason.TTL_TOO_LONG: errors.Invalid,
}
"""What isn't here is a ``Denied``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """What a provider's answers other than 2xx mean: one ladder for all, a table for each.

    ::

        429                                         Throttled, or what a line of ``full`` says
        a line of the table, read top to bottom     what that line says
        5xx                                         Unavailable
        another status, or not the provider's words Unavailable, BadProviderAnswer
        anything else                               ``otherwise``

    What an answer says is matched and never passed on: it can hold what the system behind the
    provider said, credentials included.
    """

    who: str
    """The provider's name."""
    read: Callable[[Answer], str | None]
    """What an answer says, in lower case; None where it isn't one of the provider's refusals."""
    table: tuple[Refusal, ...]
    otherwise: Refusal
    throttled: str
    trouble: str
    strange: str
    """What to check where something else answers than the provider."""
    words: Callable[[Answer, Any], Mapping[str, object]] = lambda _, source: source
    """What sentences of the table name: of an answer, and of what was asked about."""
    note: Callable[[Answer], str] = lambda _: ""
    """What else to say about an answer: its request's id."""
    asked: str = ""
    """What was answered to, where it isn't plain: ``to the login``."""
    full: tuple[Refusal, ...] = ()
    """Lines for a 429 that no waiting helps: it is about what there is, not about requests."""
    relayed: bool = False
    """A refusal that isn't the provider's may come after it has done what was asked. Else it is
    of something in front of the provider, which passed nothing on."""

    def at_login(self, otherwise: str, *table: Refusal, trouble: str = "") -> "Refusals":
        """The same for logins, with another table; ``otherwise``: what to check about a login."""
        return replace(
            self,
            asked="to the login",
            otherwise=Refusal(0, "", Reason.LOGIN_REFUSED, otherwise),
            trouble=trouble or self.trouble,
            table=table,
        )

    def stated(self, answer: Answer) -> str:
        """Who answered what."""
        asked = f" {self.asked}" if self.asked else ""
        return f"{self.who} answered {answer.status}{self.note(answer)}{asked}"

    def line(self, answer: Answer) -> Refusal | None:
        """The line of the table that an answer is about; None where the ladder knows more."""
        if answer.status < 300:
            return None
        said = self.read(answer)
        # Searching a megabyte for all that OpenBao's table knows held the loop for 50 ms.
        said = said[:LONGEST_REFUSAL] if said is not None else None
        for one in self.full if answer.status == 429 else self.table:
            if one.is_about(answer.status, said):
                return one
        known = said is not None and 400 <= answer.status < 500 and answer.status != 429
        return self.otherwise if known else None

    def throttles(self, answer: Answer) -> bool:
        """Whether requests have to wait after an answer."""
        return answer.status == 429 and self.line(answer) is None

    def about(self, answer: Answer) -> str:
        """The name of the line that an answer is about; empty where there is none."""
        found = self.line(answer)
        return found.meaning if found is not None else ""

    def error(
        self,
        answer: Answer,
        source: Any = None,
        *,
        effect: bool = False,
        instead: Mapping[str, Refusal] | None = None,
    ) -> errors.ProviderError:
        """The error that an answer stands for.

        Args:
            answer: what came back.
            source: what was asked about, which ``words`` reads.
            effect: whether the request leaves something behind when its answer is lost.
            instead: what lines with these names mean where this was asked.
        """
        who, found = self.stated(answer), self.line(answer)
        if answer.status == 429 and found is None:
            sentence = f"{who}: {self.throttled}"
            return errors.Throttled(Reason.THROTTLED, sentence, retry_after=answer.retry_after)
        if found is None and answer.status >= 500:
            sentence = f"{who}: {self.trouble}"
            return errors.Unavailable(Reason.UNAVAILABLE, sentence, sent=effect)
        if found is None:
            return self.bad(answer, sent=effect and (self.relayed or answer.status < 300))
        found = (instead or {}).get(found.meaning, found)
        words = self.words(answer, source) if source is not None else {}
        sentence = f"{who}: {found.saying(words)}"
        kind = found.error or _TYPES.get(found.reason, errors.Denied)
        if issubclass(kind, errors.Unavailable):
            sent = effect and found.unclear
            return kind(found.reason, sentence, sent=sent, served=found.served)
        error = kind(found.reason, sentence)
        error.retry_after = found.retry_after
        return error

    def bad(self, answer: Answer, *, sent: bool) -> errors.Unavailable:
        """An answer that makes no sense; ``sent``: what was asked may have been done."""
        sentence = f"{self.stated(answer)}, {self.strange}"
        return errors.Unavailable(Reason.BAD_ANSWER, sentence, sent=sent)

    def not_revoked(self, answer: Answer, sentence: str) -> RevocationAnswer:
        """What came back from a revocation that the system behind the provider didn't do."""
        said = f"{self.stated(answer)}: {sentence}"
        return RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE, sentence=said)

    def parsed(
        self,
        answer: Answer,
        model: type[Model],
        source: Any = None,
        *,
        under: str | None = None,
        effect: bool = False,
    ) -> Model:
        """What a 200 says, or says ``under`` that name.

        Raises:
            ProviderError: it is no 200 (``error``), or makes no sense (``bad``).
        """
        if answer.status != 200:
            raise self.error(answer, source, effect=effect)
        found = answer.parse(model, under=under)
        if found is None:
            raise self.bad(answer, sent=effect)
        return found

    async def listed(
        self,
        answer: Answer,
        model: type[Model],
        source: Any = None,
        *,
        under: str | None = None,
        wanted: Callable[[Mapping[str, Any]], bool],
        most: int | None = None,
    ) -> list[Model]:
        """The rows of a list that are wanted, which ``Request.lists`` asked for.

        Args:
            answer: what came back.
            model: what a row says.
            source: what was asked about.
            under: the list's name in an object around it.
            wanted: told each row as it is; others aren't looked at closely.
            most: so many do, and the rest isn't read; None: all are wanted.

        Raises:
            ProviderError: it is no 200, no such list, or all of more than ``MOST_WANTED`` are
                wanted.
        """
        if answer.status != 200:
            raise self.error(answer, source)
        found: list[Model] = []
        is_sound = False
        try:
            async for row in answer.rows(under=under):
                if wanted(row):
                    found.append(model.model_validate(row))
                if most is not None and len(found) >= most:
                    return found
                if most is None and len(found) > MOST_WANTED:
                    break
            else:
                is_sound = True
        except (json_documents.Malformed, pydantic.ValidationError):
            pass  # what they say quotes the answer, so nothing is raised from here
        if not is_sound:
            raise self.bad(answer, sent=False)
        return found


def text_in(name: str) -> Callable[[Answer], str | None]:
    """Reads a refusal's text, in lower case, where a provider puts it under one name."""
    body = pydantic.create_model("ErrorBody", __base__=Wire, **{name: (str, ...)})  # type: ignore[call-overload]

    def read(answer: Answer) -> str | None:
        found = answer.parse(body)
        return str(getattr(found, name)).lower() if found is not None else None

    return read
