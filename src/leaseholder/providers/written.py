"""What people write into Secrets to log in with, as far as it can be sent at all."""

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.secrecy import Hidden


def trimmed(value: Hidden, provider: str) -> Hidden:
    """Without the newline that ``echo`` and editors leave in Secrets.

    Raises:
        Denied: it can be no credential of that provider, and can't stand in a header.
    """
    text = value.reveal().strip()
    if not text.isprintable() or not text.isascii() or " " in text:
        sentence = f"a Secret to log in with holds characters that no {provider} credential has"
        raise errors.Denied(Reason.AUTH_MISSING, sentence)
    return Hidden(text)
