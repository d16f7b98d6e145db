"""Which process serves a name, where the work of an installation is divided into shards.

Flows in: the label of a DynamicLease, or a name that has none. Flows out: the shard that serves it.
``controller.observe`` asks at each look; ``handover`` says what to do where the answer changed.

A shard is a name that an administrator gave. The label ``leaseholder.dev/shard`` says which shard
serves a DynamicLease; without the label, or where it says what is no shard, the default one does: a
word that nobody knows mustn't leave a lease to nobody. What is left under a name that no
DynamicLease has belongs to the shard that a hash of the name gives, whatever its records and
Secrets say: nobody's label can take it away.

So a name belongs to one shard at each moment, as long as all processes know the same shards. Where
they don't, or one hasn't heard yet that a label was changed, two are at work on one record, and its
compare-and-swap decides.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from leaseholder.api import names

DEFAULT: Final = "default"
"""What the shard is called that serves whatever no label gives to another."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One process's share of the work; by default all of it."""

    name: str = DEFAULT
    others: tuple[str, ...] = ()
    """The other shards, the default one among them if this isn't it; none: there are no shards."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every shard."""
        return self.name, *self.others

    @property
    def is_default(self) -> bool:
        """Whether this is the default one."""
        return self.name == DEFAULT

    @property
    def selector(self) -> str:
        """The label selector of the DynamicLeases that it serves; empty: all."""
        if not self.is_default:
            return f"{names.SHARD}={self.name}"
        return f"{names.SHARD} notin ({','.join(sorted(self.others))})" if self.others else ""

    def serves(self, labels: Mapping[str, str]) -> bool:
        """Whether it serves a DynamicLease with these labels."""
        label = labels.get(names.SHARD, DEFAULT)
        return self.name == (label if label in self.all else DEFAULT)

    def has(self, namespace: str, name: str, labels: Mapping[str, str] | None) -> bool:
        """Whether a name is its own; ``labels``: of the DynamicLease, None where there is none."""
        return self.inherits(namespace, name) if labels is None else self.serves(labels)

    def inherits(self, namespace: str, name: str) -> bool:
        """Whether what is left under a name is its own where no DynamicLease has that name.

        By the highest of one hash for each shard: where a shard is added or taken away, only what
        it gets or had changes hands.
        """
        if not self.others:
            return True
        return self.name == max(self.all, key=lambda shard: _weight(shard, namespace, name))


def _weight(shard: str, namespace: str, name: str) -> bytes:
    return hashlib.sha256(f"{shard}/{namespace}/{name}".encode()).digest()
