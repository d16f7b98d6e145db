"""Alerts over the lives of leases of a minute, an hour and thirty days, at usual paces of scrapes.

Between two scrapes the figures stand still: by the next one a lease of a minute has been renewed.
"""

import pathlib
import subprocess
import typing

import pytest
import yaml

from tests.monitoring import queries

LIVES: typing.Final = {"1m": 60, "1h": 3600, "30d": 30 * 86_400}
PACES: typing.Final = (15, 30, 60)
"""Seconds between two scrapes."""
RENEWED_AFTER: typing.Final = 2
"""So many seconds after it is due a renewal is done."""
LATENESS: typing.Final[dict[str, dict[str, tuple[int, int]]]] = {
    "1m": {"LeaseholderLeaseEndsSoon": (45, 90)},
    "1h": {
        "LeaseholderRenewalOverdue": (2400 + 120 + 60, 2400 + 120 + 240),
        "LeaseholderLeaseEndsSoon": (3600 - 420, 3600 - 290),
    },
    "30d": {
        "LeaseholderRenewalOverdue": (20 * 86_400 + 3600 + 60, 20 * 86_400 + 3600 + 240),
        "LeaseholderLeaseEndsSoon": (27 * 86_400 - 60, 27 * 86_400 + 60),
    },
}
"""Of a lease that isn't renewed: from its issue on, when each is silent yet, and when it fires."""


def firing(promtool: pathlib.Path, folder: pathlib.Path, **shown: typing.Any) -> dict[str, bool]:
    """Which alerts about a lease fired at any moment of a history, rules being looked at each 5 s.

    Args:
        promtool: the program.
        folder: to work in.
        shown: ``pace`` of the scrapes, and for each of them ``ends`` and ``renewals``.
    """
    (folder / "rules.yaml").write_text(yaml.safe_dump(queries.spec()), encoding="utf-8")
    series = {
        'dynamic_lease_ready{namespace="shop",name="a",reason="Ready"}': [1] * len(shown["ends"]),
        'dynamic_lease_expiry_timestamp_seconds{namespace="shop",name="a"}': shown["ends"],
        'dynamic_lease_renewal_timestamp_seconds{namespace="shop",name="a"}': shown["renewals"],
        'leader{instance="a",shard="default"}': [1] * len(shown["ends"]),
    }
    last = (len(shown["ends"]) - 1) * shown["pace"]
    names = sorted(rule["alert"] for rule in queries.rules())
    fired = 'max_over_time(ALERTS{{alertname="{}",alertstate="firing"}}[{}s])'
    asked = [
        {"expr": f"count({fired.format(one, last + 5)})", "eval_time": f"{last}s"} for one in names
    ]
    history = {
        "interval": f"{shown['pace']}s",
        "input_series": [
            {"series": f"leaseholder_{name}", "values": " ".join(map(str, values))}
            for name, values in series.items()
        ],
        "promql_expr_test": asked,
    }
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "5s", "tests": [history]}
    (folder / "life.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "life.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert "FAILED" in told or "SUCCESS" in told, told
    return {one: f'alertname=\\"{one}\\"' in told for one in names}


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("ttl", LIVES)
def test_a_lease_that_is_renewed_in_time_raises_nothing_whatever_its_life(
    ttl: str, pace: int, promtool: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    life = LIVES[ttl]
    period = life * 2 // 3 + RENEWED_AFTER
    first = 600 - period  # when the lease at the beginning was issued: it is renewed after 10 min
    ends, renewals = [], []
    for moment in range(0, 1800, pace):
        issued = first + (moment - first) // period * period
        ends.append(issued + life)
        renewals.append(issued + life * 2 // 3)
    assert len({*ends}) > 1
    fired = firing(promtool, tmp_path, pace=pace, ends=ends, renewals=renewals)
    assert [name for name, did in fired.items() if did] == []


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize(("ttl", "name"), [(t, n) for t in LIVES for n in LATENESS[t]])
def test_of_a_lease_that_is_not_renewed_each_alert_tells_in_time(
    ttl: str, name: str, pace: int, promtool: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    life, (silent, fires) = LIVES[ttl], LATENESS[ttl][name]
    begin = max(0, silent - 1800)  # what is seen begins so long after the issue
    for until, did in ((silent, False), (fires, True)):
        scrapes = (until - begin) // pace + 1
        ends, renewals = [life - begin] * scrapes, [life * 2 // 3 - begin] * scrapes
        fired = firing(promtool, tmp_path, pace=pace, ends=ends, renewals=renewals)
        assert fired[name] is did, (until, fired)
