"""Parameter groups: weight-decay exemptions and layer-wise learning-rate decay."""

from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from prettytable import PrettyTable
from torch import nn

from sapiens.metainfo.naming import near
from sapiens.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from sapiens.utils.option_values import require_number

from .state_formats import STATE_DTYPES

__all__ = ['ParamGroupConstructor', 'make_param_groups']

OPTIONS = ('layer_decay_rate', 'no_decay', 'no_decay_1d')


def make_param_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    layer_decay_rate: float | None = None,
    no_decay: tuple[str, ...] = (),
    no_decay_1d: bool = False,
) -> list[dict]:
    """Group the trained parameters by learning rate and weight decay. Each is in exactly one group.

    Args:
        model: for layer decay, it or its backbone has ``get_layer_depth(name) -> (depth, number of depths)``.
        layer_decay_rate: the learning rate of depth d is scaled by ``rate ** (number of depths - 1 - d)``: 1 for the head and
            the final norm, ``rate`` for the last block (paper: 0.85 for finetuning). None or 1 for no decay.
        no_decay: no weight decay for parameters whose name contains one of these texts.
        no_decay_1d: no weight decay for tensors of one dimension (norms and biases).

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay``, and for the log ``depths`` and ``lr_scale``.
    """
    rate = 1.0 if layer_decay_rate is None else layer_decay_rate
    if not 0 < rate <= 1:
        raise ValueError(f'layer_decay_rate={rate} must lie in (0, 1]')
    groups: dict[tuple, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = any(part in name for part in no_decay) or (no_decay_1d and parameter.ndim <= 1)
        decay = 0.0 if exempt else weight_decay
        depth, scale = None, 1.0
        if rate != 1:
            depth, num_depths = _depth_of(model, name)
            scale = rate ** (num_depths - 1 - depth)
        group = groups.setdefault(
            (scale, decay), dict(params=[], lr=lr * scale, weight_decay=decay, lr_scale=scale, depths=set())
        )
        group['params'].append(parameter)
        group['depths'].add(depth)
    for group in groups.values():
        group['depths'] = sorted(depth for depth in group['depths'] if depth is not None)
    return sorted(groups.values(), key=lambda group: (group['lr_scale'], group['weight_decay']))


def _depth_of(model: nn.Module, name: str) -> tuple[int, int]:
    if hasattr(model, 'get_layer_depth'):
        return model.get_layer_depth(name)
    backbone = getattr(model, 'backbone', None)
    if not hasattr(backbone, 'get_layer_depth'):
        raise ValueError(
            f'layer_decay_rate needs {type(model).__name__}.get_layer_depth(name), or that of its backbone, for the '
            f'depth of {name}; leave out layer_decay_rate for no layer decay'
        )
    if name.startswith('backbone.'):
        return backbone.get_layer_depth(name, 'backbone.')
    first, _ = next(backbone.named_parameters())
    _, num_depths = backbone.get_layer_depth(first)
    return num_depths - 1, num_depths  # the depth of everything after the blocks


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ParamGroupConstructor:
    """Builds the optimizer wrapper with the groups of :func:`make_param_groups` and logs them as a table.

    Args:
        optim_wrapper_cfg: ``dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=..., weight_decay=...), ...)``. With
            ``state_dtype='bf16'`` or ``'int8'`` the moments of AdamW take 4 or about 2 bytes per parameter in place of 8
            (:class:`.LowBitAdamW`, which has kernels of its own: ``fused`` and ``foreach`` are left out).
        paramwise_cfg: options of :func:`make_param_groups`.

    Raises:
        ValueError: an unknown option, an optimizer without a number for ``lr`` and ``weight_decay``, or one without such moments.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.optim_wrapper_cfg.pop('optimizer'))
        self.options = dict(paramwise_cfg or {})
        for key in self.options:
            if key not in OPTIONS:
                known = f'{near(key, OPTIONS)} (known: {", ".join(OPTIONS)})'
                raise ValueError(f'paramwise_cfg has an unknown key {key!r}{known}')
        for key in ('lr', 'weight_decay'):
            if key not in self.optimizer_cfg:
                raise ValueError(f'optim_wrapper.optimizer needs {key}, got {self.optimizer_cfg}')
            require_number(f'optim_wrapper.optimizer.{key}', self.optimizer_cfg[key], least=0)
        self._set_state_dtype(self.optim_wrapper_cfg.pop('state_dtype', 'fp32'))

    def _set_state_dtype(self, state_dtype: str) -> None:
        if state_dtype not in STATE_DTYPES:
            raise ValueError(
                f'optim_wrapper.state_dtype={state_dtype!r} is not one of {", ".join(STATE_DTYPES)}'
                f'{near(str(state_dtype), STATE_DTYPES)}'
            )
        if state_dtype == 'fp32':
            return
        unused = ('fused', 'foreach')
        options = {key: value for key, value in self.optimizer_cfg.items() if key not in unused}
        unknown = sorted(set(options) - {'type', 'lr', 'betas', 'eps', 'weight_decay'})
        if options.get('type') != 'AdamW' or unknown:
            raise ValueError(
                f'optim_wrapper.state_dtype={state_dtype!r} is for optimizer.type=AdamW with lr, betas, eps and '
                f'weight_decay, got {self.optimizer_cfg}'
            )
        self.optimizer_cfg = dict(options, type='LowBitAdamW', state_dtype=state_dtype)

    def __call__(self, model: nn.Module):
        model = model.module if is_model_wrapper(model) else model
        lr, weight_decay = self.optimizer_cfg['lr'], self.optimizer_cfg['weight_decay']
        groups = make_param_groups(model, lr, weight_decay, **self.options)
        MMLogger.get_current_instance().info(f'Parameter groups:\n{format_groups(groups)}')
        for group in groups:
            del group['depths'], group['lr_scale']
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        return OPTIM_WRAPPERS.build(self.optim_wrapper_cfg, default_args=dict(optimizer=optimizer))


def format_groups(groups: list[dict]) -> PrettyTable:
    """Make a table of the groups: depths, learning rate, weight decay, number of parameters."""
    table = PrettyTable(['depth', 'lr scale', 'lr', 'weight decay', 'tensors', 'parameters'])
    table.align = 'r'
    for group in groups:
        depths = group['depths']
        span = 'all' if not depths else str(depths[0]) if len(depths) == 1 else f'{depths[0]}-{depths[-1]}'
        count = sum(parameter.numel() for parameter in group['params'])
        rates = [f'{group[key]:.3e}' for key in ('lr_scale', 'lr')]
        table.add_row([span, *rates, group['weight_decay'], len(group['params']), f'{count:,}'])
    return table
