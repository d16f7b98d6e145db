"""docs/cli.md, made of what the commands say of themselves; ``tools.pages`` writes it."""

import inspect
from typing import Final

import click

from leaseholder.cli import doctor, exits, plugin, records, views
from leaseholder.cli import main as main_

_INTRODUCTION: Final = """\
<!-- Generated from leaseholder.cli by `make crds`. -->

# Command line

`kubectl leaseholder` shows what DynamicLeases hold and tells the operator what to do. It is a plugin of
kubectl: the program `kubectl-leaseholder` in your `PATH`. It comes with the Python package. In the checkout:

```sh
python3 -m venv ~/leaseholder
~/leaseholder/bin/pip install .
mkdir -p ~/.local/bin # is it in your PATH?
ln -s ~/leaseholder/bin/kubectl-leaseholder ~/leaseholder/bin/kubectl_complete-leaseholder ~/.local/bin/
kubectl leaseholder list
```

Administrators have the operator's own program, `leaseholder`, which [stands below](#the-operators-program):

| Command | What for |
|---|---|
| `leaseholder crds` | Prints the CRDs, for `kubectl apply --server-side -f -` |
| `leaseholder records` | Every lease that may live: whose it is, where it was issued, what is still to be revoked |
| `leaseholder drain` | Revokes all leases before an [uninstall](operations.md#uninstall) |
| `leaseholder adopt` | [Moves](operations.md#move-to-another-installation) them to another installation |
| `leaseholder sweep` | Finds leases that are on no record ([Sweep](operations.md#sweep)); it needs the operator's settings |
| `leaseholder forget` | Lets a lease go that was [given up](runbook.md#a-lease-is-abandoned) |

`records`, `sweep`, `forget` and `version` are commands of both programs.

The second program is for kubectl's own completion: where that is set up (`kubectl completion --help`), Tab completes
commands, options, reasons and names of DynamicLeases.

It logs in as kubectl does: `KUBECONFIG`, else `~/.kube/config`, else the ServiceAccount of the pod. It reads no
data of Secrets.

```sh
kubectl leaseholder list -A
kubectl leaseholder show -n shop orders-db
kubectl leaseholder rotate -n shop orders-db --wait
kubectl leaseholder wait -n shop orders-db --timeout 60
kubectl leaseholder rotate --all --provider infisical -A --issued-before 2026-11-27T10:00:00Z
kubectl leaseholder explain SecretNotOurs
kubectl leaseholder doctor -A
kubectl leaseholder init openbao -n shop --path database/creds/orders > orders.yaml
kubectl leaseholder plan -f orders.yaml
kubectl leaseholder migrate --live -n shop > ours.yaml
```

From a real run; [the first ten minutes](first-ten-minutes.md) have `init`, `doctor` and `records`, too:

```text
$ kubectl leaseholder list
NAME        READY  PROVIDER   LEFT     NEXT                ROLLOUT  PENDING  MESSAGE
billing-db  True   infisical  29m 55s  replace in 19m 43s  -        -
orders-db   True   infisical  1m 55s   renew in 1m 14s     -        -
reports     False  nobody     -        -                   -        -        ProviderMissing: there is no LeaseProvider nobody: create it, or mend spec.providerRef
3 DynamicLeases, 1 not Ready, 0 with pending revocations. The nearest end: shop/orders-db in 1m 55s.

$ kubectl leaseholder rotate billing-db --wait
shop/billing-db is rotated: the Secret holds lease 9d34b31f-a38e-4c87-b2e4-b0d5b982a171, good until 2026-11-27T12:13:21Z

$ kubectl leaseholder show billing-db
DynamicLease  shop/billing-db
Ready         True, Ready: the Secret holds credentials that live
Provider      LeaseProvider infisical
Secret        billing-db (DB_PASSWORD, DB_USERNAME)
Lease         9d34b31f-a38e-4c87-b2e4-b0d5b982a171
Renewed       0 times
Left          29m 58s
Next          replace in 19m 46s

[=~~~~                                                       ]  be06665b-97ea-4f16-87f0-34a17982b7ce
[=#-------------------------------------|--------------------]  9d34b31f-a38e-4c87-b2e4-b0d5b982a171

TIME                  WHAT     MESSAGE
2026-11-27T11:43:07Z  issued   issued lease be06665b-97ea-4f16-87f0-34a17982b7ce
2026-11-27T11:43:21Z  issued   issued lease 9d34b31f-a38e-4c87-b2e4-b0d5b982a171: leaseholder.dev/rotate says so
2026-11-27T11:43:22Z  now
2026-11-27T11:45:21Z  overlap  of lease be06665b-97ea-4f16-87f0-34a17982b7ce is over: it may be revoked
2026-11-27T12:03:09Z  replace  planned
2026-11-27T12:13:21Z  ends     revoked before, when replaced

CONDITION          STATUS  REASON          SINCE    MESSAGE
Ready              True    Ready           15s ago  the Secret holds credentials that live
LeaseHeld          True    LeaseHeld       15s ago
SecretSynced       True    SecretSynced    15s ago
RevocationPending  False   NothingPending  15s ago
Stalled            False   NotStalled      15s ago

$ kubectl leaseholder plan -f orders.yaml
DynamicLease shop/orders
  provider  LeaseProvider infisical answers, and the login works, version v0.154.0
  lease     one is issued at once, of orders-db in prod, ttl 1h
  then      renewed, or replaced where the provider can't renew it, 39m 36s after its issue, and so on
            replaced when it is 24h old
  Secret    orders is made
  keys      the provider's own
            DATABASE_URL = postgresql://DB_USERNAME:DB_PASSWORD@db/orders
  restarts  Deployment orders, for each new lease; the old one waits for them
Nothing was issued or changed. To apply it: kubectl apply -f orders.yaml

$ kubectl leaseholder renew billing-db --wait
Error: not renewed: CannotRenew: the lease isn't renewed: spec.renewal.strategy is Rotate; for a new lease, annotate leaseholder.dev/rotate
```

## Rights

The command has your rights, as kubectl has. Kubernetes' roles `view` and `edit` have what it needs where the chart's
`aggregateRoles` is true, as by default: `view` shows, `edit` gives commands, too.

| Command | Needs, in the namespace |
|---|---|
| `list` | `list` on `dynamicleases` |
| `show` | `get` on `dynamicleases`; `list` on `events`, which are left out where you may not |
| `suspend`, `resume` | `get` and `patch` on `dynamicleases` |
| `wait` | `get` on `dynamicleases` |
| `rotate --all` | `list`, `get` and `patch` on `dynamicleases` |
| `rotate`, `renew`, `force` | `get` and `patch` on `dynamicleases`; `list` on `events`, to say why a lease isn't renewed |
| `providers` | `list` on `leaseproviders`; `clusterleaseproviders`, in the cluster, are left out where you may not |
| `explain`, `version`, `crds` | Nothing |
| `forget` | `list` and `patch` on `leaserecords`, in the operator's namespace: it is for administrators |
| `records` | `list` on `leaserecords`, in the operator's namespace, or in all with `-A`: it is for administrators |
| `init`, `migrate -f` | Nothing |
| `migrate --live` | `list` on the other operators' resources; it names those that you may not list, and leaves them out |
| `plan` | `create` and `patch` on what the file has, nothing is stored; `get` on `dynamicleases`, on their `leaseproviders` or `clusterleaseproviders`, and on `secrets`, for the metadata of the target Secret and of those that providers log in with |
| `sweep` | It acts as the operator does: what the operator's roles have, and the Secrets that providers log in with. For administrators |
| `doctor` | What `list` and `providers` need. Administrators see more: `get` on `customresourcedefinitions`; `create` on `subjectaccessreviews`; `get` and `list` on `leases` of `coordination.k8s.io`, in the operator's namespace |

Everybody who may patch a DynamicLease may have its lease rotated: [Security](security.md) says what that amounts to.
"""
_ABOUT_ERRORS: Final = """\
After Ctrl-C the command says how far it got. A `rotate`, `renew` or `force` that was given stays given: the operator
goes on with it. `rotate --all` counts what is rotated, and says with which `--issued-before` it goes on:

```text
Error: stopped by Ctrl-C: 12 of 40 leases rotated, 0 not, 23 not begun, the operator goes on with shop/orders-db, shop/reports, shop/search, shop/stock, shop/users. To go on, add --issued-before 2026-11-27T10:00:00Z
```

Where it can't show anything:

| It says | Do |
|---|---|
| `the API server at … couldn't …`, `no connection` | See whether `kubectl cluster-info` answers. Is it the `--context` that you mean? |
| `it doesn't accept your login (401)` | Log in again, as for kubectl |
| `you have no right to …` | Ask for a role with what stands [above](#rights). With `-A` you need it in all namespaces: write `-n` |
| `the API server has no …` | The CRDs aren't there: [install](install.md) the operator, or choose another `--context` |
| `there is no namespace …`, `there is no …` | Write the `-n` where it is; `list -A` shows all |
| `no kubeconfig has a context …` | `kubectl config get-contexts` lists them |
| `the operator hasn't checked … yet` | See whether it runs and serves this namespace: `doctor` |
| `no answer to …` | What stands behind it says why. The command stays given: the operator acts on it when it can |
"""


def rendered() -> str:
    """The page as Markdown."""
    parts = [_INTRODUCTION, _exit_codes(), _ABOUT_ERRORS, _columns()]
    context = click.Context(plugin.main, info_name="kubectl leaseholder")
    for _, command in sorted(plugin.main.commands.items()):
        parts.append(_section(command, context))
        if isinstance(command, click.Group):
            inner = click.Context(command, info_name=command.name, parent=context)
            parts += [_section(one, inner, "###") for _, one in sorted(command.commands.items())]
    parts.append(_PROGRAM)
    context = click.Context(main_.main, info_name="leaseholder")
    parts += [_section(one, context, "###") for _, one in sorted(main_.main.commands.items())]
    return "\n".join(parts)


_PROGRAM: Final = """\
## The operator's program

`leaseholder`, in the image and in the Python package.
"""


def _exit_codes() -> str:
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in exits.MEANINGS.items()]
    return "\n".join(["## Exit codes", "", "| Code | Meaning |", "|---|---|", *rows, ""])


def _columns() -> str:
    tables = (
        ("list", views.LEASE_COLUMNS),
        ("show", views.MARK_COLUMNS),
        ("show", views.CONDITION_COLUMNS),
        ("show", views.EVENT_COLUMNS),
        ("providers", views.PROVIDER_COLUMNS),
        ("doctor", doctor.COLUMNS),
        ("records", records.COLUMNS),
    )
    rows = [f"| `{name}` | {', '.join(columns)} |" for name, columns in tables]
    head = ["## Tables", "", "| Command | Columns |", "|---|---|", *rows, "", _ABOUT_COLUMNS, ""]
    return "\n".join(head)


_ABOUT_COLUMNS: Final = """\
`LEFT` is the time until the credentials end, `NEXT` what becomes of the lease then, `PENDING` the reason of
RevocationPending where it is True, `MESSAGE` what is wrong. NAMESPACE is shown with `-A`. Of `records` NAMESPACE and
NAME are those of the DynamicLease, and OPERATOR, the namespace of the record, is shown with `-A`. In the time line of `show`
a lease is held (`=`), replaced and not revoked yet (`~`), or has time left (`-`); `#` is now, `|` the next step. It
tells what happened as far as events do: the API server forgets them after an hour.

Tables go to stdout, remarks to stderr. No cell is cut: where the terminal is too narrow, it wraps the lines. Colours
are left out where stdout is no terminal, and where `NO_COLOR` is set. For programs there is `-o json` and `-o yaml`;
moments are UTC."""


def _section(command: click.Command, parent: click.Context, level: str = "##") -> str:
    context = click.Context(command, info_name=command.name, parent=parent)
    path = context.command_path
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    described = inspect.cleandoc(command.help or "")
    title = path.removeprefix("kubectl leaseholder ")
    lines = [f"{level} {title}", "", "```text", usage, "```", "", described, ""]
    rows = [_row(one, context) for one in command.params if isinstance(one, click.Option)]
    if rows:
        lines += ["| Option | Meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context) or ("", "")
    names, text = (part.replace("|", "\\|") for part in record)
    return f"| `{names}` | {' '.join(text.split())} |"
