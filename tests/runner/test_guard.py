"""The network policy holds in the process it was installed in, for names and for addresses."""

import socket
import subprocess
import sys

import pytest

from stillhouse.core.errors import NetworkRefusedError
from stillhouse.runner.guard import NetworkGuard, guarded


def ask(guard, host, event="socket.connect"):
    by_name = event in ("socket.getaddrinfo", "socket.gethostbyname")
    args = (host, 80) if by_name else (None, (host, 80))
    guard(event, args)


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize(
    "event",
    [
        "socket.connect",
        "socket.getaddrinfo",
        "socket.sendto",
        "socket.sendmsg",
        "socket.gethostbyname",
    ],
)
def test_none_refuses_every_other_machine(host, event):
    with pytest.raises(NetworkRefusedError, match=f"connection to {host} was refused"):
        ask(NetworkGuard("none"), host, event)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_is_always_allowed(host):
    assert ask(NetworkGuard("none"), host) is None
    assert ask(NetworkGuard("none"), host, "socket.getaddrinfo") is None


def test_hub_means_the_hub_and_the_endpoint_in_use():
    guard = NetworkGuard("hub", ["hub.example"])
    for host in ("huggingface.co", "cdn-lfs.huggingface.co", "cas-server.xethub.hf.co"):
        ask(guard, host, "socket.getaddrinfo")
    ask(guard, "hub.example", "socket.getaddrinfo")
    with pytest.raises(NetworkRefusedError):
        ask(guard, "evil-huggingface.co", "socket.getaddrinfo")


def test_listed_hosts_are_allowed_by_name():
    guard = NetworkGuard(["api.example"])
    ask(guard, "api.example", "socket.getaddrinfo")
    with pytest.raises(NetworkRefusedError, match=r"network: api\.example"):
        ask(guard, "other.example", "socket.getaddrinfo")


def test_other_events_and_local_sockets_pass():
    guard = NetworkGuard("none")
    assert guard("open", ("file", "r", 0)) is None
    assert guard("socket.connect", (None, "local.socket")) is None


def test_a_guard_for_a_block_ends_with_it():
    with guarded("none"), pytest.raises(NetworkRefusedError):
        socket.gethostbyname("example.invalid")
    with pytest.raises(socket.gaierror):
        socket.gethostbyname("example.invalid")


def test_an_installed_guard_stops_a_real_connection_and_no_local_one():
    code = (
        "import socket\n"
        "from stillhouse.runner.guard import install_guard\n"
        "install_guard('none')\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), 2).close()\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 9), 2)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "NetworkRefusedError"
    assert socket.socket  # the guard of the other process is not ours
