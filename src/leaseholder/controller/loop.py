"""The controller: due DynamicLeases, one step at a time each, by a bounded number of workers.

A key is worked on by one worker at a time, and ``line`` says by whom next. Hints (events, pokes)
only make a key due; what is to be done comes from live reads. Stopping lets steps that are under
way finish and delivers what was minted; the rest is found again after the restart.

While the API server is away it is asked by one key at a time, now and then; leases are kept
alive from memory meanwhile.
"""

import asyncio
import contextlib
import dataclasses
import logging
import operator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from leaseholder import circuit, errors, ports
from leaseholder.api import base, conditions, lease, names, record
from leaseholder.api.conditions import ConditionType, Reason
from leaseholder.controller import line, mishaps
from leaseholder.controller.blind import Keeper
from leaseholder.controller.entry import Entry, wishes
from leaseholder.controller.observe import Observer, failure_of
from leaseholder.controller.perform import Performer
from leaseholder.controller.supplies import Ref
from leaseholder.core import contents, figures, project, schedule, steps
from leaseholder.core.decide import decide
from leaseholder.core.view import View

logger = logging.getLogger(__name__)

MOST_STEPS: Final = 40
"""Steps in one go; whoever needs more waits a little, so that no key starves the others."""
NAP: Final = 30.0
"""A wait for a due time is never longer: the event loop's clock stands still while the machine
sleeps, ours doesn't."""
CLUSTER_PAUSE: Final = 10.0
"""The longest pause between two tries to reach an API server that is away."""
LEAST_PATIENCE: Final = 3.0
"""So many seconds a look may take, even near the end of a lease."""
AT_ONCE: Final = 50
"""So many keys are woken together; more are spread, so that what is urgent gets through."""
FEW: Final = 5
"""Failures in a row after which a key's trouble may be its own."""
LONGEST_STEP: Final = 300.0
"""No step takes so many seconds."""
APART: Final = 0.02
"""Seconds between two keys that are woken one by one."""


@dataclass(slots=True)
class Controller:
    """Drives DynamicLeases and their records towards what is wanted."""

    observer: Observer
    performer: Performer
    clock: ports.Clock
    meter: ports.Meter
    workers: int = 16
    _line: line.Line[record.Holder] = field(init=False)
    _entries: dict[record.Holder, Entry] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _stopping: bool = False
    _progress: float = 0.0
    _cluster: circuit.Circuit = field(init=False)
    _keeper: Keeper = field(init=False)
    _away_since: float | None = None
    """Since when the API server doesn't answer (monotonic seconds)."""

    def __post_init__(self) -> None:
        self._line = line.Line(self.workers, operator.attrgetter("namespace"), self._urgency)
        self._cluster = circuit.Circuit(self.clock.monotonic, longest=CLUSTER_PAUSE)
        self._keeper = Keeper(self.observer, self.performer)

    async def offer(
        self,
        holder: record.Holder,
        *,
        poke: bool = True,
        harmed: bool = False,
        after: float = 0.0,
    ) -> None:
        """Look at a DynamicLease soon.

        Args:
            holder: which.
            poke: something changed, so don't wait for back-off.
            harmed: its Secret changed under us, so its credentials may be gone.
            after: seconds to wait.
        """
        entry = self._entries.setdefault(holder, Entry())
        entry.poked, entry.wants = entry.poked or poke, entry.wants or harmed
        async with self._changed:
            self._line.offer(holder, self.clock.monotonic() + after)
            self._changed.notify_all()

    async def offer_users_of(self, ref: Ref, *, poke: bool = True) -> None:
        """Look at every DynamicLease that uses a provider: the provider changed, or its clock.

        Args:
            ref: the provider.
            poke: back-off doesn't count any more.
        """
        users = [holder for holder, entry in self._entries.items() if entry.provider == ref]
        most = APART * max(0, len(users) - AT_ONCE)
        for holder in users:
            await self.offer(holder, poke=poke, after=schedule.spread(holder.uid, most))

    async def offer_contested(self, namespace: str) -> None:
        """Look at who waits for a Secret in a namespace: one went, or changed hands."""
        for holder, entry in list(self._entries.items()):
            if entry.contested and holder.namespace == namespace:
                await self.offer(holder)

    async def heard(self, meta: base.ObjectMeta, *, gone: bool) -> None:
        """An event tells of a DynamicLease; what our own writes changed is no news."""
        holder = record.Holder(namespace=meta.namespace, name=meta.name, uid=meta.uid)
        entry = self._entries.get(holder)
        known = entry is None if gone else entry is not None and entry.seen == wishes(meta)
        if not known:
            await self.offer(holder)

    @property
    def holders(self) -> tuple[record.Holder, ...]:
        """Every DynamicLease that the controller keeps something of."""
        return tuple(self._entries)

    def knows(self, dl: lease.DynamicLease) -> bool:
        """Whether a DynamicLease was looked at as its owner left it, and nothing is to be done.

        What it shows counts beside what is remembered: its finalizer, its status, its deletion.
        """
        entry, meta = self._entries.get(dl.holder), dl.metadata
        seen = entry is not None and entry.seen == wishes(meta)
        told = dl.status.observed_generation == meta.generation
        return seen and told and names.FINALIZER in meta.finalizers and not dl.deleting

    def wrote(self, holder: record.Holder, version: str) -> bool:
        """Whether a Secret's resourceVersion is the one that our own write left."""
        entry = self._entries.get(holder)
        return entry is not None and version != "" and entry.memory.secret_version == version

    def __contains__(self, holder: record.Holder) -> bool:
        return holder in self._entries

    @property
    def stuck_for(self) -> float:
        """Seconds that due work has been waiting while no worker took any step; for liveness."""
        due = self._line.next_due()
        now = self.clock.monotonic()
        return 0.0 if due is None or due > now else now - max(due, self._progress)

    @property
    def depth(self) -> int:
        """How many DynamicLeases are due and wait for a worker."""
        return self._line.waiting(self.clock.monotonic())

    @property
    def reaches_cluster(self) -> bool:
        """Whether the API server answers, as far as is known."""
        return self._away_since is None

    async def run(self) -> None:
        """Work until ``stop``; returns when all workers are done."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._work())

    async def stop(self) -> None:
        """Take no new key; what is under way is finished."""
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def _work(self) -> None:
        while (holder := await self._next()) is not None:
            try:
                await self._process(holder)
            except Exception as error:  # outside of what a go catches: others have work, too
                self._log(holder, self._entries.setdefault(holder, Entry()), error)
                await self.offer(holder, poke=False, after=NAP)
            finally:
                async with self._changed:
                    self._line.done(holder, self.clock.monotonic())
                    self._changed.notify_all()

    def _urgency(self, holder: record.Holder, due: float) -> float | None:
        entry = self._entries.get(holder)
        return entry.by(self.clock.monotonic(), due) if entry is not None else None

    async def _next(self) -> record.Holder | None:
        async with self._changed:
            while not self._stopping:
                now = self.clock.monotonic()
                due = self._line.take(now)
                if due is not None:
                    holder, since = due
                    self.meter.late(now - since)
                    self._progress = now
                    return holder
                await self._wait(now)
        return None

    async def _wait(self, now: float) -> None:
        due = self._line.next_due()
        timeout = NAP if due is None else min(NAP, max(0.0, due - now))
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _process(self, holder: record.Holder) -> None:
        entry = self._entries.setdefault(holder, Entry())
        entry.memory.poked, entry.poked = entry.memory.poked or entry.poked, False
        held_back = self._cluster.wait()
        if self._cluster.is_troubled:
            await self._keep_blindly(holder, entry)  # first: a look may hang for long
        if held_back > 0:
            await self.offer(holder, poke=False, after=held_back)
            return
        number = self._cluster.begin()
        try:
            await self._advance(holder, entry)
        except Exception as error:
            if isinstance(error, errors.ClusterUnavailable):
                self._cluster.failed(number)
                self._cut_off(error)
            if isinstance(error, errors.ClusterError):
                await self._keep_blindly(holder, entry)
            await self._stumble(holder, entry, error)
        else:
            entry.failures, entry.told = 0, ""
        finally:
            self._cluster.ended(number)

    async def _keep_blindly(self, holder: record.Holder, entry: Entry) -> None:
        """The API server is away, or refuses us: extend from memory what is due."""
        now = self.clock.monotonic()
        if entry.last is None or self._stopping or now < entry.blind_from:
            return
        try:
            view, after = await self._keeper.keep(entry.last)
        except Exception as error:  # outside of what a go catches: it mustn't end the worker
            self._log(holder, entry, error)
            return
        self._measure(entry, view)
        failure = entry.memory.failure
        if after is not None:
            await self.offer(holder, poke=False, after=max(0.2, after))
        elif failure is not None:
            entry.failures += 1
            wait = entry.backoff(holder, now, schedule.RETRY_MOST, failure.retry_after)
            entry.blind_from = now + wait
            await self.offer(holder, poke=False, after=wait)

    async def _stumble(self, holder: record.Holder, entry: Entry, error: Exception) -> None:
        """Say what happened, and try again later."""
        entry.failures += 1
        now = self.clock.monotonic()
        passing = isinstance(error, errors.EdgeError) and not isinstance(error, errors.Unreadable)
        most = 30.0 if passing else schedule.RETRY_MOST
        retry_after = error.retry_after if isinstance(error, errors.EdgeError) else None
        wait = entry.backoff(holder, now, most, retry_after)
        self._log(holder, entry, error)
        if isinstance(error, errors.Refused) and not isinstance(error, errors.Unreadable):
            await self._tell_refused(holder, error)
        entry.cut_off = isinstance(error, errors.ClusterUnavailable)
        await self.offer(holder, poke=False, after=wait)

    async def _reached(self) -> None:
        """The API server answers: who was cut off needn't wait for the end of the back-off.

        Where it never was quite away, only who failed a few times: the trouble may be theirs.
        """
        was_open, troubled = self._cluster.is_open, self._cluster.is_troubled
        self._cluster.answered()
        if self._away_since is not None:
            lasted = round(self.clock.monotonic() - self._away_since)
            self._away_since = None
            logger.info("API server answers again", extra={"fields": {"lasted": f"{lasted}s"}})
        if not troubled:
            return
        for holder, entry in list(self._entries.items()):
            if entry.cut_off and (was_open or entry.failures < FEW):
                entry.cut_off = False
                most = APART * len(self._entries)
                await self.offer(holder, poke=False, after=1.0 + schedule.spread(holder.uid, most))

    def _cut_off(self, error: errors.ClusterUnavailable) -> None:
        """One line for an outage, however many meet it."""
        if self._away_since is None:
            self._away_since = self.clock.monotonic()
            fields = {"reason": error.reason, "why": error.sentence}
            logger.warning("API server doesn't answer", extra={"fields": fields})

    def _log(self, holder: record.Holder, entry: Entry, error: Exception) -> None:
        """A line for each trouble, not for each try; that the API server is away has its own."""
        if isinstance(error, errors.Unreadable):
            return  # reported where it was read
        told = mishaps.told(error)
        again, entry.told = told == entry.told, told
        level = logging.WARNING if isinstance(error, errors.EdgeError) else logging.ERROR
        quiet = again or isinstance(error, errors.ClusterUnavailable)
        fields = {**holder.dump(), "why": told}
        logger.log(logging.DEBUG if quiet else level, "step failed", extra={"fields": fields})

    async def _advance(self, holder: record.Holder, entry: Entry) -> None:
        """Step by step until there is nothing to do for now."""
        conflicts = 0
        for _ in range(MOST_STEPS):
            await self.performer.acquirer.put_back(entry.memory)
            view = await self._observe(holder, entry)
            await self._reached()
            self._note(entry, view)
            step = decide(view)
            self._progress = view.monotonic
            if self._stopping and not _must_finish(step):
                return
            match step:
                case steps.Idle(until):
                    await self._rest(holder, entry, view, until)
                    return
            try:
                await self._perform(view, step)
            except errors.Conflict:
                conflicts += 1
                if conflicts > 5:
                    raise
                continue
            if isinstance(step, steps.Report):
                told = _told(view, step)
                self._note(entry, told)
                match decide(told):
                    case steps.Idle(until):
                        await self._rest(holder, entry, told, until)
                        return
        await self.offer(holder, poke=False, after=1.0)

    async def _perform(self, view: View, step: steps.Step) -> None:
        """Do a step; if the lease in the Secret ends meanwhile, Ready doesn't wait for it.

        A request to the provider may hang for longer than credentials live.
        """
        left = _told_good_for(view)
        if left is None or left > LONGEST_STEP:
            await self.performer.perform(view, step)
            return
        work = asyncio.ensure_future(self.performer.perform(view, step))
        try:
            done, _ = await asyncio.wait([work], timeout=left)
            if not done:
                await self._retract(view)
            await work
        finally:
            work.cancel()

    async def _retract(self, view: View) -> None:
        """Say that the lease in the Secret is over; the next look says it again if this fails."""
        if view.lease is None:
            return
        await self._report(view.lease, project.ended(view, view.lease))

    async def _tell_refused(self, holder: record.Holder, error: errors.Refused) -> None:
        """Say at a DynamicLease which right is missing, as far as its status may be written."""
        with contextlib.suppress(errors.ClusterError):
            dl = await self.performer.cluster.dynamic_lease(holder.namespace, holder.name)
            if dl is not None and dl.holder == holder and not dl.deleting:
                now = base.whole_second(self.clock.wall())
                await self._report(dl, project.refused(dl, failure_of(error), now))

    async def _report(self, dl: lease.DynamicLease, status: lease.DynamicLeaseStatus) -> None:
        """Write a status outside of a step, with its events; the next look tells what isn't."""
        if status == dl.status:
            return
        with contextlib.suppress(errors.ClusterError):
            await self.performer.report(dl, status, project.notes(status, dl.status))

    async def _observe(self, holder: record.Holder, entry: Entry) -> View:
        """A look; where it hangs, it is given up while the lease can still be extended."""
        left = entry.left(self.clock.monotonic())
        patience = None if left is None else max(LEAST_PATIENCE, left.total_seconds() / 4)
        try:
            async with asyncio.timeout(patience):
                return await self.observer.observe(holder, entry.memory)
        except TimeoutError:
            sentence = "the API server didn't answer in time"
        raise errors.ClusterUnavailable(Reason.CLUSTER, sentence)

    def _note(self, entry: Entry, view: View) -> None:
        entry.note(view)
        self._measure(entry, view)

    def _measure(self, entry: Entry, view: View) -> None:
        held = view.delivered
        expiry = view.expiry(held) if held is not None else None
        left = (expiry - view.now).total_seconds() if expiry is not None else None
        entry.expires = view.monotonic + left if left is not None else None
        self.meter.observed(view.holder, figures.figures(view))

    async def _rest(
        self, holder: record.Holder, entry: Entry, view: View, until: datetime | None
    ) -> None:
        entry.memory.poked = False
        if until is not None:
            after = max(0.2, (until - view.now).total_seconds())
            await self.offer(holder, poke=False, after=after)
        elif view.lease is None and not view.records:
            self._entries.pop(holder, None)
            self.meter.forget(holder)
            self.performer.chronicle.journal.forget(holder.uid)
            contents.forget(holder.uid)


def _told(view: View, step: steps.Report) -> View:
    """The view after status was told: where nothing else is left, it needn't be gathered anew."""
    if view.lease is None:
        return view
    return dataclasses.replace(view, lease=view.lease.model_copy(update={"status": step.status}))


def _told_good_for(view: View) -> float | None:
    """Seconds for which Ready may stay True while a step is under way; None: it isn't True."""
    held, dl = view.delivered, view.lease
    if held is None or dl is None:
        return None
    if not conditions.is_true(dl.status.conditions, ConditionType.READY):
        return None
    until = project.untold_at(view, held)
    return None if until is None else max(0.0, (until - view.now).total_seconds())


def _must_finish(step: steps.Step) -> bool:
    """Whether a stop waits for this step: a mint that is out must reach the ledger and Secret."""
    return isinstance(step, steps.Hold | steps.Deliver)
