"""The health check that docs/gitops.md has for Argo CD, run as Argo CD runs it.

Argo CD's conventions (util/lua/lua.go there): the object is the global ``obj``, beside it are only
the base and table libraries and a safe ``os``, and what the script returns is a table of ``status``
and ``message``. Another status than a known one counts as an error. What is being deleted is
answered without the script.
"""

import pathlib
import subprocess
import tempfile
import typing

from tests import pages
from tests.world import kube

PAGE: typing.Final = pages.DOCS / "gitops.md"
KINDS: typing.Final = ("DynamicLease", "LeaseProvider", "ClusterLeaseProvider")
_KEY: typing.Final = "resource.customizations.health.leaseholder.dev_"
_KNOWN: typing.Final = {"Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"}
_PROGRAM: typing.Final = """\
obj = {object}
local say = print
string, math, io, debug, coroutine, channel, require, module = nil
os = {{time = os.time, date = os.date}}
local function script()
{script}
end
local found = script()
if type(found) ~= "table" then
  error("expect table output from Lua script, not " .. type(found))
end
say(found.status)
say(found.message or "")
"""


class Health(typing.NamedTuple):
    """What Argo CD shows."""

    status: str
    message: str


def scripts() -> dict[str, str]:
    """The script for each kind, as the ConfigMap of the page has it."""
    (data,) = (one["data"] for _, one in pages.documents() if _is_argo(one))
    return {key.removeprefix(_KEY): script for key, script in data.items()}


def _is_argo(document: pages.Document) -> bool:
    return (document.get("metadata") or {}).get("name") == "argocd-cm"


def health(glua: pathlib.Path, found: kube.Object) -> Health:
    """The health of an object."""
    if found["metadata"].get("deletionTimestamp"):
        return Health("Progressing", "Pending deletion")
    program = _PROGRAM.format(object=_literal(found), script=scripts()[found["kind"]])
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as file:
        file.write(program)
        file.flush()
        done = subprocess.run([glua, file.name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    status, _, message = done.stdout.removesuffix("\n").partition("\n")
    assert status in _KNOWN, "Lua returned an invalid health status"
    return Health(status, message)


def _literal(value: typing.Any) -> str:
    """A value of JSON as Lua writes it."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return '"{}"'.format("".join(f"\\{byte:03d}" for byte in value.encode()))
        case list():
            return "{{{}}}".format(", ".join(map(_literal, value)))
        case _:
            pairs = (f"[{_literal(key)}] = {_literal(one)}" for key, one in value.items())
            return "{{{}}}".format(", ".join(pairs))
