"""The embedded cloud: MiniStack in a background process, with `infra/template.yaml` deployed in it.

Everything that the emulator cannot do, or does in another way than AWS, is met in this room and nowhere else:
`launcher` runs the emulator and gives the API a plain address, `process` starts and stops it, `stack` deploys.

    from shardlake.local import down, up
    cloud = up(Path(".shardlake"))
    httpx.get(f"{cloud.url}/v1/health")
    down(Path(".shardlake"))
"""

from __future__ import annotations

from shardlake.local.cloud import DEFAULT_DATA_DIR, down, status, up
from shardlake.local.folder import CloudStatus

__all__ = ["DEFAULT_DATA_DIR", "CloudStatus", "down", "status", "up"]
