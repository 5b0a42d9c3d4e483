"""The adapters for third-party packages, in fresh interpreters, since they act on import."""

import subprocess
import sys
from pathlib import Path

import pytest

import sapiens

ROOT = Path(__file__).parents[1]


def run(code):
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout.split()


def test_torchvision_and_timm_import_and_run():
    code = """
import sapiens, torch, timm, torchvision
from torchvision.transforms import v2
model = timm.create_model("vit_tiny_patch16_224", img_size=32)
print(sapiens.compat.torchvision_ops.outcome, tuple(model(torch.zeros(1, 3, 32, 32)).shape))
"""
    assert run(code)[0] in ('native', 'declared')


def test_mmpretrain_imports_with_a_recent_transformers_around():
    code = 'import sapiens; from mmpretrain.utils import dependency; print(dependency.WITH_MULTIMODAL)'
    assert run(code) == ['False']


def test_optimizers_are_registered_without_importing_transformers():
    code = """
import sys, sapiens.engine
from mmengine.registry import OPTIMIZERS
print('transformers' in sys.modules, OPTIMIZERS.get('AdamW').__name__, OPTIMIZERS.get('TorchAdafactor').__name__)
"""
    assert run(code) == ['False', 'AdamW', 'Adafactor']


def test_mmpose_datasets_use_the_adapted_coco_tools():
    code = """
import sapiens
from mmpose.datasets import CocoDataset, CocoWholeBodyDataset
from mmpose.codecs import UDPHeatmap
import xtcocotools.coco, faster_coco_eval
print(sapiens.compat.xtcocotools, xtcocotools.coco.COCO is faster_coco_eval.COCO)
"""
    kind, same = run(code)
    assert (kind, same) in (('adapted', 'True'), ('native', 'False'))


def test_coco_tools_that_do_not_load_are_adapted(tmp_path, monkeypatch):
    package = tmp_path / 'xtcocotools'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / '_mask.py').write_text('raise ValueError("numpy.dtype size changed")')
    (package / 'coco.py').write_text('from . import _mask')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    code = """
import sapiens, xtcocotools.coco, faster_coco_eval
print(sapiens.compat.xtcocotools, xtcocotools.coco.COCO is faster_coco_eval.COCO)
"""
    assert run(code) == ['adapted', 'True']
    (package / '_mask.py').write_text('')
    (package / 'coco.py').write_text('COCO = "its own"')
    assert run(code) == ['native', 'False']


def test_mmseg_metric_imports():
    assert run('import sapiens; from mmseg.evaluation import IoUMetric; print(IoUMetric.__name__)') == ['IoUMetric']


def test_missing_or_old_requirement_names_one_command():
    with pytest.raises(
        ImportError, match=r"no-such-package is not installed.*Fix: pip install 'no-such-package>=1.0'$"
    ):
        sapiens._check_requirements({'no-such-package': '1.0'})
    with pytest.raises(ImportError, match=r'numpy \S+ is installed, needs >=99\.0'):
        sapiens._check_requirements({'numpy': '99.0'})
    with pytest.raises(
        ImportError,
        match=r'numpy \S+ is installed, needs >=1\.0\.3,<1\.1\. Fix: pip install --no-deps numpy==1\.0\.3$',
    ):
        sapiens._check_requirements(pinned={'numpy': '1.0.3'})
    with pytest.raises(ImportError, match=r'no OpenCV .*onedl-mmengine==\S+ .*mmpose==\S+ opencv-python-headless=='):
        sapiens._check_requirements(opencv='no_such_cv2')
    sapiens._check_requirements()


def test_the_command_has_the_pins_of_the_requirements():
    lines = (ROOT / 'requirements' / 'mminstall.txt').read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith('#')]
    assert pins == [*(f'{name}=={version}' for name, version in sapiens._PINNED.items()), sapiens._OPENCV]


@pytest.mark.parametrize(('lower', 'higher'), [('0.10.9', '0.10.12'), ('2.6', '2.13.0+cpu'), ('1.26.4', '2.0')])
def test_versions_compare_by_number(lower, higher):
    assert sapiens._key(lower) < sapiens._key(higher)
