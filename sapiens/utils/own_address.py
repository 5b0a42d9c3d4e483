"""How other machines reach this one: its address and interface, where its name does not tell them."""

import contextlib
import ipaddress
import os
import socket
import stat
from pathlib import Path

import psutil

__all__ = ['has_known_name', 'limit_silence', 'own_address', 'own_interface']


def own_address(endpoint: str) -> str | None:
    """Return the address by which the other machines of a run reach this one, None if it is not known.

    It is that of the interface that leads to the endpoint, and on the first machine the name in the endpoint. torch would take
    the name of this machine. Where the others cannot resolve it, they would try until a timeout.

    Args:
        endpoint: ``host:port`` on the first machine.
    """
    own, first = _route(endpoint)
    name = endpoint.rpartition(':')[0].strip('[]')
    if own is None or own.is_link_local:
        return None
    if str(own) == first or own.is_loopback:
        return None if name == 'localhost' else name
    return str(own)


def own_interface(endpoint: str) -> str | None:
    """Return the name of the interface that leads to an endpoint ``host:port``, None if that is the loopback or not known."""
    own, _ = _route(endpoint)
    if own is None or own.is_loopback:
        return None
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition('%')[0] == str(own) for entry in entries):
            return name
    return None


def has_known_name() -> bool:
    """Whether the name of this machine stands for an address of the network. In many systems it is one of the loopback."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
        return any(not ipaddress.ip_address(entry[4][0].partition('%')[0]).is_loopback for entry in found)
    except (OSError, ValueError):
        return False


def limit_silence(seconds: float) -> None:
    """Let the connections of this process fail after seconds without an answer to what was sent. Nothing happens outside Linux.

    A call of torch's store has no limit of its own. Where the other machine is lost, it returns when TCP gives up after 15
    minutes, and the process handles no signal until then.
    """
    for entry in Path('/proc/self/fd').glob('*'):
        with contextlib.suppress(OSError):  # closed in between, or not connected
            if not stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds))


def _route(endpoint: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address | None, str]:
    """This machine's address on the way to an endpoint, and that of the endpoint."""
    name, _, port = endpoint.rpartition(':')
    try:
        family, kind, *_, first = socket.getaddrinfo(name.strip('[]'), port or None, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(first)  # sends nothing
            return ipaddress.ip_address(probe.getsockname()[0].partition('%')[0]), first[0]
    except (OSError, ValueError):
        return None, ''
