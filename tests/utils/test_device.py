import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sapiens.utils.device import pick_device


def test_devices():
    assert pick_device('cpu') == torch.device('cpu')
    assert pick_device('auto').type in ('cpu', 'cuda', 'mps')
    with pytest.raises(ValueError, match="device='tpu9x' is none of"):
        pick_device('tpu9x')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match='sees no CUDA device'):
            pick_device('cuda:1')


@pytest.mark.skipif(not Path('/sys/kernel/mm/transparent_hugepage').exists(), reason='a kernel without huge pages')
def test_large_tensors_lie_on_huge_pages():
    code = """
import resource, sapiens, torch
torch.zeros(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.zeros(8_000_000).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    if '[never]' in Path('/sys/kernel/mm/transparent_hugepage/enabled').read_text():
        pytest.skip('huge pages are switched off on this machine')

    def page_faults(setting):
        environment = {key: value for key, value in os.environ.items() if key != 'THP_MEM_ALLOC_ENABLE'} | setting
        command = [sys.executable, '-W', 'ignore', '-c', code]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert page_faults({}) < 0.5 * page_faults({'THP_MEM_ALLOC_ENABLE': '0'})
