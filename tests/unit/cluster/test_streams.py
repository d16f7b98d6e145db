"""Which watches are open, and how long nothing was heard of one."""

from leaseholder.cluster import streams


def test_a_watch_is_open_from_the_answer_until_it_is_asked_for_again() -> None:
    known = streams.Streams(lambda: 0.0)
    known.expect(["/a", "/b"])
    assert known.closed == {"/a": "not asked for yet", "/b": "not asked for yet"}
    for path in ("/a", "/b", "/other"):
        known.asked(path)
        known.opened(path)
    assert known.closed == {}
    known.asked("/a")
    assert known.closed == {"/a": "no answer yet"}
    known.troubled("/a", "the API server answers 500")
    assert known.closed == {"/a": "the API server answers 500"}


def test_the_watch_that_was_heard_of_least_counts() -> None:
    now = 0.0
    known = streams.Streams(lambda: now)
    assert known.silent_for == 0.0
    known.expect(["/a", "/b"])
    now = 300.0
    known.opened("/a")
    assert known.silent_for == 300.0
    known.troubled("/b", "no connection")
    now = 310.0
    assert known.silent_for == 10.0
