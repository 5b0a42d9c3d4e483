import os
import signal
import subprocess
import sys
import time

from sapiens.utils import launcher_watch as watch

COMMAND = """
import os, sys, time, types
import sapiens.commands
from sapiens.utils import launcher_watch
launcher_watch.INTERVAL = 0.1
def main(argv):
    open(sys.argv[1] + '/pid.tmp', 'w').write(str(os.getpid()))
    os.rename(sys.argv[1] + '/pid.tmp', sys.argv[1] + '/pid')
    time.sleep(100)
sys.modules['sapiens.commands.slow'] = types.SimpleNamespace(main=main)
sapiens.commands.run('slow')
"""
WORKER = """
import importlib.util, os, signal, sys, time
spec = importlib.util.spec_from_file_location('launcher_watch', sys.argv[3])  # without its package, which imports torch
launcher_watch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launcher_watch)
launcher_watch.INTERVAL = launcher_watch.PATIENCE = 0.1
if sys.argv[2] == 'stops':
    signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1] + '/stopped', 'w'), os._exit(0)))
else:
    signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[1] + '/received', 'w'))
launcher_watch.stop_with_launcher()
open(sys.argv[1] + '/pid.tmp', 'w').write(str(os.getpid()))
os.rename(sys.argv[1] + '/pid.tmp', sys.argv[1] + '/pid')
while True:
    time.sleep(0.1)
"""
LAUNCHER = 'import subprocess, sys; subprocess.run([sys.executable, "-c", *sys.argv[1:]])'


def launch(folder, mode, worker=WORKER, **environment):
    """Kill the launcher of a process; whether the process has ended a second later."""
    folder.mkdir()
    command = [sys.executable, '-c', LAUNCHER, worker, str(folder), mode, watch.__file__]
    launcher = subprocess.Popen(command, env=dict(os.environ, **environment))
    wait(lambda: (folder / 'pid').exists(), 60)
    pid = int((folder / 'pid').read_text())
    launcher.kill()
    launcher.wait()
    try:
        return wait(lambda: not is_running(pid), 5 if environment else 1)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_processes_end_with_their_torchrun(tmp_path):
    assert launch(tmp_path / 'a', 'stops', TORCHELASTIC_RUN_ID='1') and (tmp_path / 'a' / 'stopped').exists()
    assert launch(tmp_path / 'b', 'hangs', TORCHELASTIC_RUN_ID='1') and (tmp_path / 'b' / 'received').exists()


def test_a_process_that_torchrun_did_not_start_outlives_its_parent(tmp_path):
    assert not launch(tmp_path / 'a', 'stops')


def test_commands_notice_it_before_they_build_a_runner(tmp_path):
    """Imports and data take seconds, after which the parent of an abandoned process is another one."""
    assert launch(tmp_path / 'a', '', COMMAND, TORCHELASTIC_RUN_ID='1')
