"""What a log says of an exception: our own sentence, else its type and place.

The text of an exception that nobody expected may carry anything, so it is never told.
"""

from leaseholder import errors


def told(error: BaseException) -> str:
    """One line about ``error`` that can't carry a credential."""
    if isinstance(error, errors.EdgeError):
        return f"{error.reason}: {error.sentence}"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(told(one) for one in error.exceptions)
    return f"unexpected {type(error).__name__}{_where(error)}"


def _where(error: BaseException) -> str:
    """Where an exception was raised: `` at module:line``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
