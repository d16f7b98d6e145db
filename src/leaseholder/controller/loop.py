"""The controller: observe, decide, perform one step, observe again, until nothing is left to do.

Flows in: keys that are due (``hints`` makes them so, ``line`` says whose turn is next, and
``runner`` gives each a task of its own). One *go* of a key takes views from ``observe``, has
``core.rules`` decide, and hands each step to ``perform``. Flows out: the moment at which the key is
due again.

A stop lets steps that are under way finish and delivers what was issued; the rest is found again
after the restart. While the API server is away it is asked by one key at a time, now and then, and
leases are kept alive from memory (``away``).
"""

import asyncio
import dataclasses
import operator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from leaseholder import errors
from leaseholder.api import names, record
from leaseholder.api.conditions import Reason
from leaseholder.controller import away, line, reporting, runner
from leaseholder.controller.entry import Entry
from leaseholder.controller.hints import APART, Hints
from leaseholder.controller.keys import Key
from leaseholder.controller.perform import Performer
from leaseholder.core import actions, contents, rules, schedule, status
from leaseholder.core.view import View
from leaseholder.ports.meter import Meter

MOST_STEPS: Final = 40
"""Steps in one go; whoever needs more waits a little, so that no key starves the others."""
UNDER_WAY: Final = 16_384
"""So many keys are under way at once, most of them waiting for a provider."""
REPORT_AGAIN: Final = 2.0
"""Seconds until the end of a lease is reported once more, where the API server didn't take it."""
LEAST_PATIENCE: Final = 3.0
"""So many seconds a look may take, even near the end of a lease."""
MOST_CONFLICTS: Final = 5
"""Steps of one go that may meet what was not known; then the key waits as after any failure."""
FEW: Final = 5
"""Failures in a row after which a key's trouble may be its own."""


@dataclass(slots=True, kw_only=True)
class Controller(Hints):
    """Drives DynamicLeases and their records towards what is wanted."""

    performer: Performer
    meter: Meter
    workers: int = 16
    """So many keys are at work at once; whoever waits for a provider doesn't count."""
    _line: line.Line[Key] = field(init=False)
    _cluster: away.ApiServer = field(init=False)
    _keeper: away.Keeper = field(init=False)
    _reporter: reporting.Reporter = field(init=False)

    def __post_init__(self) -> None:
        namespace = operator.attrgetter("namespace")
        self._line = line.Line(self.workers, namespace, self._urgency, UNDER_WAY)
        now, late = self.clock.monotonic, self.meter.late
        self._runner = runner.Runner(self._line, self._work, now, late)
        self._cluster = away.ApiServer(now)
        self._keeper = away.Keeper(self.observer, self.performer.renewer)
        self._reporter = reporting.Reporter(self.performer, self.clock)

    @property
    def stuck_for(self) -> float:
        """Seconds that due work has been waiting while nothing went on; for liveness."""
        return self._runner.stuck_for

    @property
    def depth(self) -> int:
        """How many DynamicLeases are due and wait for a turn."""
        return self._line.waiting(self.clock.monotonic())

    @property
    def reaches_cluster(self) -> bool:
        """Whether the API server answers, as far as is known."""
        return not self._cluster.is_away

    async def run(self) -> None:
        """Work until ``stop``; returns when all that is under way is done."""
        await self._runner.run()

    async def stop(self) -> None:
        """Take no new key; what is under way is finished."""
        self._runner.stop()

    async def _work(self, key: Key) -> None:
        try:
            await self._process(key)
        except Exception as error:  # outside of what a go catches: others have work, too
            reporting.log(key, self._entries.setdefault(key, Entry()), error)
            await self.offer(key, poke=False, after=runner.NAP)

    def _urgency(self, key: Key, due: float) -> float | None:
        entry = self._entries.get(key)
        return entry.by(self.clock.monotonic(), due) if entry is not None else None

    async def _process(self, key: Key) -> None:
        entry = self._entries.setdefault(key, Entry())
        entry.memory.poked, entry.poked = entry.memory.poked or entry.poked, False
        held_back = self._cluster.wait()
        if self._cluster.is_troubled:
            await self._keep_offline(key, entry)  # first: a look may hang for long
        if held_back > 0:
            entry.cut_off = True
            await self.offer(key, poke=False, after=held_back)
            return
        number = self._cluster.begin()
        try:
            await self._go(key, entry)
        except Exception as error:
            entry.doubt_secrets()
            if isinstance(error, errors.ClusterUnavailable):
                self._cluster.failed(number, error)
            if isinstance(error, errors.ClusterError):
                await self._keep_offline(key, entry)
            await self._stumble(key, entry, error)
        else:
            entry.failures, entry.logged, entry.cut_off = 0, "", False
        finally:
            self._cluster.ended(number)

    async def _keep_offline(self, key: Key, entry: Entry) -> None:
        """The API server is away, or refuses us: renew from memory what is due."""
        now = self.clock.monotonic()
        if entry.last is None or self._runner.stopping or now < entry.offline_from:
            return
        try:
            view, after = await self._keeper.keep(entry.last.view)
        except Exception as error:  # outside of what a go catches: it mustn't end the worker
            reporting.log(key, entry, error)
            return
        self._measure(entry, view)
        failure = entry.memory.failure
        if after is not None:
            await self.offer(key, poke=False, after=max(0.2, after))
        elif failure is not None:
            entry.failures += 1
            wait = entry.backoff(key, now, schedule.RETRY_MOST, failure.retry_after)
            entry.offline_from = now + wait
            await self.offer(key, poke=False, after=wait)

    async def _stumble(self, key: Key, entry: Entry, error: Exception) -> None:
        """Say what happened, and try again later."""
        entry.failures += 1
        now = self.clock.monotonic()
        passing = isinstance(error, errors.EdgeError) and not isinstance(error, errors.Unreadable)
        most = 30.0 if passing else schedule.RETRY_MOST
        retry_after = error.retry_after if isinstance(error, errors.EdgeError) else None
        wait = entry.backoff(key, now, most, retry_after)
        reporting.log(key, entry, error)
        if isinstance(error, errors.Unreadable):
            await self._reporter.unreadable(error)
        elif isinstance(error, errors.Refused):
            await self._reporter.refused(key, error)
        entry.cut_off = isinstance(error, errors.ClusterUnavailable)
        await self.offer(key, poke=False, after=wait)

    async def _reached(self) -> None:
        """The API server answers: who was cut off needn't wait for the end of the back-off.

        Where it never was quite away, only who failed a few times: the trouble may be theirs.
        """
        was_open, troubled = self._cluster.is_open, self._cluster.is_troubled
        self._cluster.answered()
        if not troubled:
            return
        async for key, entry in runner.in_slices(list(self._entries.items())):
            if entry.cut_off and (was_open or entry.failures < FEW):
                entry.cut_off = False
                left = entry.good_for(self.clock.monotonic())
                apart = schedule.spread(str(key), APART * len(self._entries))
                is_over = left is not None and left <= 0
                await self.offer(key, poke=False, after=0.0 if is_over else 1.0 + apart)

    async def _go(self, key: Key, entry: Entry) -> None:
        try:
            await self._advance(key, entry)
        finally:
            entry.keep()

    async def _advance(self, key: Key, entry: Entry) -> None:
        """One go: step by step until there is nothing to do for now."""
        conflicts, known = 0, None  # ``known``: the view after a step, without another look
        for _ in range(MOST_STEPS):
            view = known or await self._observe(key, entry)
            if key.former and not self.observer.records.is_former(view.subject):
                await self._resume(key)
                return
            if self.observer.records.lost(view.subject):
                await self.performer.put_back(view)
                known = None
                continue
            decision = await self._decide(key, entry, view)
            step = decision.step
            if known is not None and not isinstance(step, actions.Idle | actions.Discard):
                known = None
                continue
            if entry.must_read_for(view, step):
                continue
            if self._runner.stopping and not _must_finish(step):
                return
            if isinstance(step, actions.Idle):
                await self._rest(key, entry, view, step.until)
                return
            reporting.decided(key, decision)
            try:
                known = await self._do(entry, view, step)
            except errors.Conflict:
                conflicts, known = conflicts + 1, None
                if conflicts > MOST_CONFLICTS:
                    raise
        entry.memory.secrets = None
        await self.offer(key, poke=False, after=1.0)

    async def _resume(self, key: Key) -> None:
        """What was taken for an earlier tenant's is of the Namespace that stands.

        Another process wrote its record, and this one hadn't seen that the Namespace is new.
        """
        self._entries.pop(key, None)
        await self.offer(Key(key.namespace, key.name), poke=False)

    async def _decide(self, key: Key, entry: Entry, view: View) -> rules.Decision:
        """What the rules say of a look, which the entry remembers."""
        await self._reached()
        await self._offer_formers(key)
        facts = view.for_decision()  # until the step: that changes memory
        self._note(key, entry, facts)
        decision = rules.decide(facts)
        self._runner.progress = view.monotonic
        return decision

    async def _do(self, entry: Entry, view: View, step: actions.Action) -> View | None:
        """Do a step; returns the view after it, where that is known without another look.

        Raises:
            errors.Conflict: what was known isn't so any more.
        """
        after = _after(view, step)
        if isinstance(step, actions.Release):
            entry.released = view.holder.uid if after is not None else ""
        try:
            await self._perform(view, step)
        except errors.Conflict:
            entry.doubt_secrets()
            entry.released = ""
            raise
        if reporting.takes_back(view, step):
            entry.unready = None
            await runner.give_way()
            return None
        return after

    async def _offer_formers(self, key: Key) -> None:
        """What earlier tenants left under the name is looked at for itself.

        Not because of another one's look: where another shard serves them nothing is kept of them,
        and two would make each other due for ever.
        """
        if key.former:
            return
        for former in self.observer.records.formers(key.namespace, key.name):
            if former not in self._entries:
                await self.offer(former, poke=False)

    async def _perform(self, view: View, step: actions.Action) -> None:
        """Do a step; if the lease in the Secret ends meanwhile, Ready doesn't wait for it.

        A request to the provider may hang, or wait for its turn there, for longer than credentials
        live.
        """
        left = reporting.good_for(view)
        if left is None:
            await self.performer.perform(view, step)
            return
        left = reporting.PATIENCE if reporting.takes_back(view, step) else max(0.0, left)
        work = asyncio.ensure_future(self.performer.perform(view, step))
        try:
            done, _ = await asyncio.wait([work], timeout=left)
            while not done and not await self._reporter.ended(view):
                done, _ = await asyncio.wait([work], timeout=REPORT_AGAIN)
            await work
        finally:
            work.cancel()

    async def _observe(self, key: Key, entry: Entry) -> View:
        """A look; where it hangs, it is given up while the lease can still be renewed."""
        left = entry.left(self.clock.monotonic())
        patience = None if left is None else max(LEAST_PATIENCE, left.total_seconds() / 4)
        try:
            async with asyncio.timeout(patience):
                return await self.observer.observe(key, entry.memory)
        except TimeoutError:
            sentence = "the API server didn't answer in time"
        raise errors.ClusterUnavailable(Reason.CLUSTER, sentence)

    def _note(self, key: Key, entry: Entry, view: View) -> None:
        if entry.holder not in (None, view.holder):
            self._forget(entry.holder)
        self._remember(key, entry, view)
        self._measure(entry, view)

    def _measure(self, entry: Entry, view: View) -> None:
        entry.measure(view, reporting.good_for(view))
        self.meter.observed(view.holder, status.figures(view))

    async def _rest(self, key: Key, entry: Entry, view: View, until: datetime | None) -> None:
        entry.memory.poked = False
        entry.memory.secrets = view.secrets_to_keep
        if until is not None:
            since = self.clock.monotonic() - view.monotonic  # the last step may have taken long
            after = max(0.2, (until - view.now).total_seconds() - since)
            await self.offer(key, poke=False, after=after)
        elif view.elsewhere or (view.dl is None and not view.records):
            self._entries.pop(key, None)
            self._forget(view.holder)

    def _forget(self, holder: record.Holder) -> None:
        """Nothing is left of a DynamicLease."""
        self.meter.forget(holder)
        self.performer.chronicle.journal.forget(holder.uid)
        contents.forget(holder.uid)


def _after(view: View, step: actions.Action) -> View | None:
    """The view after a step that changed one known thing; None: it has to be gathered anew.

    Where nothing else is to be done, or the record alone is to go, it needn't be. A DynamicLease
    that was deleted is gone with its last finalizer.
    """
    match step:
        case actions.Report(reported) if view.dl is not None:
            dl = view.dl.model_copy(update={"status": reported})
            return dataclasses.replace(view, dl=dl)
        case actions.Discard():
            return dataclasses.replace(view, record_version="")
        case actions.Release() if view.dl is not None:
            last = {*view.dl.metadata.finalizers} == {names.FINALIZER}
            return dataclasses.replace(view, dl=None) if last else None
    return None


def _must_finish(step: actions.Action) -> bool:
    """Whether a stop waits for this step: an issue that is out must reach the ledger and Secret."""
    return isinstance(step, actions.Hold | actions.Deliver)
