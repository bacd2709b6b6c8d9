"""The data folder of one local cloud: what lies where, and the record of what runs.

cloud.json   the record: process, port, deployed digest, outputs of the stack
cloud.lock   held by the server as long as it lives: whoever can take it knows that the server is gone
up.lock      held while one `up` or `down` works on the folder
server.log   what the emulator said since its last start
state/ s3/   the emulator's tables and objects         tmp/   its working files, removed at each stop
models/      models beside the embedded one
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

REGION = "us-east-1"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStatus:
    """A running local cloud.

    Attributes:
        url: the API's base, to which /v1/… is appended.
        console: the web page.
        endpoint: the emulator, for AWS_ENDPOINT_URL.
        pid: the server's process.
        bucket: the deployment's bucket.
        data_dir: its folder.
        outputs: the stack's outputs by name (functions, tables, queues).
        encoders: what the encode function was told to load.
    """

    url: str
    console: str
    endpoint: str
    pid: int
    bucket: str
    data_dir: Path
    outputs: dict[str, str]
    encoders: str

    def environment(self) -> dict[str, str]:
        """Returns the variables with which any AWS SDK or CLI talks to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }


@dataclass(slots=True, kw_only=True)
class Record:
    """What `cloud.json` holds.

    Attributes:
        pid: the server's process, or 0 after a clean stop.
        port: where it listens, or listened.
        label_port: the port in the queue addresses that the emulator stores: the first one ever served on.
        digest: of code, template and parameters as deployed; empty before the first deploy.
        outputs: of the stack.
        encoders: as deployed.
        models_dir: as deployed; empty before the first deploy.
    """

    pid: int = 0
    port: int = 0
    label_port: int = 0
    digest: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    encoders: str = ""
    models_dir: str = ""


@dataclass(frozen=True, slots=True)
class CloudFolder:
    """Names everything in a data folder."""

    root: Path

    @property
    def record_file(self) -> Path:
        """The record."""
        return self.root / "cloud.json"

    @property
    def lock_file(self) -> Path:
        """The lock of a living server; its content is the server's process."""
        return self.root / "cloud.lock"

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.root / "server.log"

    @property
    def state_dir(self) -> Path:
        """The emulator's tables, queues and functions, written when it stops."""
        return self.root / "state"

    @property
    def objects_dir(self) -> Path:
        """The emulator's S3 objects."""
        return self.root / "s3"

    @property
    def temp_dir(self) -> Path:
        """The emulator's and the functions' working files."""
        return self.root / "tmp"

    @property
    def models_dir(self) -> Path:
        """Models beside the embedded one."""
        return self.root / "models"

    def read(self) -> Record:
        """Returns the record; a fresh one where there is none or where it cannot be read."""
        try:
            return Record(**json.loads(self.record_file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return Record()

    def write(self, record: Record) -> None:
        """Replaces the record in one step, so that no reader sees half of it."""
        draft = self.record_file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(record), indent=1))
        draft.replace(self.record_file)

    def take_server_lock(self) -> int | None:
        """Takes the lock of a living server. Returns its descriptor, or None when a server lives."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def is_served(self) -> bool:
        """Tells whether a server lives. The lock cannot be stale, as a process id in a file can."""
        if not self.root.is_dir():
            return False
        descriptor = self.take_server_lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def note_server(self, pid: int) -> None:
        """Writes into the lock who holds it. Said by the server itself: its starter may be killed before it can."""
        self.lock_file.write_text(str(pid))

    def server_pid(self) -> int:
        """Returns who holds the lock, as far as it is said; 0 where it is not."""
        try:
            return int(self.lock_file.read_text())
        except (OSError, ValueError):
            return 0

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keeps a second `up` or `down` on this folder waiting."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def status_of(self, record: Record) -> CloudStatus:
        """Returns what a record says, as the public value."""
        base = f"http://{HOST}:{record.port}"
        return CloudStatus(
            url=base,
            console=f"{base}/",
            endpoint=base,
            pid=record.pid,
            bucket=record.outputs.get("Bucket", ""),
            data_dir=self.root,
            outputs=dict(record.outputs),
            encoders=record.encoders,
        )
