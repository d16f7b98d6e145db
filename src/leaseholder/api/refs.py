"""What all providers' models share: their names, references to credentials, urls, choices."""

from typing import Annotated, Any, Final

from pydantic import Field

from leaseholder.api import base

TYPES: Final = ("infisical", "phase", "openbao")
"""The kinds of providers, as a spec and a source name them."""
Plain = Annotated[str, Field(min_length=1, max_length=1024), base.text(1024)]
"""A text that a login needs and that is no secret."""


def exactly_one(*fields: str, what: str) -> dict[str, str]:
    """A CEL rule that exactly one of these fields is written."""
    present = " + ".join(f"(has(self.{f}) ? 1 : 0)" for f in fields)
    return base.rule(f"{present} == 1", f"write exactly one {what}: {', '.join(fields)}")


def chosen(spec: base.Model) -> Any:
    """What stands in a spec under one of ``TYPES``; None where it is none of ours."""
    found = (getattr(spec, one) for one in TYPES)
    return next((one for one in found if one is not None), None)


class SecretKeyRef(base.Model):
    """One key of a Secret."""

    name: base.ObjectName
    """Name of the Secret."""
    key: base.Key
    """Key in the Secret's data."""
    namespace: base.NamespaceName | None = None
    """Namespace of the Secret; only a ClusterLeaseProvider names one."""


class ServiceAccountRef(base.Model):
    """A ServiceAccount whose tokens log in at the provider."""

    name: base.ObjectName
    """Name of the ServiceAccount."""
    namespace: base.NamespaceName | None = None
    """Namespace of the ServiceAccount; only a ClusterLeaseProvider names one."""


_HOST: Final = r"([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])"
_PATH: Final = "[A-Za-z0-9._~/-]"
Url = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    base.text(
        2048,
        base.rule(
            f"self.matches('^https?://{_HOST}(:[0-9]{{1,5}})?(/{_PATH}*)?$')",
            "write an http(s) URL without user, query or fragment, such as "
            "https://us.infisical.com",
        ),
        base.rule("self == oldSelf", "url can't change: make another provider instead"),
    ),
]
"""Address of a server; can't change."""
