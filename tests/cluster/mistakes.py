"""What users get wrong that only shows once it is applied: how it comes about, is told, is mended.

Each mistake has a namespace's worth of names to itself (the DynamicLease, its provider, its Secrets
go by the mistake's name), so that all of them can stand at the same time.
"""

import collections.abc
import dataclasses
import typing

import aiohttp
from aiohttp import web

from leaseholder.api.conditions import Reason
from tests.cluster import rogue, sites
from tests.world import kube
from tests.world import world as worlds
from tests.world.infisical import client as infisical
from tests.world.infisical import seeds

NAMESPACE = "shop"
FULL, GUARDED = "shop-full", "shop-guarded"
"""Namespaces with a used up quota, and with an admission webhook that refuses."""
NOWHERE = "127.0.0.1:9"
"""Nothing listens at the discard service's port."""


@dataclasses.dataclass(slots=True)
class Clinic:
    """Where mistakes are made: a site, servers to spoil, and servers that are no Infisical."""

    site: sites.Site
    spoilt: dict[str, tuple[worlds.Infisical, infisical.InfisicalAdmin]]
    """By mistake."""
    servers: dict[str, rogue.Rogue]
    """By mistake."""
    webhook: kube.Object
    """A ValidatingWebhookConfiguration that refuses Secrets in its namespace."""

    def at(self, namespace: str) -> sites.Site:
        """The same site, seen from another namespace that its operator serves."""
        return dataclasses.replace(self.site, namespace=namespace)

    async def at_spoilt(self, name: str, source: str) -> None:
        """A provider at a spoilt Infisical, and a lease there."""
        known, _ = self.spoilt[name]
        await self.site.auth_secret(
            f"{name}-auth", clientId=known.client_id, clientSecret=known.client_secret
        )
        await self.at_url(name, known.url, source=source)

    async def at_url(self, name: str, url: str, *, source: str = "orders-db") -> None:
        """A provider at any url, and a lease there."""
        auth = self.site.universal_auth(f"{name}-auth")
        await self.site.provider_at(name, url, auth=auth)
        await self.site.lease(name, source=source, provider=name, ttl="1h")

    async def at_server(self, name: str) -> None:
        """A provider at a server of one's own, and a lease there."""
        await self.site.auth_secret(f"{name}-auth", clientId="own", clientSecret="own-secret")
        await self.at_url(name, self.servers[name].url)

    async def moved(self, name: str) -> None:
        """The lease goes to the site's provider, where all is well."""
        await self.site.lease(name, ttl="1h")

    async def identity(self, name: str, *, secret: str = "", **facts: typing.Any) -> seeds.Identity:
        """An identity of its own, with the Secret to log in as it, or a wrong one, and a provider.

        The operator looks at the provider at once, and would hold the token of a right Secret.
        """
        made = seeds.Identity(name=f"mistake-{name}", universal_auth=seeds.UniversalAuth(), **facts)
        await self.site.admin.seed(seeds.Seed(identities=[made]))
        await self.knows(name, made, secret=secret)
        await self.site.provider(name, auth=self.site.universal_auth(f"{name}-auth"))
        return made

    async def knows(self, name: str, identity: seeds.Identity, *, secret: str = "") -> None:
        """The Secret to log in with holds an identity's client id, and its secret or another."""
        client = identity.universal_auth
        assert client is not None
        given = {"clientId": client.client_id, "clientSecret": secret or client.client_secret}
        await self.site.auth_secret(f"{name}-auth", **given)


Act = collections.abc.Callable[[Clinic, str], collections.abc.Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake; ``make`` and ``mend`` get its name."""

    name: str
    reason: Reason
    sentence: str
    """As a user sees it, without request ids and moments."""
    make: Act
    mend: Act
    namespace: str = NAMESPACE
    stalls: bool = True
    """Somebody has to do something: waiting alone doesn't help."""
    delivered: bool = False
    """There are credentials already, and they stay good."""


MISTAKES: list[Mistake] = []


def mistake(
    name: str, reason: Reason, sentence: str, mend: Act, **facts: typing.Any
) -> collections.abc.Callable[[Act], Act]:
    """Register what is made by the decorated function."""

    def register(make: Act) -> Act:
        MISTAKES.append(Mistake(name, reason, sentence, make, mend, **facts))
        return make

    return register


async def moved(clinic: Clinic, name: str) -> None:
    """Another provider is chosen."""
    await clinic.moved(name)


async def login_written(clinic: Clinic, name: str) -> None:
    """The Secret to log in with is as it should be."""
    await clinic.site.auth_secret(f"{name}-auth")


async def behaves(clinic: Clinic, name: str) -> None:
    """The server answers honestly from now on."""
    clinic.servers[name].behave()


# -- the provider, and how to log in there


async def provider_made(clinic: Clinic, name: str) -> None:
    await clinic.site.provider(name)


@mistake(
    "forgotten",
    Reason.PROVIDER_MISSING,
    "there is no LeaseProvider forgotten: create it, or mend spec.providerRef",
    provider_made,
)
async def no_provider(clinic: Clinic, name: str) -> None:
    await clinic.site.lease(name, provider=name, ttl="1h")


@mistake(
    "vault",
    Reason.PROVIDER_MISMATCH,
    "LeaseProvider vault is of the kind openbao: write the source under spec.openbao, or mend "
    "spec.providerRef",
    moved,
)
async def provider_of_another_kind(clinic: Clinic, name: str) -> None:
    reference = {"tokenSecretRef": {"name": "vault-token", "key": "token"}}
    await clinic.site.client.apply(
        {
            "apiVersion": "leaseholder.dev/v1alpha1",
            "kind": "LeaseProvider",
            "metadata": {"name": name, "namespace": clinic.site.namespace},
            "spec": {"openbao": {"url": "http://127.0.0.1:9", "auth": {"token": reference}}},
        }
    )
    await clinic.site.lease(name, provider=name, ttl="1h")


async def namespace_allowed(clinic: Clinic, name: str) -> None:
    await cluster_provider(clinic, name, clinic.site.namespace)


@mistake(
    "shared",
    Reason.NAMESPACE_NOT_ALLOWED,
    "ClusterLeaseProvider shared doesn't allow namespace shop: its administrator adds it to "
    "spec.allowedNamespaces",
    namespace_allowed,
)
async def namespace_not_allowed(clinic: Clinic, name: str) -> None:
    await cluster_provider(clinic, name, "another")
    reference = {"kind": "ClusterLeaseProvider", "name": name}
    await clinic.site.lease(name, providerRef=reference, ttl="1h")


async def cluster_provider(clinic: Clinic, name: str, allowed: str) -> None:
    auth = clinic.site.universal_auth()
    for reference in auth["universalAuth"].values():
        reference["namespace"] = clinic.site.namespace
    names = [{"names": [allowed]}]
    await clinic.site.provider(
        name, kind="ClusterLeaseProvider", auth=auth, allowedNamespaces=names
    )


@mistake(
    "no-secret",
    Reason.AUTH_MISSING,
    "there is no Secret shop/no-secret-auth: create it",
    login_written,
)
async def auth_secret_missing(clinic: Clinic, name: str) -> None:
    await clinic.site.provider(name, auth=clinic.site.universal_auth(f"{name}-auth"))
    await clinic.site.lease(name, provider=name, ttl="1h")


@mistake(
    "no-key",
    Reason.AUTH_MISSING,
    "the Secret shop/no-key-auth has no text under clientSecret: add it",
    login_written,
)
async def auth_key_missing(clinic: Clinic, name: str) -> None:
    await clinic.site.auth_secret(f"{name}-auth", clientId="an-id", secret="misnamed")
    await auth_secret_missing(clinic, name)


@mistake(
    "empty-key",
    Reason.AUTH_MISSING,
    "the Secret shop/empty-key-auth has no text under clientSecret: add it",
    login_written,
)
async def auth_key_empty(clinic: Clinic, name: str) -> None:
    await clinic.site.auth_secret(f"{name}-auth", clientId="an-id", clientSecret="")
    await auth_secret_missing(clinic, name)


async def right_secret_written(clinic: Clinic, name: str) -> None:
    known = await clinic.site.admin.identity(f"mistake-{name}")
    await clinic.knows(name, known)


@mistake(
    "mistyped",
    Reason.LOGIN_REFUSED,
    "Infisical answered 401 to the login: the client id or the client secret is wrong",
    right_secret_written,
)
async def login_refused(clinic: Clinic, name: str) -> None:
    await clinic.identity(name, secret="mistyped")
    await clinic.site.lease(name, provider=name, ttl="1h")


@mistake(
    "locked",
    Reason.LOCKED_OUT,
    "Infisical answered 401 to the login: too many wrong tries have locked the identity for "
    "a while",
    moved,
    stalls=False,
)
async def locked_out(clinic: Clinic, name: str) -> None:
    made = seeds.Identity(name=f"mistake-{name}", universal_auth=seeds.UniversalAuth())
    await clinic.site.admin.seed(seeds.Seed(identities=[made]))
    await clinic.site.lock_out(made)
    await clinic.knows(name, made)
    await auth_secret_missing(clinic, name)


async def right_given(clinic: Clinic, name: str) -> None:
    known = await clinic.site.admin.identity(f"mistake-{name}")
    granted = known.model_copy(update={"grants": [seeds.Grant()]})
    await clinic.site.admin.seed(seeds.Seed(identities=[granted]))


@mistake(
    "rightless",
    Reason.DENIED,
    "Infisical answered 403: the identity needs the permission 'lease' on dynamic-secrets in "
    "environment prod, path /",
    right_given,
)
async def right_missing(clinic: Clinic, name: str) -> None:
    await clinic.identity(name, grants=[seeds.Grant(actions=["read-root-credential"])])
    await clinic.site.lease(name, provider=name, ttl="1h")


@mistake(
    "not-listed",
    Reason.HOST_NOT_ALLOWED,
    "the host isn't one that providers may be at: the administrator may add it to "
    "LEASEHOLDER_PROVIDER_HOSTS",
    moved,
)
async def host_not_allowed(clinic: Clinic, name: str) -> None:
    await clinic.at_url(name, "https://infisical.example")


@mistake(
    "unencrypted",
    Reason.PLAIN_HTTP,
    "the url is plain http, and credentials could be read on the way: write https://, or let the "
    "administrator add http:// and the host to LEASEHOLDER_PROVIDER_HOSTS",
    moved,
)
async def plain_http(clinic: Clinic, name: str) -> None:
    await clinic.at_url(name, "http://infisical.test")


@mistake(
    "nowhere",
    Reason.UNREACHABLE,
    "the provider can't be reached: no connection could be made",
    moved,
    stalls=False,
)
async def unreachable(clinic: Clinic, name: str) -> None:
    await clinic.site.auth_secret(f"{name}-auth")
    await clinic.at_url(name, f"https://{NOWHERE}")


async def trusted(clinic: Clinic, name: str) -> None:
    await clinic.site.provider(name)


@mistake(
    "self-signed",
    Reason.UNTRUSTED,
    "the provider's certificate isn't trusted: check the url, or write its CA in caBundle",
    trusted,
    stalls=False,
)
async def not_trusted(clinic: Clinic, name: str) -> None:
    await clinic.site.auth_secret(f"{name}-auth")
    await clinic.at_url(name, clinic.site.world.provider_url)


# -- what stands at the url


def everywhere(server: rogue.Rogue, answer: rogue.Answer) -> None:
    """One answer to every request."""
    for route in (rogue.LOGIN, rogue.LOOK, rogue.ISSUE, rogue.STATUS, "*"):
        server.trick(route, answer)


@mistake(
    "moved-away",
    Reason.BAD_ANSWER,
    "Infisical answered 302 to the login, but not as Infisical does: check that the url is that of "
    "an Infisical server",
    behaves,
    stalls=False,
)
async def redirects(clinic: Clinic, name: str) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "https://login.example/"})

    everywhere(clinic.servers[name], redirect)
    await clinic.at_server(name)


@mistake(
    "a-web-page",
    Reason.BAD_ANSWER,
    "Infisical answered 200 to the login, but not as Infisical does: check that the url is that of "
    "an Infisical server",
    behaves,
    stalls=False,
)
async def answers_html(clinic: Clinic, name: str) -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    everywhere(clinic.servers[name], page)
    await clinic.at_server(name)


@mistake(
    "busy",
    Reason.THROTTLED,
    "Infisical answered 429: too many requests from this address",
    behaves,
    stalls=False,
)
async def throttles(clinic: Clinic, name: str) -> None:
    async def later(_: web.Request) -> web.StreamResponse:
        body = {
            "reqId": "req-1",
            "statusCode": 429,
            "message": "slow",
            "error": "RateLimitExceeded",
        }
        return web.json_response(body, status=429, headers={"Retry-After": "5"})

    clinic.servers[name].trick(rogue.ISSUE, later)
    await clinic.at_server(name)


@mistake(
    "ailing",
    Reason.UNAVAILABLE,
    "Infisical answered 503: the server is in trouble",
    behaves,
    stalls=False,
)
async def ails(clinic: Clinic, name: str) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503, text="<html>no upstream</html>")

    clinic.servers[name].trick(rogue.ISSUE, broken)
    await clinic.at_server(name)


# -- the source


async def source_written(clinic: Clinic, name: str) -> None:
    await clinic.site.lease(name, ttl="1h")


def misnamed(**wrong: str) -> Act:
    async def make(clinic: Clinic, name: str) -> None:
        source = {**sites.SOURCE, "dynamicSecretName": "orders-db", **wrong}
        await clinic.site.lease(name, infisical=source, ttl="1h")

    return make


mistake(
    "no-project",
    Reason.SOURCE_MISSING,
    "Infisical answered 404: there is no project demmo in the identity's organization: check "
    "projectSlug or projectId",
    source_written,
)(misnamed(projectSlug="demmo"))
mistake(
    "no-environment",
    Reason.SOURCE_MISSING,
    "Infisical answered 404: project demo has no such environment or folder (environment prd, path "
    "/): check environmentSlug and path",
    source_written,
)(misnamed(environmentSlug="prd"))
mistake(
    "no-folder",
    Reason.SOURCE_MISSING,
    "Infisical answered 404: project demo has no such environment or folder (environment prod, "
    "path /aps): check environmentSlug and path",
    source_written,
)(misnamed(path="/aps"))
mistake(
    "no-such-secret",
    Reason.SOURCE_MISSING,
    "Infisical answered 404: there is no dynamic secret orders in environment prod, path /: check "
    "dynamicSecretName",
    source_written,
)(misnamed(dynamicSecretName="orders"))
mistake(
    "no-principals",
    Reason.INVALID,
    "Infisical answered 400: the lease has to say which users its SSH certificate is for: write "
    "infisical.config: {principals: [name]}",
    source_written,
)(misnamed(dynamicSecretName="ssh"))


@mistake(
    "too-long",
    Reason.TTL_TOO_LONG,
    "a ttl of 48h is longer than the dynamic secret's maximum, which is 24h: write a shorter one "
    "in ttl",
    source_written,
)
async def ttl_too_long(clinic: Clinic, name: str) -> None:
    await clinic.site.lease(name, ttl="48h")


@mistake(
    "leaving",
    Reason.SOURCE_DELETED,
    "the dynamic secret leaving-db in environment prod, path / is being deleted at Infisical",
    moved,
)
async def source_being_deleted(clinic: Clinic, name: str) -> None:
    leaving = seeds.DynamicSecret(name="leaving-db", type="sql-database")
    server, admin = clinic.spoilt[name]
    await admin.seed(seeds.Seed(dynamic_secrets=[leaving]))
    await admin.turn(jobsPaused=True)
    await issue_by_hand(server, "leaving-db")
    await admin.delete_dynamic_secret("leaving-db")
    await clinic.at_spoilt(name, "leaving-db")


async def issue_by_hand(server: worlds.Infisical, source: str) -> None:
    """Somebody else's lease."""
    login = {"clientId": server.client_id, "clientSecret": server.client_secret}
    async with aiohttp.ClientSession(f"{server.url}/", raise_for_status=True) as session:
        async with session.post("api/v1/auth/universal-auth/login", json=login) as answer:
            bearer = {"Authorization": f"Bearer {(await answer.json())['accessToken']}"}
        body = {**sites.SOURCE, "dynamicSecretName": source}
        async with session.post("api/v1/dynamic-secrets/leases", json=body, headers=bearer):
            pass


async def plan_bought(clinic: Clinic, name: str) -> None:
    _, admin = clinic.spoilt[name]
    await admin.turn(planAllows=True)


@mistake(
    "free-plan",
    Reason.PLAN,
    "Infisical answered 400: dynamic secrets need a plan that has them",
    plan_bought,
)
async def plan_without_dynamic_secrets(clinic: Clinic, name: str) -> None:
    _, admin = clinic.spoilt[name]
    await admin.turn(planAllows=False)
    await clinic.at_spoilt(name, "orders-db")


# -- the Secret


async def template_mended(clinic: Clinic, name: str) -> None:
    await clinic.site.lease(name, ttl="1h", target=template("{{ DB_USERNAME }}"))


def template(text: str) -> kube.Object:
    return {"template": {"data": {"LOGIN": text}}}


@mistake(
    "misspelt",
    Reason.TEMPLATE_INVALID,
    "template.data.LOGIN: there is no DB_USER, only DB_PASSWORD, DB_USERNAME; preview: "
    "‹missing DB_USER›",
    template_mended,
    delivered=True,
)
async def template_fails(clinic: Clinic, name: str) -> None:
    await template_mended(clinic, name)
    await clinic.site.ready(name)
    await clinic.site.lease(name, ttl="1h", target=template("{{ DB_USER }}"))


async def secret_deleted(clinic: Clinic, name: str) -> None:
    await clinic.site.client.delete("Secret", name, clinic.site.namespace)


@mistake(
    "occupied",
    Reason.NOT_OURS,
    "Secret occupied belongs to somebody else: delete it, or write another target.secretName",
    secret_deleted,
)
async def secret_of_somebody_else(clinic: Clinic, name: str) -> None:
    await clinic.site.auth_secret(name, theirs="own")
    await clinic.site.lease(name, ttl="1h")


async def quota_raised(clinic: Clinic, name: str) -> None:
    await clinic.site.client.delete("ResourceQuota", name, FULL)


@mistake(
    "crowded",
    Reason.WRITE_REFUSED,
    "can't create secrets in namespace shop-full: a resource quota of the namespace is used up",
    quota_raised,
    namespace=FULL,
)
async def quota_used_up(clinic: Clinic, name: str) -> None:
    full = clinic.at(FULL)
    await full.auth_secret()
    await full.provider()
    await clinic.site.client.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": name, "namespace": FULL},
            "spec": {"hard": {"secrets": "1"}},
        }
    )
    # There is no controller here that counts what is used.
    counted = {"status": {"hard": {"secrets": "1"}, "used": {"secrets": "1"}}}
    await clinic.site.client.patch_status("ResourceQuota", name, FULL, counted)
    await full.lease(name, ttl="1h")


async def webhook_gone(clinic: Clinic, name: str) -> None:
    kind = "ValidatingWebhookConfiguration"
    await clinic.site.client.delete(kind, clinic.webhook["metadata"]["name"])


@mistake(
    "guarded",
    Reason.WRITE_REFUSED,
    "can't create secrets in namespace shop-guarded: the admission webhook no.leaseholder.dev "
    "refuses it",
    webhook_gone,
    namespace=GUARDED,
)
async def webhook_says_no(clinic: Clinic, name: str) -> None:
    guarded = clinic.at(GUARDED)
    await guarded.auth_secret()
    await guarded.provider()
    await clinic.site.client.apply(clinic.webhook)
    await guarded.lease(name, ttl="1h")


async def account_free(clinic: Clinic, name: str) -> None:
    await clinic.site.delete("first-come")


@mistake(
    "second-come",
    Reason.SLOT_TAKEN,
    "the source is one shared account, and DynamicLease shop/first-come holds it: use its Secret, "
    "delete it, or write another source",
    account_free,
)
async def slot_taken(clinic: Clinic, name: str) -> None:
    own = seeds.DynamicSecret(name="one-account", type="ldap", inputs={"credentialType": "static"})
    await clinic.site.admin.seed(seeds.Seed(dynamic_secrets=[own]))
    await clinic.site.lease("first-come", source="one-account", ttl="1h")
    await clinic.site.ready("first-come")
    await clinic.site.lease(name, source="one-account", ttl="1h")
