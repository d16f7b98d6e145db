"""What a test may turn: every switch stands at the real server's behaviour until it is moved.

The admin API reads and patches them as one JSON object; the command line sets a few.
"""

from typing import Literal

import pydantic

from tests.world.emulation import models


class Limits(models.Model):
    """Rate limits: the Cloud's free plan in numbers, off as on a self-hosted server."""

    enabled: bool = False
    read: int = 200
    write: int = 90
    total: int = 600
    window_seconds: float = 60.0
    retry_after_unit: Literal["seconds", "milliseconds"] = "seconds"


class Switches(models.Switches):
    """The state of every switch; of a burst, 502 and 503 are a proxy's HTML page."""

    replica_lag_seconds: float = 0.0
    """How far reads trail writes: spurious 404 after a create, ghosts after a delete."""
    plan_allows: bool = True
    """False: the paid feature is off, and create and renew say so."""
    max_lease_limit: int = 10000
    enforce_max_lease_limit: bool = False
    """The real server never enforces the limit: its counter is NaN."""
    config_rejected: bool = False
    """True: a non-empty config on the generic route is a 400."""
    token_generation: Literal["new", "old"] = "new"
    """Stateless JWTs that renew to a new string, or rows that renew to the same one."""
    revoke_error: str | None = None
    """Set: the target refuses to revoke, with this text."""
    revoke_error_names: list[str] = pydantic.Field(default_factory=list)
    """The dynamic secrets whose target refuses; none named means all."""
    create_error: str | None = None
    """Set: the target refuses to create, with this text."""
    jobs_paused: bool = False
    """True: nothing runs in the background, neither expiry nor pruning."""
    lose_answers: int = 0
    """So many of the next creates are done, but never answered."""
    login_lock_busy: bool = False
    """True: failing logins don't get the lockout's lock, a 429 without rate limit headers."""
    limits: Limits = Limits()
