"""The account of issues has to see each issue too many, or its zero means nothing."""

import typing

from tests.cluster import accounts


def _issue(number: int, at: float, **more: typing.Any) -> accounts.Issue:
    """An issue that a Secret showed at once."""
    given = {"nonce": "", "source_hash": "a", "started": at, "shown": at + 0.1, **more}
    return accounts.Issue(uid="u", attempt=f"attempt-{number}", number=number, issued=at, **given)


def _judge(
    *issues: accounts.Issue,
    crashes: tuple[float, ...] = (),
    losses: tuple[tuple[float, float], ...] = (),
    **asked: typing.Any,
) -> accounts.Account:
    troubles = accounts.Troubles(crashes=list(crashes), losses=list(losses))
    return accounts.judge(issues, {"u": accounts.Wishes(name="one", **asked)}, troubles)


def test_the_first_issue_is_needed_and_a_second_for_nothing_is_not() -> None:
    account = _judge(_issue(1, 10), _issue(2, 20))
    assert account.needs == {"created": 1}
    assert account.beyond == ["one: issue 2 at 20.0, shown"]
    assert account.total == 2


def test_a_command_is_answered_once() -> None:
    account = _judge(
        _issue(1, 10), _issue(2, 20, nonce="x"), _issue(3, 30, nonce="x"), nonces={"x"}
    )
    assert account.needs == {"created": 1, "rotate command": 1}
    assert len(account.beyond) == 1


def test_another_source_is_a_need_only_where_somebody_asked_for_it() -> None:
    changed = _issue(1, 10), _issue(2, 20, source_hash="b")
    assert _judge(*changed, sources=1).needs["source changed"] == 1
    assert len(_judge(*changed).beyond) == 1


def test_a_harmed_secret_is_a_need_once_for_all_harm_before_the_next_was_shown() -> None:
    account = _judge(_issue(1, 10), _issue(2, 20), _issue(3, 30), harmed=[18.0, 19.0])
    assert account.needs == {"created": 1, "Secret harmed": 1}
    assert len(account.beyond) == 1


def test_a_secret_harmed_after_an_issue_doesnt_excuse_it() -> None:
    assert len(_judge(_issue(1, 10), _issue(2, 20), harmed=[25.0]).beyond) == 1


def test_a_planned_replacement_may_come_at_its_time_and_not_long_before() -> None:
    planned = _judge(_issue(1, 10), _issue(2, 28), _issue(3, 40), interval=18.0)
    assert planned.needs == {"created": 1, "planned": 1}
    assert len(planned.beyond) == 1


def test_an_issue_that_nobody_got_is_pending_to_a_crash_soon_after_it() -> None:
    unseen = _issue(1, 10, shown=None, ended=14.0, reason="IssueUnclear")
    assert _judge(unseen, crashes=(11.0,)).excused == {"crash": 1}
    assert len(_judge(unseen, crashes=(13.9,)).beyond) == 1
    assert len(_judge(unseen, crashes=(15.0,)).beyond) == 1
    assert len(_judge(unseen, crashes=(9.0,)).beyond) == 1


def test_an_issue_that_nobody_got_is_pending_to_a_lost_answer_or_to_a_deletion() -> None:
    unseen = _issue(1, 10, shown=None, ended=14.0)
    assert _judge(unseen, losses=((12.0, 20.0),)).excused == {"lost answer": 1}
    assert _judge(unseen, deleted=13.0).excused == {"deleted meanwhile": 1}
    assert _judge(unseen, losses=((15.0, 20.0),), deleted=16.0).beyond
