"""PostgreSQL judges credentials: what should log in does, what is dead doesn't."""

import pathlib

import psycopg
import pytest
from psycopg import sql

from tests.world import postgres as postgres_server
from tests.world import processes


def make_role(server: postgres_server.Postgres, name: str, valid_until: str) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute(
            sql.SQL("create role {} login password 'right' valid until {}").format(
                sql.Identifier(name), sql.Literal(valid_until)
            )
        )


def test_the_right_password_logs_in_and_a_wrong_one_does_not(
    postgres: postgres_server.Postgres,
) -> None:
    make_role(postgres, "valid", "infinity")
    assert postgres.role_exists("valid")
    assert postgres.can_log_in("valid", "right")
    assert not postgres.can_log_in("valid", "wrong")


async def test_a_role_past_its_time_cannot_log_in(postgres: postgres_server.Postgres) -> None:
    make_role(postgres, "late", "2020-01-01")
    assert postgres.role_exists("late")
    assert not postgres.can_log_in("late", "right")
    assert not await postgres.can_log_in_async("late", "right")


async def test_a_role_that_is_gone_cannot_log_in(postgres: postgres_server.Postgres) -> None:
    make_role(postgres, "leaver", "infinity")
    assert await postgres.can_log_in_async("leaver", "right")
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute("drop role leaver")
    assert not await postgres.can_log_in_async("leaver", "right")
    assert not postgres.role_exists("leaver")


def test_a_role_that_may_not_log_in_is_a_no(postgres: postgres_server.Postgres) -> None:
    make_role(postgres, "locked", "infinity")
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute("alter role locked nologin")
    assert not postgres.can_log_in("locked", "right")


def test_a_server_that_is_down_is_an_error_and_not_a_no(tmp_path: pathlib.Path) -> None:
    with postgres_server.Postgres.start(tmp_path) as server:
        assert server.can_log_in("postgres", server.password)
    assert not any(processes.alive(pid) for pid in server.pids)
    with pytest.raises(psycopg.OperationalError):
        server.can_log_in("postgres", server.password)
