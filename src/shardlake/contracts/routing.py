"""Finds the route of a request in the table of `shardlake.contracts.routes`."""

from __future__ import annotations

from dataclasses import dataclass

from shardlake.contracts.routes import ROUTES, Route
from shardlake.errors import ErrorKind, InvalidInput, MethodNotAllowed, NotFound, NotImplementedYet

MAX_PATH_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Match:
    """A route and the values of the parameters in its path."""

    route: Route
    parameters: dict[str, str]


def find(method: str, path: str) -> Match:
    """Returns the route that serves a request.

    Raises:
        NotFound: route-not-found.
        MethodNotAllowed: the path is right; details.allowed has its methods.
        NotImplementedYet: the contract has the route and this release does not serve it.
    """
    steps = path.split("/")
    matches = [
        Match(route, found) for route in ROUTES if (found := _parameters(route.path.split("/"), steps)) is not None
    ]
    if not matches:
        raise NotFound("there is no such route", kind=ErrorKind.ROUTE_NOT_FOUND, path=path[:MAX_PATH_SHOWN])
    for match in matches:
        if match.route.method == method:
            return _served(match)
    allowed = sorted({match.route.method for match in matches})
    raise MethodNotAllowed(f"the route answers {', '.join(allowed)}", allowed=allowed)


def check_query(route: Route, names: set[str]) -> None:
    """Raises InvalidInput when a query parameter is not one of the route's: a misspelt one must not be ignored."""
    unknown = sorted(names - set(route.query))
    if unknown:
        raise InvalidInput("the route has no such query parameter", unknown=[name[:64] for name in unknown[:10]])


def _served(match: Match) -> Match:
    if not match.route.served:
        raise NotImplementedYet(
            f"{match.route.method} {match.route.path.replace('+}', '}')} is not served by this release",
            operation=match.route.operation,
        )
    return match


def _parameters(pattern: list[str], steps: list[str]) -> dict[str, str] | None:
    takes_rest = pattern[-1].endswith("+}")
    if len(steps) < len(pattern) or (len(steps) > len(pattern) and not takes_rest):
        return None
    found: dict[str, str] = {}
    for index, expected in enumerate(pattern):
        rest = takes_rest and index == len(pattern) - 1
        step = "/".join(steps[index:]) if rest else steps[index]
        if expected.startswith("{"):
            if not step:
                return None
            found[expected.strip("{+}")] = step
        elif expected != step:
            return None
    return found
