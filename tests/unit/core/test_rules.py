"""The list of rules: what it says of itself, and which rule decides."""

import re

import pytest

from leaseholder import secrecy
from leaseholder.api import names
from leaseholder.core import actions, rules
from tests.unit.core import views

EACH = {rule.id: rule for chain in rules.RULES.values() for rule in chain}


@pytest.mark.parametrize("rule", EACH.values(), ids=EACH)
def test_a_rule_has_a_name_and_says_in_a_sentence_which_history_it_closes(rule: rules.Rule) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert re.fullmatch(r"[A-Z][^.]+\.", rule.why.replace("deletion.", "deletion "))


def test_a_name_stands_for_one_rule_and_once_in_each_list() -> None:
    for chain in rules.RULES.values():
        assert len({rule.id for rule in chain}) == len(chain)
        assert all(EACH[rule.id] is rule for rule in chain)


def test_a_decision_names_the_rule_that_found_something() -> None:
    held = views.record()
    unprotected = views.view(held, shows=held, dl=views.lease(finalizers=()))
    assert rules.decide(unprotected) == rules.Decision("finalizer-put-on", actions.Protect())
    assert rules.decide(views.view(held, shows=held)).rule == "reported"
    gone = rules.decide(views.view(vanished=True))
    assert gone == rules.Decision(rules.NOTHING, actions.Idle(None))


def test_what_is_kept_of_a_decision_is_gone_with_it() -> None:
    held = views.record()
    seen = views.view(held, shows=held, dl=views.lease(annotations={names.RENEW: "now"}))
    before = rules.decide(seen)
    seen.memory.of(held.attempt_id).credentials = secrecy.Credentials({})
    assert rules.decide(seen) != before
