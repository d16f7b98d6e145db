"""``init``: what it prints is a manifest, whatever is asked for, and holds no credentials."""

import shlex
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from leaseholder.api import lease, names, provider
from leaseholder.cli import exits, plugin

INFISICAL = [
    *("infisical", "--project", "demo", "--environment", "prod"),
    *("--dynamic-secret", "orders-db", "--identity", "i-1"),
]
PHASE = ["phase", "--app", "a", "--environment", "production", "--dynamic-secret", "Aws_deploy"]
OPENBAO = ["openbao", "--path", "database/creds/orders", "--role-id", "r-1"]
CASES = [
    *([*INFISICAL, "--auth", way] for way in ("universal", "kubernetes", "oidc", "token")),
    PHASE,
    *([*OPENBAO, "--auth", way] for way in ("kubernetes", "jwt", "approle", "token")),
]


def init(*arguments: str) -> str:
    done = CliRunner().invoke(plugin.main, ["init", *arguments])
    assert done.exit_code == exits.Exit.OK, done.output
    return done.stdout


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(plugin.main, ["init", *arguments])
    assert done.exit_code == exits.Exit.USAGE, done.output
    return done.stderr


def objects(text: str) -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_what_is_printed_is_a_provider_and_a_lease_of_it(arguments: list[str]) -> None:
    found = objects(init(*arguments, "-n", "shop"))
    known = provider.LeaseProvider.model_validate(found["LeaseProvider"])
    dl = lease.DynamicLease.model_validate(found["DynamicLease"])
    assert provider.type_of(known.spec) == arguments[0]
    assert dl.spec.provider_ref.name == known.metadata.name
    assert getattr(dl.spec, arguments[0]) is not None
    assert {one["metadata"]["namespace"] for one in found.values()} == {"shop"}
    assert "Secret" not in found


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_a_login_needs_either_a_service_account_or_a_secret(arguments: list[str]) -> None:
    text = init(*arguments)
    by_account = "ServiceAccount" in objects(text)
    assert by_account == ("leaseholder-tokens" in text) != ("create secret generic" in text)
    assert "kubectl leaseholder wait" in text
    assert (f"{names.AUTH}=true" in text) != by_account


def test_names_are_made_of_the_source_and_may_be_written() -> None:
    assert objects(init(*PHASE))["DynamicLease"]["metadata"]["name"] == "aws-deploy"
    assert objects(init(*OPENBAO))["DynamicLease"]["metadata"]["name"] == "orders"
    named = objects(init(*PHASE, "--name", "deploy", "--secret", "keys", "--ttl", "1h"))
    spec = named["DynamicLease"]["spec"]
    assert named["DynamicLease"]["metadata"] == {"name": "deploy"}
    assert (spec["target"], spec["ttl"]) == ({"secretName": "keys"}, "1h")


def test_workloads_to_restart_are_written_as_kubectl_names_them() -> None:
    found = objects(init(*OPENBAO, "--restart", "deployment/orders", "--restart", "Rollout/web"))
    assert found["DynamicLease"]["spec"]["rotation"]["restartTargets"] == [
        {"kind": "Deployment", "name": "orders"},
        {"kind": "Rollout", "name": "web"},
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*OPENBAO, "--restart", "orders"], "write KIND/NAME"),
        ([*OPENBAO, "--restart", "cronjob/x"], "write KIND/NAME"),
        ([*OPENBAO, "--name", "No Name"], "write --name"),
        ([*OPENBAO, "--ttl", "soon"], "spec.ttl: Value error, 'soon' is no duration"),
        ([*OPENBAO, "--ttl", "59s"], "--ttl: write 60s or more"),
        ([*OPENBAO, "--url", "bao.example.com"], "--url: write an http(s) URL, such as"),
        ([*OPENBAO, "--url", "https://"], "--url: write an http(s) URL, such as"),
        ([*PHASE, "--folder", "apps"], "--folder: write an absolute folder path such as"),
        (["openbao", "--path", "a/b", "--auth", "approle"], "write --role-id"),
        (["openbao", "--path", 'a"b/c'], "write a path such as database/creds/orders"),
        ([*INFISICAL[:-2], "--auth", "oidc"], "write --identity"),
        ([*OPENBAO, "--ca-file", "/nowhere.pem"], ""),
    ],
)
def test_what_cannot_be_is_answered_with_what_to_write(arguments: list[str], told: str) -> None:
    if told:
        assert told in " ".join(refused(*arguments).split())
        return
    done = CliRunner().invoke(plugin.main, ["init", *arguments])
    assert (done.exit_code, "can't be read" in done.stderr) == (exits.Exit.FAILED, True)


def test_a_line_break_in_an_option_opens_no_line_of_the_manifest() -> None:
    text = init(*OPENBAO, "--auth", "jwt", "--role", "x\nkind: Evil\nmetadata: {}\n---\n")
    assert [one["kind"] for one in yaml.safe_load_all(text)] == [
        *("ServiceAccount", "LeaseProvider", "DynamicLease")
    ]


def test_words_of_a_shell_command_are_quoted() -> None:
    text = init(*OPENBAO, "--auth", "approle", "--role", "a b; rm -rf x")
    (line,) = (one for one in text.splitlines() if "token_policies" in one)
    assert shlex.split(line.removeprefix("# "))[2] == "auth/approle/role/a b; rm -rf x"
