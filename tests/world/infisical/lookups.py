"""From slugs and paths to rows, with the 404 of each step in the server's words.

The wording differs between the lease routes and the dynamic secret routes; both are given here.
"""

import dataclasses

from tests.world.infisical import calls, errors, fields, guard, seeds, state


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Project, environment and path, as every route takes them."""

    project: str
    environment: str
    path: str


def address(source: fields.Fields, *, shortest_path: int = 0) -> Address:
    return Address(
        project=source.needed("projectSlug"),
        environment=source.needed("environmentSlug"),
        path=source.path(minimum=shortest_path),
    )


def project(call: calls.Call, where: Address) -> tuple[state.Project, list[seeds.Grant]]:
    """The project in the caller's organization, and what the caller may do there."""
    found = call.world.project_by_slug(where.project, call.caller.organization)
    if found is None:
        raise errors.not_found(f"Project with slug '{where.project}' not found")
    return found, guard.rights(call.world, call.caller, found)


def folder(project: state.Project, where: Address, *, missing: str | None = None) -> state.Folder:
    fields.check_path(where.path)
    found = project.folder(where.environment, where.path)
    if found is None:
        told = (
            f"Folder with path '{where.path}' in environment with slug"
            f" '{where.environment}' not found"
        )
        raise errors.not_found(missing or told)
    return found


def plain_folder(project: state.Project, where: Address) -> state.Folder:
    """The same lookup, as the dynamic secret routes word it."""
    told = f"Folder with path '{where.path}' in environment '{where.environment}' not found"
    return folder(project, where, missing=told)


def secret(
    call: calls.Call, inside: state.Folder, name: str, where: Address
) -> state.DynamicSecret:
    found = call.world.secret_in(inside, name)
    if found is None:
        raise errors.not_found(
            f"Dynamic secret with name '{name}' in folder with path '{where.path}' not found"
        )
    return found
