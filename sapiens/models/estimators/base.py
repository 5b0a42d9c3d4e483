"""What the estimators share: encoder and head, the three modes of MMEngine, and the options of prediction."""

# B batch, C channels of the encoder, h w size of the head's output, H W of the image

import inspect
from collections.abc import Callable, Mapping, Sequence

from mmengine.model import BaseModel
from torch import Tensor, nn

from sapiens.metainfo.naming import near
from sapiens.registry import MODELS

from ..backbones.interface import require_members
from ..data_preprocessor import build_normalizer
from ..layers.sample_random import pass_seeds

__all__ = ['Estimator']


class Estimator(BaseModel):
    """Encoder and head.

    Subclasses define ``loss`` and ``predict``, and set ``test_options``: the options of prediction with their defaults.

    Args:
        backbone: config of the encoder. Its last feature map (B, C, h, w) is used. An encoder that is built already belongs to
            its owner, which may have several heads: its weights are not among those of this module.
        head: config of the head.
        derived: arguments of the head that follow from other parts: value and the part it follows from. ``in_channels`` is added.
        data_preprocessor: normalization of the images.

    Raises:
        ValueError: a head that contradicts the parts that its arguments follow from.
    """

    # Name of the head in state dicts, unless the head has one (``name``). ``self.head`` is the head in every estimator.
    head_name = 'head'
    # Former names of arguments.
    renamed = {'decode_head': 'head', 'loss': 'losses'}

    def __init__(
        self,
        backbone: dict | nn.Module,
        head: dict,
        derived: Mapping[str, tuple[object, str]],
        data_preprocessor: dict | nn.Module | None,
        init_cfg: dict | None,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = build_normalizer(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        if isinstance(backbone, nn.Module):
            self.__dict__['backbone'] = backbone  # torch would register an attribute as a part of this module
        else:
            self.backbone = MODELS.build(backbone)
        require_members(self.backbone, 'embed_dims', what=type(self).__name__)
        derived = dict(in_channels=(self.backbone.embed_dims, 'the backbone'), **derived)
        for key, (value, origin) in derived.items():
            if head.get(key, value) != value:
                raise ValueError(
                    f'head.{key}={head[key]} contradicts {value}, which follows from {origin}; leave it out'
                )
        built = MODELS.build({**head, **{key: value for key, (value, _) in derived.items()}})
        self.head_name: str = getattr(built, 'name', self.head_name)
        self.add_module(self.head_name, built)
        self._network: Callable | None = None
        self.test_options: dict = {}
        self.test_cfg: dict = {}

    def __getattr__(self, name: str):
        return super().__getattr__(self.head_name if name == 'head' else name)

    def encode(self, inputs: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Feature map (B, C, h, w) of normalized images (B, 3, H, W), which the head takes."""
        return self.backbone(inputs, **pass_seeds(self.backbone.forward, seeds))[-1]

    def network(
        self,
        inputs: Tensor,
        channels: Tensor | None = None,
        encode: Callable | None = None,
        seeds: Tensor | None = None,
    ):
        """Output of the head for normalized images (B, 3, H, W).

        Args:
            inputs: the images.
            channels: numbers of the channels to compute, all by default.
            encode: in place of :meth:`encode`, to share feature maps with other heads.
            seeds: (B,) of the samples in training, see :mod:`~sapiens.models.layers.sample_random`.
        """
        if self._network is not None:
            return self._network(inputs, channels)
        features = encode(inputs) if encode else self.encode(inputs, seeds)
        options = pass_seeds(self.head.forward, seeds)
        return self.head(features, **options) if channels is None else self.head(features, channels, **options)

    def replace_network(self, network: Callable) -> None:
        """Predict with ``network(inputs, channels)`` in place of encoder and head, which are dropped."""
        self._network = network
        self.backbone, self._modules[self.head_name] = nn.Identity(), nn.Identity()

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        labels: dict[str, Tensor] | None = None,
        seeds: Tensor | None = None,
    ):
        """``'tensor'``: the head's output; ``'loss'``: see :meth:`loss`; ``'predict'``: see :meth:`predict`.

        ``labels`` are those of the samples, stacked (:func:`sapiens.utils.batch_labels.stack_labels`), on the device. Only
        losses use them. Without them, losses stack the labels of the samples. ``seeds`` (B,) int64 of the samples decide what
        is random in the loss; without them torch's generator does.
        """
        if mode == 'tensor':
            return self.network(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples, labels, **pass_seeds(self.loss, seeds))
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode={mode!r} is not one of 'tensor', 'loss', 'predict'")

    # ------------------------------------------------------------------ parts

    def options(self, given: Mapping | None, defaults: Mapping) -> dict:
        """``defaults`` overridden by ``given``.

        Raises:
            ValueError: an unknown key, or a value that :meth:`check_options` refuses.
        """
        for key in given or ():
            if key not in self.test_options:
                known = f'{near(key, self.test_options)} (known: {", ".join(self.test_options)})'
                raise ValueError(f'test_cfg has an unknown key {key!r}{known}')
        options = {**defaults, **(given or {})}
        self.check_options(options)
        return options

    def check_options(self, options: dict) -> None:
        """Raise ValueError for an option with a value that is not allowed."""

    def take_renamed(self, arguments: dict, **current) -> list:
        """Values of arguments, some of which may be given under a former name.

        Raises:
            TypeError: an unknown argument, or one given under both names.
        """
        for old, value in arguments.items():
            new = self.renamed.get(old)
            if new not in current:
                known = [name for name in inspect.signature(type(self)).parameters if name != 'renamed']
                raise TypeError(
                    f'{type(self).__name__} has no argument {old!r}{near(old, known)} (known: {", ".join(known)})'
                )
            if current[new] is not None:
                raise TypeError(f'{type(self).__name__}: {old!r} is the former name of {new!r}; give one of them')
            current[new] = value
        return list(current.values())


def loss_configs(losses: dict | Sequence[dict] | None, default: Sequence[dict]) -> list[dict]:
    """Configs of losses from one config or a list of them.

    Raises:
        ValueError: neither, or an empty list.
    """
    configs = default if losses is None else [losses] if isinstance(losses, Mapping) else losses
    if not isinstance(configs, list | tuple) or not all(isinstance(config, Mapping) for config in configs):
        raise ValueError(f'losses={losses!r}: expected a config of a loss (a dict with its type), or a list of them')
    if not configs:
        raise ValueError(f'losses={losses!r}: expected at least one loss')
    return [dict(config) for config in configs]
