"""What a command works with: the environment as read once, and the ways to an API and to the local cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shardlake.cli.storage import Storage, open_dead_letters, open_storage
from shardlake.errors import ErrorKind, InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    import typer

    from shardlake.client import Client
    from shardlake.local import CloudStatus
    from shardlake.rpc.base import DeadLetters

DEFAULT_DATA_DIR = ".shardlake"
URL_VARIABLE = "SHARDLAKE_URL"
TOKEN_VARIABLE = "SHARDLAKE_TOKEN"  # noqa: S105  # the name of a variable
DATA_DIR_VARIABLE = "SHARDLAKE_DATA_DIR"


class LocalCloud(Protocol):
    """What the command line needs of `shardlake.local`."""

    def up(
        self, data_dir: Path, port: int | None, *, progress: Callable[[str], None], models_dir: Path | None
    ) -> CloudStatus:
        """Makes the local cloud of a folder run, and returns where it is."""

    def down(self, data_dir: Path, *, progress: Callable[[str], None]) -> bool:
        """Stops it; returns whether one was running."""

    def status(self, data_dir: Path) -> CloudStatus | None:
        """Returns where the running local cloud is, or None."""


class EmbeddedCloud:
    """The local cloud of this package. Its emulator is imported by those commands only that need it."""

    def up(
        self, data_dir: Path, port: int | None, *, progress: Callable[[str], None], models_dir: Path | None
    ) -> CloudStatus:
        """Makes the local cloud of a folder run, and returns where it is."""
        from shardlake import local

        return local.up(data_dir, port, progress=progress, models_dir=models_dir)

    def down(self, data_dir: Path, *, progress: Callable[[str], None]) -> bool:
        """Stops it; returns whether one was running."""
        from shardlake import local

        return local.down(data_dir, progress=progress)

    def status(self, data_dir: Path) -> CloudStatus | None:
        """Returns where the running local cloud is, or None."""
        from shardlake import local

        return local.status(data_dir)


def open_client(url: str, token: str | None) -> Client:
    """Returns a client of the API at `url`, over the network."""
    from shardlake.client import Client

    return Client(url, token=token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of the command line. Tests pass their own environment, client and cloud.

    Attributes:
        env: the environment variables.
        connect: makes a client from URL and token.
        cloud: the local cloud.
        open_storage: finds the deployment's bucket and catalog.
        open_dead_letters: finds the events that its ingest gave up.
    """

    env: Mapping[str, str]
    connect: Callable[[str, str | None], Client] = open_client
    cloud: LocalCloud = field(default_factory=EmbeddedCloud)
    open_storage: Callable[[Session, Path | None], Storage] = open_storage
    open_dead_letters: Callable[[Session, Path | None], DeadLetters] = open_dead_letters

    def data_dir(self, given: Path | None) -> Path:
        """Returns the local cloud's folder: as given, else SHARDLAKE_DATA_DIR, else .shardlake."""
        return given or Path(self.env.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR)

    def url(self, data_dir: Path | None) -> str:
        """Returns the API's base: SHARDLAKE_URL, else the local cloud's.

        Raises:
            Unavailable: api-unreachable, when there is neither.
        """
        named = self.env.get(URL_VARIABLE)
        return named.rstrip("/") if named else self.running(data_dir).url

    def running(self, data_dir: Path | None) -> CloudStatus:
        """Returns where the local cloud is. Raises Unavailable (api-unreachable) when none runs."""
        folder = self.data_dir(data_dir)
        found = self.cloud.status(folder)
        if found is None:
            raise Unavailable(
                f"no local cloud runs in {folder}; start it with `shardlake up`, or set SHARDLAKE_URL",
                kind=ErrorKind.API_UNREACHABLE,
                data_dir=str(folder),
            )
        return found

    def client(self, data_dir: Path | None) -> AbstractContextManager[Client]:
        """Returns a client of the API that this session talks to; close it by leaving a `with`."""
        return self.connect(self.url(data_dir), self.env.get(TOKEN_VARIABLE) or None)

    def storage(self, data_dir: Path | None) -> Storage:
        """Returns the deployment's own bucket and catalog. Raises as `open_storage`."""
        return self.open_storage(self, data_dir)

    def dead_letters(self, data_dir: Path | None) -> DeadLetters:
        """Returns the events that the deployment's ingest gave up. Raises as `open_dead_letters`."""
        return self.open_dead_letters(self, data_dir)


def session_of(context: typer.Context) -> Session:
    """Returns the session that a command runs in."""
    session = context.obj
    assert isinstance(session, Session)
    return session


def chosen_collection(client: Client, name: str | None) -> str:
    """Returns the collection named, else the only one there is.

    Raises:
        NotFound: collection-not-found, when there is none.
        InvalidInput: when there are several and none is named.
    """
    if name is not None:
        return name
    names = [one.name for one in client.collections.list()]
    if not names:
        raise NotFound("there is no collection yet", kind=ErrorKind.COLLECTION_NOT_FOUND)
    if len(names) > 1:
        raise InvalidInput("there are several collections: name one with --collection", collections=names)
    return names[0]
