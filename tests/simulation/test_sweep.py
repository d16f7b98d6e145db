"""One process stopped at each call of a lease's life; ``make mutants`` sweeps all the stories."""

import pytest

from tests.simulation import sweep, tales

LIFE = ("creation", "renewal", "rotation", "deletion")
CALLS = ("create_record", "issue", "write_record", "write_secret", "patch_lease_status")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", sweep.KINDS)
def test_a_process_that_stands_still_at_any_call_breaks_no_promise(kind: str) -> None:
    swept = sweep.sweep([kind], LIFE, ["taken over"], stop_at_first=False)
    assert swept.broken == []
    assert {(kind, call) for call in CALLS} <= swept.calls


@pytest.mark.parametrize(
    ("tale", "kind"), [(name, kind) for name, one in tales.TALES.items() for kind in one.kinds]
)
def test_a_tale_without_faults_ends_well(tale: str, kind: str) -> None:
    assert sweep.tell(tale, kind) == ""
