"""What an administrator sets, from the environment: ``LEASEHOLDER_…``.

Nested settings take two underscores: ``LEASEHOLDER_INFISICAL__MINIMUM_TTL_SECONDS``.
"""

import pathlib
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from leaseholder.providers.hosts import EVERY_NAME, Hosts
from leaseholder.providers.settings import (
    InfisicalSettings,
    OpenBaoSettings,
    PhaseSettings,
    ProviderSettings,
)

_POD_NAMESPACE: Final = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _own_namespace() -> str:
    """The namespace of the pod that we run in; ``leaseholder`` outside of one."""
    return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else "leaseholder"


def _checked_hosts(text: str) -> str:
    Hosts.parse(text)
    return text


class Settings(BaseSettings):
    """The operator's settings; unknown nested ones are refused."""

    model_config = SettingsConfigDict(
        env_prefix="LEASEHOLDER_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    operator_namespace: str = Field(default_factory=_own_namespace)
    """Namespace of the operator: its LeaseRecords live there."""
    namespaces: Annotated[str, NoDecode] = ""
    """Namespaces to serve, separated by commas; empty: all."""
    provider_hosts: Annotated[str, NoDecode, AfterValidator(_checked_hosts)] = EVERY_NAME
    """Hosts that providers may be at, separated by commas: names, ``*.names``, addresses and
    networks; ``*`` is every name, ``http://`` before one takes plain http, too. A name that stands
    for a loopback, link-local or metadata address doesn't do unless the address is listed."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """DynamicLeases worked on at once."""
    metrics_address: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")] = "0.0.0.0:8080"
    """Where /metrics, /healthz and /readyz are served."""
    log_format: Literal["text", "json"] = "text"
    """Lines for people, or for machines."""
    log_level: Literal["DEBUG", "INFO", "WARNING"] = "INFO"
    """How much is logged; no level shows credentials."""
    stop_grace_seconds: Annotated[float, Field(ge=1, le=3600)] = 110
    """How long a stop waits for what is under way; less than terminationGracePeriodSeconds."""
    infisical: InfisicalSettings = InfisicalSettings()
    """How Infisical servers behave."""
    phase: PhaseSettings = PhaseSettings()
    """How Phase servers behave."""
    openbao: OpenBaoSettings = OpenBaoSettings()
    """How OpenBao and Vault servers behave."""

    @property
    def providers(self) -> ProviderSettings:
        """What is set about providers."""
        return ProviderSettings(infisical=self.infisical, phase=self.phase, openbao=self.openbao)

    @property
    def hosts(self) -> Hosts:
        """Where providers may be."""
        return Hosts.parse(self.provider_hosts)

    @property
    def watched(self) -> tuple[str, ...]:
        """The namespaces to serve; none: all."""
        return tuple(name.strip() for name in self.namespaces.split(",") if name.strip())
