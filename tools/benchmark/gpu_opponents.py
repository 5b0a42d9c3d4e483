"""Steps of this package in turns with those of others, around the same images, on one device."""

import tempfile
import types
from collections.abc import Callable
from functools import partial

import torch
from gpu_cases import Case
from gpu_clock import take_turns
from gpu_step import batch_of, build_model, config_of, device_of
from mmengine.config import Config
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.optim import OptimWrapper as PlainOptimWrapper
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from sapiens.datasets import stack_collate
from sapiens.engine.compiling import compile_parts
from sapiens.models.backbones.archs import resolve_arch

__all__ = ['OPPONENTS', 'measure_pair']

# Turns of each side, and steps of a turn.
TURNS, STEPS = 4, 5
# Relative difference of two losses of equal models in float32.
TOLERANCE = 1e-4


def measure_pair(case: Case) -> dict:
    """Milliseconds of a step and peak GB of ``sapiens`` and of its opponent, and the ratios of their turns."""
    device = device_of(case)
    with tempfile.TemporaryDirectory() as folder:
        cfg = config_of(case, folder)
    ours, theirs, facts = OPPONENTS[case.opponent](case, cfg, device)
    sides = dict(sapiens=ours, against=theirs)
    found = take_turns(sides, device, *((2, 1) if case.is_tiny else (TURNS, STEPS)))
    pairs = zip(found['sapiens']['ms'], found['against']['ms'], strict=True)
    return dict(found, ratios=sorted(other / own for own, other in pairs), **facts)


# ------------------------------------------------------------------ whole steps


def our_step(model: nn.Module, cfg: Config, batch: dict) -> Callable[[], None]:
    """A step as the Runner makes it. Values are not read."""
    with DefaultScope.overwrite_default_scope('sapiens'):
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    if cfg.get('compile'):
        compile_parts(model, cfg.compile)

    def step() -> None:
        wrapper.enter_batch(0, 1)
        model.train_step(batch, optim_wrapper=wrapper)

    return step


def plain_wrapper(model: nn.Module, cfg: Config, device: str) -> PlainOptimWrapper:
    """MMEngine's wrapper with its default optimizer. On CPUs it has no mixed precision."""
    options = {key: cfg.optim_wrapper.optimizer[key] for key in ('lr', 'betas', 'weight_decay')}
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer, clip = torch.optim.AdamW(trained, **options), dict(max_norm=1.0)
    if device == 'cuda':
        return AmpOptimWrapper(dtype='bfloat16', optimizer=optimizer, clip_grad=clip)
    return PlainOptimWrapper(optimizer=optimizer, clip_grad=clip)


def reading_hook() -> Callable[[dict], None]:
    """What MMEngine's ``RuntimeInfoHook`` does after a step: it reads every value."""
    runner = types.SimpleNamespace(message_hub=MessageHub('gpu_suite_plain'))
    return lambda outputs: RuntimeInfoHook().after_train_iter(runner, 0, outputs=outputs)


def against_plain(case: Case, cfg: Config, device: str) -> tuple[Callable, Callable, dict]:
    """MMEngine's loop around the same network: ``AmpOptimWrapper``, AdamW with its defaults, labels by sample, values read."""
    model, size = build_model(cfg.model, device), tuple(cfg.model.backbone.img_size)
    ours = our_step(model, cfg, batch_of(case, size, device))
    batch = batch_of(case, size, device, partial(stack_collate, labels=False))
    wrapper, read = plain_wrapper(model, cfg, device), reading_hook()

    def theirs() -> None:
        read(model.train_step(batch, optim_wrapper=wrapper))

    return ours, theirs, dict(note='one network with two optimizers')


def against_mmpretrain(case: Case, cfg: Config, device: str) -> tuple[Callable, Callable, dict]:
    """mmpretrain's MAE with the same weights, in MMEngine's loop."""
    import mmpretrain  # noqa: F401
    from mae_step import build_reference

    model, ratio = build_model(cfg.model, device), cfg.model.mask_ratio
    with torch.device(device):
        reference = build_reference(cfg.model.backbone.arch, cfg.model.backbone.img_size[0], ratio, cfg.model.decoder)
    reference.to(device).train()
    missing = reference.load_state_dict(model.state_dict(), strict=False).missing_keys
    batch = batch_of(case, tuple(cfg.model.backbone.img_size), device)
    images = model.data_preprocessor(dict(batch), True)['inputs']
    losses = []
    for network in (model, reference):
        torch.manual_seed(0)  # the same patches are removed
        with torch.no_grad():
            losses.append(float(network(images, mode='loss')['loss']))
    if missing or abs(losses[0] / losses[1] - 1) > TOLERANCE:
        raise ValueError(f'losses of equal weights differ: sapiens {losses[0]}, mmpretrain {losses[1]} ({missing})')
    del images
    ours, wrapper, read = our_step(model, cfg, batch), plain_wrapper(reference, cfg, device), reading_hook()

    def theirs() -> None:
        with wrapper.optim_context(reference):
            inputs = model.data_preprocessor(dict(batch), True)['inputs']
            loss = reference(inputs, mode='loss')['loss']
        wrapper.update_params(loss)
        read(dict(loss=loss.detach()))

    return ours, theirs, dict(losses=losses, note='same weights')


# ------------------------------------------------------------------ heads and losses


def head_sides(case: Case, cfg: Config, device: str, other: nn.Module, other_loss: Callable):
    """Forward and backward pass of head and loss, for the same random features and labels."""
    size = tuple(cfg.model.backbone.img_size)
    cfg.model.backbone.arch = dict(resolve_arch(cfg.model.backbone.arch), num_layers=1)
    model = build_model(cfg.model, device)
    grid = model.backbone.grid_of(*size)
    features = torch.randn(case.batch, model.backbone.embed_dims, *grid, device=device, requires_grad=True)
    data = model.data_preprocessor(batch_of(case, size, device), True)
    model.encode = lambda *args, **kwargs: features
    other = other(features.shape[1], model).to(device).train()

    def run(network: nn.Module, loss: Callable[[], Tensor]) -> None:
        with torch.autocast(device, torch.bfloat16):
            value = loss()
        value.backward()
        features.grad = None
        network.zero_grad(set_to_none=True)

    def our_loss() -> Tensor:
        return model.parse_losses(model(**data, mode='loss'))[0]

    theirs = partial(other_loss, other, features, data, model)
    return partial(run, model, our_loss), partial(run, other, theirs), dict(note='head and loss')


def against_vitpose(case: Case, cfg: Config, device: str):
    """ViTPose's kind of head in plain torch: transposed convolutions, batch norm, ReLU, and the error of maps in float32."""

    def build(channels: int, model: nn.Module) -> nn.Module:
        layers, head = [], cfg.model.head
        for width in head.deconv_channels:
            layers += [nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
            channels = width
        for width in head.conv_channels:
            layers += [nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU(True)]
            channels = width
        return nn.Sequential(*layers, nn.Conv2d(channels, len(model.skeleton), 1))

    def loss(head: nn.Module, features: Tensor, data: dict, model: nn.Module) -> Tensor:
        maps, labels = head(features), data['labels']
        sizes = tuple(data['inputs'].shape[:-3:-1]), tuple(maps.shape[:-3:-1])  # (w, h)
        target, weights = model.codec.encode(labels['keypoints'], labels['keypoint_weights'], *sizes)
        return ((maps.float() - target).square().mean((2, 3)) * weights).mean()

    return head_sides(case, cfg, device, build, loss)


def against_mmseg(case: Case, cfg: Config, device: str):
    """mmseg's head of convolutions and upsampling (SETR-PUP) with the widths and the output size of ours, and its losses."""
    import mmseg  # noqa: F401
    from mmengine.structures import PixelData
    from mmseg.models.decode_heads import SETRUPHead
    from mmseg.structures import SegDataSample

    widths = cfg.model.head.deconv_channels

    def build(channels: int, model: nn.Module) -> nn.Module:
        loss = dict(type='mmseg.CrossEntropyLoss', use_sigmoid=False)
        return SETRUPHead(
            in_channels=channels,
            channels=widths[0],
            num_classes=model.head.last_layer.out_channels,
            in_index=0,
            num_convs=len(widths),
            up_scale=2,
            kernel_size=3,
            norm_cfg=dict(type='BN'),
            align_corners=False,
            loss_decode=loss,
        )

    def loss(head: nn.Module, features: Tensor, data: dict, model: nn.Module) -> Tensor:
        samples = [
            SegDataSample(gt_sem_seg=PixelData(data=label.long()[None])) for label in data['labels']['gt_sem_seg']
        ]
        losses = head.loss_by_feat(head([features]), samples)
        return sum(value for name, value in losses.items() if 'loss' in name)

    return head_sides(case, cfg, device, build, loss)


OPPONENTS = {
    'mmpretrain': against_mmpretrain,
    'plain eager': against_plain,
    'ViTPose-style head': against_vitpose,
    "mmseg's head": against_mmseg,
}
