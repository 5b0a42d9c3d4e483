"""Benchmark of inference in images per second, from files to files: the batched pipeline against loops over images.

A loop reads, preprocesses, predicts, draws and writes one image after the other. The plain loop upsamples dense outputs with
torch's functions, as demos do; the other one with those of the pipeline. All use the same model in the same process and write the
same files, which are compared.

    python tools/benchmark/infer.py pose photos --model CONFIG --checkpoint FILE
    python tools/benchmark/infer.py seg photos --model sapiens-seg-1b --batch-size 8 --device cuda --repeats 3
"""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from harness import seconds
from mmengine.logging import MMLogger
from prettytable import PrettyTable

from sapiens.apis import load_model
from sapiens.apis.batch_job import Plan, run_plan
from sapiens.apis.detectors.base import whole_image
from sapiens.apis.inputs import Item, find_inputs, read_pixels
from sapiens.apis.predictors import Predictor
from sapiens.apis.results import Saving
from sapiens.apis.results.by_task import get_inference_task
from sapiens.tasks import task_names
from sapiens.utils.cli import tool_parser
from sapiens.utils.device import DTYPES


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('task', choices=task_names(inference=True))
    parser.add_argument('input', nargs='+', help='images, as for tools/infer.py')
    parser.add_argument('--model', required=True, help='published model by name, or a config')
    parser.add_argument('--checkpoint', help='weights of a config; default: random')
    parser.add_argument('--device', default='auto', help='default: %(default)s')
    parser.add_argument('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    parser.add_argument('--batch-size', type=int, default=8, help='default: %(default)s')
    parser.add_argument('--workers', type=int, default=2, help='threads that read; default: %(default)s')
    parser.add_argument('--images', type=int, default=64, help='the given ones are repeated; default: %(default)s')
    parser.add_argument(
        '--repeats', type=int, default=3, help='the fastest of these runs counts; default: %(default)s'
    )
    parser.add_argument('--save', nargs='+', help='kinds of files, as for tools/infer.py; default: data and images')
    return parser.parse_args()


def loop(forward: Callable, predictor: Predictor, items: list[Item], out: Path, saving: Saving) -> None:
    """Process one image after the other. ``forward`` maps a list of (image, sample, pixels) to outputs."""
    for item in items:
        image = read_pixels(item.source)
        boxes, scores = whole_image(image)
        outputs = [forward([(image, *unit)])[0] for unit in predictor.units(image, boxes, scores)]
        predictor.result(image, item.source, outputs).write(out / item.name, saving)


@torch.inference_mode()
def plain_forward(predictor: Predictor, units: list) -> list:
    """Do what :meth:`Predictor.forward` does for one image, with torch's functions."""
    ((image, _, pixels),) = units
    network = predictor.network
    output = network(network.data_preprocessor.normalize(pixels[None].to(predictor.device))).float()
    for size in (pixels.shape[-2:], image.shape[:2]):
        output = F.interpolate(output, tuple(size), mode='bilinear', align_corners=False)
    fields = network.task.finish(output[0], image.shape[:2], network.test_cfg)
    fields = {name.removeprefix('pred_'): value for name, value in fields.items()}
    return [predictor.result_class.read_fields(fields, network.task)]


def best(run, out: Path, repeats: int) -> float:
    """Return the smallest wall time of a call in seconds. Each call writes to an empty folder."""
    times = []
    for _ in range(repeats):
        shutil.rmtree(out, ignore_errors=True)
        times.append(seconds(run)[0])
    return min(times)


def difference(one: Path, other: Path) -> str:
    """Describe the differences between the data of two folders."""
    files = sorted(path.relative_to(one) for path in one.rglob('*') if path.suffix in ('.json', '.npy'))
    if sorted(path.relative_to(other) for path in other.rglob('*') if path.suffix in ('.json', '.npy')) != files:
        return 'different files'
    largest, changed, total = 0.0, 0, 0
    for name in files:
        values = [_values(folder / name) for folder in (one, other)]
        if values[0].shape != values[1].shape:
            return f'different shapes of {name}'
        if values[0].dtype.kind in 'bu':
            changed, total = changed + int((values[0] != values[1]).sum()), total + values[0].size
        elif values[0].size:
            largest = max(largest, float(np.nanmax(np.abs(values[0] - values[1]))))
    texts = [f'{len(files)} files', f'largest difference {largest:.2g}']
    return ', '.join(texts + ([f'{changed} of {total} labels differ'] if total else []))


def _values(path: Path) -> np.ndarray:
    if path.suffix == '.npy':
        return np.load(path)
    document = json.loads(path.read_text())
    if 'instance_info' not in document:
        return np.concatenate([np.ravel(value).astype(float) for value in document.values()])
    return np.array([np.array(person['keypoints'], float) for person in document['instance_info']])


def main() -> None:
    args = parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    torch.manual_seed(0)
    found = find_inputs(args.input)
    chosen = itertools.islice(itertools.cycle(found), args.images)
    items = [Item(item.source, f'{number}_{Path(item.name).name}') for number, item in enumerate(chosen)]
    saving = Saving(kinds=None if args.save is None else tuple(args.save))
    options = {name: getattr(args, name) for name in ('model', 'checkpoint', 'task', 'dtype', 'batch_size')}
    predictor = load_model(device=args.device, **options)
    loops = {'one by one': predictor.forward}
    if len(get_inference_task(args.task).fields) == 1:
        if predictor.network.test_cfg['flip_test'] or predictor.crop != 'host' or args.dtype != 'fp32':
            raise SystemExit('the plain loop of a dense task needs a CPU, fp32 and a config without flip test')
        loops = {'plain loop': partial(plain_forward, predictor), **loops}
    for forward in loops.values():
        loop(forward, predictor, items[:2], Path(tempfile.mkdtemp()), saving)  # the first call allocates
    with tempfile.TemporaryDirectory() as folder:
        folders = {name: Path(folder) / name for name in (*loops, 'batches')}
        plan = Plan(models={args.task: options}, out=folders['batches'], saving=saving, workers=args.workers)

        def batches() -> None:
            for outcome in run_plan(plan, items, [args.device], loaded={args.task: predictor}):
                if outcome.error:
                    raise ValueError(f'{outcome.item.source}: {outcome.error}')

        times = {
            name: best(partial(loop, forward, predictor, items, folders[name], saving), folders[name], args.repeats)
            for name, forward in loops.items()
        }
        times[f'batches of {args.batch_size}'] = best(batches, folders['batches'], args.repeats)
        first = next(iter(loops))
        same = difference(folders[first], folders['batches'])
    table = PrettyTable(['', 'images/s', f'times the {first}'])
    for name, time in times.items():
        table.add_row([name, f'{len(items) / time:.1f}', f'{times[first] / time:.2f}'])
    device = predictor.device.type
    print(f'{args.task}, {len(items)} images on {device}, {torch.get_num_threads()} threads, {args.dtype}')
    print(table)
    print(f'first against last: {same}')


if __name__ == '__main__':
    main()
