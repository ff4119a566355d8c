"""The network policy, enforced: an address that the recipe does not allow is refused.

The guard is an audit hook, which Python calls before every name look-up and connection and
which cannot be removed. This machine's own loopback addresses are always allowed.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from stillhouse.core.errors import NetworkRefusedError

HUB_HOSTS = ("huggingface.co", "*.huggingface.co", "*.hf.co")
"""Hosts that `network: hub` means; the endpoint named in HF_ENDPOINT is added by the runner."""


class NetworkGuard:
    """What the hook allows; one a process.

    Args:
        policy: `none`, `hub`, or a list of hosts.
        endpoints: further hosts that `hub` means on this machine.
    """

    def __init__(self, policy: str | Sequence[str], endpoints: Sequence[str] = ()) -> None:
        if isinstance(policy, str):
            self.allowed = (*HUB_HOSTS, *endpoints) if policy == "hub" else ()
        else:
            self.allowed = tuple(policy)
        self.policy = policy if isinstance(policy, str) else ", ".join(policy)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse an address; Python calls this for every audited event."""
        if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            self._check_name(_text(args[0]))
        elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = args[1]
            if isinstance(address, tuple) and address:
                self._check_address(_text(address[0]))

    def allows(self, host: str) -> bool:
        """Whether a host may be reached by its name."""
        return _is_loopback(host) or self._is_allowed(host)

    def _check_name(self, host: str) -> None:
        if not self.allows(host):
            self._refuse(host)

    def _check_address(self, host: str) -> None:
        # A connection is made to the address that an allowed name was looked up to, so with any
        # allowed host numeric addresses pass; names were checked at the look-up.
        if self.allows(host) or (self.allowed and _is_numeric(host)):
            return
        self._refuse(host)

    def _is_allowed(self, host: str) -> bool:
        return any(
            host == entry or (entry.startswith("*.") and host.endswith(entry[1:]))
            for entry in self.allowed
        )

    def _refuse(self, host: str) -> None:
        raise NetworkRefusedError(
            f"a connection to {host} was refused: the recipe says network: {self.policy}",
            "name the host under network, or give the recipe local files only",
        )


class _Hook:
    """The one audit hook of this process, and the guard that it asks now."""

    def __init__(self) -> None:
        self.guard: NetworkGuard | None = None
        self.is_installed = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.guard is not None and event.startswith("socket."):
            self.guard(event, args)


_HOOK = _Hook()


def install_guard(policy: str | Sequence[str], endpoints: Sequence[str] = ()) -> None:
    """Guard this process from now on.

    Args:
        policy: `none`, `hub`, or a list of hosts.
        endpoints: further hosts that `hub` means on this machine.
    """
    _HOOK.guard = NetworkGuard(policy, endpoints)
    if not _HOOK.is_installed:
        sys.addaudithook(_HOOK)
        _HOOK.is_installed = True


@contextmanager
def guarded(policy: str | Sequence[str], endpoints: Sequence[str] = ()) -> Iterator[None]:
    """Guard this process while the block runs, as `install_guard` does for good."""
    before = _HOOK.guard
    install_guard(policy, endpoints)
    try:
        yield
    finally:
        _HOOK.guard = before


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    return _is_numeric(host) and ipaddress.ip_address(host.split("%")[0]).is_loopback
