"""Keys: the name that a look is about, as the loop, its line and its events say it."""

from typing import NamedTuple, Protocol


class Named(Protocol):
    """What has a namespace and a name."""

    @property
    def namespace(self) -> str:
        """Its namespace."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


class Key(NamedTuple):
    """What a look is about: the DynamicLease of a name, or what an earlier tenant left under it."""

    namespace: str
    name: str
    former: str = ""
    """Uid of a Namespace that is gone, or was made again since; empty: the one that stands."""

    @classmethod
    def of(cls, dl: Named) -> "Key":
        """The DynamicLease of that namespace and name, as its metadata, record or holder has it."""
        return cls(dl.namespace, dl.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
