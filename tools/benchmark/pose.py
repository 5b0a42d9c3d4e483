"""Time targets, decoding and evaluation of 2-D pose on one core against mmpose, for 17, 133 and 308 keypoints (pose_data.py times
loading).

    python tools/benchmark/pose.py                      # all parts
    python tools/benchmark/pose.py --parts decode --keypoints 308

targets   heatmaps of one person, 192 x 256 cells, sigma 6: mmpose's codec computes maps in the workers of the loader, ours the
          profiles of maps on the device, which the losses take
decode    these maps back to keypoints, with faint noise as of a network
evaluate  the whole metric, from data samples to the table, on nearly correct predictions

Both run in this process with one thread. Times are CPU times per person, the best of the repeats.
"""

import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile
from typing import Any

import numpy as np
import torch
from harness import cpu_seconds, use_one_thread
from mmengine.logging import MMLogger
from prettytable import PrettyTable

from sapiens.coco import WHOLEBODY_LISTS
from sapiens.metainfo import build_metainfo
from sapiens.models import UDPHeatmap
from sapiens.utils.cli import tool_parser

SKELETONS = {17: 'coco17', 133: 'wholebody133', 308: 'goliath308'}
INPUT, MAP = (768, 1024), (192, 256)


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--parts', default='targets,decode,evaluate', help='separated by commas (default: all)')
    parser.add_argument('--keypoints', default='17,133,308', help='separated by commas (default: all)')
    parser.add_argument('--repeats', type=int, default=10, help='of each measurement (default: %(default)s)')
    parser.add_argument('--people', type=int, default=600, help='to evaluate, three per image (default: %(default)s)')
    args = parser.parse_args()
    args.parts, args.keypoints = args.parts.split(','), [int(count) for count in args.keypoints.split(',')]
    for part in args.parts:
        if part not in PARTS:
            parser.error(f'--parts {part}: expected some of {", ".join(PARTS)}')
    for count in args.keypoints:
        if count not in SKELETONS:
            parser.error(f'--keypoints {count}: expected some of {", ".join(map(str, SKELETONS))}')
    return args


def best(run, repeats: int) -> tuple[float, Any]:
    """Smallest CPU time of a call in seconds, after a warmup call, and the result of that one."""
    result = run()
    return min(cpu_seconds(run)[0] for _ in range(repeats)), result


def mmpose_codec():
    from mmpose.codecs import UDPHeatmap as Codec

    return Codec(input_size=INPUT, heatmap_size=MAP, sigma=6, blur_kernel_size=11)


def people(count: int, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (batch, count, 2) inside the crop, and their visibility, 1 for nine in ten."""
    rng = np.random.default_rng(0)
    points = rng.uniform((20, 20), (748, 1004), (batch, count, 2)).astype(np.float32)
    return points, (rng.random((batch, count)) < 0.9).astype(np.float32)


def targets(count: int, args) -> list:
    points, visible = people(count)
    theirs, ours = mmpose_codec(), UDPHeatmap()
    as_tensors = torch.from_numpy(points), torch.from_numpy(visible)
    seconds, expected = best(lambda: theirs.encode(points, visible)['heatmaps'], args.repeats)
    own_seconds, _ = best(lambda: ours.targets(*as_tensors, INPUT, MAP), args.repeats)
    map_seconds, (found, *_) = best(lambda: ours.encode(*as_tensors, INPUT, MAP), args.repeats)
    difference = np.abs(found[0].numpy() - expected).max()
    return [seconds, own_seconds, f'as maps {1e3 * map_seconds:.2f} ms, largest difference of a cell {difference:.0e}']


def decode(count: int, args) -> list:
    points, _ = people(count)
    theirs, ours = mmpose_codec(), UDPHeatmap()
    heatmaps = theirs.encode(points, np.ones((1, count), np.float32))['heatmaps']
    heatmaps = 0.8 * heatmaps + 0.003 * np.random.default_rng(1).random(heatmaps.shape, dtype=np.float32)
    maps = torch.from_numpy(heatmaps)[None]
    seconds, (expected, _) = best(lambda: theirs.decode(heatmaps), args.repeats)
    own_seconds, (found, *_) = best(lambda: ours.decode(maps, INPUT), args.repeats)
    difference = np.abs(found[0].numpy() - expected[0]).max()
    return [seconds, own_seconds, f'largest difference of a point {difference:.0e} px']


def real_xtcocotools() -> bool:
    """Replace the xtcocotools adapter of sapiens by the real package, with which mmpose computes its metrics."""
    import pycocotools._mask

    from sapiens.compat import _XtcocotoolsFinder

    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _XtcocotoolsFinder)]
    for name in [name for name in sys.modules if name.split('.')[0] == 'xtcocotools']:
        del sys.modules[name]
    sys.modules['xtcocotools._mask'] = pycocotools._mask  # its own is built for numpy 1; keypoints do not use it
    return importlib.util.find_spec('xtcocotools') is not None


def crowd(count: int, number: int, folder: str) -> tuple[str, list[dict]]:
    """Write an annotation file of ``number`` people, three per image; returns it with nearly correct predictions."""
    rng = np.random.default_rng(0)
    images, annotations, samples = [], [], []
    for index in range(number):
        image = index // 3
        if index % 3 == 0:
            images.append(dict(id=image, file_name=f'{image}.jpg', width=1000, height=1000))
        x, y, w, h = rng.uniform(0, 500), rng.uniform(0, 500), rng.uniform(100, 400), rng.uniform(100, 400)
        points = rng.uniform((x, y), (x + w, y + h), (count, 2))
        labelled = np.concatenate([points, np.full((count, 1), 2)], 1)
        lists = dict(keypoints=labelled.ravel().tolist())
        if count == 133:
            cuts = np.cumsum([17, 6, 68, 21])
            names = list(WHOLEBODY_LISTS)
            lists = {name: part.ravel().tolist() for name, part in zip(names, np.split(labelled, cuts), strict=True)}
        annotations.append(
            dict(id=index + 1, image_id=image, category_id=1, iscrowd=0, bbox=[x, y, w, h], area=w * h * 0.6)
            | dict(num_keypoints=count, **lists)
        )
        noise = rng.normal(0, 10 ** rng.uniform(-3, -1) * (w * h) ** 0.5, (count, 2))
        box, score = np.float32([[x, y, x + w, y + h]]), np.float32([rng.uniform(0.3, 1)])
        samples.append(
            dict(
                img_id=image,
                id=index + 1,
                input_scale=np.float32([w, h]) * 1.25,
                pred_instances=dict(
                    keypoints=np.float32(points + noise)[None],
                    keypoint_scores=rng.uniform(0.1, 1, (1, count)).astype(np.float32),
                    bboxes=box,
                    bbox_scores=score,
                ),
                gt_instances=dict(bboxes=box, bbox_scores=score, bbox_scales=np.float32([[w, h]]) * 1.25),
            )
        )
    path = os.path.join(folder, f'people{count}.json')
    with open(path, 'w') as file:
        json.dump(dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')]), file)
    return path, samples


def evaluate(count: int, args) -> list:
    from sapiens.evaluation import KeypointMetric

    skeleton = SKELETONS[count]
    with tempfile.TemporaryDirectory() as folder:
        path, samples = crowd(count, args.people, folder)

        def run(metric):
            metric.process({}, samples)
            with contextlib.redirect_stdout(io.StringIO()):  # their tables
                results = metric.evaluate(len(samples))
            return next(value for key, value in results.items() if key.endswith('/AP'))

        def ours():
            # mmpose has no groups for 308, so evaluate all keypoints as one group.
            return run(KeypointMetric(skeleton, path, groups=['whole'] if count == 308 else None))

        # One evaluation includes reading the annotation file and takes long, so few repeats are enough.
        repeats = max(1, args.repeats // 5)
        seconds, precision = best(ours, repeats)
        if not real_xtcocotools():
            return [float('nan'), seconds / args.people, 'mmpose needs xtcocotools, which is not installed']
        from mmpose.evaluation.metrics import CocoMetric, CocoWholeBodyMetric

        def theirs():
            metric = (CocoWholeBodyMetric if count == 133 else CocoMetric)(path)
            metric.dataset_meta = parse_pose_metainfo(build_metainfo(skeleton))
            return run(metric)

        from mmpose.datasets.datasets.utils import parse_pose_metainfo

        theirs_seconds, expected = best(theirs, repeats)
    note = f'AP {precision:.6f} and {expected:.6f}, {args.people} people'
    return [theirs_seconds / args.people, seconds / args.people, note]


PARTS = {'targets': targets, 'decode': decode, 'evaluate': evaluate}


def main():
    args = parse_args()
    use_one_thread()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    table = PrettyTable(['part', 'keypoints', 'mmpose ms', 'sapiens ms', 'ratio', 'note'])
    table.align = 'r'
    table.align['note'] = 'l'
    for part in args.parts:
        for count in args.keypoints:
            theirs, ours, note = PARTS[part](count, args)
            table.add_row([part, count, f'{1e3 * theirs:.2f}', f'{1e3 * ours:.2f}', f'{theirs / ours:.1f}', note])
    print(table)


if __name__ == '__main__':
    main()
