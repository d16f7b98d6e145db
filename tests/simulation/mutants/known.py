"""The rules of docs/design/0023: what of the Secrets is known until their watch shows a change."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from leaseholder.controller import entry, keys, loop
from leaseholder.core import actions
from leaseholder.core.memory import Memory, SecretsSeen
from leaseholder.core.view import View
from leaseholder.secrecy import Credentials
from tests.simulation.mutants.registry import Patch, swap, switched_off


@switched_off(
    "an event of a Secret forgets what is known of it",
    "it makes the name due, and what is known stays",
    story="edited",
)
def event_forgets_nothing() -> list[Patch]:
    return [swap(Memory, "doubted", property(lambda memory: False, lambda memory, value: None))]


@switched_off(
    "… also one that comes while a go is under way",
    "what that go knew is kept",
    covered="the next go sees that something told of a change, and reads",
)
def kept_though_doubted() -> list[Patch]:
    honest: Any = View.secrets_to_keep

    def kept(view: View) -> Any:
        before, view.memory.doubted = view.memory.doubted, False
        try:
            return honest.fget(view)
        finally:
            view.memory.doubted = before

    return [swap(View, "secrets_to_keep", property(kept))]


@switched_off(
    "a Secret is known where its seal proves the delivered lease",
    "where its marks name it",
    story="edited",
    covered="a report that changes Ready reads the Secrets first",
)
def known_by_its_marks() -> list[Patch]:
    def kept(view: View) -> SecretsSeen | None:
        seen, held, target = view.memory.secrets, view.delivered, view.target
        if seen is None or held is None or target is None or view.memory.doubted:
            return None
        if {one.uid for one in seen.labelled} != {target.uid} or view.target_contested:
            return None
        bare = dataclasses.replace(target, values=Credentials({}))
        return SecretsSeen(seen.asked, (bare,), bare, is_old=True, proven=held.attempt_id)

    return [swap(View, "secrets_to_keep", property(kept))]


@switched_off(
    "a step that neither names the Secret's version nor is harmless reads the Secrets first",
    "every step is decided from what is known",
    story="unshown",
)
def decided_from_what_is_known() -> list[Patch]:
    honest = entry.Entry.must_read_for

    def must_read_for(self: entry.Entry, view: View, step: actions.Action) -> bool:
        return not view.proven and honest(self, view, step)

    return [swap(entry.Entry, "must_read_for", must_read_for)]


@switched_off(
    "… and so does a report that changes Ready",
    "Ready is taken back by what is known",
    story="overtaken",
    covered="who replaced the lease wrote the DynamicLease, too: a conflict, or a sign to read",
)
def ready_by_what_is_known() -> list[Patch]:
    return [swap(entry.Entry, "_needs_more", _but_for(actions.Report))]


@switched_off(
    "a Secret is known by its seal alone, and a report that changes Ready reads it",
    "neither",
    story="edited",
)
def ready_by_its_marks() -> list[Patch]:
    return [*known_by_its_marks(), *ready_by_what_is_known()]


@switched_off(
    "… and a copy of credentials that are in no memory",
    "it is made from what is known, without values",
    story="rename",
    covered="without values the copy fails, and the next try reads",
)
def copied_from_what_is_known() -> list[Patch]:
    return [swap(entry.Entry, "_needs_more", _but_for(actions.Deliver))]


@switched_off(
    "the comparison holds what is known of Secrets against what their watch shows",
    "it doesn't",
    story="missed",
)
def secrets_not_compared() -> list[Patch]:
    async def doubt(self: loop.Controller, shown: Mapping[keys.Key, Collection[str]]) -> None:
        return None

    return [swap(loop.Controller, "doubt_secrets", doubt)]


def _but_for(kind: type[object]) -> object:
    honest = entry.Entry._needs_more

    def needs_more(self: entry.Entry, view: View, step: actions.Action) -> bool:
        return not isinstance(step, kind) and honest(self, view, step)

    return needs_more
