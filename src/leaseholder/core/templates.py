"""Templates of the target Secret's data: compiled once, rendered in bounded time.

Flows in: the texts of a template, then a provider's values. Flows out: the data of the Secret, for
``contents``. ``template_texts`` reads a text, ``filters`` has what may be done with a value.

Compiling needs no values and tells every mistake of the text; rendering fills the blanks. All
text that is made on the way is counted, so that the work of a rendering is bounded whatever
values and filters do.

A sentence about a failure carries what the user wrote in the template, never a value. Errors
are raised outside of ``except`` blocks and when the values are let go, so that neither their
context nor our frames in their traceback lead to one.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.api.lease import MOST_TEMPLATE_BYTES, MergePolicy
from leaseholder.core import filters, template_texts
from leaseholder.core.template_texts import Blank, Parts

_MOST_WORK: Final = 4 * filters.MOST
"""So many characters may be made on the way, by all places and filters together."""
_MOST_PLACES: Final = 400
_MOST_TOKENS: Final = 10 * _MOST_PLACES
"""``text {{ NAME | filter }}`` has ten: the text before it, both braces, names, bar and blanks."""
_MOST_PREVIEW: Final = 200
_MOST_LIST: Final = 200


class _Unfilled(Exception):
    """A place can't be filled; ``why`` says the reason, without any value."""

    def __init__(self, why: str, place: Blank) -> None:
        super().__init__(why)
        self.why = why
        self.place = place


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTemplate:
    """What makes the data of a Secret from a provider's values."""

    merge_policy: MergePolicy
    """Merge: with the provider's own keys. Replace: only the template's."""
    digest: str
    """16 hexadecimal digits that tell this template (texts and policy) from another."""
    _texts: Mapping[str, Parts] = field(repr=False)

    @property
    def variables(self) -> frozenset[str]:
        """The names that the texts ask for."""
        return frozenset(name for parts in self._texts.values() for name in _names(parts))

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return sum(template_texts.size(parts) for parts in self._texts.values())

    def require(self, names: Collection[str]) -> None:
        """See that the values have all names that the texts ask for.

        Raises:
            Invalid: one is missing; with the names that there are, and a preview.
        """
        complaint = self._lacking(names)
        if complaint:
            raise _invalid(complaint)

    def rendered(self, values: Mapping[str, str]) -> dict[str, str]:
        """The data of the Secret: the texts with ``values`` in their places, by the policy.

        Raises:
            Invalid: a name is missing, a filter can't take a value, or too much comes of it.
        """
        made, complaint = self._made(values)
        del values
        if made is None:
            raise _invalid(complaint)
        return made

    def _made(self, values: Mapping[str, str]) -> tuple[dict[str, str] | None, str]:
        """The data, or None and the complaint."""
        lacking = self._lacking(frozenset(values))
        if lacking:
            return None, lacking
        work = _Work(values)
        made = dict(values) if self.merge_policy == "Merge" else {}
        for key, parts in self._texts.items():
            try:
                made[key] = "".join([work.filled(part) for part in parts])
            except _Unfilled as failure:
                place = failure.place
                preview = _preview(parts, {place: str(place)})
                why = f"template.data.{key}: line {place.line}: {failure.why}"
                return None, f"{why}; preview: {preview}"
        if _bytes(made) > filters.MOST:
            return None, "template.data: a Secret holds at most 1 MiB, and this makes more"
        return made, ""

    def _lacking(self, names: Collection[str]) -> str:
        """The complaint about names that the texts ask for and that there aren't; or empty."""
        for key, parts in self._texts.items():
            missing = _names(parts).difference(names)
            if missing:
                notes = {
                    part: template_texts.short(f"missing {part.name}")
                    for part in parts
                    if isinstance(part, Blank) and part.name in missing
                }
                return (
                    f"template.data.{key}: there is no {_list(missing)}, only {_list(names)}; "
                    f"preview: {_preview(parts, notes)}"
                )
        return ""


def compiled(texts: Mapping[str, str], merge_policy: MergePolicy = "Merge") -> CompiledTemplate:
    """The template of ``target.template``: its ``data`` and ``mergePolicy``.

    Raises:
        Invalid: a text can't be read or holds what isn't allowed; the sentence names its key
            and says what to write instead.
    """
    size = _bytes(texts)
    if size > MOST_TEMPLATE_BYTES:
        raise _invalid(
            f"template.data: {size} bytes are too many: write at most {MOST_TEMPLATE_BYTES}"
        )
    left = _MOST_TOKENS
    for text in texts.values():
        left -= template_texts.tokens(text, left)
        if left < 0:
            raise _invalid(
                "template.data: there is too much between {{ and }} in all texts together: write "
                f"at most {_MOST_PLACES} places with one filter each, or leave some out"
            )
    written = json.dumps([merge_policy, sorted(texts.items())])
    return CompiledTemplate(
        merge_policy=merge_policy,
        digest=hashlib.sha256(written.encode()).hexdigest()[:16],
        _texts={key: _read(key, texts[key]) for key in sorted(texts)},
    )


def _read(key: str, text: str) -> Parts:
    try:
        return template_texts.read(text)
    except template_texts.Unread as unread:
        why = unread.why
    raise _invalid(f"template.data.{key}: {why}")


class _Work:
    """The values to fill in, and how much text may still be made of them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._left = _MOST_WORK

    def filled(self, part: str | Blank) -> str:
        """The text of a part of the template."""
        if isinstance(part, str):
            return part
        text = part.constant if part.name is None else self._values[part.name]
        if not template_texts.is_text(text):
            raise _Unfilled("the value isn't a text in UTF-8", part)
        self._count(text, part)
        for step in part.steps:
            known = filters.FILTERS[step.name]
            self._left -= (known.effort - 1) * len(text)
            if self._left < 0:  # before it begins: what it makes would be counted too late
                raise _Unfilled(f"{step.name}: the text is too long for it", part)
            made = known.apply(text, *step.arguments)
            if made is None:
                raise _Unfilled(f"{step.name}: {known.refusal}", part)
            text = made
            self._count(text, part)
        return text

    def _count(self, text: str, place: Blank) -> None:
        self._left -= len(text)
        if self._left < 0 or len(text) > filters.MOST:
            raise _Unfilled("too much text comes of it", place)


def _bytes(texts: Mapping[str, str]) -> int:
    return sum(len(text.encode(errors="surrogatepass")) for text in texts.values())


def _names(parts: Parts) -> frozenset[str]:
    places = (part for part in parts if isinstance(part, Blank))
    return frozenset(place.name for place in places if place.name is not None)


def _preview(parts: Parts, notes: Mapping[Blank, str]) -> str:
    """The text around the first of the noted places, each place as it was written or noted."""
    text, first = "", -1
    for part in parts:
        if isinstance(part, Blank) and part in notes:
            first = len(text) if first < 0 else first
            text += f"‹{notes[part]}›"
        else:
            text += str(part)
    start = max(0, first - _MOST_PREVIEW // 2)
    end = start + _MOST_PREVIEW
    shown = f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
    return "".join(letter if letter.isprintable() else "⏎" for letter in shown)


def _list(words: Iterable[str]) -> str:
    listed = ", ".join(map(template_texts.short, sorted(words))) or "an empty answer"
    return template_texts.short(listed, _MOST_LIST)


def _invalid(sentence: str) -> errors.Invalid:
    return errors.Invalid(Reason.TEMPLATE_INVALID, sentence)
