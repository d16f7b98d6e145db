"""What each reason means, how it is told, and what to do; ``tools.reasons`` makes a page of it.

A reason without an entry here doesn't pass the tests, so that users find every word they are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from leaseholder.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """One row of the table, in Markdown."""

    meaning: str
    example: str
    """A sentence as a user sees it; empty where the reason stands alone."""
    remedy: str


_NOTHING: Final = "Nothing"


SECTIONS: Final[Mapping[str, Mapping[Reason, Explanation]]] = {
    "All is well, or on its way": {
        Reason.READY: Explanation(
            "The Secret holds credentials that live; of a provider: it answers, the login works",
            "the provider answers and the login works",
            _NOTHING,
        ),
        Reason.PENDING: Explanation(
            "The operator hasn't checked it yet",
            "the operator hasn't checked it yet",
            "Wait; where it stays, see whether the operator runs and serves this namespace",
        ),
        Reason.HELD: Explanation("There is a lease", "", _NOTHING),
        Reason.DELIVERED: Explanation("The Secret shows the lease", "", _NOTHING),
        Reason.NONE_PENDING: Explanation("No revocation is pending", "", _NOTHING),
        Reason.NOT_STALLED: Explanation("The operator goes on by itself", "", _NOTHING),
        Reason.PROGRESSING: Explanation(
            "A lease is being acquired", "a lease is being acquired", "Wait"
        ),
        Reason.ROTATING: Explanation(
            "A shared account is made free for the next lease", "", "Wait; Ready comes back"
        ),
        Reason.SUSPENDED: Explanation(
            "`spec.suspend` is true; where Ready is True, the Secret holds credentials that live and the lease is renewed as before",
            "spec.suspend is true: no lease is issued, replaced or repaired",
            "Set it to false",
        ),
        Reason.DELETING: Explanation(
            "The lease is being revoked", "the lease is being revoked", "Wait"
        ),
        Reason.ISSUED: Explanation(
            "Event: a lease was issued, and why",
            "issued lease 95e5ca9d-fc86-44bd-a5c2-863af5cc1e03: it is time to replace the last one",
            _NOTHING,
        ),
        Reason.RENEWED: Explanation(
            "Event: a lease was renewed by a renew command",
            "lease 95e5ca9d-fc86-44bd-a5c2-863af5cc1e03 is renewed until 2026-11-21T13:38:58Z: leaseholder.dev/renew says so",
            _NOTHING,
        ),
        Reason.FORCED: Explanation(
            "Event: a force command was acted on, and what is left",
            "leaseholder.dev/force is acted on: no lease is to be revoked",
            _NOTHING,
        ),
        Reason.REVOKED: Explanation(
            "Event: a lease was taken back, and the provider confirms it",
            "lease 95e5ca9d-fc86-44bd-a5c2-863af5cc1e03 is revoked: the provider confirms that it is gone",
            _NOTHING,
        ),
        Reason.ORPHANED: Explanation(
            "Event: `deletion.policy: Orphan`; the lease lives on without us until the moment that it says",
            "lease 95e5ca9d-fc86-44bd-a5c2-863af5cc1e03 stays alive until 2026-11-21T13:38:58Z: nobody holds it any more",
            "Revoke it at the provider when it isn't needed any more",
        ),
    },
    "About the provider": {
        Reason.PROVIDER_MISSING: Explanation(
            "No such LeaseProvider or ClusterLeaseProvider",
            "there is no LeaseProvider forgotten: create it, or mend spec.providerRef",
            "Create it, or mend `providerRef`",
        ),
        Reason.PROVIDER_MISMATCH: Explanation(
            "The source is for another kind of provider",
            "LeaseProvider vault is of the kind openbao: write the source under spec.openbao, or mend spec.providerRef",
            "Mend `providerRef` or the source",
        ),
        Reason.NAMESPACE_NOT_ALLOWED: Explanation(
            "The ClusterLeaseProvider doesn't allow the namespace",
            "ClusterLeaseProvider shared doesn't allow namespace shop: its administrator adds it to spec.allowedNamespaces",
            "Its administrator adds the namespace to `allowedNamespaces`",
        ),
        Reason.AUTH_MISSING: Explanation(
            "A Secret, key, ServiceAccount or ConfigMap to log in with is missing, empty, can't be "
            "read or holds what no login takes; or the audience is the API server's",
            "there is no Secret shop/no-secret-auth: create it",
            "Create or correct it, give the right, or name another audience",
        ),
        Reason.LOGIN_REFUSED: Explanation(
            "The provider refuses the login; the sentence says why as far as that is known",
            "Infisical answered 401 to the login: the client id or the client secret is wrong",
            "Correct the credentials or the identity",
        ),
        Reason.LOCKED_OUT: Explanation(
            "Wrong tries locked the identity",
            "Infisical answered 401 to the login: too many wrong tries have locked the identity for "
            "a while",
            "Correct the credentials; it is tried again after five minutes",
        ),
        Reason.DENIED: Explanation(
            "A right is missing, at the provider or, as the sentence says then, at the API server",
            "Infisical answered 403: the identity needs the permission 'lease' on dynamic-secrets in "
            "environment prod, path /",
            "Give the right that the sentence names",
        ),
        Reason.HOST_NOT_ALLOWED: Explanation(
            "The provider's url, or the address that its name stands for, isn't one that the administrator allows; nothing was sent",
            "the host isn't one that providers may be at: the administrator may add it to LEASEHOLDER_PROVIDER_HOSTS",
            "Mend the url, or add the host to [`LEASEHOLDER_PROVIDER_HOSTS`](install.md#hosts-of-providers)",
        ),
        Reason.PLAIN_HTTP: Explanation(
            "The url is plain http, and the administrator doesn't allow that for the host; nothing was sent",
            "the url is plain http, and credentials could be read on the way: write https://, or let the administrator add http:// and the host to LEASEHOLDER_PROVIDER_HOSTS",
            "Write https://, or add `http://` and the host to [`LEASEHOLDER_PROVIDER_HOSTS`](install.md#hosts-of-providers)",
        ),
        Reason.UNREACHABLE: Explanation(
            "No connection",
            "the provider can't be reached: no connection could be made",
            "Check network, DNS and url",
        ),
        Reason.UNTRUSTED: Explanation(
            "The certificate isn't trusted, or the CA bundle can't be read",
            "the provider's certificate isn't trusted: check the url, or write its CA in caBundle",
            "Check url and CA bundle",
        ),
        Reason.THROTTLED: Explanation(
            "Too many requests",
            "Infisical answered 429: too many requests from this address",
            "Wait; lower `limits`, or raise the provider's",
        ),
        Reason.UNAVAILABLE: Explanation(
            "5xx, no answer, or the system behind the dynamic secret makes no credentials",
            "Infisical answered 503: the server is in trouble",
            "Look there; the operator tries again",
        ),
        Reason.BACKEND_FAILED: Explanation(
            "The system behind the dynamic secret failed, and each try can leave something there that no "
            "lease shows: tries come after a minute, later after hours",
            "Phase answered 500: it made no lease, and doesn't say why: check at Phase that the plan is "
            "Enterprise, and that its AWS credentials, groups and policies are right. Each try can leave "
            "a user at AWS, so the next one may be hours away: annotate leaseholder.dev/rotate to try at "
            "once",
            "Mend it there, then annotate `leaseholder.dev/rotate`",
        ),
        Reason.BAD_ANSWER: Explanation(
            "The answer isn't the provider's: HTML, a redirect, another shape, too long",
            "Infisical answered 302 to the login, but not as Infisical does: check that the url is "
            "that of an Infisical server",
            "Check the url; is there a proxy in front?",
        ),
    },
    "About the source": {
        Reason.SOURCE_MISSING: Explanation(
            "Project, environment, folder or dynamic secret isn't there",
            "Infisical answered 404: there is no dynamic secret orders in environment prod, path /: "
            "check dynamicSecretName",
            "Mend the source, or make what it names",
        ),
        Reason.SOURCE_DELETED: Explanation(
            "The dynamic secret is being deleted",
            "the dynamic secret leaving-db in environment prod, path / is being deleted at Infisical",
            "Choose another",
        ),
        Reason.INVALID: Explanation(
            "The provider or the API server refuses the request as it is",
            "Infisical answered 400: the lease has to say which users its SSH certificate is for: "
            "write infisical.config: {principals: [name]}",
            "Mend what the sentence names",
        ),
        Reason.TTL_TOO_LONG: Explanation(
            "`ttl` is above the maximum",
            "a ttl of 48h is longer than the dynamic secret's maximum, which is 24h: write a shorter "
            "one in ttl",
            "Shorten `ttl`, or raise the maximum at the provider",
        ),
        Reason.PLAN: Explanation(
            "The provider's plan has no dynamic secrets",
            "Infisical answered 400: dynamic secrets need a plan that has them",
            "Change the plan",
        ),
    },
    "About the lease": {
        Reason.UNCLEAR: Explanation(
            "Of a lease on record: an issue whose answer was lost; it is searched for and taken back",
            "",
            "Wait",
        ),
        Reason.GONE: Explanation(
            "The provider has no such lease; it is inspected once more before a new one is issued",
            "the provider has no such lease; it is inspected once more before a new one is issued",
            _NOTHING,
        ),
        Reason.EXPIRED: Explanation(
            "The lease is past its end as far as is known, or will be in three seconds; the Secret is "
            "kept",
            "the credentials end at 2026-11-21T13:38:58Z, as far as is known; the lease couldn't be kept alive: the provider didn't answer in time",
            "[Outages](operations.md#outages); usually the provider is down",
        ),
        Reason.CANNOT_RENEW: Explanation(
            "The lease can't live longer than it does; it is replaced in time",
            "the lease is at the end of the longest life that Infisical gives it",
            "Nothing; after a renew command: rotate instead",
        ),
        Reason.UNUSABLE: Explanation(
            "The provider gave a lease that was over on arrival, or nearly, or without credentials, or dates it far from "
            "its own clock; it is revoked, and the next try waits longer each time",
            "the provider gave a lease of 3 s, too short to be used: write a ttl, or raise the default ttl at the provider",
            "Mend what the sentence names; a changed spec is tried at once",
        ),
        Reason.TOO_MANY: Explanation(
            "Five leases of this DynamicLease may live, too many in its namespace are still to be revoked, or the provider's own limit is reached",
            "5 leases of this DynamicLease may live (1 in use, 4 replaced and kept for rotation.overlap or a rollout that isn't complete): the next one is issued when one of them is gone",
            "[Runbook](runbook.md#too-many-leases)",
        ),
        Reason.RENEWAL_TOO_SOON: Explanation(
            "The provider takes no renewal so short",
            "Infisical renews by 1m or more: it is too soon",
            "Wait",
        ),
        Reason.RENEWAL_UNPROVEN: Explanation(
            "The lease was renewed, but this provider may end it at its first expiry; Ready is False "
            "until an inspection shows it beyond",
            "the lease was renewed, but this provider may end it at its first expiry: it is inspected before it counts again",
            "Nothing; strategy Auto has no such gap ([Phase](providers/phase.md))",
        ),
        Reason.UNDELIVERED: Explanation(
            "Of a lease on record: it came into no Secret", "", _NOTHING
        ),
        Reason.SUPERSEDED: Explanation(
            "Of a lease on record: a newer lease took its place", "", _NOTHING
        ),
        Reason.SOURCE_CHANGED: Explanation(
            "Why a lease was replaced: provider or source changed", "", _NOTHING
        ),
        Reason.COMMANDED: Explanation("Why a lease was replaced: a rotate command", "", _NOTHING),
        Reason.SLOT_TAKEN: Explanation(
            "The source is one shared account, and the lease of another DynamicLease is on it",
            "the source is one shared account, and DynamicLease shop/first-come holds it: use its Secret, delete it, or write another source",
            "[Runbook](runbook.md#the-shared-account-is-taken)",
        ),
    },
    "About the Secret": {
        Reason.NOT_OURS: Explanation(
            "A Secret of that name belongs to somebody else",
            "Secret occupied belongs to somebody else: delete it, or write another target.secretName",
            "[Runbook](runbook.md#the-secret-isnt-ours)",
        ),
        Reason.WRITE_REFUSED: Explanation(
            "The API server refuses the Secret: right, quota, admission webhook, type, size",
            "can't create secrets in namespace shop-full: a resource quota of the namespace is used up",
            "Mend what the sentence names",
        ),
        Reason.TEMPLATE_INVALID: Explanation(
            "A text of `target.template.data` can't be read or rendered, or no Secret can hold the keys; the Secret keeps its data",
            "template.data.LOGIN: there is no DB_USER, only DB_PASSWORD, DB_USERNAME; preview: ‹missing DB_USER›",
            "[Runbook](runbook.md#a-template-fails)",
        ),
        Reason.SECRET_CHANGED: Explanation(
            "Somebody changed or deleted the Secret; a new lease is being acquired",
            "Secret orders-db was changed or deleted by somebody else; a new lease is being acquired",
            "Nothing; [Drift](operations.md#drift)",
        ),
        Reason.SECRET_CONTESTED: Explanation(
            "Again and again; the sentence says when the next lease is issued",
            "Secret orders-db was changed or deleted by somebody else, again and again: find out by whom; a new lease is acquired at 2026-11-21T13:38:58Z",
            "[Runbook](runbook.md#the-secret-is-contested)",
        ),
        Reason.SECRET_COPIED: Explanation(
            "Event: somebody copied the Secret, labels and annotations too; the copy is left alone",
            "Secret shop/copy is a copy of shop/orders-db, marks and all: it is left alone, and its credentials end with the lease; let the copy be made without the label leaseholder.dev/owner-uid",
            "Nothing, or make copies without our label",
        ),
        Reason.SECRET_LEFT: Explanation(
            "Event: a Secret has our label, and nothing else on it says that we wrote it; it is left alone",
            "Secret shop/former has the label leaseholder.dev/owner-uid, and nothing else says that the operator wrote it: it is left alone, and its credentials end with their lease; delete it, or take the label off",
            "Delete it, or take the label off",
        ),
        Reason.TEMPLATE_CHANGED: Explanation(
            "Why a lease was replaced: the template needs values that the Secret doesn't hold",
            "",
            _NOTHING,
        ),
        Reason.KEYS_CHANGED: Explanation(
            "Event: a new lease has other keys than the one before",
            "the provider gives other keys than before (gone: USER; new: DB_USERNAME): do workloads know?",
            "Check template and pods",
        ),
    },
    "About the workloads": {
        Reason.ROLLED_OUT: Explanation(
            "All targets use the lease, or there was none before it", "", _NOTHING
        ),
        Reason.ROLLING_OUT: Explanation(
            "A target is still to be restarted, or its pods are being replaced; the sentence says "
            "which and how far",
            "Deployment orders is still to be restarted",
            "Wait; with `suspend: true`, until it is false",
        ),
        Reason.ROLLOUT_FAILED: Explanation(
            "Not complete within `rotation.rolloutTimeout`, past its progress deadline, Degraded, or "
            "it can't complete by itself",
            "Deployment orders: its progress deadline is over, 1 of 2 pods are updated, 2 available, 1 old ones left",
            "[Runbook](runbook.md#a-rollout-fails)",
        ),
        Reason.TARGET_MISSING: Explanation(
            "There is no workload of that name",
            "there is no Deployment orders",
            "Mend the name, or make the workload",
        ),
        Reason.RESTART_REFUSED: Explanation(
            "The API server lets us neither read nor restart; the sentence says why",
            "",
            "Bind `leaseholder-workloads` ([install](install.md#in-single-namespaces)); tried again "
            "within a minute",
        ),
        Reason.RESTARTED: Explanation(
            "Event: a workload was restarted",
            "restarted Deployment orders: its pods take up the new lease",
            _NOTHING,
        ),
    },
    "About leases on no record": {
        Reason.ALL_RECORDED: Explanation(
            "Of UnrecordedLeases: the last sweep found none",
            "the last sweep found no lease of this installation that is on no record",
            _NOTHING,
        ),
        Reason.UNRECORDED: Explanation(
            "The last sweep found leases of this installation that nothing in the cluster knows; of a lease on record: it was found so",
            "2 leases of this installation are on no record: check them there, or write sweep: Revoke",
            "[Runbook](runbook.md#leases-are-on-no-record)",
        ),
        Reason.NOT_SWEEPABLE: Explanation(
            "Of UnrecordedLeases: leases there can't be distinguished from others'",
            "leases there have no mark of whose they are: take spec.sweep out",
            "Take `spec.sweep` out; at Infisical let the operator send its tag (`LEASEHOLDER_INFISICAL__TAG_IN_CONFIG`)",
        ),
    },
    "About revocation": {
        Reason.REVOCATION_PENDING: Explanation(
            "Nothing was tried yet, or an unclear attempt is being searched for (some minutes)",
            "1 lease is still to be revoked",
            "Wait",
        ),
        Reason.NOT_CONFIRMED: Explanation(
            "The provider took the revocation but still shows the lease, or a 404 isn't believed yet",
            "OpenBao took the revocation, but still has the lease: look at it there",
            "Wait",
        ),
        Reason.FAILED_TO_DELETE: Explanation(
            "The system behind the dynamic secret didn't take the credentials back",
            "Infisical answered 200: the system behind the dynamic secret didn't take the "
            "credentials back: look at the lease at Infisical",
            "Mend it there; or [force](operations.md#commands)",
        ),
        Reason.AUTH_GONE: Explanation(
            "What the operator logs in with is gone",
            "",
            "Put the Secret, ServiceAccount or ConfigMap back",
        ),
        Reason.ABANDONED: Explanation(
            "Given up a week after the lease's end; as an event: let go by a full LeaseRecord",
            "1 lease is still to be revoked; given up for 5f0c1c9a2f5d4e0b9a7a3c1d2e4f6a8b: see to the lease at the provider, then say kubectl leaseholder forget 5f0c1c9a2f5d4e0b9a7a3c1d2e4f6a8b",
            "[Runbook](runbook.md#a-lease-is-abandoned)",
        ),
        Reason.TIMED_OUT: Explanation(
            "Event: `deletion.timeout` is over; what is pending is revoked later",
            "1 lease(s) couldn't be revoked yet; they stay on record and are revoked later",
            "Look at the records",
        ),
    },
    "About the cluster": {
        Reason.CLUSTER: Explanation(
            "The API server is away",
            "the API server couldn't create secrets in namespace shop now: it answered 503",
            "Wait",
        ),
        Reason.CONFLICT: Explanation(
            "In the log only: somebody else wrote first, and the operator reads it again",
            "",
            _NOTHING,
        ),
        Reason.INTERNAL: Explanation(
            "A reason that this version doesn't know stood in status, or a fault of ours",
            "",
            "Look at the log",
        ),
    },
}


def entry(reason: Reason) -> Explanation:
    """The row of a reason.

    Raises:
        KeyError: it has none.
    """
    return next(section[reason] for section in SECTIONS.values() if reason in section)
