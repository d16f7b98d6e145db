"""The promises hold in some hundred histories; ``make simulate`` plays ten thousand."""

import pytest

from tests.simulation import explore

HISTORIES = 200
FIRST = 900_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES // explore.BATCH))
def test_every_promise_is_kept_in_histories_with_faults(seed: int) -> None:
    result = explore.explore(seed)
    assert not result.failure, f"{result.failure}\nreplay: make simulate SEED={seed}"
    assert result.figures["steps"] > explore.BATCH * explore.STEPS / 2
