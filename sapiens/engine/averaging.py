"""Averages of weights for MMEngine's ``EMAHook``, updated by one kernel for all parameters."""

import torch
from mmengine.model import BaseAveragedModel
from mmengine.model import ExponentialMovingAverage as _ExponentialMovingAverage
from mmengine.model import MomentumAnnealingEMA as _MomentumAnnealingEMA
from torch import nn

from sapiens.registry import MODELS
from sapiens.utils.shards import local

__all__ = ['ExponentialMovingAverage', 'MomentumAnnealingEMA']


class _Fused(BaseAveragedModel):
    """Updates all parameters together.

    MMEngine's classes launch a kernel per parameter and read their counter from the device, some of them for each parameter. Here
    the counter is also kept on the host. Frozen parameters are copied once. State dicts are MMEngine's.
    """

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self._updates = 0
        self.register_load_state_dict_post_hook(lambda module, _: module._count())

    def _count(self) -> None:
        self._updates = int(self.steps)

    def weight(self, updates: int) -> float:
        """Weight of the current parameters after a number of updates."""
        raise NotImplementedError

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Add the current parameters of ``model`` to the average. The first call copies them."""
        first = self._updates == 0
        if first or self._updates % self.interval == 0:
            source = model.state_dict() if self.update_buffers else dict(model.named_parameters())
            pairs = [
                (local(average.data), local(source[name].data))
                for name, average in self.avg_parameters.items()
                if first or (average.is_floating_point() and (self.update_buffers or source[name].requires_grad))
            ]
            averages, current = zip(*pairs, strict=True) if pairs else ((), ())
            if first:
                torch._foreach_copy_(averages, current)
            elif pairs:
                current = [value.to(average.device) for average, value in pairs]
                torch._foreach_lerp_(averages, current, self.weight(self._updates))
        if not self.update_buffers:
            buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
            if buffers:
                torch._foreach_copy_(*map(list, zip(*buffers, strict=True)))
        self.steps += 1
        self._updates += 1


@MODELS.register_module()
class ExponentialMovingAverage(_Fused, _ExponentialMovingAverage):
    """``average = (1 - momentum) * average + momentum * parameter``, see :class:`mmengine.model.ExponentialMovingAverage`."""

    def weight(self, updates: int) -> float:
        return self.momentum


@MODELS.register_module()
class MomentumAnnealingEMA(_Fused, _MomentumAnnealingEMA):
    """A moving average whose weight of the current parameters is ``max(momentum, gamma / (gamma + updates))``, see
    :class:`mmengine.model.MomentumAnnealingEMA`."""

    def weight(self, updates: int) -> float:
        return max(self.momentum, self.gamma / (self.gamma + updates))
