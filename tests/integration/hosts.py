"""Hosts of a cluster as Linux namespaces of one machine: each has its own network, processes and name. Used by test_faults.py."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import psutil

__all__ = ['Hosts', 'why_not']

# Namespaces of the switch that connects the hosts, and of a host. The first ones make this user the owner of the others.
SWITCH = ['unshare', '--map-root-user', '--net', '--mount', '--fork', '--kill-child']
HOST = ['unshare', '--net', '--uts', '--mount', '--pid', '--mount-proc', '--fork', '--kill-child']
STAY = ['cat']  # ends when this process does, which closes its input; the processes of a host end with their first one
SECONDS = 30  # for a command that sets up namespaces


def why_not() -> str:
    """Return why this machine allows no hosts, or ''."""
    for name in ('unshare', 'nsenter', 'ip', 'mount'):
        if shutil.which(name) is None:
            return f'there is no program {name}'
    try:
        with Hosts(1):
            return ''
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return f'namespaces are not allowed: {getattr(error, "stderr", None) or error}'.strip()


class Hosts:
    """Hosts ``0`` to ``count - 1`` with the addresses ``10.9.0.1`` and up, on one switch. They see the files of this machine.

    Leaving the context ends all their processes.

    Args:
        count: number of hosts.
        disk: an empty folder that becomes a disk of its own in all hosts; see :meth:`disk`.
        disk_bytes: its size.
    """

    def __init__(self, count: int, disk: Path | None = None, disk_bytes: int = 0) -> None:
        self.count, self._disk, self._disk_bytes = count, disk, disk_bytes
        self._switch: subprocess.Popen | None = None
        self._hosts: dict[int, subprocess.Popen] = {}
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> 'Hosts':
        try:
            self._switch = self._stay(SWITCH)
            self._on_switch('ip', 'link', 'add', 'switch', 'type', 'bridge')
            self._on_switch('ip', 'link', 'set', 'switch', 'up')
            if self._disk is not None:
                self._on_switch('mount', '-t', 'tmpfs', '-o', f'size={self._disk_bytes}', 'tmpfs', str(self._disk))
            for host in range(self.count):
                self.boot(host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for host in list(self._hosts):
            self.power_off(host)
        if self._switch is not None:
            _kill(self._switch)
        for process in self._started:
            process.kill()  # nsenter, whose command has ended with its host
            process.wait(SECONDS)

    # ------------------------------------------------------------------ hosts

    def boot(self, host: int) -> None:
        """Start a host, or start it again after :meth:`power_off`."""
        self._hosts[host] = self._stay([*self._enter_switch(), *HOST])
        first = str(_first(self._hosts[host]).pid)
        self._on_switch('ip', 'link', 'add', f'v{host}', 'type', 'veth', 'peer', 'name', f'p{host}')
        self._on_switch('ip', 'link', 'set', f'v{host}', 'netns', first)
        self._on_switch('ip', 'link', 'set', f'p{host}', 'master', 'switch', 'up')
        commands = f'hostname host{host}; ip link set lo up; ip addr add {self.address(host)}/24 dev v{host}; '
        _check([*self._enter(host), 'sh', '-ec', f'{commands} ip link set v{host} up'])

    def power_off(self, host: int) -> None:
        """End all processes of a host at once. Its connections stay open at the others, as when it loses power."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.cut(host)
        _kill(self._hosts.pop(host))
        with contextlib.suppress(subprocess.SubprocessError):
            self._on_switch('ip', 'link', 'del', f'p{host}')

    def cut(self, host: int) -> None:
        """Take a host off the network. Packets are lost without a word, as they are when a cable is pulled or a switch fails."""
        self._on_switch('ip', 'link', 'set', f'p{host}', 'nomaster')

    def connect(self, host: int) -> None:
        """Undo :meth:`cut`."""
        self._on_switch('ip', 'link', 'set', f'p{host}', 'master', 'switch')

    @staticmethod
    def address(host: int) -> str:
        return f'10.9.0.{host + 1}'

    def processes(self, host: int, **variables: str) -> list[psutil.Process]:
        """Processes of a host that have these values of environment variables."""
        found, place = [], os.readlink(f'/proc/{_first(self._hosts[host]).pid}/ns/pid')
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                here = os.readlink(f'/proc/{process.pid}/ns/pid') == place
                if here and variables.items() <= process.environ().items():
                    found.append(process)
        return found

    def disk(self) -> Path:
        """The disk, as this process sees it."""
        return Path(f'/proc/{_first(self._switch).pid}/root{self._disk}')

    # ------------------------------------------------------------------ commands

    def start(
        self, host: int, command: list, log: IO, cwd: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen:
        """Start a command on a host."""
        command = [*self._enter(host), 'env', '-C', cwd, *command]
        process = subprocess.Popen(
            list(map(str, command)),
            env=dict(os.environ, GLOO_SOCKET_IFNAME=f'v{host}', **(variables or {})),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    # ------------------------------------------------------------------ parts

    def _enter_switch(self) -> list[str]:
        target = str(_first(self._switch).pid)
        return ['nsenter', '--target', target, '--user', '--net', '--mount', '--preserve-credentials']

    def _enter(self, host: int) -> list[str]:
        target = str(_first(self._hosts[host]).pid)
        spaces = ['--user', '--net', '--uts', '--mount', '--pid']
        return ['nsenter', '--target', target, *spaces, '--preserve-credentials']

    def _on_switch(self, *command: str) -> None:
        _check([*self._enter_switch(), *command])

    def _stay(self, namespaces: list[str]) -> subprocess.Popen:
        """Start namespaces; they stay until their first process ends."""
        process = subprocess.Popen(
            [*namespaces, *STAY],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + SECONDS
        while not _first(process):
            if process.poll() is not None:
                raise RuntimeError(process.stderr.read())
            if time.monotonic() > end:
                _kill(process)
                raise RuntimeError(f'{" ".join(namespaces)} does not start')
            time.sleep(0.01)
        return process


def _first(namespaces: subprocess.Popen) -> psutil.Process | None:
    """The first process in namespaces, once it runs."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(namespaces.pid).children():
            if process.cmdline() == STAY:
                return process
    return None


def _kill(namespaces: subprocess.Popen) -> None:
    if (first := _first(namespaces)) is not None:
        first.kill()
    namespaces.kill()
    namespaces.wait(SECONDS)
    namespaces.stdin.close(), namespaces.stderr.close()


def _check(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
