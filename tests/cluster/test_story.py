"""The page of the first ten minutes, typed again: each command, and line by line what it prints.

Only what differs from run to run may differ: moments, lengths of time, ids and addresses.
"""

import asyncio
import collections.abc
import dataclasses
import pathlib
import re
import shlex
import typing

import pytest
from click import testing

from leaseholder.cli import plugin
from tests import pages
from tests.cluster import sites
from tests.world import kube
from tests.world import world as worlds

PAGE: typing.Final = pages.DOCS / "first-ten-minutes.md"
_VARIES: typing.Final = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "MOMENT"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{20,32}\b", "ID"),
    (r"\S+ leads", "somebody leads"),
    (r"http://127\.0\.0\.1:\d+", "URL"),
    (r"\b\d+[dhms]( \d+[dhms])?( ago)?", "LENGTH"),
    (r"\[[ =~#|-]{50,}\]", "[life]"),
    (r" {2,}", "  "),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Typed:
    """A command of the page, and what stands below it."""

    command: str
    printed: tuple[str, ...]


def typed() -> list[Typed]:
    """The page's commands in order."""
    found = []
    for block in pages.blocks(PAGE, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *printed = part.rstrip().split("\n")
            found.append(Typed(command, tuple(line for line in printed if line)))
    return found


def alike(lines: collections.abc.Iterable[str]) -> list[str]:
    """Lines without what differs from run to run, and without those that pass the time."""
    found = []
    for line in lines:
        if line.startswith("waiting "):
            continue
        for pattern, word in _VARIES:
            line = re.sub(pattern, word, line.rstrip())
        found += [line] if line else []
    return sorted(found)  # remarks go to stderr, so their place among the lines isn't fixed


@dataclasses.dataclass(slots=True)
class Terminal:
    """Where the commands are typed: a site whose names are the page's while it is read."""

    site: sites.Site
    folder: pathlib.Path

    async def types(self, command: str) -> list[str]:
        """What a command prints, with the page's names."""
        if command.startswith("kubectl leaseholder "):
            return await asyncio.to_thread(self._ours, command)
        if command.startswith("kubectl apply "):
            await self.site.client.apply_file(self.folder / shlex.split(command)[-1])
        elif command.startswith("kubectl create secret "):
            await self.site.auth_secret()
        elif command.startswith("kubectl label secret "):
            name, value = shlex.split(command)[-1].split("=")
            change = {"metadata": {"labels": {name: value}}}
            await self.site.client.patch("Secret", "infisical-auth", self.site.namespace, change)
        else:
            raise AssertionError(f"nobody types this here: {command}")
        return []

    def _ours(self, command: str) -> list[str]:
        here = {
            "shop": self.site.namespace,
            "https://us.infisical.com": self.site.world.infisical.url,
            "orders.yaml": str(self.folder / "orders.yaml"),
        }
        _, _, name, *words = (here.get(one, one) for one in shlex.split(command))
        into = words.index(">") if ">" in words else len(words)
        more = {
            "doctor": ("--operator", f"{self.site.home}/leaseholder"),
            "records": ("-n", self.site.home),
        }.get(name, ())
        login = ("--kubeconfig", str(self.site.world.control_plane.kubeconfig))
        arguments = [name, *words[:into], *more, *(login if name != "init" else ())]
        done = testing.CliRunner().invoke(plugin.main, arguments)
        assert done.exit_code == 0, done.output
        if into < len(words):
            pathlib.Path(words[into + 1]).write_text(done.stdout, encoding="utf-8")
            return []
        return self._named(done.stdout + done.stderr)

    def _named(self, text: str) -> list[str]:
        text = text.replace(str(self.folder / "orders.yaml"), "orders.yaml")
        text = text.replace(self.site.home, "leaseholder")
        text = text.replace(self.site.world.infisical.url, "https://us.infisical.com")
        return re.sub(rf"\b{self.site.namespace}\b", "shop", text).splitlines()


@pytest.mark.timeout(300)
async def test_each_command_of_the_first_ten_minutes_prints_what_the_page_says(
    world: worlds.World, tmp_path: pathlib.Path
) -> None:
    async with sites.site(world, "story", LEASEHOLDER_LEADER_ELECTION="true") as site:
        for kind, name in (("LeaseProvider", "infisical"), ("Secret", "infisical-auth")):
            await site.client.delete(kind, name, site.namespace)
            await site.client.wait(kind, name, site.namespace, kube.is_gone, what="gone")
        terminal = Terminal(site, tmp_path)
        commands = typed()
        for one in commands:
            printed = await terminal.types(one.command)
            if one.command.startswith("kubectl leaseholder "):
                assert alike(printed) == alike(one.printed), one.command
        assert await site.logs_in("orders-db")
        assert len(await site.all_issued()) == 2  # the first one, and that of the rotation
    names = {one.command.split()[2] for one in commands if "leaseholder " in one.command}
    assert {"init", "plan", "list", "show", "doctor", "records"} <= names
