"""Every right that the chart gives the operator: what fails without it, and where that is told.

docs/security.md has the same table. A row is tried by ``test_rights``.
"""

import typing

from tests.cluster import features, services
from tests.cluster.withheld import LOG, METRICS, READYZ, Right

OURS: typing.Final = "leaseholder.dev"
WIDE: typing.Final = "ClusterRole leaseholder"
LEDGER: typing.Final = "Role leaseholder-ledger"
SECRETS: typing.Final = "ClusterRole leaseholder-secrets"
TOKENS: typing.Final = "ClusterRole leaseholder-tokens"
WORKLOADS: typing.Final = "ClusterRole leaseholder-workloads"
CONFIGMAPS: typing.Final = "ClusterRole leaseholder-configmaps"
REVIEWS: typing.Final = "ClusterRole system:auth-delegator"
"""Kubernetes' own, which has what ``metricsAuth`` needs, so that sentences name it."""

_PROVIDERS: typing.Final = ((OURS, "leaseproviders"), (OURS, "clusterleaseproviders"))
_TARGETS: typing.Final = (
    *(("apps", one) for one in ("deployments", "statefulsets", "daemonsets")),
    ("argoproj.io", "rollouts"),
)
_UNHEARD: typing.Final = "aren't heard of; what is known goes on"

RIGHTS: typing.Final = (
    Right(
        role=WIDE,
        verb="get",
        of=((OURS, "dynamicleases"),),
        fails="Where two DynamicLeases want one Secret, the second one doesn't say whose it is",
        told=("PermissionDenied",),
        feature=features.kept_apart,
    ),
    *(
        Right(
            role=WIDE,
            verb=verb,
            of=((OURS, "dynamicleases"),),
            fails=f"New and changed DynamicLeases {_UNHEARD}",
            told=(READYZ, LOG),
            feature=features.heard_of,
        )
        for verb in ("list", "watch")
    ),
    Right(
        role=WIDE,
        verb="patch",
        of=((OURS, "dynamicleases"),),
        fails="A new DynamicLease gets no finalizer, and so no lease; a deleted one keeps its own",
        told=("PermissionDenied",),
        feature=features.finalized,
    ),
    Right(
        role=WIDE,
        verb="patch",
        of=(
            (OURS, "dynamicleases/status"),
            (OURS, "leaseproviders/status"),
            (OURS, "clusterleaseproviders/status"),
        ),
        fails="Status says what was before",
        told=(LOG,),
        feature=features.reported,
    ),
    Right(
        role=WIDE,
        verb="update",
        of=((OURS, "dynamicleases/finalizers"),),
        fails="No Secret is made, where the admission plugin OwnerReferencesPermissionEnforcement "
        "is on",
        told=("SecretWriteRefused",),
        feature=features.issued,
    ),
    Right(
        role=WIDE,
        verb="get",
        of=_PROVIDERS,
        fails="No new login: what a provider refers to isn't read before it is known to stand",
        told=("AuthSecretMissing",),
        feature=services.logged_in_anew,
    ),
    *(
        Right(
            role=WIDE,
            verb=verb,
            of=_PROVIDERS,
            fails=f"New and changed providers {_UNHEARD}",
            told=(READYZ, LOG),
            feature=services.providers_heard_of,
        )
        for verb in ("list", "watch")
    ),
    Right(
        role=WIDE,
        verb="get",
        of=(("", "namespaces"),),
        fails="The operator waits at its start; `allowedNamespaces` by label allow none",
        told=("PermissionDenied", READYZ, LOG),
        feature=services.namespaces_known,
        at_start=True,
    ),
    Right(
        role=WIDE,
        verb="create",
        of=(("", "events"),),
        fails="No events",
        told=(LOG,),
        feature=services.announced,
    ),
    Right(
        role=WIDE,
        verb="patch",
        of=(("", "events"),),
        fails="An event that comes again isn't counted",
        told=(LOG,),
        feature=services.counted,
    ),
    *(
        Right(
            role=WIDE,
            verb="create",
            of=(what,),
            fails="Nobody new reads metrics",
            told=(METRICS, LOG),
            feature=services.scraped,
            bind=REVIEWS,
        )
        for what in (
            ("authentication.k8s.io", "tokenreviews"),
            ("authorization.k8s.io", "subjectaccessreviews"),
        )
    ),
    Right(
        role=LEDGER,
        verb="get",
        of=((OURS, "leaserecords"),),
        fails="A record that somebody else wrote isn't read again; its DynamicLease waits",
        told=("PermissionDenied",),
        feature=features.reread,
    ),
    Right(
        role=LEDGER,
        verb="list",
        of=((OURS, "leaserecords"),),
        fails="After a start nothing is done; no lease of a shared account is issued",
        told=("PermissionDenied",),
        feature=features.shared,
    ),
    Right(
        role=LEDGER,
        verb="create",
        of=((OURS, "leaserecords"),),
        fails="A new DynamicLease gets no lease",
        told=("PermissionDenied",),
        feature=features.issued,
    ),
    Right(
        role=LEDGER,
        verb="patch",
        of=((OURS, "leaserecords"),),
        fails="No lease is replaced, none revoked",
        told=("PermissionDenied",),
        feature=features.replaced,
    ),
    Right(
        role=LEDGER,
        verb="delete",
        of=((OURS, "leaserecords"),),
        fails="Records of DynamicLeases that are gone stay, without leases",
        told=(LOG,),
        feature=features.cleared,
    ),
    Right(
        role=LEDGER,
        verb="patch",
        of=(("coordination.k8s.io", "leases"),),
        fails="Who leads stops after 10 s, and nobody else can lead",
        told=(READYZ, LOG),
        feature=services.led,
    ),
    Right(
        role=LEDGER,
        verb="get",
        of=(("coordination.k8s.io", "leases"),),
        fails="The same",
        told=(LOG,),
        feature=services.elected,
        at_start=True,
    ),
    Right(
        role=LEDGER,
        verb="create",
        of=(("coordination.k8s.io", "leases"),),
        fails="Nobody leads before there is a Lease",
        told=(LOG,),
        feature=services.elected,
        at_start=True,
    ),
    Right(
        role=SECRETS,
        verb="get",
        of=(("", "secrets"),),
        fails="No new login by a Secret; a Secret that somebody edited isn't put right",
        told=("PermissionDenied", "AuthSecretMissing"),
        feature=features.read,
    ),
    Right(
        role=SECRETS,
        verb="list",
        of=(("", "secrets"),),
        fails="A Secret that somebody edited isn't put right",
        told=("PermissionDenied",),
        feature=features.repaired,
    ),
    Right(
        role=SECRETS,
        verb="watch",
        of=(("", "secrets"),),
        fails="That somebody edited a Secret isn't noticed",
        told=(READYZ, LOG),
        feature=features.followed,
    ),
    Right(
        role=SECRETS,
        verb="create",
        of=(("", "secrets"),),
        fails="A new DynamicLease gets no lease",
        told=("SecretWriteRefused",),
        feature=features.issued,
    ),
    Right(
        role=SECRETS,
        verb="patch",
        of=(("", "secrets"),),
        fails="No lease is replaced",
        told=("SecretWriteRefused",),
        feature=features.replaced,
    ),
    Right(
        role=SECRETS,
        verb="delete",
        of=(("", "secrets"),),
        fails="A deleted DynamicLease keeps Secret and lease until `deletion.timeout`",
        told=("SecretWriteRefused",),
        feature=features.deleted,
    ),
    Right(
        role=TOKENS,
        verb="create",
        of=(("", "serviceaccounts/token"),),
        fails="No login as a ServiceAccount",
        told=("AuthSecretMissing",),
        feature=services.logged_in_as_service_account,
    ),
    *(
        Right(
            role=WORKLOADS,
            verb=verb,
            of=_TARGETS,
            fails=f"{which} of `restartTargets` aren't restarted; the old lease lives on",
            told=("RestartRefused",),
            feature=features.restarted,
        )
        for verb, which in (
            ("get", "Workloads that are named"),
            ("list", "Workloads by label"),
            ("patch", "Workloads"),
        )
    ),
    Right(
        role=CONFIGMAPS,
        verb="get",
        of=(("", "configmaps"),),
        fails="No CA certificate is read from a ConfigMap",
        told=("AuthSecretMissing",),
        feature=services.trusted,
    ),
)
