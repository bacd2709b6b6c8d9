"""`up`, `down` and `status`: one local cloud a data folder."""

from __future__ import annotations

import shutil
import time
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import shardlake
from shardlake.errors import ErrorKind, Unavailable
from shardlake.local import process, stack
from shardlake.local.folder import CloudFolder, CloudStatus, Record

DEFAULT_DATA_DIR = Path(".shardlake")
API_TIMEOUT_S = 60.0
EMBEDDED_ENCODERS = ("clip",)
EXTRA_ENCODERS = ("minilm",)
CODE_FOLDERS = ("src/shardlake", "functions", "builder")

Progress = Callable[[str], None]


def up(
    data_dir: Path = DEFAULT_DATA_DIR,
    port: int | None = None,
    *,
    progress: Progress | None = None,
    encoders: str | None = None,
    models_dir: Path | None = None,
    parameters: Mapping[str, str] | None = None,
    code_path: Path | None = None,
    wait_for_api: bool = True,
) -> CloudStatus:
    """Makes the local cloud of a folder run with the current code, whatever state it was in.

    A running cloud keeps its process and is deployed again only when code, template or parameters changed.

    Args:
        data_dir: holds everything; made when absent.
        port: 0 is any free one; None is the last one, else 4566, else any free one. A running cloud keeps its own.
        progress: is told what is happening now.
        encoders: what the encode function loads; None is the embedded one and each prepared one in `models_dir`.
        models_dir: models beside the embedded one; None is the last one, else `models` in the data folder.
        parameters: of the template, over the local defaults.
        code_path: is searched for `functions` and `builder` before the checkout; for tests.
        wait_for_api: whether GET /v1/health must answer 200 before this returns.

    Returns:
        Where everything is.

    Raises:
        Conflict: the port is taken.
        Unavailable: the emulator, the deploy or the API failed (kind local-cloud); `details` says why.
    """
    say = progress or _say_nothing
    folder = CloudFolder(data_dir.resolve())
    extra_code = (code_path.resolve(),) if code_path else ()
    with folder.exclusively():
        record = _serve(folder, port, extra_code, say)
        models = (models_dir or Path(record.models_dir or folder.models_dir)).resolve()
        chosen = encoders if encoders is not None else _prepared_encoders(models)
        deployment = _deployment(extra_code, {"Encoders": chosen, "ModelsDir": str(models), **(parameters or {})})
        _deploy(folder, record, deployment, say)
        record.encoders, record.models_dir = chosen, str(models)
        folder.write(record)
        found = folder.status_of(record)
        if wait_for_api:
            say("waiting for the API")
            _wait_for_api(found.url, folder)
    return found


def down(data_dir: Path = DEFAULT_DATA_DIR, *, progress: Progress | None = None) -> bool:
    """Stops the local cloud of a folder; its state stays. Returns whether one was running."""
    say = progress or _say_nothing
    folder = CloudFolder(data_dir.resolve())
    if not folder.root.is_dir():
        return False
    with folder.exclusively():
        say("stopping the local cloud")
        return process.stop(folder)


def status(data_dir: Path = DEFAULT_DATA_DIR) -> CloudStatus | None:
    """Returns where the running local cloud of a folder is, or None when none runs."""
    folder = CloudFolder(data_dir.resolve())
    return folder.status_of(folder.read()) if folder.is_served() else None


def _say_nothing(_message: str) -> None:
    return None


def _prepared_encoders(models: Path) -> str:
    return ",".join((*EMBEDDED_ENCODERS, *(name for name in EXTRA_ENCODERS if (models / name).is_dir())))


def _serve(folder: CloudFolder, port: int | None, extra_code: tuple[Path, ...], say: Progress) -> Record:
    if folder.is_served():
        say("the local cloud is running")
        return folder.read()
    if folder.read().pid:
        _tidy_up_after_a_crash(folder, say)
    say("starting the local cloud")
    root = process.repository()
    return process.start(folder, port=port, python_path=(*extra_code, root / "src", root))


def _tidy_up_after_a_crash(folder: CloudFolder, say: Progress) -> None:
    folder.write(replace(folder.read(), digest=""))  # deploy again, whatever the emulator remembers
    if (folder.state_dir / "cloudformation.json").is_file():
        say("the last local cloud in this folder did not stop cleanly; its last seconds may be lost")
        return
    # It was killed before anything was deployed. Objects of a bucket that no stack owns would refuse the next deploy.
    say("the last local cloud in this folder did not stop cleanly, before it was deployed; it starts afresh")
    shutil.rmtree(folder.objects_dir, ignore_errors=True)


def _deployment(extra_code: tuple[Path, ...], parameters: Mapping[str, str]) -> stack.Deployment:
    root = process.repository()
    local = {"AuthorizationType": "NONE", "CodeVersion": shardlake.__version__, "IngestConcurrency": "2"}
    local["BuildConcurrency"] = "2"  # its functions share the cores of one machine
    return stack.Deployment(
        template=(root / "infra" / "template.yaml").read_text(),
        code=stack.code_digest(*extra_code, *(root / name for name in CODE_FOLDERS)),
        parameters={**local, **parameters},
    )


def _deploy(folder: CloudFolder, record: Record, deployment: stack.Deployment, say: Progress) -> None:
    if record.digest == deployment.digest and record.outputs:
        return
    say("deploying infra/template.yaml")
    record.outputs = stack.deploy(folder.status_of(record).endpoint, deployment)
    record.digest = deployment.digest


def _wait_for_api(url: str, folder: CloudFolder) -> None:
    deadline = time.monotonic() + API_TIMEOUT_S
    why = ""
    while time.monotonic() < deadline:
        try:
            with process.open_url(f"{url}/v1/health", timeout_s=30) as answer:
                if answer.status == 200:
                    return
        except urllib.error.HTTPError as exc:
            why = f"{exc.code} {exc.read().decode(errors='replace')[:1000]}"
            break
        except OSError as exc:
            why = str(exc)
            time.sleep(0.1)
    raise Unavailable(
        f"the API does not answer: {why}", kind=ErrorKind.LOCAL_CLOUD, log=process.log_tail(folder), url=url
    )
