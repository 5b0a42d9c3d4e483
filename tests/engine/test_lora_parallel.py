"""LoRA of the encoder on two processes (gloo), also with sharded weights, equals that of one."""

import pytest
import torch

import sapiens.compat  # noqa: F401  (peft imports torchvision)

from .test_parallel import (
    EVERYTHING,
    FSDP2,
    SAVED,
    STEPS,
    assert_equal_runs,
    assert_equal_tensors,
    checkpoint,
    group,  # noqa: F401  (a fixture)
    result,
)

pytest.importorskip('peft')
LORA = dict(rank=2, alpha=4)
# The encoder reads the weights of EVERYTHING, and one of its blocks is frozen.
ALL = dict(EVERYTHING, lora=LORA)


@pytest.fixture(scope='module')
def runs(group):  # noqa: F811
    """Folder of runs of one and of two processes."""
    seg = dict(model='seg', steps=STEPS, lora=dict(LORA, norms=True))
    folder = group(1, dict(all=ALL, seg=seg))
    resumed = dict(ALL, resume=True, load_from=str(folder / 'all' / SAVED))
    sharded = dict(
        fsdp_seg=seg,
        fsdp_all=ALL,
        fsdp_resumed=resumed,
        fsdp_again=dict(resumed, steps=ALL['saves'], save_again=True),
    )
    return group(2, dict(ddp_seg=seg, **{name: dict(run, parallel=FSDP2) for name, run in sharded.items()}))


@pytest.mark.parametrize('name', ['ddp_seg', 'fsdp_seg', 'fsdp_all'])
def test_two_processes_equal_one(runs, name):
    one, two = result(runs, name.partition('_')[2]), result(runs, name)
    assert_equal_runs(one, two, ALL['steps'] if name == 'fsdp_all' else STEPS)
    assert two['held'] < 0.65 * two['size'] if name.startswith('fsdp') else two['held'] == two['size']
    changed = {key for key, value in two['weights'].items() if not torch.equal(value, two['initial'][key])}
    inside = {key for key in changed if key.startswith('backbone.')}
    assert inside and all('lora_' in key or '.ln' in key for key in inside)
    assert any('lora_B' in key for key in inside) and changed - inside


def test_a_run_resumes_from_one_process_on_two(runs):
    straight = result(runs, 'all')['losses'][ALL['saves'] :]
    assert result(runs, 'fsdp_resumed')['losses'] == pytest.approx(straight, abs=1e-5) and len(straight) == 4
    read, again = checkpoint(runs, 'all'), checkpoint(runs, 'fsdp_again', 'again.pth')
    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_equal_tensors(read[key], again[key])
    assert read['meta']['lora'] == again['meta']['lora']
