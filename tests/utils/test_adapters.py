"""Adapters in a checkpoint that cannot be merged."""

import pytest
import torch

from sapiens.utils.checkpoint.adapters import merge_adapters


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(meta={}), r"x.pth has adapters \(LoRA\) of 1 layers, but meta\['lora'\] has no alpha"),
        (dict(meta=dict(lora=dict(alpha='2'))), 'has no alpha'),
        (dict(drop='l.base_layer.weight'), r'x.pth: the adapter \(LoRA\) of l lacks base_layer.weight'),
        (dict(drop='l.lora_B.default.weight'), 'of l lacks lora_B'),
        (dict(shape=(3, 5)), 'the shapes of l and its adapter .* do not fit: 3x4, 3x5, 2x4'),
    ],
)
def test_files_that_cannot_be_merged(change, message):
    tensors = {'l.base_layer.weight': torch.zeros(3, 4), 'l.lora_A.default.weight': torch.zeros(2, 4)}
    tensors['l.lora_B.default.weight'] = torch.zeros(change.get('shape', (3, 2)))
    tensors.pop(change.get('drop'), None)
    with pytest.raises(ValueError, match=message):
        merge_adapters(tensors, change.get('meta', dict(lora=dict(alpha=2))), 'x.pth')
