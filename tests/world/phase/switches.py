"""What a test may turn: every switch stands at the real server's behaviour until it is moved.

The admin API reads and patches them as one JSON object; the command line sets a few.
"""

from typing import Literal

import pydantic

from tests.world.emulation import models


class Switches(models.Switches):
    """The state of every switch; of a burst, all but 500 is a proxy's HTML page."""

    renewal: Literal["Broken", "Fixed"] = "Broken"
    """Broken: a renewed lease ends at its first expiry, whatever it shows."""
    expiry_lag_seconds: float = 2.0
    """The expiry job comes by chance up to so much late."""
    worker_busy_seconds: float = 7.0
    """So long the worker has other things to do before it gets to a job that is due."""
    aws_seconds: float = 0.9
    """So long the six calls to AWS of a job or a revocation take: the key dies at the second, the
    row follows after the last. Jobs wait for one another: of 31 leases that end at once the last
    is 34 s late."""
    renewal_seconds: float = 0.02
    """Between reading the row of a renewal and writing it."""
    worker_down: bool = False
    """True: no job runs; what is due waits until the worker is back."""
    jobs_fail: bool = False
    """True: jobs fail, which they do for ever: none is tried again."""
    jobs_fail_late: bool = False
    """True: of a job's calls to AWS the last ones fail: the key is gone, the row stays active."""
    queue_down: bool = False
    """True: no job can be planned; leases and renewals are made, and answered as failed."""
    aws_down: bool = False
    """True: AWS doesn't answer; leases and revocations fail, renewals don't notice."""
    aws_denies: list[str] = pydantic.Field(default_factory=list)
    """Names of dynamic secrets for which AWS makes and deletes no user."""
    aws_lacks_group: list[str] = pydantic.Field(default_factory=list)
    """Names of dynamic secrets whose group AWS doesn't know: each lease fails after its user was
    made, which stays at AWS without a key, on no row."""
    aws_patience_seconds: float = 11.0
    """After so long the server gives up on an AWS that is down."""
    requests_per_minute: int | None = None
    """Of each account, over all endpoints; self-hosted servers have no limit."""
    plan: Literal["FR", "PR", "EN"] = "EN"
    """Leases and renewals are for Enterprise."""
    pr_1024: bool = False
    """True: leasing needs its own right, lists are bound to the environment, users own leases."""
    web_ui: bool = False
    """True: unknown paths are the web UI's page with a 200, as behind nginx."""
    whoami: bool = True
    """False: ``/secrets/tokens/`` isn't there, as on the Cloud's API host."""
    row_seconds: float = 0.003
    """So long the server works on each row of a list: two queries."""
    list_patience_seconds: float = 120.0
    """After so long its worker is killed over a list, and the proxy answers 504."""
    lose_leases: int = 0
    """So many of the next leases are made, but never answered."""
    lose_renewals: int = 0
    """So many of the next renewals are done, but never answered."""
    lose_revocations: int = 0
    """So many of the next revocations are done, but never answered."""
    late_leases: int = 0
    """So many of the next leases are made only after the connection is gone."""
    late_seconds: float = 1.0
    """How much after."""
