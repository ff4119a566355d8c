"""A launcher of one process, for libraries that ask theirs where the others are."""

from __future__ import annotations

import os
import socket

_LAUNCHED = "RANK"


def launch_alone() -> None:
    """Say in the environment that this process is the only one; a launcher's own word stands."""
    if _LAUNCHED in os.environ:
        return
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    os.environ |= {
        _LAUNCHED: "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
