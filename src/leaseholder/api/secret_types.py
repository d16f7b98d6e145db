"""Kubernetes' own types of Secrets, and the keys that the API server asks of them.

The rules are those of its validation (``pkg/apis/core/validation``, ValidateSecret). A type that
isn't listed asks for nothing. Types that grant rights in the cluster are refused, see ``lease``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from leaseholder.api import base


@dataclass(frozen=True, slots=True)
class SecretType:
    """What the API server asks of the data of one type."""

    keys: tuple[str, ...]
    """The keys that it knows."""
    any_key: bool = False
    """One of them is enough; else all are asked for."""
    json: bool = False
    """Their values have to be JSON objects."""
    filled: bool = False
    """Their values mustn't be empty."""

    def missing(self, keys: frozenset[str]) -> tuple[str, ...]:
        """The keys that are asked for and that aren't among ``keys``."""
        missing = tuple(key for key in self.keys if key not in keys)
        return () if self.any_key and len(missing) < len(self.keys) else missing

    @property
    def demand(self) -> str:
        """What is asked for, in words: ``tls.crt and tls.key``."""
        return (" or " if self.any_key else " and ").join(self.keys)


TYPES: Final[Mapping[str, SecretType]] = {
    "kubernetes.io/basic-auth": SecretType(("username", "password"), any_key=True),
    "kubernetes.io/ssh-auth": SecretType(("ssh-privatekey",), filled=True),
    "kubernetes.io/tls": SecretType(("tls.crt", "tls.key")),
    "kubernetes.io/dockerconfigjson": SecretType((".dockerconfigjson",), json=True),
    "kubernetes.io/dockercfg": SecretType((".dockercfg",), json=True),
}
"""By the name of the type."""


def rules() -> dict[str, Any]:
    """CEL rules of ``target``: with Replace all keys are known before there is a lease."""
    return base.rules(*(_rule(name, asked) for name, asked in TYPES.items()))


def _rule(name: str, asked: SecretType) -> dict[str, str]:
    within = (" || " if asked.any_key else " && ").join(
        f"'{key}' in self.template.data" for key in asked.keys
    )
    replaces = "has(self.template) && self.template.mergePolicy == 'Replace'"
    return base.rule(
        f"self.type != '{name}' || !({replaces}) || (has(self.template.data) && ({within}))",
        f"a Secret of type {name} needs {asked.demand}: write it in template.data",
    )
