"""What an administrator sets, from the environment: ``LEASEHOLDER_…``.

Nested settings take two underscores: ``LEASEHOLDER_INFISICAL__MINIMUM_TTL_SECONDS``. A variable of
that prefix that is no setting is refused, because it is mostly a misspelt one; those that
Kubernetes makes for a Service whose name begins with ``leaseholder`` are none of ours.
"""

import difflib
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from leaseholder.core import shards as sharding
from leaseholder.providers.kit.network.hosts import EVERY_NAME, Hosts
from leaseholder.providers.settings import ProviderSettings

PREFIX: Final = "LEASEHOLDER_"
_POD_NAMESPACE: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SERVICE_LINK: Final = re.compile(
    r"LEASEHOLDER(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What the kubelet makes of each Service of the pod's namespace."""
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SHARD: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")
"""What fits behind the names of Deployment and Lease, and into a label."""
MOST_SHARDS: Final = 16
_ADDRESS: Final = re.compile(r".+:(\d{1,5})")


class Unusable(Exception):
    """The environment can't be used; the text says what to write instead."""


def _own_namespace() -> str:
    """The namespace of the pod that we run in; ``leaseholder`` outside of one."""
    return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "leaseholder"


def _checked_hosts(text: str) -> str:
    Hosts.parse(text)
    return text


def _checked_address(text: str) -> str:
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[1]) > 65535:
        raise ValueError("write an address and a port, such as 0.0.0.0:8080")
    return text


def _checked_namespaces(text: str) -> str:
    for name in _listed(text):
        if not _NAMESPACE.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a namespace: write names, separated by commas, such as "
                "shop,billing"
            )
    return text


def _checked_namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        raise ValueError("write the name of one namespace, such as leaseholder")
    return text


def _checked_shards(text: str) -> str:
    listed = _listed(text)
    for name in listed:
        if not _SHARD.fullmatch(name) or name == sharding.DEFAULT:
            raise ValueError(
                f"{name!r} can't be the name of a shard: write names of at most 30 lower-case "
                f"letters, digits and -, separated by commas, without {sharding.DEFAULT}, which "
                "there always is"
            )
    if len({*listed}) < len(listed) or len(listed) > MOST_SHARDS:
        raise ValueError(f"write each shard once, and at most {MOST_SHARDS}")
    return text


def _checked_shard(name: str, known: ValidationInfo) -> str:
    named = (sharding.DEFAULT, *_listed(known.data.get("shards", "")))
    if name not in named and "shards" in known.data:
        raise ValueError(f"write a shard of LEASEHOLDER_SHARDS: {' or '.join(named)}")
    return name


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


class _Environment(EnvSettingsSource):
    """The environment without what Kubernetes puts there for Services."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self.env_vars = {k: v for k, v in self.env_vars.items() if not _is_service_link(k)}


class Settings(ProviderSettings, BaseSettings):
    """The operator's settings, those of adapters among them; ``load`` refuses unknown ones, too."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    operator_namespace: Annotated[str, AfterValidator(_checked_namespace)] = Field(
        default_factory=_own_namespace
    )
    """Namespace of the operator: its LeaseRecords live there."""
    namespaces: Annotated[str, NoDecode, AfterValidator(_checked_namespaces)] = ""
    """Namespaces to serve, separated by commas; empty: all. One that isn't there yet is served from
    when it is."""
    provider_hosts: Annotated[str, NoDecode, AfterValidator(_checked_hosts)] = EVERY_NAME
    """Hosts that providers may be at, separated by commas: names, ``*.names``, addresses and
    networks; ``*`` is every name, ``http://`` before one takes plain http, too. A name that stands
    for a loopback, link-local or metadata address doesn't do unless the address is listed."""
    require_auth_label: bool = False
    """Whether a Secret is read for a login or a CA bundle only where it is labelled for it: else
    who may write a LeaseProvider can have any Secret of the namespace sent to its server."""
    leader_election: bool = False
    """Whether processes take turns: one leads, by a Lease in its namespace, the others stand by.
    Without it only one may run."""
    shards: Annotated[str, NoDecode, AfterValidator(_checked_shards)] = ""
    """Shards beside ``default``, separated by commas, the same for all processes; empty: one
    process does all the work. The label ``leaseholder.dev/shard`` of a DynamicLease names its
    shard."""
    shard: Annotated[str, AfterValidator(_checked_shard)] = sharding.DEFAULT
    """The shard that this process serves. ``default`` has all DynamicLeases whose label names no
    other."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """DynamicLeases worked on at once; one that waits for its provider doesn't count."""
    sweep_interval_seconds: Annotated[float, Field(ge=0, le=30 * 86_400, allow_inf_nan=False)] = (
        6 * 3600.0
    )
    """Time between two sweeps of the providers with ``spec.sweep``, more or less a tenth; 0: only
    when `leaseholder sweep` says so."""
    metrics_address: Annotated[str, AfterValidator(_checked_address)] = "0.0.0.0:8080"
    """Where /metrics, /healthz and /readyz are served."""
    metrics_auth: bool = False
    """Whether /metrics wants a bearer token of somebody who may get the nonResourceURL /metrics, by
    TokenReview and SubjectAccessReview."""
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = "text"
    """Lines for people, or for machines."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING"], BeforeValidator(_upper)] = "INFO"
    """How much is logged; no level shows credentials."""
    stop_grace_seconds: Annotated[float, Field(ge=1, le=3600)] = 110
    """How long a stop waits for what is under way; less than terminationGracePeriodSeconds."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in the call, then the environment; nothing else."""
        return init_settings, _Environment(settings_cls)

    @property
    def hosts(self) -> Hosts:
        """Where providers may be."""
        return Hosts.parse(self.provider_hosts)

    @property
    def watched(self) -> tuple[str, ...]:
        """The namespaces to serve; none: all."""
        return _listed(self.namespaces)

    @property
    def share(self) -> sharding.Shard:
        """What this process serves."""
        every = (sharding.DEFAULT, *_listed(self.shards))
        return sharding.Shard(self.shard, tuple(one for one in every if one != self.shard))

    def changed(self) -> Iterator[str]:
        """What isn't as by default, as ``NAME=value``."""
        for name, path, info in _fields():
            value = _at(self, path)
            if value != info.get_default(call_default_factory=True):
                yield f"{name}={value}"


def names() -> list[str]:
    """The variables of all settings."""
    return [name for name, _, _ in _fields()]


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the environment of the process.

    Args:
        environment: where unknown variables are looked for.

    Raises:
        Unusable: with a sentence for each variable that is unknown or can't be used.
    """
    known = names()
    wrong = [
        _unknown(name, known)
        for name in sorted(environment)
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not _is_service_link(name)
    ]
    if wrong:
        raise Unusable("; ".join(wrong))
    try:
        return Settings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        sentences = [_sentence(one["loc"], one["msg"], one["type"]) for one in found]
    raise Unusable("; ".join(sentences))


def _is_service_link(name: str) -> bool:
    return _SERVICE_LINK.fullmatch(name.upper()) is not None


def _fields(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Each setting: its variable, where it is, and what it may be; those of adapters last."""
    nested = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            nested.append((inner, (*path, name)))
        else:
            yield _variable((*path, name)), (*path, name), info
    for inner, place in nested:
        yield from _fields(inner, place)


def _variable(path: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in path).upper()


def _at(settings: Settings, path: tuple[str, ...]) -> Any:
    found: Any = settings
    for part in path:
        found = getattr(found, part)
    return found


def _unknown(name: str, known: list[str]) -> str:
    shown = name if name.isprintable() else ascii(name)
    rests = {one.removeprefix(PREFIX): one for one in known}  # alike are all with the prefix
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), rests, n=1, cutoff=0.5)
    if near:
        return f"{shown} is no setting: write {rests[near[0]]}"
    return f"{shown} is no setting: take it out (docs/install.md has them all)"


def _sentence(path: tuple[int | str, ...], message: str, kind: str) -> str:
    """What to write instead of a value that can't be used."""
    name = _variable(path)
    if kind == "value_error":
        return f"{name} can't be used: {message.removeprefix('Value error, ')}"
    info = next((info for known, _, info in _fields() if known == name), None)
    return f"{name} can't be used: write {_may_be(info) if info is not None else 'another value'}"


def _may_be(info: FieldInfo) -> str:
    if info.annotation is bool:
        return "true or false"
    words = getattr(info.annotation, "__args__", None)
    if words:
        return " or ".join(words)
    bounds = {
        key: getattr(one, key)
        for one in info.metadata
        for key in ("ge", "gt", "le")
        if hasattr(one, key)
    }
    number = "a whole number" if info.annotation is int else "a number"
    if "le" in bounds:
        return f"{number} from {bounds['ge']} to {bounds['le']}"
    return (
        f"{number} above {bounds['gt']}" if "gt" in bounds else f"{number}, {bounds['ge']} or more"
    )
