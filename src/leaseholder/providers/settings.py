"""What an administrator may tune about providers, each default with its source."""

from pydantic import BaseModel, ConfigDict, Field


class InfisicalSettings(BaseModel):
    """Settings of the Infisical adapter; the documented server's values are the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    minimum_ttl_seconds: int = Field(default=60, ge=1)
    """Shortest ttl that the server takes, for a lease and for a renewal (its validation:
    below 60 000 ms it answers 422 "TTL must be a greater than 1min")."""
    settle_seconds: int = Field(default=160, ge=0)
    """After this long an issue whose answer was lost shows in the list, or never will: the
    server's longest connection timeout (90 s with an HSM), the slowest provider call (30 s) and
    a minute's replica lag, less what they share."""
    replica_lag_seconds: int = Field(default=60, ge=0)
    """How long a read may trail a write (reads go to a replica on Cloud; spurious 404s were seen
    within about a minute of creation)."""
    write_timeout_seconds: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    """How long we wait for a create, renew or revoke: longer than the server itself waits (30 s,
    90 s with an HSM), because giving up on a create that succeeds makes an orphan."""
    read_timeout_seconds: float = Field(default=40.0, gt=0, allow_inf_nan=False)
    """How long we wait for a login or a look: longer than the server's usual 30 s."""
    tag_in_config: bool = True
    """Send installation and attempt id in a lease's ``config``, by which the lease of a lost
    answer is found. The server keeps config as it is (seen, not promised), so it can be
    switched off."""


class PhaseSettings(BaseModel):
    """Settings of the Phase adapter; version 2.73.2's values are the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    minimum_ttl_seconds: int = Field(default=60, ge=1)
    """Shortest ttl of a lease that the server takes."""
    settle_seconds: int = Field(default=150, ge=0)
    """After this long an issue whose answer was lost shows in the list, or never will: the server
    gives a request up after 120 s."""
    replica_lag_seconds: int = Field(default=5, ge=0)
    """How long a read may trail a write: the server reads what it writes, so this is slack."""
    late_expiry_seconds: int = Field(default=120, ge=0)
    """So long after a lease's first expiry the server may still end it, and list it as active over
    a dead key: its expiry jobs run one after the other (up to 34 s late were seen with 31 leases).
    Until then a renewal isn't believed."""
    write_timeout_seconds: float = Field(default=125.0, gt=0, allow_inf_nan=False)
    """How long we wait for a lease, a renewal or a revocation: longer than the server itself goes
    on (120 s; with AWS away it answers after some 11 s), because giving up on a lease that is
    made makes an orphan."""
    read_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """How long we wait for a look."""
    list_timeout_seconds: float = Field(default=125.0, gt=0, allow_inf_nan=False)
    """How long we wait for the list of a dynamic secret's leases: longer than the server goes on
    with one (120 s), because one that is given up goes on there, beside the next."""


class OpenBaoSettings(BaseModel):
    """Settings of the OpenBao and Vault adapter; the servers' values are the defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    settle_seconds: int = Field(default=100, ge=0)
    """After this long an issue whose answer was lost has come about, or never will: the server ends
    requests after ``default_max_request_duration``, 90 s. Not shorter: a read that is under way
    while its login is ended makes a lease all the same, which then outlives the login (seen)."""
    replica_lag_seconds: int = Field(default=5, ge=0)
    """How long a read may trail a write: standbys forward what is about leases and tokens."""
    write_timeout_seconds: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    """How long we wait for an issue or a revocation: longer than the server's 90 s, because giving
    up on an issue that succeeds makes an orphan."""
    read_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    """How long we wait for a login, a look or a renewal."""


class ProviderSettings(BaseModel):
    """Settings of all adapters, by the kind of provider."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    infisical: InfisicalSettings = InfisicalSettings()
    """How Infisical servers behave."""
    phase: PhaseSettings = PhaseSettings()
    """How Phase servers behave."""
    openbao: OpenBaoSettings = OpenBaoSettings()
    """How OpenBao and Vault servers behave."""
