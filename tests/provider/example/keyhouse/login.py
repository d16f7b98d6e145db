"""How one is let in: by name and password, for a token that lives for a while."""

from leaseholder.api import refs
from leaseholder.providers.kit import accounts, answers, client, methods
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank
from leaseholder.secrecy import Hidden
from tests.provider.example.keyhouse import api


class KeyhouseLogin(methods.Method):
    """See ``kit.methods.Method``."""

    who = "Keyhouse"
    not_taken = "Keyhouse doesn't take the token of this login"

    def __init__(
        self, name: str, password: refs.SecretKeyRef, connection: client.Client, context: Context
    ) -> None:
        super().__init__(connection, context, timeout=10.0)
        self._name, self._password = name, password

    async def proof(self) -> methods.Proof:
        password = await self.secret(self._password)
        return methods.Proof(
            path="/v1/login",
            body={"name": self._name, "password": password.reveal()},
            identity=self._name,
            credentials=Hidden(f"{self._name}\n{password.reveal()}"),
        )

    async def exchange(self, proof: methods.Proof, rank: Rank) -> accounts.Held:
        made = api.LOGIN_ERRORS.parsed(await self.post(proof, rank), api.Session)
        life = float(made.expires_in)
        return accounts.Held.made(Hidden(made.token), self._now(), life, 0.75 * life)

    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        return answer.status == 401
