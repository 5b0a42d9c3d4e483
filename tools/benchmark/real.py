"""Score small models and detectors on photographs of people, next to the same number of rendered people.

    python tools/benchmark/real.py CONFIG,CHECKPOINT --photographs photographs
    python tools/benchmark/real.py pose.py,pose.pth seg.py,seg.pth --detectors embedded torchvision:ssdlite320_mobilenet_v3_large

A model is the name of one, or a config and its checkpoint. What is scored follows from its task:

pose      AP, AP .5 and PCK (share of keypoints within 0.1 and 0.05 of the longer side of the annotated box), in annotated
          boxes and in those of each detector; of all people, and of those with 10 keypoints in boxes of 96 pixels. A constant
          pose in the same boxes, the median of the people themselves, knows the labels and sees no image. Of 133 keypoints
          the first 17 are scored
seg       IoU of person and background, of each annotated person of 96 pixels or more; the model sees it with a margin
person    as detectors
detector  AP .5 of boxes, recall by height at the default threshold, photographs with somebody found
depth     share of pairs of points in the right order: on photographs, in the crop of the person or of both, ordered by hand
          (tools/benchmark/data/depth_pairs.json), on rendered people random points whose depths differ by 5 cm
normal    mean angle to the true normals in degrees and the share within 30 degrees, of rendered people: photographs have none

The folder of photographs has people_val.json (COCO, 17 keypoints and polygons) and images/. The rendered people are those of
"sapiens render --num 250 --seed 11 --size 192x256 --people 1-1", written below --rendered when they are not there. They have been
seen by no training whose people have another seed. One table has the gap: a score of each model on rendered people and on
photographs. The last one has milliseconds on one and on two cores (see real_clock.py).
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hog import load_hog
from pycocotools import mask as masks
from real_clock import clock_call, clock_network
from real_scores import (
    average_precision,
    correct_keypoints,
    match,
    median_pose,
    place_pose,
    recall_by_height,
)
from real_tables import as_rows, gap, into_document, table

from sapiens.apis import load_model
from sapiens.apis.detectors import build_detector
from sapiens.apis.detectors.base import PersonDetector
from sapiens.apis.inputs import read_pixels
from sapiens.apis.loading.build import read_config
from sapiens.apis.loading.load_model import inference_task
from sapiens.coco import BOX_THRESHOLD
from sapiens.commands import render
from sapiens.datasets import GeometryDataset
from sapiens.utils.cli import positive, tool_parser, zero_or_more
from sapiens.utils.crop import fit_aspect

KEYPOINTS = 17  # of COCO, the first ones of COCO-WholeBody's 133
POINTS, SIDE = 10, 96
"""People who show enough: keypoints, and pixels of the longer side of the box."""
RENDER = '--num 250 --seed 11 --size 192x256 --people 1-1 --format jpg --compact --labels mask,depth,normal,seg,instance,alpha'
PAIRS = Path(__file__).parent / 'data/depth_pairs.json'
LOWEST = 0.01  # of the score of a detection that counts in AP
PADDING = 1.25  # of the box of a person, as in training
APART = 0.05  # meters between the depths of two points that are ordered


@dataclass(frozen=True)
class Pictures:
    """Images with annotated people.

    Attributes:
        name: of the table.
        truth: COCO file.
        folder: of its file names.
    """

    name: str
    truth: Mapping[str, Any]
    folder: Path

    def __iter__(self) -> Iterator[tuple[np.ndarray, int, list[dict]]]:
        """Image (H, W, 3) uint8 RGB, its id, and its people who are no crowds."""
        people: dict[int, list[dict]] = {}
        for one in self.truth['annotations']:
            if not one.get('iscrowd'):
                people.setdefault(one['image_id'], []).append(one)
        for entry in self.truth['images']:
            pixels = cv2.imread(str(self.folder / entry['file_name']))
            if pixels is None:
                raise SystemExit(f'{self.folder / entry["file_name"]} cannot be read')
            yield cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), entry['id'], people.get(entry['id'], [])

    @property
    def with_keypoints(self) -> list[dict]:
        """People with labeled keypoints."""
        return [one for _, _, people in self.entries for one in people if one.get('num_keypoints')]

    @property
    def entries(self) -> list[tuple[None, int, list[dict]]]:
        """As iteration, without reading images."""
        ids = [entry['id'] for entry in self.truth['images']]
        people = [one for one in self.truth['annotations'] if not one.get('iscrowd')]
        return [(None, key, [one for one in people if one['image_id'] == key]) for key in ids]


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('models', nargs='*', metavar='MODEL', help='name, or CONFIG,CHECKPOINT')
    parser.add_argument(
        '--detectors',
        nargs='+',
        default=['embedded'],
        metavar='NAME',
        help='as of sapiens infer, or hog: that of the contrib build of OpenCV',
    )
    parser.add_argument('--photographs', type=Path, required=True, metavar='DIR', help='people_val.json and images/')
    parser.add_argument('--rendered', type=Path, default='work_dirs/real', metavar='DIR', help='default: %(default)s')
    text = 'also score keypoints that are the median over this many crops of a person'
    parser.add_argument('--views', type=positive, metavar='N', help=text)
    text = 'of the clock, 0 to leave it out (default: %(default)s)'
    parser.add_argument('--repeats', type=zero_or_more, default=3, metavar='N', help=text)
    parser.add_argument('--out', type=Path, metavar='FILE', help='also write the numbers as JSON')
    parser.add_argument(
        '--into', type=Path, metavar='FILE', help='also write the tables between the markers of this document'
    )
    return parser.parse_args()


def corners(box: Sequence[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]


def shows_enough(person: Mapping) -> bool:
    return person['num_keypoints'] >= POINTS and max(person['bbox'][2:]) >= SIDE


def as_result(person: Mapping, points: np.ndarray, scores: np.ndarray, confidence: float = 1.0) -> dict:
    """A COCO result; its score is that of the evaluation of the package."""
    sure = scores > 0.2
    keypoints = np.concatenate([points, scores[:, None]], 1).reshape(-1).tolist()
    score = confidence * float(scores[sure].mean()) if sure.any() else 0.0
    return dict(image_id=person['image_id'], category_id=1, keypoints=keypoints, score=score)


def score_pose(pictures: Pictures, predict: Callable, detector: Callable | None = None) -> dict[str, float]:
    """Scores of keypoints.

    Args:
        predict: (image, boxes (N, 4) x1, y1, x2, y2) -> keypoints (N, K, 2), scores (N, K).
        detector: of the boxes; None for the annotated ones.
    """
    results, people, points = [], [], []
    for image, _, found in pictures:
        labeled = [one for one in found if one.get('num_keypoints')]
        if detector is None:
            boxes, confidence = [corners(one['bbox']) for one in labeled], [1.0] * len(labeled)
            owner = np.arange(len(labeled))
        else:
            boxes, confidence = detector([image])[0]
            sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
            owner = match(labeled, sizes)
        places, scores = (
            predict(image, boxes) if len(boxes) else (np.zeros((0, KEYPOINTS, 2)), np.zeros((0, KEYPOINTS)))
        )
        image_id = dict(image_id=found[0]['image_id']) if found else None
        if image_id:
            results += [as_result(image_id, *one) for one in zip(places, scores, confidence, strict=True)]
        people += labeled
        nothing = np.full((KEYPOINTS, 2), np.nan)
        points += [places[index] if index >= 0 else nothing for index in owner]
    enough = [shows_enough(one) for one in people]
    row = {}
    for name, chosen in (('all', [True] * len(people)), ('enough', enough)):
        ids = [one['id'] for one, is_in in zip(people, chosen, strict=True) if is_in]
        kept = [(one, at) for one, at, is_in in zip(people, points, chosen, strict=True) if is_in]
        row[f'{name}: people'] = len(ids)
        row[f'{name}: AP'], row[f'{name}: AP .5'] = average_precision(pictures.truth, results, 'keypoints', ids)
        for share in (0.1, 0.05):
            row[f'{name}: PCK@{share:g}'] = correct_keypoints(*zip(*kept, strict=True), share) if kept else 0.0
    return row


def crop(image: np.ndarray, box: Sequence[float], size: Sequence[int]) -> tuple[np.ndarray, tuple[int, int]]:
    """The image around a box, as the model of a person takes it: with a margin, in the aspect of its input, black outside.

    Args:
        image: (H, W, 3) uint8.
        box: x1, y1, x2, y2.
        size: (h, w) of the input.

    Returns:
        The crop and the place (x, y) of its first pixel in the image.
    """
    x1, y1, x2, y2 = box
    width, height = np.ceil(fit_aspect(PADDING * np.array([x2 - x1, y2 - y1]), (size[1], size[0]))).astype(int)
    left, top = round((x1 + x2 - width) / 2), round((y1 + y2 - height) / 2)
    sides = [max(0, -top), max(0, top + height - len(image)), max(0, -left), max(0, left + width - image.shape[1])]
    whole = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT)
    row, column = top + sides[0], left + sides[2]
    return np.ascontiguousarray(whole[row : row + height, column : column + width]), (left, top)


def score_segmentation(pictures: Pictures, model: Any) -> dict[str, float]:
    """Mean IoU of person and background in the annotated boxes, of people with polygons or masks. The model sees :func:`crop`."""
    values = []
    for image, _, people in pictures:
        height, width = image.shape[:2]
        for person in people:
            if not person.get('segmentation') or max(person['bbox'][2:]) < SIDE:
                continue
            x1, y1, x2, y2 = corners(person['bbox'])
            left, top = max(0, int(x1)), max(0, int(y1))
            window = slice(top, min(height, int(np.ceil(y2)) + 1)), slice(left, min(width, int(np.ceil(x2)) + 1))
            shown, (x, y) = crop(image, (x1, y1, x2, y2), model.network.backbone.img_size)
            found = model(shown).foreground
            found = found[window[0].start - y : window[0].stop - y, window[1].start - x : window[1].stop - x]
            encoded = person['segmentation']
            if isinstance(encoded, list):
                encoded = masks.merge(masks.frPyObjects(encoded, height, width))
            elif isinstance(encoded['counts'], list):
                encoded = masks.frPyObjects(encoded, height, width)
            truth = masks.decode(encoded).astype(bool)[window]
            values.append((found & truth).sum() / max((found | truth).sum(), 1))
    return {'person IoU': float(np.mean(values)), 'people': len(values)} if values else {'people': 0}


def score_detector(pictures: Pictures, detector: Any) -> dict[str, Any]:
    """AP .5 of boxes, and at the default threshold recall by height and images with somebody found.

    Args:
        detector: with the threshold :data:`LOWEST`.
    """
    results, people, matched, images = [], [], [], 0
    for image, image_id, found in pictures:
        boxes, scores = detector([image])[0]
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        results += [
            dict(image_id=image_id, category_id=1, bbox=box.tolist(), score=float(score))
            for box, score in zip(sizes, scores, strict=True)
        ]
        good = scores >= BOX_THRESHOLD
        images += bool(good.any())
        people += found
        matched += (match(found, sizes[good]) >= 0).tolist()
    row: dict[str, Any] = {'AP .5': average_precision(pictures.truth, results, 'bbox')[1]}
    for name, (right, total) in recall_by_height(people, matched).items():
        row[f'recall {name}'] = f'{right}/{total}'
    return row | {'images with somebody': f'{images}/{len(pictures.truth["images"])}'}


def score_pairs(pictures: Pictures, model: Any) -> dict[str, Any]:
    """Share of hand-ordered pairs of points whose nearer one has the smaller depth. The model sees the :func:`crop` of the person
    or of both."""
    boxes = {one['id']: corners(one['bbox']) for one in pictures.truth['annotations']}
    pairs: dict[str, list] = {}
    for name, first, second, nearer, people in json.loads(PAIRS.read_text(encoding='utf-8'))['pairs']:
        pairs.setdefault(name, []).append((first, second, nearer, people))
    right = total = 0
    for name, rows in pairs.items():
        image = read_pixels(pictures.folder / name)
        for first, second, nearer, people in rows:
            own = np.array([boxes[one] for one in people])
            shown, (left, top) = crop(image, [*own[:, :2].min(0), *own[:, 2:].max(0)], model.network.backbone.img_size)
            depth = model(shown).depth
            values = [depth[int(y) - top, int(x) - left] for x, y in (first, second)]
            right += values[nearer] < values[1 - nearer]
            total += 1
    return {'pairs in order': right / total, 'pairs': total}


def rendered_samples(folder: Path, field: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image (H, W, 3) uint8 RGB, the map of a field, and where it is valid (H, W) bool, of each rendered image."""
    pipeline = [dict(type='LoadLabels', fields=[field])]
    dataset = GeometryDataset(fields=[field], data_root=str(folder), pipeline=pipeline, test_mode=True)
    for index in range(len(dataset)):
        sample = dataset[index]
        yield read_pixels(sample['img_path']), sample[f'gt_{field}'], sample['valid_mask']


def score_rendered_depth(folder: Path, model: Any, pairs: int = 10) -> dict[str, Any]:
    """Share of random pairs of points of people, whose depths differ enough, that are in the right order."""
    rng, right, total = np.random.default_rng(0), 0, 0
    for image, truth, valid in rendered_samples(folder, 'depth'):
        rows, columns = np.nonzero(valid)
        if len(rows) < 2:
            continue
        depth = model(image).depth
        chosen = rng.integers(len(rows), size=(2, 4 * pairs))
        first, second = (truth[rows[index], columns[index]] for index in chosen)
        apart = np.flatnonzero(np.abs(first - second) >= APART)[:pairs]
        found = [depth[rows[index[apart]], columns[index[apart]]] for index in chosen]
        right += int(((found[0] < found[1]) == (first < second)[apart]).sum())
        total += len(apart)
    return {'pairs in order': right / max(total, 1), 'pairs': total}


def score_normals(folder: Path, model: Any) -> dict[str, Any]:
    """Angles between predicted and true normals of rendered people."""
    angles = []
    for image, truth, valid in rendered_samples(folder, 'normal'):
        if valid.any():
            cosines = (model(image).normals[valid] * truth[valid]).sum(-1)
            angles.append(np.degrees(np.arccos(np.clip(cosines, -1, 1))))
    angles = np.concatenate(angles)
    return {'mean angle': float(angles.mean()), 'within 30': float((angles < 30).mean()), 'pixels': len(angles)}


def read(file: Path, folder: Path, name: str) -> Pictures:
    if not file.is_file():
        raise SystemExit(f'no {file}: give the folder of the photographs, see --help')
    return Pictures(name, json.loads(file.read_text(encoding='utf-8')), folder)


def rendered(folder: Path) -> Pictures:
    """The rendered people, written when they are not there."""
    if not (folder / 'dataset_card.json').is_file():
        render.main(['--out', str(folder), *RENDER.split()])
    return read(folder / 'annotations/person_keypoints.json', folder, 'rendered')


def constant(pictures: Pictures) -> Callable:
    """The median pose in each box, with certain scores."""
    pose = median_pose(pictures.with_keypoints)

    def predict(image: np.ndarray, boxes: Sequence) -> tuple[np.ndarray, np.ndarray]:
        sizes = [(x1, y1, x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
        return np.stack([place_pose(pose, np.array(box)) for box in sizes]), np.ones((len(boxes), len(pose)))

    return predict


def as_detector(model: Any) -> Callable:
    """The function of a detector that a model of the task person is, with its least certain boxes."""
    return lambda images: [(found.boxes, found.scores) for found in model(list(images))]


def build(name: str, threshold: float | None = None) -> PersonDetector:
    """A detector by its name on the command line."""
    if name == 'hog':
        return PersonDetector(load_hog(), threshold)
    return build_detector(name, threshold=threshold)


def of_model(model: Any) -> Callable:
    def predict(image: np.ndarray, boxes: Sequence) -> tuple[np.ndarray, np.ndarray]:
        result = model(image, boxes=np.asarray(boxes, np.float32))
        if result.keypoints.shape[1] not in (KEYPOINTS, 133):
            raise SystemExit(
                f'a model of {result.keypoints.shape[1]} keypoints: expected the 17 of COCO, or the 133 that begin with them'
            )
        return result.keypoints[:, :KEYPOINTS], result.scores[:, :KEYPOINTS]

    return predict


def is_detector(text: str) -> bool:
    """Whether a model, as the command line gives it, finds people."""
    return inference_task(read_config(text.partition(',')[0])) == 'person'


def main() -> None:
    args = parse_args()
    sources = [
        read(args.photographs / 'people_val.json', args.photographs / 'images', 'photographs'),
        rendered(args.rendered),
    ]
    detectors = {name: build(name) for name in args.detectors}
    tables: dict[str, dict] = {name: {} for name in ('pose', 'seg', 'depth', 'normal', 'detector', 'milliseconds')}
    for name in detectors:
        for pictures in sources:
            tables['detector'][name, pictures.name] = score_detector(pictures, build(name, LOWEST))
    image = next(iter(sources[0]))[0]
    for name, detector in detectors.items() if args.repeats else ():
        row = clock_call(lambda d=detector: d([image]), args.repeats)
        tables['milliseconds'][f'{name}, a photograph', 'photographs'] = row
    for text in args.models:
        options = dict(box_threshold=LOWEST) if is_detector(text) else {}
        model = load_model(*text.split(','), device='cpu', **options)
        _score_model(text, model, sources, detectors, args, tables)
    clocked = tables.pop('milliseconds')
    tables |= {'gap': gap(tables), 'milliseconds': clocked}
    for title, rows in tables.items():
        if rows:
            print(table(title, rows), flush=True)
    if args.out:
        content = {title: as_rows(title, rows) for title, rows in tables.items()}
        args.out.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    if args.into:
        into_document(tables, args.into)


def _score_model(
    text: str,
    model: Any,
    sources: Sequence[Pictures],
    detectors: Mapping[str, Any],
    args: argparse.Namespace,
    tables: Mapping[str, dict],
) -> None:
    """Add the rows of a model to the tables."""
    name = Path(text.rpartition(',')[2]).stem
    if model.task == 'pose':
        several = load_model(*text.split(','), device='cpu', views=args.views) if args.views else None
        for pictures in sources:
            tables['pose'].setdefault(('constant pose', pictures.name), score_pose(pictures, constant(pictures)))
            tables['pose'][name, pictures.name] = score_pose(pictures, of_model(model))
            if several is not None:
                tables['pose'][f'{name}, {args.views} crops', pictures.name] = score_pose(pictures, of_model(several))
            for kind, detector in detectors.items():
                key = f'constant pose, {kind}', pictures.name
                if key not in tables['pose']:
                    tables['pose'][key] = score_pose(pictures, constant(pictures), detector)
                tables['pose'][f'{name}, {kind}', pictures.name] = score_pose(pictures, of_model(model), detector)
        image, _, people = next(one for one in sources[0] if one[2])
        boxes = np.array([corners(people[0]['bbox'])], np.float32)
        clocked: Callable = lambda: model(image, boxes=boxes)  # noqa: E731
    else:
        image = next(iter(sources[0 if model.task == 'person' else 1]))[0]
        clocked = lambda: model(image)  # noqa: E731
    if model.task == 'seg':
        tables['seg'] |= {(name, pictures.name): score_segmentation(pictures, model) for pictures in sources}
    if model.task == 'depth':
        tables['depth'][name, 'photographs'] = score_pairs(sources[0], model)
        tables['depth'][name, 'rendered'] = score_rendered_depth(args.rendered, model)
    if model.task == 'normal':
        tables['normal'][name, 'rendered'] = score_normals(args.rendered, model)
    if model.task == 'person':
        for pictures in sources:
            detector = PersonDetector(as_detector(model), threshold=LOWEST)
            tables['detector'][name, pictures.name] = score_detector(pictures, detector)
    if not args.repeats:
        return
    row = clock_call(clocked, args.repeats) | clock_network(*[*text.split(','), None][:2], model, args.repeats)
    what = 'an image' if model.task == 'person' else 'a person'
    tables['milliseconds'][f'{name}, {what}', 'photographs'] = row


if __name__ == '__main__':
    sys.exit(main())
