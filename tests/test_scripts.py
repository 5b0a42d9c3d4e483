"""Scripts that tests start are processes as a user starts them."""

import json
import os

import pytest

from .scripts import ROOT, run

SCRIPT = """
import json, os, sys, torch
modules = sorted(name for name in sys.modules if name.split('.')[0] in ('sapiens', 'pytest'))
print(json.dumps(dict(arguments=sys.argv[1:], name=__name__, folder=os.getcwd(), path=sys.path[:2], modules=modules,
                      variable=os.environ['VARIABLE'], other=os.environ.get('OTHER'), threads=torch.get_num_threads())))
print('an error', file=sys.stderr)
os.system('echo of a child')
sys.exit(int(sys.argv[1]))
"""


def test_a_script_is_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv('VARIABLE', 'set by a test')
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    done = run(script, 3, 'b c', check=False, OTHER='given', PYTHONPATH='first:second')
    line, child = done.stdout.splitlines()
    assert (done.returncode, done.stderr, child) == (3, 'an error\n', 'of a child')
    found = json.loads(line)
    assert set(found.pop('modules')) <= {'sapiens', 'sapiens.compat', 'sapiens.version'}, (
        'it imports the package itself'
    )
    assert found == dict(
        arguments=['3', 'b c'], name='__main__', folder=str(ROOT), path=[str(tmp_path), 'first'], variable='set by a test',
        other='given', threads=int(os.environ.get('OMP_NUM_THREADS', 1)),
    )  # fmt: skip
    with pytest.raises(AssertionError, match='an error'):
        run(script, 3)
    with pytest.raises(AssertionError, match='hangs'):
        script.write_text('import time\ntime.sleep(60)')
        run(script, seconds=0.2)


def test_errors_are_those_of_python(tmp_path):
    script = tmp_path / 'script.py'
    for text, status, error in (
        ('raise SystemExit("no such file")', 1, 'no such file\n'),
        ('import os; os.kill(os.getpid(), 9)', -9, ''),
        ('1 / 0', 1, 'ZeroDivisionError: division by zero\n'),
    ):
        script.write_text(text)
        done = run(script, check=False)
        assert done.returncode == status and done.stderr.endswith(error)
