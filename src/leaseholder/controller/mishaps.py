"""What a log says of an exception: our own sentence, else its type and place.

The text of an exception that nobody expected may carry anything, so it is never told.
"""

from leaseholder import errors


def described(error: BaseException) -> str:
    """One line about ``error`` that can't carry a credential."""
    if isinstance(error, errors.EdgeError):
        return f"{error.reason}: {error.sentence}"
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(described(one) for one in error.exceptions)
    return f"unexpected {errors.raised(error)}"
