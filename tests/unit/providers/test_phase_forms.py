"""The many ways to write the same at Phase: tokens, urls, lengths; and the ttl's fingerprint."""

from datetime import timedelta

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaseholder import errors
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import registry
from leaseholder.providers.phase import api, leases, login
from leaseholder.secrecy import Hidden
from tests.unit.providers import phasebench

HEX = phasebench.HEX
AUTH = {"tokenSecretRef": {"name": "phase", "key": "token"}}


def spec(url: str) -> provider.ProviderSpec:
    return provider.ProviderSpec.model_validate({"phase": {"url": url, "auth": AUTH}})


@pytest.mark.parametrize(
    ("written", "bearer"),
    [
        (HEX, f"ServiceAccount {HEX}"),
        (f"  {HEX}\n", f"ServiceAccount {HEX}"),
        (HEX.upper(), f"ServiceAccount {HEX.upper()}"),
        (f"ServiceAccount {HEX}", f"ServiceAccount {HEX}"),
        (f"serviceaccount {HEX}", f"ServiceAccount {HEX}"),
        (f"Bearer ServiceAccount {HEX}\n", f"ServiceAccount {HEX}"),
        (f"bearer  ServiceAccount  {HEX}", f"ServiceAccount {HEX}"),
        (f"Bearer {HEX}", f"ServiceAccount {HEX}"),
        (f"pss_service:v2:{HEX}:{HEX}:{HEX}:{HEX}", f"ServiceAccount {HEX}"),
        (f"Bearer pss_service:v2:{HEX}:a:b:c", f"ServiceAccount {HEX}"),
        (f"User {HEX}", f"User {HEX}"),
        (f"Bearer User {HEX}", f"User {HEX}"),
        (f"pss_user:v1:{HEX}:a:b:c", f"User {HEX}"),
    ],
)
def test_a_token_is_taken_in_any_form(written: str, bearer: str) -> None:
    token = login.parse(Hidden(written))
    assert token.reveal() == bearer
    assert HEX not in repr(token)


@pytest.mark.parametrize(
    "written", [f"Service {HEX}", f"Bearer Service {HEX}", f"pss_service:v1:{HEX}:a:b:c"]
)
def test_a_legacy_token_is_refused_with_the_way_out(written: str) -> None:
    with pytest.raises(errors.Denied) as caught:
        login.parse(Hidden(written))
    assert caught.value.reason is Reason.LOGIN_REFUSED
    assert "make a service account" in caught.value.sentence


@pytest.mark.parametrize(
    "written",
    [
        "",
        "Bearer",
        "Bearer ServiceAccount",
        HEX[:-1],
        f"{HEX}0",
        f"g{HEX[1:]}",
        f"Robot {HEX}",
        f"ServiceAccount {HEX} more",
        "pss_service:v2",
        "pss_service:v2:nothex:a:b:c",
        f"pss_robot:v2:{HEX}:a:b:c",
        ":",
        f"ServiceAccount {HEX[:-1]}\u00e9",
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(written: str) -> None:
    with pytest.raises(errors.Denied) as caught:
        login.parse(Hidden(written))
    assert caught.value.reason is Reason.AUTH_MISSING
    assert HEX[:8] not in caught.value.sentence


@given(st.text(max_size=200))
def test_anything_else_that_a_secret_may_hold_is_refused_in_words(written: str) -> None:
    try:
        token = login.parse(Hidden(written))
    except errors.Denied:
        return
    assert token.reveal().isascii()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://api.phase.dev", "https://api.phase.dev"),
        ("https://api.phase.dev/v1/", "https://api.phase.dev"),
        ("https://API.Phase.dev:443", "https://api.phase.dev"),
        ("https://console.phase.dev", "https://console.phase.dev/service/public"),
        ("https://console.phase.dev/service/public/", "https://console.phase.dev/service/public"),
        ("https://phase.internal", "https://phase.internal/service/public"),
        ("https://phase.internal/", "https://phase.internal/service/public"),
        ("https://phase.internal/v1", "https://phase.internal/service/public"),
        ("https://phase.internal/service/public/v1/", "https://phase.internal/service/public"),
        ("https://phase.internal:8443", "https://phase.internal:8443/service/public"),
        ("http://backend:8000/public", "http://backend:8000/public"),
        ("https://tools.test/phase/service/public", "https://tools.test/phase/service/public"),
    ],
)
def test_an_address_has_one_spelling(url: str, address: str) -> None:
    assert registry.address(spec(url)) == address
    assert registry.address(spec(address)) == address


@pytest.mark.parametrize(
    ("base", "asked"),
    [
        ("https://api.phase.dev", "https://api.phase.dev/secrets/tokens/"),
        ("https://x.test/service/public", "https://x.test/service/secrets/tokens/"),
        ("http://backend:8000/public", "http://backend:8000/secrets/tokens/"),
    ],
)
def test_a_token_is_asked_about_beside_the_public_api(base: str, asked: str) -> None:
    assert api.tokens(base) == asked


LENGTH = pydantic.TypeAdapter(api.Length)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("00:05:00", 300),
        ("01:00:00", 3600),
        ("1 00:00:00", 86_400),
        ("366 23:59:59", 367 * 86_400 - 1),
        ("00:01:41.500000", 101.5),
        ("-1 23:59:30", -30),
        ("PT1H", 3600),
        (3600, 3600),
    ],
)
def test_lengths_are_read_in_all_forms(written: str | int, seconds: float) -> None:
    assert LENGTH.validate_python(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["", "1h", "1:2", "x 00:00:00", None])
def test_what_is_no_length_is_refused(written: str | None) -> None:
    with pytest.raises(pydantic.ValidationError):
        LENGTH.validate_python(written)


@given(st.timedeltas(timedelta(0), timedelta(days=9999)))
def test_a_length_is_read_as_it_was_written(lasting: timedelta) -> None:
    seconds = lasting.seconds
    days = f"{lasting.days} " if lasting.days else ""
    part = f".{lasting.microseconds:06}" if lasting.microseconds else ""
    text = f"{days}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{part}"
    assert LENGTH.validate_python(text) == lasting


@given(st.text(min_size=1), st.integers(1, 10**7), st.integers(1, 100))
def test_a_fingerprint_costs_little_and_never_the_minimum(
    attempt_id: str, ttl: int, least: int
) -> None:
    asked = leases.fingerprinted(attempt_id, ttl, least)
    assert asked <= ttl
    assert ttl - asked <= min(60, ttl / 20)
    assert asked >= min(ttl, least)
    assert asked == leases.fingerprinted(attempt_id, ttl, least)


def test_attempts_have_fingerprints_of_their_own() -> None:
    asked = [leases.fingerprinted(f"attempt-{n}", 3600, 60) for n in range(600)]
    assert set(asked) == set(range(3540, 3600))


def test_a_ttl_that_leaves_no_room_has_none() -> None:
    assert leases.fingerprinted("attempt", 60, 60) == 60
    assert leases.fingerprinted("attempt", 61, 60) == 60
    assert leases.fingerprinted("attempt", 19, 1) == 19
