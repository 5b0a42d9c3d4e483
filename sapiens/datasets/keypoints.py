"""People with keypoints from COCO files, one person per sample."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose

from sapiens.coco import read_people
from sapiens.metainfo import Skeleton, dataset_metainfo, get_skeleton, match_keypoints
from sapiens.metainfo.naming import side_of
from sapiens.registry import DATASETS

from .base import SampleDataset, join_path
from .checks import Findings, check_images
from .instances import Instances, annotated_instances, detected_instances
from .paired_folders import part_of
from .shard_members import MARK, check_shards_of

__all__ = ['KeypointDataset', 'map_keypoints', 'refuse_unreachable', 'skeleton_fields']


@DATASETS.register_module()
class KeypointDataset(SampleDataset):
    """The people of a COCO annotation file, of any skeleton, in annotated or detected boxes.

    Keypoints are read from ``keypoints`` (COCO, your data, our 308 keypoints), COCO-WholeBody's five lists, or Goliath's
    ``goliath_wholebody_kpts``: from the field with as many keypoints as the skeleton. People and order are those of mmpose's
    ``CocoDataset`` and ``CocoWholeBodyDataset``: crowds, people without a labeled keypoint (``num_keypoints`` of COCO-WholeBody
    counts the body only) and boxes that are empty within their image are left out.

    The pipeline starts from a dict of one person; arrays have a leading axis of 1, as mmpose's transforms expect:

    - ``img_path``, ``sample_idx`` (position here), ``img_id``, ``id`` (of the annotation; of a detection, its position
      among the people of its file)
    - ``bbox`` (1, 4) float32 x1, y1, x2, y2, clipped to the image where annotated; ``bbox_score`` (1,) float32
    - where annotated: ``keypoints`` (1, K, 2) float32, ``keypoints_visible`` (1, K) float32 (1 where v > 0), ``area``,
      ``iscrowd`` (0), ``category_id``
    - ``flip_indices``, ``upper_body_ids``, ``lower_body_ids``: lists

    Coordinates are pixels with the center of the top-left pixel at (0, 0).

    Args:
        ann_file: COCO-format JSON, relative to ``data_root``.
        skeleton: name, path of a .py file, or dict (:func:`sapiens.metainfo.get_skeleton`).
        data_root: what the other paths are relative to; '' for the working directory.
        img_prefix: folder of the images. Those in tar shards have names like ``labels/000000.tar@0+1024/a.jpg``
            (:mod:`.shard_members`), which ``sapiens infer --out-format shards`` writes.
        boxes: 'gt' for the annotated boxes, or a JSON of detections (COCO's list of results), for evaluation: every detected
            person becomes a sample without keypoints.
        score_thr: detections with a smaller score are left out.
        min_keypoints: people with fewer labeled keypoints are left out. Test mode always uses 1.
        test_mode: for evaluation: an unusable image is an error, never replaced.
        pipeline, metainfo: see :class:`sapiens.datasets.base.SampleDataset`. ``metainfo`` begins as
            :func:`sapiens.metainfo.dataset_metainfo` of the skeleton, so that checkpoints and mmpose's metrics have it.
        source_skeleton: of the file, if it is another one: keypoints are mapped by name, the rest is not labeled.
        names: {name in skeleton: name in source_skeleton} of keypoints whose names differ.
        part: (begin, end), within [0, 1]: the range of images to take, in the order of the file, of those with usable people. For
            training only, since the metric expects all people of the file.
        weight: field of the annotations with the weight of a person, such as 'score' of pseudo-labels: a number of 0 or more; an
            annotation without it has weight 1. None for no weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another format or with another number of keypoints; nothing usable in it; arguments that
            contradict each other, or a pipeline that rejects every sample.
    """

    def __init__(
        self,
        ann_file: str,
        skeleton: str | Path | Mapping | Skeleton,
        data_root: str = '',
        img_prefix: str = '',
        boxes: str = 'gt',
        score_thr: float = 0.0,
        min_keypoints: int = 1,
        test_mode: bool = False,
        pipeline: list = (),
        metainfo: dict | None = None,
        source_skeleton: str | Path | Mapping | Skeleton | None = None,
        names: Mapping[str, str] | None = None,
        part: tuple[float, float] = (0.0, 1.0),
        weight: str | None = None,
    ):
        self.skeleton = get_skeleton(skeleton)
        super().__init__(pipeline, {**dataset_metainfo(self.skeleton), **(metainfo or {})}, test_mode)
        refuse_unreachable(self.pipeline, self.skeleton)
        data_root = os.path.expanduser(data_root)
        self.ann_file = join_path(data_root, ann_file)
        self.img_root = join_path(data_root, img_prefix)
        self.boxes = boxes
        if boxes != 'gt' and not test_mode:
            raise ValueError(f'boxes={boxes!r}: detected people have no keypoints; set test_mode=True, or boxes="gt"')
        if boxes == 'gt' and score_thr:
            raise ValueError(f'score_thr={score_thr}: annotated boxes have no scores; set boxes= to detections')
        if not (isinstance(min_keypoints, int) and min_keypoints >= 1):
            raise ValueError(f'min_keypoints={min_keypoints!r}: expected 1 or more')
        if test_mode and tuple(part) != (0, 1):
            raise ValueError(
                f'part={part!r} in test mode: the metric expects all people of {ann_file!r}; write a smaller file instead'
            )
        if names and source_skeleton is None:
            raise ValueError('names= gives names in another skeleton: give source_skeleton= too')
        source = self.skeleton if source_skeleton is None else get_skeleton(source_skeleton)
        if weight is not None:
            self.refuse_weights_in_test_mode(f'weight={weight!r}')
        people = read_people(self.ann_file, keep=test_mode, weight=weight)  # evaluation reads the same file
        check_shards_of(join_path(self.img_root, name) for name in people.names if name and MARK in name)
        if boxes == 'gt':
            ids = match_keypoints(source, self.skeleton, names)
            least = 1 if test_mode else min_keypoints
            self.instances = annotated_instances(people, self.skeleton, source, ids, least, for_evaluation=test_mode)
        else:
            self.instances = detected_instances(join_path(data_root, boxes), people, score_thr)
        self.instances = _part_of_images(self.instances, part, self.ann_file)
        self._fields = skeleton_fields(self.skeleton)
        if not len(self):
            what = 'annotations' if boxes == 'gt' else f'detections of {boxes!r}'
            left_out = self.instances.findings.counts() or 'there are none'
            raise ValueError(f'{self.ann_file!r}: none of the {what} can be used; {left_out}')
        if weight is not None:
            self.weights = self.instances.weights
            if not self.weights.any():
                raise ValueError(
                    f'{self.ann_file!r}: the weights {weight!r} of all {len(self)} people are 0: nothing to learn from'
                )

    def __len__(self) -> int:
        return len(self.instances)

    def path(self, index: int) -> str:
        """Path of the image of a sample."""
        return join_path(self.img_root, self.instances.names[int(self.instances.image[index])])

    def load(self, index: int) -> dict:
        people = self.instances
        results = dict(
            img_path=self.path(index),
            sample_idx=index,
            img_id=int(people.image_ids[people.image[index]]),
            id=int(people.ids[index]),
            # Copies, since transforms change them in place.
            bbox=people.boxes[index : index + 1].numpy().copy(),
            bbox_score=people.scores[index : index + 1].numpy().copy(),
            category_id=int(people.categories[index]),
            **self._fields,
        )
        if people.keypoints is not None:
            results.update(
                keypoints=people.keypoints[index : index + 1].numpy().copy(),
                keypoints_visible=people.visible[index : index + 1].numpy().astype(np.float32),
                area=float(people.areas[index]),
                iscrowd=0,
            )
        return results

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        people = self.instances
        findings.update(people.findings)
        if people.visible is not None:
            _check_skeleton(findings, self.skeleton)
        used = np.unique(people.image.numpy())
        sizes = people.image_sizes[used].tolist()
        check_images(findings, self.image_paths(), len(used), read, progress, sizes.__getitem__)

    def image_paths(self) -> Iterator[str]:
        """Paths of the used images, each once."""
        for image in np.unique(self.instances.image.numpy()):
            yield join_path(self.img_root, self.instances.names[int(image)])

    def __repr__(self) -> str:
        boxes = '' if self.boxes == 'gt' else f' in detected boxes of {self.boxes!r}'
        return f'{type(self).__name__}({len(self)} people{boxes} of {self.ann_file!r}, {self.skeleton.name})'


def _part_of_images(people: Instances, part: tuple[float, float], where: str) -> Instances:
    """The people of a range of the images that show any."""
    images = torch.unique(people.image)
    begin, end = part_of(part, len(images), repr(where))
    if end - begin == len(images):
        return people
    kept = torch.isin(people.image, images[begin:end])
    columns = ('image', 'ids', 'boxes', 'scores', 'areas', 'categories', 'keypoints', 'visible', 'weights')
    columns = {name: getattr(people, name) for name in columns}
    return replace(people, **{name: values[kept] for name, values in columns.items() if values is not None})


def refuse_unreachable(pipeline: Compose, skeleton: Skeleton) -> None:
    """Raise ValueError for a pipeline that wants more visible keypoints than there are: it would reject every sample."""
    for step in pipeline.transforms:
        least = getattr(step, 'min_visible', 0)
        if least > len(skeleton):
            raise ValueError(
                f'{type(step).__name__}(min_visible={least}) of the pipeline rejects every sample: skeleton {skeleton.name!r} '
                f'has {len(skeleton)} keypoints. Set min_visible={max(1, len(skeleton) // 4)}, or another up to {len(skeleton)}'
            )


def skeleton_fields(skeleton: Skeleton) -> dict:
    """Properties of a skeleton for the transforms, under mmpose's names."""
    return dict(
        flip_indices=skeleton.flip_indices.tolist(),
        upper_body_ids=skeleton.upper.tolist(),
        lower_body_ids=skeleton.lower.tolist(),
    )


def map_keypoints(results: dict, ids: np.ndarray, fields: dict) -> None:
    """Convert a sample of :meth:`KeypointDataset.load` to another skeleton, in place.

    Args:
        ids: (K,), for each keypoint its id in the sample's skeleton, -1 where it has none: not labeled then.
        fields: :func:`skeleton_fields` of the other skeleton.
    """
    if 'keypoints' in results:
        known = ids >= 0
        results['keypoints'] = np.where(known[:, None], results['keypoints'][:, ids], np.float32(0))
        results['keypoints_visible'] = np.where(known, results['keypoints_visible'][:, ids], np.float32(0))
    results.update(fields)


def _check_skeleton(findings: Findings, skeleton: Skeleton) -> None:
    flip = skeleton.flip_indices
    for index, partner in enumerate(flip):
        name, other = skeleton.keypoints[index], skeleton.keypoints[partner]
        if flip[partner] != index:
            findings.add('keypoint whose mirror image has another mirror image', f'{name} -> {other}')
        if partner == index and side_of(name):
            findings.add('keypoint of one side that is its own mirror image', name, wrong=False)
    for group in ('upper', 'lower'):
        members = set(getattr(skeleton, group).tolist())
        for index in members - {int(flip[index]) for index in members}:
            findings.add(f'keypoint of the {group} body whose mirror image is not', skeleton.keypoints[index])
