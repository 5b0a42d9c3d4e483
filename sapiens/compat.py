"""Adapters that third-party packages need; each does nothing where the package works by itself.

Imported first, by ``sapiens/__init__.py``.

* torchvision from PyPI beside a CPU-only torch: its compiled library cannot be loaded, so the operators whose fake
  kernels it registers are unknown and ``import torchvision`` raises. The schemas are declared here instead.
* xtcocotools (asked for by mmpose): wheels exist for Python 3.10 and 3.11 only and are built for numpy 1. Where it is
  absent or does not load, the modules that mmpose imports resolve to faster-coco-eval.
* mmpretrain imports its multimodal models where transformers and pycocotools are installed, and fails with
  transformers 5. They are switched off.
* mmengine imports transformers, where it is installed, to register its Adafactor: seconds for each command, more with peft. It
  is left out, unless transformers is imported already. torch's is ``TorchAdafactor``.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

_LIBRARIES = []  # torch.library.Library objects undo their definitions when collected


def declare_torchvision_ops() -> str:
    """Make ``import torchvision`` work beside a CPU-only torch.

    Returns:
        ``'native'`` where torchvision can load its own operators, ``'declared'`` where the schemas were added,
        ``'absent'`` without torchvision.
    """
    import torch

    if importlib.util.find_spec('torchvision') is None:
        return 'absent'
    if torch.version.cuda or torch.version.hip or 'torchvision' in sys.modules:
        return 'native'
    # A torchvision built for the CPU brings the operators itself: defining them twice is an error, so look for the
    # library that a CUDA build links against. Reading the file costs milliseconds, importing torchvision a second.
    folder = importlib.util.find_spec('torchvision').submodule_search_locations[0]
    extension = importlib.machinery.PathFinder.find_spec('_C', [folder])
    if extension is not None and extension.origin and b'libcudart' not in Path(extension.origin).read_bytes():
        return 'native'
    library = torch.library.Library('torchvision', 'FRAGMENT')
    library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    _LIBRARIES.append(library)
    return 'declared'


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Declares the operators when torchvision is imported. ``import sapiens`` itself does not import torch."""

    outcome = None

    def find_spec(self, fullname, path=None, target=None):
        if fullname == 'torchvision' and self.outcome is None:
            self.outcome = 'native'  # the search inside the next line ends up here too
            self.outcome = declare_torchvision_ops()
        return None


class _XtcocotoolsFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Resolves ``xtcocotools`` and the submodules that mmpose imports to faster-coco-eval, lazily."""

    targets = {
        'xtcocotools': None,
        'xtcocotools.coco': ('faster_coco_eval', 'COCO', 'COCO'),
        'xtcocotools.cocoeval': ('faster_coco_eval', 'COCOeval_faster', 'COCOeval'),
        'xtcocotools.mask': ('faster_coco_eval.core.mask', None, None),
    }

    def find_spec(self, fullname, path=None, target=None):
        if fullname in self.targets:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname == 'xtcocotools')
        return None

    def create_module(self, spec):
        return types.ModuleType(spec.name)

    def exec_module(self, module):
        if module.__name__ == 'xtcocotools':
            module.__path__ = []
            return
        source, theirs, ours = self.targets[module.__name__]
        source = importlib.import_module(source)
        if theirs is None:
            vars(module).update({key: value for key, value in vars(source).items() if not key.startswith('__')})
        else:
            value = getattr(source, theirs)
            setattr(module, ours, _evaluation_of(value) if ours == 'COCOeval' else value)


def _evaluation_of(base: type) -> type:
    """faster-coco-eval's class with the arguments of xtcocotools, which mmpose gives by position."""

    class COCOeval(base):
        def __init__(self, cocoGt=None, cocoDt=None, iouType='keypoints', sigmas=None, use_area=True):
            super().__init__(cocoGt, cocoDt, iouType, kpt_oks_sigmas=sigmas, use_area=use_area)
            # mmpose sets params.useSegm = None, which would make faster-coco-eval compare boxes.
            self.params.__class__ = type('Params', (type(self.params),), dict(useSegm=None))

    return COCOeval


def adapt_xtcocotools() -> str:
    """Let ``import xtcocotools.coco`` resolve to faster-coco-eval. Returns ``'native'`` or ``'adapted'``."""
    if importlib.util.find_spec('xtcocotools') is not None:
        try:
            # Its compiled part: in a wheel for numpy 1 it does not load with numpy 2.
            importlib.import_module('xtcocotools._mask')
            return 'native'
        except (ImportError, ValueError):
            sys.modules.pop('xtcocotools', None)
    sys.meta_path.insert(0, _XtcocotoolsFinder())  # before the finder that would find one that does not load
    return 'adapted'


class _MultimodalOff(importlib.abc.MetaPathFinder):
    """Sets ``WITH_MULTIMODAL = False`` right after ``mmpretrain.utils.dependency`` was executed.

    mmpretrain then does not import its vision-language models, which need transformers 4.
    """

    name = 'mmpretrain.utils.dependency'

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            module.WITH_MULTIMODAL = False

        spec.loader.exec_module = exec_module
        return spec


class _OptimizersOfTorch(importlib.abc.MetaPathFinder):
    """Hides transformers while ``mmengine.optim.optimizer.builder`` is executed."""

    name = 'mmengine.optim.optimizer.builder'

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name or 'transformers' in sys.modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            sys.modules['transformers'] = None  # an import of it raises ImportError, as without it
            try:
                execute(module)
            finally:
                del sys.modules['transformers']

        spec.loader.exec_module = exec_module
        return spec


torchvision_ops = _BeforeTorchvision()
sys.meta_path.insert(0, torchvision_ops)
xtcocotools = adapt_xtcocotools()
sys.meta_path.insert(0, _MultimodalOff())
sys.meta_path.insert(0, _OptimizersOfTorch())
