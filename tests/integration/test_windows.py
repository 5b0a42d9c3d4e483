"""The benchmark of what windows do to a dense prediction."""

import importlib.util
import sys

import pytest
import torch

from sapiens.apis import build_model

from ..scripts import ROOT


@pytest.fixture(scope='module')
def windows():
    spec = importlib.util.spec_from_file_location('windows_benchmark', ROOT / 'tools/benchmark/windows.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('config', ['normal/sapiens2_tiny_synthetic-128x96', 'seg/sapiens_tiny_synthetic-128x96'])
def test_both_in_windows_is_the_option_of_prediction(windows, config):
    """Also where the output is smaller than the input."""
    model = build_model(config, device='cpu')
    inputs = torch.randn(1, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    options = dict(model.test_cfg, crop_size=(96, 64), stride=(48, 32))
    with torch.no_grad():
        want = model._output(inputs, options)
        found = windows.in_windows(
            lambda part: windows.upsample(model(part), part.shape[-2:]), inputs, (96, 64), (48, 32)
        )
        features = model.backbone(inputs)[-1]
        whole = windows.in_windows(lambda part: part, features, (8, 6), (4, 4))
    torch.testing.assert_close(found, want)
    assert torch.equal(whole, features)


def test_differences(windows):
    east, north = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), torch.tensor([0, 1.0, 0]).view(1, 3, 1, 1)
    assert windows.difference('unit_vectors', east, north) == pytest.approx(90)
    assert windows.difference('labels', torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 3, 3])) == 0.25
    assert windows.difference('map', torch.tensor([0.0, 3]), torch.tensor([0.0, 2])) == pytest.approx(0.25)


def test_the_table(windows, monkeypatch, capsys):
    arguments = ['normal/sapiens2_tiny_synthetic-128x96', '--size', '160', '128']
    monkeypatch.setattr(sys, 'argv', ['windows.py', *arguments])
    windows.main()
    text = capsys.readouterr().out
    assert '1 images of 160x128, windows of 112x96 every 48x48' in text
    rows = [line.split('|')[1:3] for line in text.splitlines() if line.startswith('|')]
    values = {name.strip(): value.strip() for name, value in rows}
    assert list(values) == [
        'prediction',
        'both whole',
        'encoder in windows',
        'head in windows',
        'both in windows',
        'flip test',
    ]
    assert float(values['both whole']) < 1e-4 < float(values['head in windows'])
