"""The registries of the package: children of MMEngine's, with scope ``sapiens``.

A config names a class by its plain name (``type='MAE'``); a class of another library by its scope
(``type='mmpretrain.VisionTransformer'``). The modules under ``locations`` are imported on first use, so importing
:mod:`sapiens` stays cheap.
"""

from mmengine import registry as _mmengine
from mmengine.registry import Registry

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'FUNCTIONS',
    'HOOKS',
    'LOG_PROCESSORS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'STRATEGIES',
    'TRANSFORMS',
    'VISBACKENDS',
    'VISUALIZERS',
]


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope='sapiens', locations=list(locations))


MODELS = _child('model', _mmengine.MODELS, 'sapiens.models')
DATASETS = _child('dataset', _mmengine.DATASETS, 'sapiens.datasets')
DATA_SAMPLERS = _child('data sampler', _mmengine.DATA_SAMPLERS, 'sapiens.datasets')
TRANSFORMS = _child('transform', _mmengine.TRANSFORMS, 'sapiens.datasets.transforms')
FUNCTIONS = _child('function', _mmengine.FUNCTIONS, 'sapiens.datasets')
METRICS = _child('metric', _mmengine.METRICS, 'sapiens.evaluation')
HOOKS = _child('hook', _mmengine.HOOKS, 'sapiens.engine')
LOOPS = _child('loop', _mmengine.LOOPS, 'sapiens.engine')
OPTIM_WRAPPERS = _child('optim_wrapper', _mmengine.OPTIM_WRAPPERS, 'sapiens.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', _mmengine.OPTIM_WRAPPER_CONSTRUCTORS, 'sapiens.engine'
)
STRATEGIES = _child('strategy', _mmengine.STRATEGIES, 'sapiens.engine')
VISUALIZERS = _child('visualizer', _mmengine.VISUALIZERS, 'sapiens.visualization')
VISBACKENDS = _child('vis_backend', _mmengine.VISBACKENDS, 'sapiens.visualization')
OPTIMIZERS = _child('optimizer', _mmengine.OPTIMIZERS, 'sapiens.engine')
# Nothing of ours is in these yet: without them MMEngine warns, at every run, that this scope has none.
MODEL_WRAPPERS = _child('model_wrapper', _mmengine.MODEL_WRAPPERS)
PARAM_SCHEDULERS = _child('parameter scheduler', _mmengine.PARAM_SCHEDULERS)
LOG_PROCESSORS = _child('log_processor', _mmengine.LOG_PROCESSORS)
