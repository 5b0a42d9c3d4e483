"""Speed of the pose loader on one core, compared with mmpose's, on the same people with the same random boxes.

    python tools/benchmark/pose_data.py [--data COCO_FOLDER] [--images FOLDER]

Both load, augment (half body, box, flip, colors, blurs, dropout: the published recipe) and pack crops of 1024 x 768. mmpose's
pipeline also computes heatmaps of 256 x 192 with sigma 6. Ours computes them on the device; "with targets" adds their time on the
same core. mmpose takes blurs and dropout from albumentations; here both use ours, but mmpose's median is exact, which is timed
and compared at the end. Samples alternate. Times are CPU times of the process. People are annotated (COCO folder), or boxes in
the center of photographs; a skeleton that is not annotated gets random keypoints.
"""

from functools import partial

import cv2
import numpy as np
import torch
from harness import cpu_seconds, find_photographs, samples_per_second, use_one_thread
from mmengine.dataset import Compose

from sapiens.datasets import KeypointDataset
from sapiens.datasets.base import build_pipeline
from sapiens.datasets.keypoints import skeleton_fields
from sapiens.metainfo import get_skeleton
from sapiens.models import UDPHeatmap
from sapiens.utils.cli import tool_parser

SIZE = (768, 1024)
FILES = {
    'coco17': 'annotations/person_keypoints_val2017.json',
    'wholebody133': 'annotations/coco_wholebody_val_v1.0.json',
    'goliath308': 'annotations/person_keypoints_val2017.json',
}


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--data', help='folder with annotations/ and val2017/ of COCO')
    parser.add_argument('--images', help='folder with photographs of people')
    parser.add_argument('--people', type=int, default=60, help='of each kind; default: %(default)s')
    parser.add_argument('--repeats', type=int, default=1, help='random crops of each; default: %(default)s')
    parser.add_argument('--decode', choices=['fast', 'exact'], default='fast', help='of ours; default: %(default)s')
    return parser.parse_args()


def pipelines(decode: str) -> tuple[Compose, Compose]:
    """Ours and mmpose's."""
    ours = build_pipeline(
        [
            dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
            dict(type='mmpose.RandomHalfBody', prob=0.3),
            dict(type='mmpose.RandomBBoxTransform'),
            dict(type='PhotometricDistortion'),
            dict(type='LoadPerson', size=SIZE, flip_prob=0.5, decode=decode),
            dict(type='RandomBlur'),
            dict(type='CoarseDropout'),
            dict(type='PackPose'),
        ]
    )
    codec = dict(type='UDPHeatmap', input_size=SIZE, heatmap_size=(192, 256), sigma=6)
    theirs = build_pipeline(
        [
            dict(type='mmpose.LoadImage'),
            dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
            dict(type='mmpose.RandomFlip', direction='horizontal'),
            dict(type='mmpose.RandomHalfBody', prob=0.3),
            dict(type='mmpose.RandomBBoxTransform'),
            dict(type='mmpose.TopdownAffine', input_size=SIZE, use_udp=True),
            dict(type='mmpose.PhotometricDistortion'),
            dict(type='RandomBlur', exact=True),
            dict(type='CoarseDropout'),
            dict(type='mmpose.GenerateTarget', encoder=codec),
            dict(type='mmpose.PackPoseInputs'),
        ]
    )
    return ours, theirs


def people_of_coco(folder: str, skeleton: str, count: int) -> list[dict]:
    source = 'coco17' if skeleton == 'goliath308' else skeleton
    dataset = KeypointDataset(FILES[skeleton], source, folder, 'val2017')
    return [dataset.load(i * len(dataset) // count) for i in range(min(count, len(dataset)))]


def people_of_photographs(folder: str, count: int) -> list[dict]:
    people = []
    for path in find_photographs(folder)[:count]:
        height, width = cv2.imread(path).shape[:2]
        box = np.array([[0.2 * width, 0.05 * height, 0.8 * width, 0.95 * height]], np.float32)
        people.append(dict(img_path=path, bbox=box, bbox_score=np.ones(1, np.float32), id=0, img_id=0, sample_idx=0))
    return people


def complete(person: dict, skeleton: str) -> dict:
    """Add random keypoints if the skeleton is not annotated."""
    own = get_skeleton(skeleton)
    if person.get('keypoints', np.empty((1, 0))).shape[1] != len(own):
        low, high = person['bbox'][0].reshape(2, 2)
        points = np.random.default_rng(0).uniform(low, high, (1, len(own), 2)).astype(np.float32)
        person = dict(person, keypoints=points, keypoints_visible=np.ones((1, len(own)), np.float32))
    return dict(person, **skeleton_fields(own), dataset_keypoint_weights=np.ones(len(own), np.float32))


def target_seconds(count: int, repeats: int = 10) -> float:
    """CPU time of our target heatmaps of one person; the median."""
    points = torch.rand(1, count, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(SIZE)
    encode = partial(UDPHeatmap(sigma=6).encode, points, torch.ones(1, count), SIZE, (192, 256))
    return float(np.median([cpu_seconds(encode)[0] for _ in range(repeats + 1)][1:]))


def compare_medians(paths: list[str]) -> None:
    """Compare the approximate median of 7 x 7 in RandomBlur (5 x 5 twice) with the exact one, at the size of crops."""
    times, differences, changes = np.zeros(2), [], []
    for path in paths:
        image = cv2.resize(cv2.imread(path), SIZE)
        first, once = cpu_seconds(cv2.medianBlur, image, 5)
        second, twice = cpu_seconds(cv2.medianBlur, once, 5)
        third, exact = cpu_seconds(cv2.medianBlur, image, 7)
        times += first + second, third
        differences.append(cv2.absdiff(twice, exact).mean())
        changes.append(cv2.absdiff(exact, image).mean())
    print(
        f'median of 7 as 5 twice, {len(paths)} photographs: {1e3 * times[0] / len(paths):.1f} ms instead of '
        f'{1e3 * times[1] / len(paths):.1f}, {np.mean(differences):.1f} gray levels from it, which is '
        f'{np.mean(changes):.1f} from the photograph'
    )


def main() -> None:
    args = parse_args()
    use_one_thread()
    both = pipelines(args.decode)
    print('people       K  samples  ours/s  with targets/s  mmpose/s  ratio  with targets')
    for title, folder in (('COCO', args.data), ('photographs', args.images)):
        for skeleton in FILES if folder else ():
            if title == 'COCO':
                people = people_of_coco(folder, skeleton, args.people)
            else:
                people = people_of_photographs(folder, args.people)
            people = [complete(person, skeleton) for person in people] * args.repeats
            rates = samples_per_second(both, [(person, person) for person in people])
            count = len(get_skeleton(skeleton))
            whole = 1 / (1 / rates[0] + target_seconds(count))
            print(
                f'{title:11s} {count:3d} {len(people):7d}  {rates[0]:6.1f}  {whole:14.1f}  {rates[1]:8.1f}  '
                f'{rates[0] / rates[1]:5.2f}  {whole / rates[1]:12.2f}'
            )
    if args.images:
        compare_medians(find_photographs(args.images)[:8])


if __name__ == '__main__':
    main()
