"""Ray works on the shards of a step: one task a shard.

The files are the result, as they are of processes: every machine of the cluster must see the folder
of the runs under the same path, and must have this version of Stillhouse.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from stillhouse.core.errors import StillhouseError, UsageError

T = TypeVar("T")
R = TypeVar("R")


_ANSWERS_WITHIN_S = 10.0
"""assumption: a machine of a cluster is reached in less."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A Ray cluster; one of this machine is started where none is named, and ended with the work.

    Attributes:
        address: of the cluster; empty for one of this machine.
        workers: processors of a cluster that is started here.
    """

    address: str = ""
    workers: int = 1

    def run(self, function: Callable[[T], R], arguments: Sequence[T]) -> Iterator[tuple[int, R]]:
        """The place of an argument with its result, as they are done.

        Args:
            function: picklable, and importable on every machine of the cluster; sent once.
            arguments: picklable.

        Yields:
            (place, result).

        Raises:
            UsageError: Ray is not installed, or no cluster answers at the address.
            StillhouseError: what a task raised, as it was raised; or Ray lost one for good.
        """
        ray = _import_ray()
        is_ours = not ray.is_initialized()
        if is_ours:
            self._connect(ray)
        try:
            task = ray.remote(_call)
            work = ray.put(function)
            waiting = {task.remote(work, one): place for place, one in enumerate(arguments)}
            while waiting:
                done, _ = ray.wait(list(waiting))
                for one in done:
                    yield waiting.pop(one), _result(ray, one)
        finally:
            if is_ours:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        if self.address:
            _require_somebody(self.address)
        # Without an address of its own Ray asks the network for one, even to work here alone.
        here = {"num_cpus": self.workers, "_node_ip_address": "127.0.0.1"}
        where: dict[str, Any] = {"address": self.address} if self.address else here
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="error", **where)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where_from = self.address or "this machine"
            raise UsageError(
                f"Ray does not start from {where_from}: {error}",
                "look at compute.ray, or set compute.rows: processes",
            ) from error


def _require_somebody(address: str) -> None:
    """Raise at once where nobody listens, which Ray would look into for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(
            f"compute.ray is {address!r}, which is no address of a cluster",
            "write host:port, for example 10.0.0.5:6379",
        )
    try:
        socket.create_connection((host, int(port)), _ANSWERS_WITHIN_S).close()
    except OSError as error:
        raise UsageError(
            f"no Ray cluster answers at compute.ray {address}: {error}",
            "start one (ray start --head), or leave compute.ray away",
        ) from error


def _import_ray() -> Any:
    try:
        import ray  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UsageError(
            "rows are to be worked on by Ray, which is not installed",
            'pip install "stillhouse[ray]", or take another executor',
        ) from error
    return ray


def _call(function: Callable[[T], R], argument: T) -> R:
    return function(argument)


def _result(ray: Any, task: Any) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        raise StillhouseError(
            f"Ray lost a task that works on rows: {str(error).splitlines()[0]}",
            "run again, which goes on where this ended; look at the memory of its machines",
        ) from error
