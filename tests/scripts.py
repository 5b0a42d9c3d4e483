"""Python scripts in processes without the seconds that importing other packages takes. Not collected.

A server (``forkserver`` of multiprocessing) has imported what scripts import from other packages, and forks a process for each
script. The script imports this package itself, as a user's process does: nothing of the test's process is in it.
"""

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from yapf.yapflib import yapf_api

ROOT = Path(__file__).parents[1]
# `sapiens` by itself imports only its adapters of these packages.
PACKAGES = [
    'sapiens',
    'torch',
    'torch._dynamo',
    'torchvision',
    'mmengine.runner',
    'matplotlib.pyplot',
    'cv2',
    'scipy.ndimage',
]


def run(script, *arguments, check=True, cwd=ROOT, seconds=600, **environment):
    """Run ``python -W ignore script arguments``; returns its status, output and errors.

    Args:
        script: path of a file, from ``cwd``.
        check: whether a status other than 0 fails the test.
        seconds: after which the script is ended and the test fails.
        environment: variables in addition to those of this process.
    """
    command = [str(script), *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ('output', 'errors')]
        process = server().Process(target=_run, args=(command, cwd, os.environ | environment, *files))
        with _without_main():
            process.start()
        process.join(seconds)
        if hangs := process.is_alive():
            process.kill()
            process.join()
        output, errors = (file.read_text() if file.exists() else '' for file in files)
    assert not hangs, f'{command} hangs: {errors[-3000:]}'
    assert process.exitcode == 0 or not check, output[-1500:] + errors[-3000:]
    return subprocess.CompletedProcess(command, process.exitcode, output, errors)


def server():
    """The context of multiprocessing whose processes are forked by the server."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PACKAGES)
    return context


def fork_spawned_processes(monkeypatch):
    """The server forks what this process would spawn. These processes import this package themselves, as spawned ones do."""
    contexts = dict(spawn=server(), forkserver=server())
    monkeypatch.setattr(multiprocessing, 'get_context', contexts.__getitem__)


def leave_configs_unformatted():
    """The text of a config is formatted twice for each run, at the cost of a second. Without it the text is the same Python."""
    yapf_api.FormatCode = lambda text, **style: (text, False)


@contextlib.contextmanager
def _without_main():
    """The script is the main module of its process: that of this one, pytest, is not imported there."""
    main = sys.modules.pop('__main__')
    sys.modules['__main__'] = type(sys)('__main__')
    try:
        yield
    finally:
        sys.modules['__main__'] = main


def _run(command, cwd, environment, output, errors):
    for number, file in ((1, output), (2, errors)):
        with open(file, 'w') as opened:
            os.dup2(opened.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, 'w', buffering=1, closefd=False) for number in (1, 2))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.modules['torch'].set_num_threads(
        int(environment.get('OMP_NUM_THREADS', 1))
    )  # read when the server imported torch
    warnings.simplefilter('ignore')
    leave_configs_unformatted()
    sys.path[1:1] = filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))
    sys.argv, sys.path[0] = command, str(Path(command[0]).resolve().parent)
    runpy.run_path(command[0], run_name='__main__')
