"""Labels of a batch from the loader's worker to the loss, stacked and by sample; and normals of half precision.

    python tools/benchmark/batch_labels.py
    python tools/benchmark/batch_labels.py --batch 32 --device cuda --labels normal-fp16 pose-308

Samples have random labels of the size of the input, as after ``PackDense`` and ``PackPose``. ``by sample``: the loader leaves
the labels in the samples (``stack_collate(labels=False)``), which are moved to the device one by one. ``stacked``: ``labels`` of
the batch, see ``sapiens/utils/batch_labels.py``. Columns:

- pieces, MB: of shared memory that cross from worker to trainer, images included; pipe KB: what else the pickled batch has;
- copies, MB: to the device, labels only;
- worker ms: CPU time to collate samples, images included, into shared memory, and to pickle the batch; trainer ms: CPU time to
  open it, to move the labels, and to stack those of samples. Medians. Both ways take turns in this process, and the last column
  has the medians and the range of the ratios (both times of ``by sample`` / of ``stacked``).

The last lines are about ``PackDense(unit_vectors='fp16')``: angles between normals before and after, and the losses with both.
"""

import statistics
from functools import partial
from multiprocessing.reduction import ForkingPickler
from unittest.mock import patch

import numpy as np
import torch
from harness import cpu_seconds, use_one_thread
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from prettytable import PrettyTable
from torch.multiprocessing.reductions import reduce_storage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset

from sapiens.datasets import stack_collate
from sapiens.datasets.transforms.packing import PickledAsArrays
from sapiens.models import ImageNormalizer, NormalTask
from sapiens.models.layers.unit_vectors import unit_vectors
from sapiens.models.losses.normal import NormalCosineLoss, NormalL1Loss
from sapiens.structures import DenseDataSample
from sapiens.tasks import get_task
from sapiens.utils.batch_labels import stack_labels
from sapiens.utils.cli import tool_parser

LABELS = ('seg', 'depth', 'normal-fp32', 'normal-fp16', 'pointmap', 'matting', 'albedo', 'pose-308')
WAYS = {'by sample': partial(stack_collate, labels=False), 'stacked': stack_collate}


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--labels', nargs='+', choices=LABELS, default=LABELS, help='default: all')
    parser.add_argument('--batch', type=int, default=8, help='samples of a batch; default: %(default)s')
    parser.add_argument('--size', type=int, nargs=2, default=(1024, 768), metavar=('H', 'W'), help='default: 1024 768')
    parser.add_argument('--repeats', type=int, default=10, help='batches of each way; default: %(default)s')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', default=device, help='default: %(default)s')
    args = parser.parse_args()
    if min(args.batch, args.repeats, *args.size) < 1:
        parser.error('--batch, --size and --repeats: expected 1 or more')
    return args


def make_sample(title: str, size: tuple[int, int]) -> dict:
    """A packed sample with random labels."""
    task, _, kind = title.partition('-')
    meta = dict(img_path='x.jpg', sample_idx=0, ori_shape=size, img_shape=size)
    image = torch.randint(256, (3, *size), dtype=torch.uint8)
    if task == 'pose':
        sample, count = PoseDataSample(metainfo=meta), int(kind)
        box = np.array([[0, 0, *size[::-1]]], np.float32)
        sample.gt_instances = InstanceData(bboxes=box, bbox_scores=np.ones(1, np.float32))
        points = torch.rand(1, count, 2) * torch.tensor(size[::-1])
        sample.gt_instance_labels = PickledAsArrays(keypoints=points, keypoint_weights=torch.ones(1, count))
        return dict(inputs=image, data_samples=sample)
    sample = DenseDataSample(metainfo=meta)
    sample.valid_mask = torch.rand(size) > 0.5
    for field in get_task(task).fields:
        if field.own_validity:
            sample.set_field(torch.rand(size) > 0.5, f'valid_{field.name}')
        values = torch.rand(*field.leading, *size)
        if field.kind == 'labels':
            values = torch.randint(28, size, dtype=torch.uint8)
        elif field.kind == 'unit_vectors':
            values = unit_vectors(values - 0.5, dim=0)
            values = values.half() if kind == 'fp16' else values
        sample.set_field(values, f'gt_{field.name}')
    if task == 'pointmap':
        sample.set_metainfo(dict(intrinsics=np.array([[900.0, 0, 384], [0, 900, 512], [0, 0, 1]])))
    return dict(inputs=image, data_samples=sample)


class Copies(Dataset):
    """A sample again and again, as new tensors, which are moved to shared memory each time."""

    def __init__(self, sample: dict) -> None:
        self.sample = sample

    def __getitem__(self, index: int) -> dict:
        packed = self.sample['data_samples']
        sample = packed.new()
        for name, value in packed.items():
            if isinstance(value, InstanceData):
                value = type(value)(
                    **{
                        key: part.copy() if isinstance(part, np.ndarray) else part.clone()
                        for key, part in value.items()
                    }
                )
            else:
                value = value.clone()
            sample.set_data({name: value})
        return dict(inputs=self.sample['inputs'].clone(), data_samples=sample)


def sent(batch: dict) -> tuple[int, float, float]:
    """Pieces of shared memory of a batch, their MB, and KB of the pipe."""
    pieces: dict[int, int] = {}

    def count(storage):
        reduced = reduce_storage(storage)
        pieces[storage.data_ptr()] = storage.nbytes()
        return reduced

    ForkingPickler.register(torch.UntypedStorage, count)
    try:
        message = ForkingPickler.dumps(batch)
    finally:
        ForkingPickler.register(torch.UntypedStorage, reduce_storage)
    ForkingPickler.loads(message)  # closes what was opened for the receiver
    return len(pieces), sum(pieces.values()) / 1e6, len(message) / 1e3


class Moves(TorchDispatchMode):
    """Counts the copies from the host to the device ``meta``, and their bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket is torch.ops.aten._to_copy and result.is_meta and not args[0].is_meta:
            self.sizes.append(args[0].nbytes)
        return result


def on_device(batch: dict, size: tuple[int, int], mover: ImageNormalizer) -> dict[str, torch.Tensor]:
    """Stacked labels of a batch on the device, as the model gets or makes them."""
    if 'labels' in batch:
        return mover.cast_data(batch['labels'])
    return stack_labels(mover.cast_data(batch['data_samples']), size)


def pickled(collate, samples: list[dict]) -> memoryview:
    """The message in the pipe for a batch of samples."""
    return ForkingPickler.dumps(collate(samples))


def measure(title: str, args) -> list[list]:
    """The rows of a kind of labels, one for each way."""
    size = tuple(args.size)
    data, mover, nowhere = (
        Copies(make_sample(title, size)),
        ImageNormalizer().to(args.device),
        ImageNormalizer().to('meta'),
    )
    rows, expected, times = [], {}, {way: [] for way in WAYS}
    for way, collate in WAYS.items():
        batch = collate([data[index] for index in range(args.batch)])
        found = on_device(batch, size, ImageNormalizer())
        if any(not torch.equal(value, found[name]) for name, value in expected.items()):
            raise SystemExit(f'{title}: the labels of both ways differ')
        expected = found
        with Moves() as moves:
            on_device(batch, size, nowhere)
        rows.append([title, way, *sent(batch), len(moves.sizes), sum(moves.sizes) / 1e6])
    for turn in range(args.repeats + 1):
        for way in WAYS if turn % 2 else reversed(WAYS):
            samples = [data[index] for index in range(args.batch)]
            with patch('torch.utils.data.get_worker_info', return_value=True):  # collate as in a worker
                made, message = cpu_seconds(pickled, WAYS[way], samples)
            opened, batch = cpu_seconds(ForkingPickler.loads, message)
            if torch.device(args.device).type == 'cuda':
                batch = batch.pin_memory()  # a thread of the loader does this
            moved, _ = cpu_seconds(on_device, batch, size, mover)
            if turn:  # the first is a warm-up
                times[way].append((made, opened + moved))
    ratios = sorted(sum(one) / sum(two) for one, two in zip(*times.values(), strict=True))
    for row in rows:
        row += [statistics.median(part) * 1000 for part in zip(*times[row[1]], strict=True)]
        row.append(
            '' if row[1] != 'stacked' else f'{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})'
        )
    return rows


def half_normals() -> None:
    """Print the angles between unit vectors and those of half precision, and the losses with both."""
    torch.manual_seed(0)
    normals = unit_vectors(torch.randn(8, 3, 1024, 768), dim=1)
    half, task, valid = normals.half(), NormalTask(), torch.ones(8, 1024, 768, dtype=torch.bool)
    exact, _ = task.prepare(normals, valid, [], 'normal')
    found, _ = task.prepare(half, valid, [], 'normal')
    angles = torch.linalg.cross(exact.double(), found.double(), dim=1).norm(dim=1).asin().rad2deg()
    print(f'half precision turns normals by {angles.mean():.4f} degrees on average, {angles.max():.4f} at most')
    for noise in (0.01, 0.1, 1.0):
        output = exact + noise * torch.randn(exact.shape)
        for loss in (NormalCosineLoss(), NormalL1Loss()):
            first, second = (float(loss(output.double(), target.double(), valid)) for target in (exact, found))
            print(f'{type(loss).__name__:16s} noise {noise:4g}: {first:.7f}, with half precision {second:.7f}')


def main() -> None:
    args = parse_args()
    use_one_thread()
    torch.manual_seed(0)
    table = PrettyTable(
        ['labels', 'way', 'pieces', 'MB', 'pipe KB', 'copies', 'MB to device', 'worker ms', 'trainer ms', 'ratio']
    )
    for title in args.labels:
        for row in measure(title, args):
            table.add_row([f'{value:.1f}' if isinstance(value, float) else value for value in row])
    print(table)
    half_normals()


if __name__ == '__main__':
    main()
