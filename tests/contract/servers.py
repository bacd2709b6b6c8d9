"""Emulators as child processes: each on a free port, with a folder and an environment of its own, ended as a group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCALSTACK_PYTHON = ROOT / ".venv-localstack" / "bin" / "python"
START_TIMEOUT_S = 60.0

# The server lives as long as our end of its guard's stdin: a test run that is killed leaves none behind.
UNTIL_STDIN_ENDS = '"$@" </dev/null & server=$!; read -r _; kill $server; wait $server'

ONE_AT_A_TIME = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """Yields the endpoint of a MiniStack that forgets everything at its end."""
    port = _free_port()
    env = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "DOCKER_HOST": "unix:///nonexistent",
    }
    with _serving([sys.executable, "-m", "ministack"], env, folder, port, "/_ministack/health") as endpoint:
        yield endpoint


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Yields the endpoint of a moto server, which serves one request at a time.

    Its transactions put all tables back when a condition fails, what other requests wrote meanwhile included.
    """
    port = _free_port()
    command = [sys.executable, "-c", ONE_AT_A_TIME, str(port)]
    with _serving(command, {}, folder, port, "/moto-api/") as endpoint:
        yield endpoint


@contextmanager
def localstack(folder: Path) -> Iterator[str]:
    """Yields the endpoint of the real LocalStack in host mode. Requires: `missing_localstack()` is None.

    Its default server listens on all addresses whatever it is told; the one that listens on loopback alone (hypercorn)
    breaks the connection of a large conditional PUT that it refuses. So it serves nothing of worth, and briefly.
    """
    port = _free_port()
    env = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "s3,sqs",
        "LOCALSTACK_VOLUME_DIR": str(folder),
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
    }
    command = [str(LOCALSTACK_PYTHON), "-m", "localstack.runtime.main"]
    with _serving(command, env, folder, port, "/_localstack/health") as endpoint:
        yield endpoint


def missing_localstack() -> str | None:
    """Returns why the real LocalStack cannot be started here, or None when it can."""
    if not LOCALSTACK_PYTHON.exists():
        return "there is no .venv-localstack: `make` found no Python 3.13 or later to set it up with"
    # Its S3 needs `warnings.deprecated`, and it starts and reports health without being able to import S3.
    works = [str(LOCALSTACK_PYTHON), "-c", "import warnings; warnings.deprecated"]
    if subprocess.run(works, check=False, capture_output=True).returncode:
        return "the Python of .venv-localstack is older than 3.13, with which LocalStack 4.14 cannot serve S3"
    return None


@contextmanager
def _serving(command: list[str], env: Mapping[str, str], folder: Path, port: int, health: str) -> Iterator[str]:
    log = folder / "server.log"
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), **env}
    with log.open("wb") as output:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", UNTIL_STDIN_ENDS, "sh", *command],
            env=clean,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_healthy(endpoint + health, log)
        yield endpoint
    finally:
        _end(guard)


def _wait_until_healthy(url: str, log: Path) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the emulator did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Ends the server and whatever it started: they are one process group."""
    assert guard.stdin is not None
    guard.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        guard.wait(timeout=5)
    with suppress(ProcessLookupError):
        os.killpg(guard.pid, signal.SIGKILL)
    guard.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
