"""``kubectl leaseholder``: its help, its page, and what it prints of what others wrote."""

import contextlib
import io
import json
import pathlib
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from leaseholder.api import lease, provider
from leaseholder.api.conditions import Reason
from leaseholder.cli import exits, page, plugin, tables, views
from leaseholder.cli import main as operator
from leaseholder.cli.event import Event

CHECKOUT = pathlib.Path(__file__).parents[3]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HEAVY = {"aiohttp", "asyncio", "jinja2", "kopf", "kubernetes", "pydantic", "rich"}


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    at = "2026-01-01T11:00:00Z"
    told = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**told, "lastTransitionTime": at}


def dl(*conditions: dict[str, Any], spec: Any = None, **status: Any) -> lease.DynamicLease:
    source = {"projectSlug": "p", "environmentSlug": "e", "dynamicSecretName": "d"}
    return lease.DynamicLease.model_validate(
        {
            "metadata": {"namespace": "shop", "name": "orders", "uid": "u"},
            "spec": {"providerRef": {"name": "infisical"}, "infisical": source, **(spec or {})},
            "status": {"conditions": conditions, **status},
        }
    )


READY = condition("Ready", "True", "Ready", "the Secret holds credentials that live")
HELD = {
    "attempt": "0f3a",
    "id": "95e5ca9d",
    "issuedAt": "2026-01-01T11:20:00Z",
    "expiresAt": "2026-01-01T13:00:00Z",
    "renewAt": "2026-01-01T12:39:00Z",
    "renewals": 1,
    "strategy": "Renew",
}


def test_a_held_lease_is_a_row_with_its_time_and_its_next_step() -> None:
    row = views.row_of(dl(READY, lease=HELD), NOON)
    assert dict(zip(views.LEASE_COLUMNS, row, strict=True)) == {
        "NAMESPACE": "shop",
        "NAME": "orders",
        "READY": "True",
        "PROVIDER": "infisical",
        "LEFT": "1h 0m",
        "NEXT": "renew in 39m 0s",
        "ROLLOUT": "-",
        "PENDING": "-",
        "MESSAGE": "",
    }


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(30, "renew in 30s"), (0, "renew now"), (-59, "renew now"), (-125, "renew, due 2m 5s ago")],
)
def test_the_next_step_says_when_it_is_overdue(seconds: int, told: str) -> None:
    held = lease.LeaseStatus.model_validate(HELD)
    now = (held.renew_at or NOON) - timedelta(seconds=seconds)
    assert views.next_step(held, now) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3599, "59m 59s"), (90_000, "1d 1h"), (-5, "0s")],
)
def test_lengths_have_two_units(seconds: int, told: str) -> None:
    assert views.length(timedelta(seconds=seconds)) == told


def test_before_the_first_look_a_lease_is_pending() -> None:
    fresh = dl()
    row = dict(zip(views.LEASE_COLUMNS, views.row_of(fresh, NOON), strict=True))
    assert (row["READY"], row["LEFT"], row["MESSAGE"]) == ("Unknown", "-", "Pending")
    assert views.values_of(fresh)["ready"] is False
    assert ("Ready", "not checked yet") in views.details_of(fresh, NOON)


def test_one_that_is_not_ready_says_why_and_what_to_do_in_plain_words() -> None:
    sentence = "there is no LeaseProvider forgotten: create it, or mend spec.providerRef"
    retry = {"failures": 3, "nextAt": "2026-01-01T12:00:10Z", "reason": "ProviderMissing"}
    pending = condition("RevocationPending", "True", "AuthGone", "1 lease is still to be revoked")
    broken = dl(
        condition("Ready", "False", "ProviderMissing", sentence),
        pending,
        retry=retry,
        spec={"suspend": True},
    )
    told = dict(views.details_of(broken, NOON))
    assert told["Ready"] == f"False, ProviderMissing: {sentence}"
    assert told["Retry"] == "failed 3 times (ProviderMissing); the next try is due in 10s"
    assert told["Suspended"]
    assert told["Do"] == "Create it, or mend providerRef"
    row = dict(zip(views.LEASE_COLUMNS, views.row_of(broken, NOON), strict=True))
    assert (row["PENDING"], row["MESSAGE"]) == ("AuthGone", f"ProviderMissing: {sentence}")
    values = views.values_of(broken)
    assert values["pendingRevocation"]["since"] == "2026-01-01T11:00:00Z"
    assert json.loads(json.dumps(values)) == values


TROUBLES: Any = [
    ([], ""),
    ([condition("RolloutComplete", "False", "RolloutPending", "1 of 2 pods moved")], ""),
    (
        [condition("RolloutComplete", "False", "RolloutFailed", "it hangs")],
        "RolloutFailed: it hangs",
    ),
    ([condition("RevocationPending", "True", "RevocationPending", "1 lease")], ""),
    ([condition("RevocationPending", "True", "AuthGone", "1 lease")], "AuthGone: 1 lease"),
]


@pytest.mark.parametrize(("conditions", "told"), TROUBLES)
def test_the_table_says_what_is_wrong_with_one_that_is_ready(conditions: Any, told: str) -> None:
    assert views.trouble(dl(READY, *conditions, lease=HELD)) == told


def test_the_table_says_why_a_ready_one_may_not_stay_so() -> None:
    doubtful = condition("Ready", "True", "ProviderUnreachable", "good until noon")
    assert views.trouble(dl(doubtful, lease=HELD)) == "ProviderUnreachable: good until noon"
    long = condition("Ready", "False", "LoginRefused", "x" * 5000)
    assert len(views.row_of(dl(long), NOON)[-1]) < 300


def test_the_line_below_the_table_counts_and_names_the_nearest_end() -> None:
    later = {**HELD, "expiresAt": "2026-01-01T15:00:00Z"}
    pending = condition("RevocationPending", "True", "RevocationPending", "1 lease")
    found = [dl(READY, lease=later), dl(READY, pending, lease=HELD), dl()]
    assert views.summary(found, NOON) == (
        "3 DynamicLeases, 1 not Ready, 1 with pending revocations. "
        "The nearest end: shop/orders in 1h 0m."
    )
    assert views.summary(found[2:], NOON) == (
        "1 DynamicLease, 1 not Ready, 0 with pending revocations."
    )


def test_a_reason_of_another_version_is_shown_as_it_is() -> None:
    told = dict(views.details_of(dl(condition("Ready", "False", "FromTheFuture")), NOON))
    assert told["Ready"] == "False, FromTheFuture"
    assert told["Do"] == "Look at the log"


def test_commands_that_wait_are_shown() -> None:
    waiting = dl(READY, lease=HELD, handled={"rotate": "1", "renew": "", "force": ""})
    waiting.metadata.annotations.update({"leaseholder.dev/rotate": "2"})  # type: ignore[attr-defined]
    assert views.waiting(waiting) == ["leaseholder.dev/rotate"]
    assert "leaseholder.dev/rotate" in dict(views.details_of(waiting, NOON))["Waiting"]


def test_a_provider_is_a_row_with_its_clock() -> None:
    known = provider.ClusterLeaseProvider.model_validate(
        {
            "metadata": {"name": "shared"},
            "spec": {"phase": {"url": "https://x.test", "auth": {"tokenSecretRef": _REF}}},
            "status": {
                "url": "https://x.test",
                "clockSkewSeconds": -3,
                "conditions": [condition("Ready", "False", "LoginRefused", "it is refused")],
            },
        }
    )
    row = dict(zip(views.PROVIDER_COLUMNS, views.row_of_provider(known), strict=True))
    assert (row["NAMESPACE"], row["TYPE"], row["CLOCK"]) == ("-", "phase", "-3s")
    assert (row["READY"], row["REASON"]) == ("False", "LoginRefused")
    assert row["MESSAGE"] == "it is refused"


_REF = {"name": "auth", "key": "token", "namespace": "home"}


def test_what_somebody_wrote_into_a_message_moves_no_cursor_and_sets_no_colour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[red]bold[/red]\nNAME\u202e:smile:"
    event = Event("Warning", evil, evil, 1, NOON)
    tables.table(views.EVENT_COLUMNS, [views.row_of_event(event, NOON)])
    tables.details([("Ready", evil)])
    shown = capsys.readouterr().out
    assert all(one.isprintable() or one == "\n" for one in shown)
    assert "[red]bold[/red]" in shown
    assert ":smile:" in shown
    assert len(shown.splitlines()) == 3
    tables.lines([evil])
    for output in ("json", "yaml"):
        tables.values({"message": evil}, output)
    written = dl(condition("Ready", "False", evil, evil), lease={**HELD, "id": evil})
    tables.table(views.LEASE_COLUMNS, [views.row_of(written, NOON)])
    tables.details(views.details_of(written, NOON))
    shown = capsys.readouterr().out
    assert all(one.isprintable() or one == "\n" for one in shown)
    failure = exits.Failed(f"there is no {evil}")
    failure.show()
    assert "\x1b" not in capsys.readouterr().err


def test_a_long_table_that_a_program_reads_is_neither_cut_nor_padded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 5000
    tables.table(("NAME", "MESSAGE"), [("a", long), ("b", "short")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["NAME  MESSAGE", f"a     {long}", "b     short"]


class Terminal(io.StringIO):
    """What a terminal shows."""

    def isatty(self) -> bool:
        return True


def shown_at(width: int, row: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a table with that row on a terminal of that width."""
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    with contextlib.redirect_stdout(screen):
        tables.table(("NAME", "READY", "MESSAGE"), [row])
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()


def test_no_terminal_is_too_narrow_for_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ["orders-db-with-a-long-name", "False", "LoginRefused: " + " ".join(["mend it"] * 9)]
    for width in (40, 64):
        assert shown_at(width, row, monkeypatch) == [
            "NAME                        READY  MESSAGE",
            "  ".join(row),
        ]
    folded = shown_at(70, row, monkeypatch)
    assert len(folded) > 2
    assert max(map(len, folded)) <= 70
    assert " ".join(" ".join(folded[1:]).split()) == " ".join(row)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained(reason: Reason) -> None:
    done = CliRunner().invoke(plugin.main, ["explain", reason.lower()])
    assert done.exit_code == 0
    assert f"Reason  {reason}" in " ".join(done.output.split()).replace("Reason ", "Reason  ", 1)
    assert "`" not in done.output


def test_a_reason_that_there_is_not_is_answered_with_one_that_is_near() -> None:
    done = CliRunner().invoke(plugin.main, ["explain", "LeasGone"])
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: there is no reason LeasGone: do you mean LeaseGone?\n",
    )
    assert "SlotTaken" in CliRunner().invoke(plugin.main, ["explain"]).output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show"], "Missing argument 'NAME'"),
        (["list", "-o", "xml"], "'xml' is not one of"),
        (["wait", "orders", "--for", "nonsense"], "write delete, or one of Ready"),
        (["rotate", "orders", "--wait", "--timeout", "0"], "--timeout"),
    ],
)
def test_a_command_line_that_cannot_be_understood_ends_with_2(
    arguments: list[str], told: str
) -> None:
    done = CliRunner().invoke(plugin.main, arguments)
    assert done.exit_code == exits.Exit.USAGE
    assert told in done.stderr


def test_without_an_api_server_a_sentence_says_what_to_do(tmp_path: pathlib.Path) -> None:
    runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    done = runner.invoke(plugin.main, ["list"])
    assert done.exit_code == exits.Exit.FAILED
    assert "set KUBECONFIG" in done.stderr
    done = runner.invoke(plugin.main, ["list", "--kubeconfig", str(tmp_path / "gone")])
    assert done.exit_code == exits.Exit.FAILED
    assert f"there is no kubeconfig {tmp_path}/gone" in done.stderr


def test_force_asks_first() -> None:
    done = CliRunner().invoke(plugin.main, ["force", "orders"], input="n\n")
    assert done.exit_code == 1
    assert "Credentials of orders's replaced leases may live on" in done.stderr


def test_forget_asks_first() -> None:
    done = CliRunner().invoke(plugin.main, ["forget", "attempt"], input="n\n")
    assert done.exit_code == 1
    assert "Are its credentials dead?" in done.stderr


def test_every_exit_code_is_told_and_the_page_is_in_step_with_the_commands() -> None:
    assert {*exits.MEANINGS} == {*exits.Exit}
    text = (CHECKOUT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert text == page.rendered(), "run `make crds`"
    for name, command in plugin.main.commands.items():
        section = text.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for option in command.params:
            assert option.name is not None
            shown = option.opts[0] if option.opts[0].startswith("-") else option.name.upper()
            assert shown in section, (name, option.name)


@pytest.mark.parametrize("program", [plugin.main, operator.main], ids=["plugin", "operator"])
def test_no_summary_of_a_command_is_cut(program: click.Group) -> None:
    shown = CliRunner().invoke(program, ["--help"], env={"COLUMNS": "80"}).output
    below = shown.split("Commands:\n", 1)[1].splitlines()
    assert [line.split()[0] for line in below] == sorted(program.commands)
    assert [line for line in below if line.endswith("...")] == []


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["--version"]])
def test_help_imports_nothing_that_takes_long(arguments: list[str]) -> None:
    ask = (
        "import sys\nfrom leaseholder.cli import plugin\ntry:\n    plugin.main()\nfinally:\n"
        "    print(*{n.partition('.')[0] for n in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask, *arguments], capture_output=True, text=True, check=True
    )
    assert not {*done.stderr.split()} & HEAVY
