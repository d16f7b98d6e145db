"""docs/cli.md, made of what the commands say of themselves.

``python -m leaseholder.cli.page docs/cli.md [--check]``.
"""

import inspect
import pathlib
import sys
from typing import Final

import click

from leaseholder.api import generated
from leaseholder.cli import exits, plugin, views

_INTRODUCTION: Final = """\
<!-- Generated from leaseholder.cli by `make crds`. -->

# Command line

`kubectl leaseholder` shows what DynamicLeases hold and tells the operator what to do. It is a plugin of
kubectl: the program `kubectl-leaseholder` in your `PATH`. It comes with the Python package:

```sh
python3 -m venv ~/leaseholder
~/leaseholder/bin/pip install .
ln -s ~/leaseholder/bin/kubectl-leaseholder ~/.local/bin/
kubectl leaseholder status
```

It logs in as kubectl does: `KUBECONFIG`, else `~/.kube/config`, else the ServiceAccount of the pod. It reads no
Secrets.

```sh
kubectl leaseholder status -n shop
kubectl leaseholder status -n shop orders-db
kubectl leaseholder rotate -n shop orders-db --wait
kubectl leaseholder events -n shop orders-db
kubectl leaseholder explain SecretNotOurs
```

From a real run:

```text
$ kubectl leaseholder status
NAME        READY  REASON           PROVIDER   SECRET      LEFT     NEXT                PENDING
billing-db  True   Ready            infisical  billing-db  29m 58s  replace in 19m 46s  -
orders-db   True   Ready            infisical  orders-db   59m 58s  renew in 39m 34s    -
reports     False  ProviderMissing  nobody     reports     -        -                   -

$ kubectl leaseholder status reports
DynamicLease  shop/reports
Ready         False, ProviderMissing: there is no LeaseProvider nobody: create it, or mend spec.providerRef
Provider      LeaseProvider nobody
Secret        reports
Do            Create it, or mend providerRef

$ kubectl leaseholder rotate orders-db --wait
shop/orders-db is rotated: the Secret holds lease 3d35d6ac-7520-4437-8488-0a0e5bcf6f58, good until 2026-11-27T06:11:47Z

$ kubectl leaseholder status orders-db
DynamicLease  shop/orders-db
Ready         True, Ready: the Secret holds credentials that live
Provider      LeaseProvider infisical
Secret        orders-db (DB_PASSWORD, DB_USERNAME)
Lease         3d35d6ac-7520-4437-8488-0a0e5bcf6f58
Issued        2026-11-27T05:11:47Z, 2s ago
Renewed       0 times
Ends          2026-11-27T06:11:47Z, 59m 57s left
Next          renew in 39m 33s
Life          [#-------------------------|-------------]

$ kubectl leaseholder renew billing-db --wait
Error: not renewed: CannotExtend: the lease isn't extended: spec.renewal.strategy is Rotate; for a new lease, annotate leaseholder.dev/rotate
```

## Rights

What you may do with kubectl, you may do with the command. Kubernetes' roles `view` and `edit` have what it needs
where the chart's `aggregateRoles` is true, as by default: `view` shows, `edit` gives commands, too.

| Command | Needs, in the namespace |
|---|---|
| `status` | `get` and `list` on `dynamicleases` |
| `rotate`, `renew`, `force` | `get` and `patch` on `dynamicleases`; `list` on `events`, to say why a lease isn't renewed |
| `events` | `get` on `dynamicleases`, `list` on `events` |
| `providers` | `list` on `leaseproviders`; `clusterleaseproviders`, in the cluster, are left out where you may not |
| `explain` | Nothing |

Who may patch a DynamicLease may have its lease rotated: [Security](security.md) says what that amounts to.
"""


def rendered() -> str:
    """The page as Markdown."""
    parts = [_INTRODUCTION, _exit_codes(), _columns()]
    context = click.Context(plugin.main, info_name="kubectl leaseholder")
    parts += [_section(command, context) for _, command in sorted(plugin.main.commands.items())]
    return "\n".join(parts)


def _exit_codes() -> str:
    rows = [f"| {int(code)} | {meaning} |" for code, meaning in exits.MEANINGS.items()]
    return "\n".join(["## Exit codes", "", "| Code | Meaning |", "|---|---|", *rows, ""])


def _columns() -> str:
    tables = (
        ("status", views.LEASE_COLUMNS),
        ("providers", views.PROVIDER_COLUMNS),
        ("events", views.EVENT_COLUMNS),
    )
    rows = [f"| `{name}` | {', '.join(columns)} |" for name, columns in tables]
    text = (
        "`LEFT` is the time until the credentials end, `NEXT` what becomes of the lease then, `PENDING` the "
        "reason of\nRevocationPending where it is True. NAMESPACE is shown with `-A`. For programs there "
        "is `-o json`; its\nmoments are UTC."
    )
    head = ["## Tables", "", "| Command | Columns |", "|---|---|", *rows, "", text, ""]
    return "\n".join(head)


def _section(command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=command.name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    described = inspect.cleandoc(command.help or "")
    lines = [f"## {command.name}", "", "```text", usage, "```", "", described, ""]
    rows = [_row(one, context) for one in command.params if isinstance(one, click.Option)]
    if rows:
        lines += ["| Option | Meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context) or ("", "")
    names, text = (part.replace("|", "\\|") for part in record)
    return f"| `{names}` | {' '.join(text.split())} |"


def main() -> int:
    """Write the page, or compare it with what stands there."""
    path, check = pathlib.Path(sys.argv[1]), "--check" in sys.argv[2:]
    return generated.keep([(path, rendered())], check=check)


if __name__ == "__main__":
    sys.exit(main())
