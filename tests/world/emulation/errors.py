"""How a request can end but well."""

from collections.abc import Mapping

PROXY_PAGE = "<html><body><h1>upstream error</h1></body></html>"


class Refusal(Exception):
    """An answer outside 2xx; each server has a body of its own."""

    def __init__(
        self, status: int, message: object, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(str(message))
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> object:
        """What is sent: JSON, or the text of an HTML page."""
        raise NotImplementedError


class PageError(Refusal):
    """A page: by default that of whatever stands before the server and answers in its place."""

    def __init__(self, status: int, page: str = PROXY_PAGE) -> None:
        super().__init__(status, page)
        self.page = page

    def body(self) -> object:
        return self.page


class LostAnswerError(Exception):
    """The work is done or will be, and the connection is cut before anybody learns of it."""
