"""Mistyped names get a suggestion."""

import pytest
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader

from sapiens.commands import is_user_error
from sapiens.registry import HOOKS, METRICS, MODELS, PARAM_SCHEDULERS
from sapiens.utils.cli import tool_parser
from sapiens.utils.explain import explain_error


def explained(function, *args, **kwargs):
    with pytest.raises((KeyError, TypeError)) as caught:
        function(*args, **kwargs)
    return explain_error(caught.value)


def test_unknown_types():
    assert explained(HOOKS.build, dict(type='PosePicturHook')).startswith(
        "no hook is called 'PosePicturHook'; did you mean 'PosePictureHook'? "
    )
    assert "'EMAHook'?" in explained(HOOKS.build, dict(type='EMAHok'))  # one of MMEngine
    assert "no model is called 'Qqq'. " in explained(MODELS.build, dict(type='Qqq'))


def test_unknown_arguments():
    head = dict(type='HeatmapHead', deconv_chanels=(8,))
    assert explained(MODELS.build, head).endswith("'deconv_chanels'; did you mean 'deconv_channels'?")
    # Refused by the base class, which gets what the class does not know.
    metric = dict(type='NormalMetric', averag='image')
    assert explained(METRICS.build, metric).endswith("'averag'; did you mean 'average'?")
    assert explained(lambda: DataLoader([1], batch_siz=2)).endswith("did you mean 'batch_size'?")


def test_refused_values_name_the_class():
    with pytest.raises(ValueError) as caught:
        PARAM_SCHEDULERS.build(
            dict(type='CosineAnnealingLR', T_max=1, begin=20, end=20, optimizer=SGD([Tensor()], 0.1))
        )
    assert (
        explain_error(caught.value) == 'CosineAnnealingLR: end should be larger than begin, but got begin=20, end=20'
    )
    assert is_user_error(caught.value)


def test_other_messages_stay():
    assert explain_error(KeyError('x')) == 'x' and explain_error(ValueError('y')) == 'y'


def test_flags(capsys):
    parser = tool_parser('A tool.')
    parser.add_argument('--work-dir')
    with pytest.raises(SystemExit):
        parser.parse_args(['--work-dri', 'x'])
    assert "unrecognized arguments: --work-dri x; did you mean '--work-dir'?" in capsys.readouterr().err
