"""How many cases are tried, and how a failure is played again.

``make test`` tries a few of each, ``make fuzz`` as many as ``FUZZ_CASES`` says. A failure prints
the line that replays it (``@reproduce_failure``); the run prints its seed, which replays the run.
"""

import os
from typing import Final

import hypothesis

CASES: Final = int(os.environ.get("FUZZ_CASES", "500"))
"""Of all tests here together; the emulators' come on top (``test_emulators.SHARE``)."""
TESTS: Final = 5
"""Three providers, manifests as users write them, and what may stand in status and annotations."""


def cases(share: float = 1 / TESTS) -> hypothesis.settings:
    """Settings of a test that has this share of the cases."""
    return hypothesis.settings(
        max_examples=max(1, round(CASES * share)),
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        derandomize="FUZZ_CASES" not in os.environ,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
