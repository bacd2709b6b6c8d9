"""Starts and stops the server process of a data folder."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shardlake.errors import Conflict, ErrorKind, Unavailable
from shardlake.local.folder import HOST, REGION, CloudFolder, Record

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
LOG_TAIL_BYTES = 2_000
PREFERRED_PORT = 4566

# What a server takes over from the caller. Nothing else: functions inherit the server's environment.
INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")


def repository() -> Path:
    """Returns the checkout: the folder with infra/, functions/ and builder/. Raises Unavailable outside of one."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "infra" / "template.yaml").is_file():
        raise Unavailable(
            "the local cloud runs the functions from a checkout of the repository; install it with `pip install -e`",
            kind=ErrorKind.LOCAL_CLOUD,
        )
    return root


def open_url(url: str, *, timeout_s: float) -> http.client.HTTPResponse:
    """Opens an address of ours, past any proxy that the environment names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: http.client.HTTPResponse = opener.open(url, timeout=timeout_s)
    return answer


def start(folder: CloudFolder, *, port: int | None, python_path: tuple[Path, ...]) -> Record:
    """Starts the server in the background and waits until it answers.

    Args:
        folder: nobody serves it now.
        port: 0 is any free one; None is the last one, else 4566, else any free one.
        python_path: where functions find their code.

    Returns:
        The record with the new process; it is on disk too.
    """
    record = folder.read()
    with _listen(port, last=record.port) as listener, _server_lock(folder) as lock:
        record.port = listener.getsockname()[1]
        record.label_port = record.label_port or record.port
        _empty(folder.temp_dir)
        # Until the new process is known no old one stands for it: were we killed here, `down` would end a stranger.
        os.ftruncate(lock, 0)
        record.pid = 0
        folder.write(record)
        record.pid = _spawn(folder, record, listener, lock, python_path)
        folder.write(record)
    _wait_until_ready(folder, record)
    return record


def stop(folder: CloudFolder) -> bool:
    """Stops the server and waits until nothing of it is left. Returns whether there was one."""
    record = folder.read()
    was_served = folder.is_served()
    pid = folder.server_pid() or record.pid
    in_order = _terminate(folder, pid) if was_served and pid else False
    shutil.rmtree(folder.temp_dir, ignore_errors=True)
    if in_order:
        record.pid = 0  # a record that keeps its process tells the next `up` that state was lost
        folder.write(record)
    return was_served


def log_tail(folder: CloudFolder) -> str:
    """Returns the end of the server's log."""
    try:
        return folder.log_file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def _server_lock(folder: CloudFolder) -> Iterator[int]:
    """Takes the lock for the server, which inherits it: here it is closed, there it lives as long as the process."""
    lock = folder.take_server_lock()
    if lock is None:
        raise Conflict(
            "a local cloud already runs in this folder", kind=ErrorKind.LOCAL_CLOUD, data_dir=str(folder.root)
        )
    try:
        yield lock
    finally:
        os.close(lock)


def _listen(port: int | None, *, last: int) -> socket.socket:
    """Returns a bound socket. It is handed to the server, so no one can take the port in between."""
    wanted = [port] if port else [last, 0] if port == 0 else [last or PREFERRED_PORT, 0]
    for candidate in wanted:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen(512)
        except OSError:
            listener.close()
            continue
        return listener
    raise Conflict(
        f"port {port} is taken; choose another one, or 0 for any free one", kind=ErrorKind.LOCAL_CLOUD, port=port
    )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _spawn(
    folder: CloudFolder, record: Record, listener: socket.socket, lock: int, python_path: tuple[Path, ...]
) -> int:
    """Returns the id of the new process.

    Not `subprocess`: its handle complains when it is dropped while the process lives, and to live on is the point.
    """
    for descriptor in (listener.fileno(), lock):
        os.set_inheritable(descriptor, True)
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "shardlake.local.launcher", str(listener.fileno()), str(folder.root)],
        _environment(folder, record, python_path),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder.log_file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


def _environment(folder: CloudFolder, record: Record, python_path: tuple[Path, ...]) -> dict[str, str]:
    """Returns the whole environment of the server, and with it what every function inherits."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "PYTHONPATH": os.pathsep.join(str(path) for path in python_path),
        "TMPDIR": str(folder.temp_dir),
        # the emulator
        "AUTH": "true",  # the roles of the template bind here as they do on AWS
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(record.label_port),
        "MINISTACK_HOST": "localhost",
        "MINISTACK_REGION": REGION,
        "SFN_WAIT_SCALE": "0.05",  # retries of a state machine wait for clouds that recover, not for this one
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder.state_dir),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder.objects_dir),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",  # a Docker daemon on this machine is none of its business
        # what AWS gives to each function, and what keeps a user's own AWS account out of reach
        "AWS_ENDPOINT_URL": f"http://{HOST}:{record.port}",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",  # the emulator's well-known pair
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_TRACE_DISABLED": "true",  # there is no X-Ray daemon to send to
    }


def _wait_until_ready(folder: CloudFolder, record: Record) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and folder.is_served():
        try:
            with open_url(f"http://{HOST}:{record.port}/_ministack/health", timeout_s=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    log = log_tail(folder)
    stop(folder)
    raise Unavailable("the local cloud did not start", kind=ErrorKind.LOCAL_CLOUD, log=log)


def _terminate(folder: CloudFolder, pid: int) -> bool:
    """Asks, waits (the emulator writes its state now), and at last removes what is left of the process group.

    Returns whether it went in order, that is, before it had to be killed.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while folder.is_served() and time.monotonic() < deadline:
        time.sleep(0.02)
    in_order = not folder.is_served()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    while folder.is_served() or (_is_there(pid) and time.monotonic() < deadline):
        time.sleep(0.01)
    return in_order


def _is_there(pid: int) -> bool:
    """Tells whether the server is left, and collects its exit when this very process started it."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
