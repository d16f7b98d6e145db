"""Whatever a provider answers, the operator neither dies, nor shows a credential, nor loops."""

from collections import Counter

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.fuzz import answers, cases, lives

FIRST = st.sampled_from([3, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 0])
"""Most of all the answers after the login, or there is nothing else to see."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", sorted(lives.PROVIDERS))
def test_no_answer_makes_an_adapter_fail_leak_or_loop(name: str) -> None:
    told: Counter[str] = Counter()

    @cases.cases()
    @hypothesis.given(mess=answers.messes(), first=FIRST, count=st.sampled_from([1, 1, 2, 99]))
    def explored(mess: answers.Mess, first: int, count: int) -> None:
        failures = lives.lived(lives.PROVIDERS[name](mess, first, count))
        told.update(str(one.reason) for one in failures)

    explored()
    print(f"{name}: {dict(told.most_common())}")
    assert told, "nothing much went wrong"
