import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from sapiens.engine import Runner
from sapiens.utils.memory import OWN_SETTINGS, keep_tensor_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason="only glibc's allocator is set")

CODE = """
import resource
from sapiens.utils.memory import keep_tensor_memory
keep_tensor_memory()
import torch
def page_faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(*[page_faults(%d) for _ in range(6)][3:])
"""
SMALL, LARGE = 4_000_000, 16_000_000  # numbers: of 16 and 64 MB


def page_faults(size, **setting):
    """Page faults of the three last of six uses of as much memory, in a separate process."""
    names = ('THP_MEM_ALLOC_ENABLE', 'SAPIENS_MEMORY', 'GLIBC_TUNABLES', *OWN_SETTINGS)
    environment = {key: value for key, value in os.environ.items() if key not in names} | setting
    command = [sys.executable, '-W', 'ignore', '-c', CODE % size]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return [int(number) for number in printed.split()]


def test_freed_memory_is_used_again():
    assert max(page_faults(SMALL)) < 10
    assert max(page_faults(SMALL, SAPIENS_MEMORY='default')) > 2000  # 16 MB are 4000 pages


@pytest.mark.skipif(not Path('/sys/kernel/mm/transparent_hugepage').exists(), reason='a kernel without huge pages')
def test_large_tensors_lie_on_huge_pages():
    if '[never]' in Path('/sys/kernel/mm/transparent_hugepage/enabled').read_text():
        pytest.skip('huge pages are switched off on this machine')
    assert max(page_faults(LARGE)) < 0.5 * min(page_faults(LARGE, THP_MEM_ALLOC_ENABLE='0'))


def test_importing_sets_nothing():
    names = ('THP_MEM_ALLOC_ENABLE', 'MALLOC_TRIM_THRESHOLD_')
    code = 'import os; before = dict(os.environ); import sapiens, sapiens.apis, sapiens.engine\n'
    code += 'print({key for key in os.environ if before.get(key) != os.environ[key]})'
    environment = {key: value for key, value in os.environ.items() if key not in names}
    command = [sys.executable, '-W', 'ignore', '-c', code]
    changed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert not any(name in changed for name in names), changed


def test_the_runner_sets_it_first(monkeypatch):
    class Set(Exception):
        pass

    def keep():
        raise Set

    monkeypatch.setattr('sapiens.engine.runner.keep_tensor_memory', keep)
    with pytest.raises(Set):
        Runner.setup_env(None, {})


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="SAPIENS_MEMORY='keeep' is neither 'keep' nor 'default'"):
        keep_tensor_memory({'SAPIENS_MEMORY': 'keeep'})


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *((name, '1') for name in OWN_SETTINGS),
        ('GLIBC_TUNABLES', 'glibc.rtld.nns=4:glibc.malloc.trim_threshold=1'),
        ('THP_MEM_ALLOC_ENABLE', '0'),
    ],
)
def test_settings_of_the_allocator_are_respected(name, value):
    assert not keep_tensor_memory({name: value})


def test_other_settings_do_not_matter():
    assert keep_tensor_memory({'GLIBC_TUNABLES': 'glibc.rtld.nns=4', 'LD_PRELOAD': 'libother.so'})
