"""Time a pretraining step (forward, backward, clip, AdamW) beside mmpretrain's MAE of the same size, or beside our own
with one of its measures undone.

Each model lives in a process of its own, so that its peak memory is its own; steps alternate (A B A B ...), so that the
ratio survives a machine whose speed drifts. Both models get the same weights, images and masks: the losses of the first
step must agree.

Examples:
    python tools/benchmark/mae_step.py                                  # 0.3b at 1024x1024, masks 0.95 and 0.75, fp32 and bf16
    python tools/benchmark/mae_step.py --arch tiny --img-size 256 --batch-size 8 --precision fp32
    python tools/benchmark/mae_step.py --precision fp32 --mask-ratio 0.95 --against plain-adamw     # what fused AdamW brings
    python tools/benchmark/mae_step.py --precision fp32 --mask-ratio 0.95 --profile                 # where our step's time goes
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import time
import zlib

import torch
from torch import nn

import sapiens  # noqa: F401  (adapters for mmpretrain's imports)
from sapiens.models import MAE
from sapiens.models.backbones.archs import SAPIENS_ARCHS, resolve_arch
from sapiens.utils.memory import keep_tensor_memory

# What our step is compared with: mmpretrain, or ours without one of the things that make it fast.
ALTERNATIVES = {
    'mmpretrain': "mmpretrain's MAE",
    'plain-adamw': 'our model with torch.optim.AdamW as it is by default, not fused',
    'default-memory': "our model with the C library's and torch's own ways to get memory",
}
# Operators of torch's profiler by what they do; whatever is left is "other".
KINDS = {
    'attention': ('scaled_dot_product', 'flash_attention'),
    'matrix products': ('addmm', 'mm', 'bmm', 'linear', 'mkldnn_linear', 'matmul', 'convolution'),
    'layer norm and GELU': ('layer_norm', 'gelu'),
    'optimizer and clipping': ('adamw', 'foreach', 'clip', 'norm'),
}

DECODER = dict(num_layers=8, embed_dims=512, num_heads=16)


def build_ours(arch: str | dict, img_size: int, mask_ratio: float, decoder: dict = DECODER, **kwargs) -> nn.Module:
    backbone = dict(type='SapiensViT', arch=arch, img_size=img_size, with_cls_token=True, pos_embed='sincos')
    return MAE(backbone, decoder=decoder, mask_ratio=mask_ratio, **kwargs)


def build_reference(
    arch: str | dict, img_size: int, mask_ratio: float, decoder: dict = DECODER, norm_pix: bool = True
) -> nn.Module:
    """mmpretrain's MAE with the sizes of ours; its state dict has the keys of ours."""
    from mmpretrain.models import MAEPretrainDecoder, MAEPretrainHead, MAEViT
    from mmpretrain.models.utils import build_2d_sincos_position_embedding

    class Reference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = MAEViT(arch=resolve_arch(arch), img_size=img_size, patch_size=16, mask_ratio=mask_ratio)
            side = img_size // 16
            dims = self.backbone.embed_dims
            self.backbone.pos_embed.data = build_2d_sincos_position_embedding(side, dims, cls_token=True).float()
            self.neck = MAEPretrainDecoder(
                num_patches=side * side,
                patch_size=16,
                in_chans=3,
                embed_dim=dims,
                decoder_embed_dim=decoder['embed_dims'],
                decoder_depth=decoder['num_layers'],
                decoder_num_heads=decoder['num_heads'],
                mlp_ratio=4.0,
            )
            width = decoder['embed_dims']
            self.neck.decoder_pos_embed.data = build_2d_sincos_position_embedding(side, width, cls_token=True).float()
            loss = dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2')
            self.head = MAEPretrainHead(loss=loss, norm_pix=norm_pix, patch_size=16)

        def forward(self, inputs: torch.Tensor, data_samples=None, mode: str = 'loss') -> dict:
            latent, mask, ids_restore = self.backbone(inputs)
            pred = self.neck(latent, ids_restore)
            return dict(loss=self.head.loss(pred, inputs, mask))

    return Reference()


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Weights that depend on the key and shape only, so that two processes agree without sharing memory."""
    for key, value in model.named_parameters():
        if not value.requires_grad:
            continue  # the fixed position embeddings
        generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        value.normal_(std=0.02, generator=generator)
        if key.endswith(('ln1.weight', 'ln2.weight')):
            value.add_(1)


class Stepper:
    """One model with its optimizer; :meth:`step` runs a training step and returns (seconds, loss)."""

    def __init__(self, name: str, args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
        self.device = torch.device(args.device)
        build = build_reference if name == 'mmpretrain' else build_ours
        self.model = build(args.arch, args.img_size, mask_ratio).train()
        fill(self.model)
        self.model.to(self.device)
        trained = [value for value in self.model.parameters() if value.requires_grad]
        # What each project uses by default: mmpretrain's recipes name plain AdamW.
        options = {} if name in ('mmpretrain', 'plain-adamw') else dict(fused=True)
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.05, **options)
        self.trained, self.precision = trained, precision
        generator = torch.Generator().manual_seed(0)
        shape = (args.batch_size, 3, args.img_size, args.img_size)
        self.images = torch.randn(shape, generator=generator).to(self.device)
        self.count = 0

    def step(self) -> tuple[float, float]:
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
        return time.perf_counter() - start, value

    def profile(self) -> dict[str, float]:
        """Share of each of :data:`KINDS` in a step, by the time spent in the operators themselves; on a CPU."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            self.step()
        shares = dict.fromkeys([*KINDS, 'other'], 0.0)
        for event in profiler.key_averages():
            name = event.key.removeprefix('aten::').lower()
            kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), 'other')
            shares[kind] += event.self_cpu_time_total
        total = sum(shares.values())
        return {kind: time / total for kind, time in shares.items()}

    def synchronize(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()

    def peak_memory(self) -> float:
        """GiB: allocated on the GPU, or resident in this process."""
        if self.device.type == 'cuda':
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def serve(pipe, name: str, args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
    keep_tensor_memory()
    torch.set_num_threads(args.threads)
    stepper = Stepper(name, args, mask_ratio, precision)
    pipe.send('ready')
    while (order := pipe.recv()) != 'stop':
        if order == 'profile':
            pipe.send(stepper.profile())
            continue
        before = resource.getrusage(resource.RUSAGE_SELF)
        elapsed, loss = stepper.step()
        after = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send((elapsed, loss, after.ru_minflt - before.ru_minflt, after.ru_stime - before.ru_stime))
    pipe.send(stepper.peak_memory())


def start(name: str, args: argparse.Namespace, mask_ratio: float, precision: str):
    """A process that serves steps of one model: its pipe, and itself."""
    context = multiprocessing.get_context('spawn')
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, name, args, mask_ratio, precision), daemon=True)
    # What keep_tensor_memory() of the new process respects. The alternatives run without it.
    os.environ['SAPIENS_MEMORY'] = 'default' if name in ('mmpretrain', 'default-memory') else 'keep'
    os.environ['THP_MEM_ALLOC_ENABLE'] = '1' if os.environ['SAPIENS_MEMORY'] == 'keep' else '0'
    process.start()
    pipe.recv()
    return pipe, process


def show_profile(args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
    pipe, process = start('ours', args, mask_ratio, precision)
    for _ in range(args.warmup):
        pipe.send('step')
        pipe.recv()
    pipe.send('profile')
    shares = pipe.recv()
    print(f'{args.arch} {args.img_size}x{args.img_size} batch {args.batch_size}, mask {mask_ratio}, {precision}: ' +
          ', '.join(f'{kind} {share:.0%}' for kind, share in shares.items()), flush=True)  # fmt: skip
    pipe.send('stop')
    pipe.recv()
    process.join()


def compare(args: argparse.Namespace, mask_ratio: float, precision: str) -> None:
    names = ('ours', args.against)
    started = {name: start(name, args, mask_ratio, precision) for name in names}
    pipes = {name: pipe for name, (pipe, _) in started.items()}
    faults, system = {name: [] for name in names}, {name: [] for name in names}
    seconds, losses = {name: [] for name in pipes}, {}
    for index in range(args.warmup + args.steps):
        for name, pipe in pipes.items():
            pipe.send('step')
            elapsed, loss, fault_count, system_time = pipe.recv()
            losses.setdefault(name, loss)
            if index >= args.warmup:
                seconds[name].append(elapsed)
                faults[name].append(fault_count)
                system[name].append(system_time)
    memory = {}
    for name, pipe in pipes.items():
        pipe.send('stop')
        memory[name] = pipe.recv()
        started[name][1].join()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [theirs / ours for ours, theirs in zip(seconds['ours'], seconds[args.against], strict=True)]
    print(
        f'| {args.arch} {args.img_size}x{args.img_size} batch {args.batch_size} | {mask_ratio} | {precision} '
        f'| {median["ours"]:.2f} | {median[args.against]:.2f} '
        f'| {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) '
        f'| {memory["ours"]:.1f} | {memory[args.against]:.1f} | {losses["ours"]:.6f} | {losses[args.against]:.6f} '
        + ''.join(
            f'| {statistics.median(faults[name]):,.0f} and {statistics.median(system[name]):.1f} s ' for name in names
        )
        + '|',
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--arch', default='0.3b', choices=list(SAPIENS_ARCHS))
    parser.add_argument('--img-size', type=int, default=1024, help='side of the square image in pixels')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--mask-ratio', type=float, nargs='+', default=[0.95, 0.75])
    parser.add_argument('--precision', nargs='+', default=['fp32', 'bf16'], choices=['fp32', 'bf16'])
    parser.add_argument('--steps', type=int, default=5, help='measured steps of each model')
    parser.add_argument('--warmup', type=int, default=1, help='steps that are not counted')
    parser.add_argument('--threads', type=int, default=os.cpu_count(), help='CPU threads of each model')
    parser.add_argument(
        '--against',
        default='mmpretrain',
        choices=list(ALTERNATIVES),
        help='; '.join(f'{name}: {what}' for name, what in ALTERNATIVES.items()),
    )
    parser.add_argument('--profile', action='store_true', help='only print what our step spends its time on')
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
