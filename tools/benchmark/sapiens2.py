"""Speed and memory of Sapiens2 on one core against transformers' classes of it, with equal weights and equal outputs.

    python tools/benchmark/sapiens2.py --size 0.1b 0.4b                     # trunk and heads, at 1024x768
    python tools/benchmark/sapiens2.py --part decode labels input --images photos --repeats 9
    python tools/benchmark/sapiens2.py --part folder --images photos --size 0.1b --repeats 1
    sapiens convert convert work_dirs/seg/iter_4000.pth parts --to huggingface   # a trained model
    python tools/benchmark/sapiens2.py --part folder --images photos --models parts
    python tools/benchmark/sapiens2.py --part tokenizer --size 1b --chunks 256 1024

trunk      the encoder
heads      heads of keypoints, parts, normals, pointmaps (and their scale) and matting, from a feature map to maps
memory     peak memory of these heads above weights and features, each in a process of its own
decode     heatmaps of 308 keypoints of four people to keypoints
labels     scores of 29 classes at the size of the input to labels of an image of 12 megapixels
input      a JPEG file of 12 megapixels to the input of the network
folder     photographs from files to results in memory, with whole models: one after the other, and by Predictor.stream
tokenizer  4096x3072 pixels to tokens by chunks of windows: time and peak memory; transformers has no such encoder
cuda       the encoder on a GPU in bf16, eight images, compiled and not: time, and peak memory above the weights

Outputs must agree up to 1e-4 of the largest value, or the script stops. Both sides take turns in this process; the ratio is the
median of neighboring runs. Times are CPU times of the process on one thread, which other processes hardly change. Peak memory is
that of the resident set.
"""

import sapiens  # noqa: F401  isort: skip  (before transformers)
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import transformers
from harness import cpu_seconds, find_photographs, seconds, use_one_thread
from mmengine.logging import MMLogger
from PIL import Image, ImageOps
from pretrain_data import mosaic, upsample
from prettytable import PrettyTable
from sapiens2_models import TASKS, encoders, heads, their_model
from transformers.models.sapiens2 import Sapiens2ImageProcessor
from versus import Table, agree, all_agree, compare, in_process, labels_agree, peak, take_turns

from sapiens.apis import load_model
from sapiens.apis.huggingface import ImageProcessor
from sapiens.apis.inputs import read_pixels
from sapiens.apis.results import Result
from sapiens.checkpoints.huggingface import LETTERBOXED
from sapiens.frames import to_published
from sapiens.models import Sapiens2ViT, UDPHeatmap
from sapiens.models.backbones.archs import SAPIENS2_ARCHS
from sapiens.utils.cli import tool_parser

LARGE = (3000, 4000)  # (h, w) of 12 megapixels
MODES = ('eager', 'compiled')


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--part', nargs='+', choices=list(PARTS), default=['trunk', 'heads'], help='default: %(default)s'
    )
    parser.add_argument(
        '--size', nargs='+', choices=list(SAPIENS2_ARCHS), default=['0.1b'], help='default: %(default)s'
    )
    parser.add_argument('--image-size', nargs=2, type=int, default=(1024, 768), metavar=('H', 'W'))
    parser.add_argument('--tasks', nargs='+', choices=list(TASKS), default=list(TASKS), help='default: all')
    parser.add_argument('--threads', type=int, default=1, help='of folder; wall times from 2 on; default: %(default)s')
    parser.add_argument('--repeats', type=int, default=5, help='default: %(default)s')
    parser.add_argument('--images', help='folder of photographs, for input and folder')
    parser.add_argument(
        '--models', nargs='+', metavar='FOLDER', help='of the part folder: saved models, instead of random ones'
    )
    parser.add_argument(
        '--chunks', nargs='+', type=int, default=[64, 256, 1024, 3072], help='windows; default: %(default)s'
    )
    parser.add_argument('--device', default='cuda', help='of the part cuda; default: %(default)s')
    parser.add_argument('--modes', nargs='+', choices=MODES, default=MODES, help='of the part cuda; default: both')
    args = parser.parse_args()
    if args.images is None and {'input', 'folder'} & set(args.part):
        parser.error('--images is needed for the parts input and folder')
    args.image_size = tuple(args.image_size)
    args.clock, args.clock_name = (cpu_seconds, 'CPU time') if args.threads == 1 else (seconds, 'wall time')
    return args


# ---------------------------------------------------------------------- the network


def trunk(args) -> PrettyTable:
    table = Table()
    images = torch.randn(1, 3, *args.image_size)
    for size in args.size:
        theirs, ours = encoders(size, args.image_size)
        compare(
            table,
            f'encoder {size}',
            lambda model=theirs: model(images).last_hidden_state,
            lambda model=ours: model(images)[0],
            args.repeats,
        )
    return table.table


def features(size: str, image_size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(1, SAPIENS2_ARCHS[size]['embed_dims'], image_size[0] // 16, image_size[1] // 16)


def head_speed(args) -> PrettyTable:
    table = Table()
    for size in args.size:
        inputs = features(size, args.image_size)
        for task in args.tasks:
            runs = [partial(head, inputs) for head in heads(task, size, args.image_size)]
            compare(table, f'{task} head {size}', *runs, args.repeats, all_agree)
    return table.table


def head_memory(args) -> PrettyTable:
    table = Table('output MiB')
    for size in args.size:
        for task in args.tasks:
            pairs = [
                tuple(in_process(peak_of_head, side, task, size, args.image_size) for side in range(2))
                for _ in range(args.repeats)
            ]
            output = TASKS[task][1] * np.prod(args.image_size) / (16 if task == 'pose' else 1) * 4 / 2**20
            table.add(f'{task} head {size}', pairs, '', 'MiB', f'{output:.0f}')
    return table.table


def peak_of_head(side: int, task: str, size: str, image_size: tuple[int, int]) -> float:
    use_one_thread()
    model, inputs = heads(task, size, image_size)[side], features(size, image_size)
    return peak(lambda: model(inputs))


def tokenizer(args) -> PrettyTable:
    table = PrettyTable(['size', 'windows per chunk', 'CPU s: median (range)', 'peak MiB', 'difference'])
    for size in args.size:
        expected = None
        for chunk in args.chunks:
            times, peaks, found = zip(*(in_process(tokens, size, chunk) for _ in range(args.repeats)), strict=True)
            expected = found[0] if expected is None else expected
            difference = agree(f'chunks of {chunk}', expected, found[0])
            spent = f'{statistics.median(times):.1f} ({min(times):.1f}-{max(times):.1f})'
            table.add_row([size, chunk, spent, f'{statistics.median(peaks):.0f}', difference])
            print(f'{size}, chunks of {chunk}: {spent} s, {statistics.median(peaks):.0f} MiB', flush=True)
    return table


def tokens(size: str, chunk: int) -> tuple[float, float, np.ndarray]:
    """CPU seconds and peak MiB of the tokenizer on an image of 4096x3072, and some of its output."""
    use_one_thread()
    torch.manual_seed(0)
    arch = dict(SAPIENS2_ARCHS[size], num_layers=1)
    model = Sapiens2ViT(arch, (4096, 3072), tokenizer=True, window_chunk=chunk).eval().requires_grad_(False)
    model.init_weights()
    image, kept = torch.randn(1, 3, 4096, 3072), {}

    def run() -> None:
        kept['time'], (kept['tokens'], _) = cpu_seconds(model.embed, image)

    highest = peak(run)
    return kept['time'], highest, kept['tokens'][0, ::64].numpy()


# ---------------------------------------------------------------------- around it


def decode(args) -> PrettyTable:
    height, width = args.image_size
    rng = np.random.default_rng(0)
    points = rng.uniform((20, 20), (width - 20, height - 20), (4, 308, 2)).astype(np.float32)
    codec = UDPHeatmap()
    maps, _ = codec.encode(torch.from_numpy(points), torch.ones(4, 308), (width, height), (width // 4, height // 4))
    maps = 0.8 * maps + 0.003 * torch.rand(maps.shape)
    boxes = [[[100.0, 50.0, 600.0, 900.0]] * 4]
    processor, ours = their_processor(args.image_size), ImageProcessor(args.image_size)
    outputs = SimpleNamespace(heatmaps=maps)

    def same(title: str, theirs: list, found: list) -> str:
        return agree(title, *(torch.stack([person['keypoints'] for person in side[0]]) for side in (theirs, found)))

    table = Table()
    compare(
        table,
        '308 keypoints of 4 people',
        lambda: processor.post_process_pose_estimation(outputs, boxes=boxes),
        lambda: ours.keypoints(maps, boxes),
        args.repeats,
        same,
    )
    return table.table


def labels(args) -> PrettyTable:
    processor, ours = their_processor(args.image_size), ImageProcessor(args.image_size)
    table = Table('cells at borders')
    h, w = args.image_size
    smooth = torch.nn.functional.interpolate(torch.randn(1, 29, h // 64, w // 64), (h, w), mode='bicubic')
    noise = torch.randn(1, 29, h, w)
    # Regions, regions with rough borders, and what random weights give.
    for title, scores in {'regions': smooth, 'rough': smooth + 0.05 * noise, 'noise': noise}.items():
        outputs = SimpleNamespace(logits=scores)
        top = scores[0].argmax(0)
        borders = (top[1:, 1:] != top[:-1, 1:]) | (top[1:, 1:] != top[1:, :-1])
        runs = (
            partial(processor.post_process_semantic_segmentation, outputs, target_sizes=[LARGE]),
            partial(ours.segmentation, scores, [LARGE]),
        )
        with torch.inference_mode():
            difference = labels_agree(title, *(run()[0] for run in runs))
            pairs = take_turns(*runs, args.repeats)
        table.add(f'labels, {title}', pairs, difference, 's', f'{borders.float().mean():.0%}')
    return table.table


def their_processor(image_size: tuple[int, int], **options) -> Sapiens2ImageProcessor:
    return Sapiens2ImageProcessor(size=dict(height=image_size[0], width=image_size[1]), **options)


def jpeg_input(args) -> PrettyTable:
    processor, ours, table = their_processor(args.image_size), ImageProcessor(args.image_size), Table('MB')
    paths, size = find_photographs(args.images), LARGE[::-1]
    images = {
        'upsampled photograph': upsample(paths[0], size),
        'another': upsample(paths[-1], size),
        'mosaic of photographs': mosaic(paths, size, 0),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'image.jpg'
        runs = (
            lambda: processor(Image.open(file).convert('RGB'), return_tensors='pt')['pixel_values'],
            lambda: ours([read_pixels(file)]),
        )
        for title, image in images.items():
            image.save(file, quality=90)
            difference = agree(title, *(run() for run in runs))
            megabytes = f'{file.stat().st_size / 1e6:.1f}'
            table.add(title, take_turns(*runs, args.repeats), difference, 's', megabytes)
    return table.table


def photographs(args) -> PrettyTable:
    table, paths = Table(), find_photographs(args.images)
    torch.set_num_threads(args.threads)
    for title, task, folder in saved_models(args):
        model = getattr(transformers, TASKS[task][0]).from_pretrained(folder, dtype=torch.float32).eval()
        processor = Sapiens2ImageProcessor.from_pretrained(folder)
        options = dict(detector='whole-image') if task == 'pose' else {}
        predictor = load_model(str(folder), device='cpu', batch_size=1, processing='huggingface', **options)

        def theirs(model=model, processor=processor, task=task) -> list:
            return [their_result(model, processor, task, path) for path in paths]

        def ours(predictor=predictor) -> list:
            return [result for _, result in predictor.stream(paths)]

        with torch.inference_mode():
            title = f'{title}, {len(paths)} files'
            same = agree if task != 'seg' else labels_agree
            differences = [
                same(title, their_numbers(one, task), our_numbers(other, task))
                for one, other in zip(theirs(), ours(), strict=True)
            ]
            pairs = take_turns(theirs, ours, args.repeats, args.clock)
        table.add(f'{title} ({args.clock_name})', pairs, max(differences), 's')
    return table.table


def saved_models(args) -> Iterator[tuple[str, str, Path]]:
    """Title, task and folder of whole models in the form of transformers: those of ``--models``, or random ones by size."""
    classes = {name: task for task, (name, *_) in TASKS.items()}
    for folder in map(Path, args.models or ()):
        (name,) = json.loads((folder / 'config.json').read_text())['architectures']
        if name not in classes:
            raise ValueError(f'{folder}: {name} is not one of {", ".join(classes)}')
        yield f'{classes[name]} {folder.name}', classes[name], folder
    for size in args.size if args.models is None else ():
        for task in args.tasks:
            with tempfile.TemporaryDirectory() as folder:
                their_model(task, size, args.image_size).save_pretrained(folder)
                their_processor(args.image_size, do_pad=task in LETTERBOXED).save_pretrained(folder)
                yield f'{task} {size}', task, Path(folder)


def our_numbers(result: Result, task: str) -> np.ndarray:
    """What is compared, in the form of transformers: of keypoints the scores, since random heatmaps have no distinct peaks."""
    if task == 'pose':
        return result.scores
    if task == 'seg':
        return result.labels
    if task == 'normal':
        return to_published(result.normals, dim=-1).transpose(2, 0, 1)
    if task == 'pointmap':
        return result.points.transpose(2, 0, 1)
    return np.concatenate([result.alpha[None], result.foreground.transpose(2, 0, 1)])


def their_numbers(result, task: str) -> torch.Tensor:
    if task == 'pose':
        return torch.stack([person['scores'] for person in result])
    if task == 'seg':
        return result
    if task == 'matting':
        return torch.cat([result['alpha'], result['foreground']])
    return result[dict(normal='normals', pointmap='pointmap')[task]]


def their_result(model, processor, task: str, path: str):
    """One photograph from the file to results, as transformers documents it."""
    image = ImageOps.exif_transpose(Image.open(path)).convert('RGB')
    size = image.size[::-1]
    boxes = [[[0, 0, *image.size]]]
    inputs = processor(image, return_tensors='pt', **(dict(boxes=boxes) if task == 'pose' else {}))
    outputs = model(**inputs)
    if task == 'pose':
        return processor.post_process_pose_estimation(outputs, boxes=boxes)[0]
    if task == 'seg':
        return processor.post_process_semantic_segmentation(outputs, target_sizes=[size])[0]
    if task == 'matting':
        return processor.post_process_image_matting(outputs, target_sizes=[size])[0]
    restore = getattr(processor, f'post_process_{task}_estimation')
    return restore(outputs, source_sizes=[size], target_sizes=[size])[0]


# ---------------------------------------------------------------------- on a GPU


def on_gpu(args) -> PrettyTable:
    table = Table('peak MiB of transformers', 'peak MiB of sapiens')
    device = torch.device(args.device)
    for size in args.size:
        images = torch.randn(8, 3, *args.image_size, device=device, dtype=torch.bfloat16)
        models = [model.to(device, torch.bfloat16) for model in encoders(size, args.image_size)]
        for mode in args.modes:
            runs = [partial(torch.compile(model) if mode == 'compiled' else model, images) for model in models]
            with torch.inference_mode():
                peaks = [f'{_device_peak(run, device):.0f}' for run in runs]
                pairs = take_turns(*runs, args.repeats, partial(seconds, device=device))
            table.add(f'encoder {size}, {len(images)} images, {mode}', pairs, '', 's', *peaks)
    return table.table


def _device_peak(run: Callable, device: torch.device) -> float:
    """Peak of the memory of a GPU during a call above that before it, in MiB; 0 on a CPU."""
    run()  # compiles
    if device.type != 'cuda':
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


PARTS = {
    'trunk': trunk,
    'heads': head_speed,
    'memory': head_memory,
    'decode': decode,
    'labels': labels,
    'input': jpeg_input,
    'folder': photographs,
    'tokenizer': tokenizer,
    'cuda': on_gpu,
}


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    use_one_thread()
    torch.manual_seed(0)
    for part in args.part:
        print(f'\n{part}, torch {torch.__version__}', flush=True)
        print(PARTS[part](args))


if __name__ == '__main__':
    main()
