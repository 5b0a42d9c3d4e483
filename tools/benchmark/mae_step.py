"""Time a pretraining step (forward, backward, clipping, AdamW) against mmpretrain's MAE, or against our own without one of its
optimizations.

Both models get the same weights, images and masks, so the losses of the first step must agree. Each model runs in its own
process, which measures its own peak memory. Steps alternate between the models, and the speed-up is the median ratio of
neighboring steps, so a machine of varying speed does not bias it.

Examples:
    python tools/benchmark/mae_step.py                                  # 0.3b at 1024x1024, masks 0.95 and 0.75, fp32 and bf16
    python tools/benchmark/mae_step.py --arch tiny --img-size 256 --batch-size 8 --precision fp32
    python tools/benchmark/mae_step.py --precision fp32 --mask-ratio 0.95 --against plain-adamw     # gain of fused AdamW
    python tools/benchmark/mae_step.py --precision fp32 --mask-ratio 0.95 --profile                 # time by kind of operator
"""

import argparse
import multiprocessing
import os
import resource
import time
import zlib
from statistics import median
from unittest import mock

import torch
from torch import nn

import sapiens  # noqa: F401  (adapters for mmpretrain's imports)
from sapiens.models import MAE
from sapiens.models.backbones.archs import SAPIENS_ARCHS, resolve_arch
from sapiens.models.layers.masking import training_noise
from sapiens.models.layers.sample_random import draw_seeds
from sapiens.utils.cli import tool_parser
from sapiens.utils.memory import keep_tensor_memory

ALTERNATIVES = {
    'mmpretrain': "mmpretrain's MAE",
    'plain-adamw': 'our model with the default torch.optim.AdamW, not fused',
    'default-memory': 'our model with the default memory allocation of the C library and torch',
}
# Operators of torch's profiler by kind; all others are "other".
KINDS = {
    'attention': ('scaled_dot_product', 'flash_attention'),
    'matrix products': ('addmm', 'mm', 'bmm', 'linear', 'mkldnn_linear', 'matmul', 'convolution'),
    'layer norm and GELU': ('layer_norm', 'gelu'),
    'optimizer and clipping': ('adamw', 'foreach', 'clip', 'norm'),
}
DECODER = dict(num_layers=8, embed_dims=512, num_heads=16)


def build_ours(
    arch: str | dict,
    img_size: int,
    mask_ratio: float,
    decoder: dict = DECODER,
    patch_bias: str = 'uniform',
    **kwargs,
) -> nn.Module:
    encoder = dict(type='SapiensViT', with_cls_token=True, pos_embed='sincos', patch_bias=patch_bias)
    backbone = dict(encoder, arch=arch, img_size=img_size)
    return MAE(backbone, decoder=decoder, mask_ratio=mask_ratio, **kwargs)


def build_reference(
    arch: str | dict, img_size: int, mask_ratio: float, decoder: dict = DECODER, norm_pix: bool = True
) -> nn.Module:
    """Build mmpretrain's MAE of the same sizes; its state dict has our keys, and it removes the patches that ours removes."""
    from mmpretrain.models import MAEPretrainDecoder, MAEPretrainHead, MAEViT

    class Reference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = MAEViT(arch=resolve_arch(arch), img_size=img_size, patch_size=16, mask_ratio=mask_ratio)
            self.neck = MAEPretrainDecoder(
                num_patches=(img_size // 16) ** 2,
                patch_size=16,
                in_chans=3,
                embed_dim=self.backbone.embed_dims,
                decoder_embed_dim=decoder['embed_dims'],
                decoder_depth=decoder['num_layers'],
                decoder_num_heads=decoder['num_heads'],
                mlp_ratio=4.0,
            )
            # What mmpretrain's registry does with the settings of its MAE configs. It also sets the position embeddings.
            for part in (self.backbone, self.neck):
                part.init_cfg = [
                    dict(type='Xavier', layer='Linear', distribution='uniform'),
                    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
                ]
                part.init_weights()
            loss = dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')
            self.head = MAEPretrainHead(loss=loss, norm_pix=norm_pix, patch_size=16)

        def forward(self, inputs: torch.Tensor, data_samples=None, mode: str = 'loss') -> dict:
            noise = training_noise(draw_seeds(len(inputs), inputs.device), (img_size // 16, img_size // 16))
            with mock.patch.object(torch, 'rand', lambda *size, device: noise):  # mmpretrain draws nothing else
                latent, mask, ids_restore = self.backbone(inputs)
            return dict(loss=self.head.loss(self.neck(latent, ids_restore), inputs, mask))

    return Reference()


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Set weights that depend on key and shape only, so that two processes agree without sharing memory."""
    for key, value in model.named_parameters():
        if not value.requires_grad:
            continue  # the fixed position embeddings
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        value.normal_(std=0.02, generator=generator)
        if key.endswith(('ln1.weight', 'ln2.weight')):
            value.add_(1)


class Stepper:
    """One model with its optimizer."""

    def __init__(self, name: str, args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
        self.device, self.precision, self.count = torch.device(args.device), precision, 0
        build = build_reference if name == 'mmpretrain' else build_ours
        self.model = build(args.arch, args.img_size, mask_ratio).train()
        fill(self.model)
        self.model.to(self.device)
        self.trained = [value for value in self.model.parameters() if value.requires_grad]
        # The default of each project: mmpretrain's recipes name plain AdamW.
        options = {} if name in ('mmpretrain', 'plain-adamw') else dict(fused=True)
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05, **options)
        shape = (args.batch_size, 3, args.img_size, args.img_size)
        self.images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def step(self) -> tuple[float, float, int, float]:
        """Run a training step; returns seconds, loss, page faults, and seconds of kernel time."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        torch.manual_seed(self.count)
        self.count += 1
        self.synchronize()
        start = time.perf_counter()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == 'bf16'):
            loss = self.model(self.images, mode='loss')['loss']
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        value = loss.item()
        self.synchronize()
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_SELF)
        return seconds, value, after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime

    def profile(self) -> dict[str, float]:
        """Fraction of the time of a step in each of :data:`KINDS`, on a CPU."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            self.step()
        times = dict.fromkeys([*KINDS, 'other'], 0.0)
        for event in profiler.key_averages():
            name = event.key.removeprefix('aten::').lower()
            kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), 'other')
            times[kind] += event.self_cpu_time_total
        total = sum(times.values())
        return {kind: value / total for kind, value in times.items()}

    def memory(self) -> float:
        """Peak in GiB: allocated on the GPU, or resident in this process."""
        if self.device.type == 'cuda':
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def synchronize(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()


def serve(pipe, name: str, args: argparse.Namespace, *setting) -> None:
    """Answer the names of methods of a :class:`Stepper` with their results, until the pipe is closed."""
    keep_tensor_memory()  # unless SAPIENS_MEMORY=default
    torch.set_num_threads(args.threads)
    stepper = Stepper(name, args, *setting)
    while True:
        try:
            pipe.send(getattr(stepper, pipe.recv())())
        except EOFError:
            return


def start(name: str, args: argparse.Namespace, *setting):
    """Start the process of one model; returns its pipe."""
    context = multiprocessing.get_context('spawn')
    pipe, theirs = context.Pipe()
    default = name in ('mmpretrain', 'default-memory')
    # keep_tensor_memory() of the new process respects both variables.
    os.environ['SAPIENS_MEMORY'] = 'default' if default else 'keep'
    os.environ['THP_MEM_ALLOC_ENABLE'] = '0' if default else '1'
    context.Process(target=serve, args=(theirs, name, args, *setting), daemon=True).start()
    theirs.close()
    return pipe


def ask(pipe, method: str):
    pipe.send(method)
    return pipe.recv()


def show_profile(args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
    pipe = start('ours', args, mask_ratio, precision)
    for _ in range(args.warmup):
        ask(pipe, 'step')
    fractions = ', '.join(f'{kind} {value:.0%}' for kind, value in ask(pipe, 'profile').items())
    size = f'{args.img_size}x{args.img_size}'
    print(f'{args.arch} {size} batch {args.batch_size}, mask {mask_ratio}, {precision}: {fractions}', flush=True)


def compare(args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
    """Print a row of the table."""
    pipes = [start(name, args, mask_ratio, precision) for name in ('ours', args.against)]
    steps = [[ask(pipe, 'step') for pipe in pipes] for _ in range(args.warmup + args.steps)]
    losses = [loss for _, loss, _, _ in steps[0]]
    memory = [ask(pipe, 'memory') for pipe in pipes]
    # For each model: seconds, losses, page faults and kernel times of the measured steps.
    ours, other = (list(zip(*measured, strict=True)) for measured in zip(*steps[args.warmup :], strict=True))
    ratios = [b / a for a, b in zip(ours[0], other[0], strict=True)]
    cells = [
        f'{args.arch} {args.img_size}x{args.img_size} batch {args.batch_size}',
        mask_ratio,
        precision,
        *(f'{median(side[0]):.2f}' for side in (ours, other)),
        f'{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})',
        *(f'{value:.1f}' for value in memory),
        *(f'{loss:.6f}' for loss in losses),
        *(f'{median(side[2]):,.0f} and {median(side[3]):.1f} s' for side in (ours, other)),
    ]
    print(f'| {" | ".join(map(str, cells))} |', flush=True)


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--arch', default='0.3b', choices=list(SAPIENS_ARCHS))
    parser.add_argument('--img-size', type=int, default=1024, help='side of the square image in pixels')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--mask-ratio', type=float, nargs='+', default=[0.95, 0.75])
    parser.add_argument('--precision', nargs='+', default=['fp32', 'bf16'], choices=['fp32', 'bf16'])
    parser.add_argument('--steps', type=int, default=5, help='measured steps of each model')
    parser.add_argument('--warmup', type=int, default=1, help='steps before the measurement')
    parser.add_argument('--threads', type=int, default=os.cpu_count(), help='CPU threads of each model')
    parser.add_argument('--against', default='mmpretrain', choices=list(ALTERNATIVES),
                        help='; '.join(f'{name}: {what}' for name, what in ALTERNATIVES.items()))  # fmt: skip
    parser.add_argument('--profile', action='store_true', help='only print the time of our step by kind of operator')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args()
    if not args.profile:
        other = args.against
        print(f'| model | mask ratio | precision | ours s/step | {other} s/step | speed-up (min-max) | ours GiB | {other} GiB '
              f'| our loss | {other} loss | our page faults and kernel time | {other} page faults and kernel time |')  # fmt: skip
        print('|' + '---|' * 12)
    for precision in args.precision:
        for mask_ratio in args.mask_ratio:
            (show_profile if args.profile else compare)(args, mask_ratio, precision)


if __name__ == '__main__':
    main()
