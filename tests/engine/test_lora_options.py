"""Options of LoRA that are refused, and its library where it is missing."""

import sys

import pytest
from torch import nn

from sapiens.engine.lora import add_lora
from sapiens.utils.config import load_config

from .test_recomputing import CASES
from .toy import make_runner


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('yes', "lora='yes': expected True, False or a dict of rank, alpha, dropout, targets, norms"),
        (dict(rnak=4), "unknown option 'rnak'; did you mean 'rank'"),
        (dict(rank=0), 'lora.rank=0: expected a whole number of at least 1'),
        (dict(rank=True), 'lora.rank=True'),
        (dict(alpha=0), 'lora.alpha=0: expected a finite number above 0'),
        (dict(dropout=1), r'lora.dropout=1 must lie in \[0, 1\)'),
        (dict(targets=()), r'lora.targets=\(\): expected names of layers'),
        (
            dict(targets=('wqkv',)),
            r"no linear layer in 'wqkv'; did you mean 'qkv'\? \(known: attn, qkv, attn.qkv, proj",
        ),
        (dict(norms=1), 'lora.norms=1: expected True or False'),
    ],
)
def test_wrong_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        add_lora(CASES['mae']()[0], setting)


def test_float8_is_refused_with_it(tmp_path):
    with pytest.raises(ValueError, match='lora and float8 do not work together'):
        make_runner(tmp_path, cfg=dict(lora=True, float8=True))


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ValueError, match='needs a model whose backbone has blocks, which Linear has not'):
        add_lora(nn.Linear(2, 2), True)


def test_without_peft_one_line_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(ImportError, match='lora in a config needs peft, .*: python -m pip install peft'):
        add_lora(CASES['mae']()[0], True)


def test_options_set_it():
    name = 'pose/sapiens_tiny_coco-128x96'
    assert load_config(name, {'lora.rank': 8, 'lora.norms': True}).lora == dict(rank=8, norms=True)
    assert load_config(name, {'lora': True}).lora is True
