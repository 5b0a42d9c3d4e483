"""What windows do to a dense prediction, and which part of it: the encoder, or the norms of the head.

    python tools/benchmark/windows.py configs/normal/sapiens2_tiny_synthetic-128x96.py --checkpoint FILE --image people/val/rgb
    python tools/benchmark/windows.py CONFIG --size 256 192 --window 128 96 --stride 64 48

Instance norms take the mean and the deviation of the whole map, and attention sees the whole image: a window gives other numbers
than the same pixels of the whole image. Encoder and head run on the whole input, or in overlapping windows whose outputs are
averaged, as ``test_cfg.crop_size`` does with both. Each row is compared with both on the whole input: the mean angle of normals
in degrees, the fraction of pixels with another class, the mean difference of depth as a fraction of its range. The last row is
the flip test on the whole input. Without --checkpoint the weights are random.
"""

import argparse
import math
from collections.abc import Callable

import torch
from prettytable import PrettyTable
from torch import Tensor

from sapiens.apis import build_model
from sapiens.apis.export.images import load_images
from sapiens.apis.inputs import find_images
from sapiens.models import DenseEstimator
from sapiens.models.layers.upsample import upsample
from sapiens.utils.cli import tool_parser
from sapiens.utils.config_options import add_options_argument


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='path of a config file, or name of a published model')
    parser.add_argument('--checkpoint', help='weights, a path or a name; random ones without')
    parser.add_argument('--image', help='a file or folder (default: the portrait that scikit-image has)')
    parser.add_argument('--limit', type=int, default=50, help='images at most (default: %(default)s)')
    pair = dict(type=int, nargs=2, metavar=('H', 'W'))
    parser.add_argument('--size', **pair, help="of the input in pixels (default: the config's)")
    parser.add_argument('--window', **pair, help='in pixels (default: three quarters of the input)')
    parser.add_argument('--stride', **pair, help='from window to window in pixels (default: half a window)')
    add_options_argument(parser)
    return parser.parse_args()


def starts(cells: int, window: int, stride: int) -> list[int]:
    return [*range(0, cells - window, stride), cells - window]


def in_windows(function: Callable, whole: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """``function`` of windows of (1, C, h, w), averaged where they overlap. Its outputs may be larger or smaller by a factor."""
    total = count = None
    for top in starts(whole.shape[-2], window[0], stride[0]):
        for left in starts(whole.shape[-1], window[1], stride[1]):
            part = function(whole[..., top : top + window[0], left : left + window[1]])
            if total is None:
                factor = part.shape[-1] / window[1]
                total = part.new_zeros(*part.shape[:2], *(round(side * factor) for side in whole.shape[-2:]))
                count = torch.zeros_like(total[:1, :1])
            rows, columns = (slice(round(first * factor), round(first * factor) + side)
                             for first, side in zip((top, left), part.shape[-2:], strict=True))  # fmt: skip
            total[..., rows, columns] += part
            count[..., rows, columns] += 1
    return total / count


def difference(kind: str, value: Tensor, reference: Tensor) -> float:
    """Of decoded fields (1, ..., H, W)."""
    if kind == 'labels':
        return float((value != reference).float().mean())
    if kind == 'unit_vectors':
        cross = torch.linalg.cross(value, reference, dim=1).norm(dim=1)
        return math.degrees(float(torch.atan2(cross, (value * reference).sum(1)).mean()))
    return float((value - reference).abs().mean() / (reference.max() - reference.min()))


@torch.inference_mode()
def main() -> None:
    args = parse_args()
    options = dict(option.split('=', 1) for option in args.cfg_options or ())
    if args.size:
        options['model.backbone.img_size'] = tuple(args.size)
    model = build_model(args.config, args.checkpoint, 'cpu', options)
    if not isinstance(model, DenseEstimator):
        raise SystemExit(f'{args.config}: {type(model).__name__} predicts no maps')
    size, step = tuple(model.backbone.img_size), model.backbone.patch_size
    window = tuple(args.window or (max(1, 3 * side // 4 // step) * step for side in size))
    stride = tuple(args.stride or (max(1, side // 2 // step) * step for side in window))
    cells, moves = ([side // step for side in pair] for pair in (window, stride))
    for pair in (window, stride):
        model.backbone.grid_of(*pair)
    files = find_images(args.image)[: args.limit] if args.image else []

    def encode(images: Tensor) -> Tensor:
        return model.backbone(images)[-1]

    def head(features: Tensor) -> Tensor:
        """At the size of the pixels, where the averages are taken."""
        return upsample(model.head(features), tuple(step * side for side in features.shape[-2:]))

    field = model.task.spec.field
    sums: dict[str, float] = {}
    images = load_images(files, size)
    for image in images:
        inputs = model.data_preprocessor.normalize(image)[None]
        features = encode(inputs), in_windows(encode, inputs, window, stride)
        outputs = {
            'both whole': head(features[0]),
            'encoder in windows': head(features[1]),
            'head in windows': in_windows(head, features[0], cells, moves),
            'both in windows': in_windows(lambda part: head(encode(part)), inputs, window, stride),
        }
        mirrored = model.task.mirrored(head(encode(inputs.flip(-1))))
        outputs['flip test'] = (outputs['both whole'] + mirrored) / 2
        decoded = {name: model.task.decode(value, size)[field.name] for name, value in outputs.items()}
        for name, value in decoded.items():
            sums[name] = sums.get(name, 0.0) + difference(field.kind, value, decoded['both whole'])
    unit = dict(labels='pixels of another class', unit_vectors='degrees').get(field.kind, 'of the range')
    table = PrettyTable(['prediction', unit])
    for name, value in sums.items():
        table.add_row([name, f'{value / len(images):.4g}'])
    print(
        f'{len(images)} images of {size[0]}x{size[1]}, windows of {window[0]}x{window[1]} every {stride[0]}x{stride[1]}'
    )
    print(table)


if __name__ == '__main__':
    main()
