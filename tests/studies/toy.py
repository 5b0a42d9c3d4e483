"""Studies of the tiny pose model whose runs are those of stub.py. Not collected."""

import sys
import textwrap
from pathlib import Path

from sapiens.studies.load import load_study
from sapiens.studies.plan import plan_study
from sapiens.studies.runner import Local

PROGRAM = (sys.executable, '-S', str(Path(__file__).with_name('stub.py')))
BASE = 'pose/sapiens_tiny_synthetic17-128x96'
RATE = 'optim_wrapper.paramwise_cfg.layer_decay_rate'
STUDY = f"""
base = '{BASE}'
variants = [dict(name=f'decay-{{rate}}', options={{'{RATE}': rate}}) for rate in (1.0, 0.5)]
seeds = [0, 1]
metrics = {{'AP': 'higher', 'val_loss': 'lower'}}
checks = ['decay-1.0.AP > decay-0.5.AP']
"""
CHAIN = f"""
base = '{BASE}'
chain = [
    dict(name='pretrain', config='mae/sapiens_tiny_synthetic-128x128'),
    dict(name='pose', after='pretrain'),
    dict(name='test', command='test', after='pose'),
]
variants = [
    dict(name='decay-1.0', options={{'pose:{RATE}': 1.0}}),
    dict(name='decay-0.5', options={{'pose:{RATE}': 0.5}}),
    dict(name='scratch', options={{'pose:load_from': None}}),
]
metrics = {{'test:AP': 'higher', 'pose:AP': 'higher'}}
"""


def write_study(folder: Path, text: str = STUDY, name: str = 'toy') -> Path:
    """Write a study file, and return it."""
    file = folder / f'{name}.py'
    file.write_text(textwrap.dedent(text))
    return file


def plan_of(folder: Path, text: str = STUDY, **options):
    """The plan of a study, whose runs lie in ``folder/runs``."""
    return plan_study(load_study(write_study(folder, text)), folder / 'runs', **options)


def places(slots: int = 1) -> Local:
    """Places for runs without a GPU, which stubs do not need."""
    return Local(slots, gpus=0, cores=1)
