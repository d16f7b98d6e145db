import base64
import json

from leaseholder.cluster import credentialing
from leaseholder.secrecy import Hidden


def token(**claims: object) -> Hidden:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return Hidden(f"header.{payload}.signature")


def test_audience_and_issuer_of_the_own_token_are_the_api_servers() -> None:
    own = token(aud=["https://API.example/"], iss="https://issuer.example")
    assert credentialing.audiences_of(own) == {"https://api.example", "https://issuer.example"}


def test_a_single_audience_may_be_a_string() -> None:
    assert credentialing.audiences_of(token(aud="one")) == {"one"}


def test_what_is_no_jwt_has_no_audiences() -> None:
    for text in ("static", "a.b.c", "a.!.c", f"a.{base64.b64encode(b'[]').decode()}.c"):
        assert credentialing.audiences_of(Hidden(text)) == frozenset()
    assert credentialing.audiences_of(None) == frozenset()
