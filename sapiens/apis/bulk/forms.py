"""Files of a unit: a tar shard, a parquet table, or a part of a COCO file."""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sapiens.datasets.shard_members import MemberPath
from sapiens.datasets.tar_reader import BLOCK

from ..batch_job import Plan
from ..results import PoseResult, Result, Saving, SegResult
from ..results.base import PICTURE
from ..results.by_task import get_result_class
from ..writers.files import WRITERS
from ..writers.pose_formats import meta_info
from .labels import coco_annotations, people_of
from .units import Row, readable

__all__ = ['FORMS', 'PARTS', 'Form', 'parts_of']

# Folder of tables and shards, and that of what is joined at the end of a run.
LABELS, PARTS = 'labels', 'parts'


def parts_of(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return {name: (task, kind)} of the files of each image: ``seg.png``, ``seg_mask.png``, ``depth.npy``.

    The main file of a task is named after the task. The people of pose are no file.
    """
    found = {}
    for task in plan.written():
        result = get_result_class(task)
        for file in result.chosen(plan.saving):
            if issubclass(result, PoseResult) and file.kind == 'json':
                continue
            if file is PICTURE and plan.saving.kinds is None and file.kind not in plan.saving.extra:
                continue  # drawings are not for data sets, unless they are asked for
            suffix = result.paths(Path('x'), plan.saving)[file.kind].suffix
            found[f'{task if file is result.files[0] else f"{task}_{file.kind}"}{suffix}'] = task, file.kind
    return found


class Form:
    """Writes the results of the images of a unit, in their order.

    Args:
        plan: of the run.
        folder: of the unit's files.
        name: of the unit.
    """

    def __init__(self, plan: Plan, folder: Path, name: str) -> None:
        self.plan, self.folder, self.name, self.parts = plan, folder, name, parts_of(plan)

    # Whether the content of the image files is wanted.
    keeps_images = False

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Raise ValueError for a plan whose results the form cannot hold."""

    def add(self, row: Row, results: Mapping[str, Result], content: bytes | None) -> None:
        """Write the results of an image."""
        raise NotImplementedError

    def add_failure(self, row: Row, error: str) -> None:
        """Note an image that has no results."""

    def close(self) -> None:
        """Complete the files."""
        raise NotImplementedError

    def encoded(self, results: Mapping[str, Result]) -> dict[str, bytes]:
        """Return the content of the files of an image by name, without those that it lacks."""
        found = {}
        for name, (task, kind) in self.parts.items():
            result = results[task]
            saving = result.choose(self.plan.saving)
            file = next(file for file in result.files if file.kind == kind)
            content = file.content(result, saving)
            if content is not None:
                buffer = io.BytesIO()
                WRITERS[os.path.splitext(name)[1]](buffer, content)
                found[name] = buffer.getvalue()
        return found

    def facts(self, row: Row, results: Mapping[str, Result]) -> dict[str, Any]:
        """Return what there is to say of an image in plain values: source, size, scores, people."""
        height, width = next(iter(results.values())).image.shape[:2]
        facts = dict(source=row.name, width=width, height=height)
        for task, result in results.items():
            if task not in self.plan.written():
                continue
            if isinstance(result, PoseResult):
                facts['people'] = people_of(result)
            elif getattr(result, 'score', None) is not None:
                facts['score'] = round(result.score, 4)
        return facts


class ShardForm(Form):
    """A tar shard in WebDataset's layout: the image as it was, ``KEY.json`` and the maps of each.

    The bytes depend on images and results alone. ``parts/NAME.weights.csv`` has the scores of maps, as weights of a data set of
    the shards. ``parts/NAME.jsonl`` has the people, with the places of their images in the shard
    (:class:`sapiens.datasets.shard_members.MemberPath`).
    """

    keeps_images = True

    def __init__(self, plan: Plan, folder: Path, name: str) -> None:
        super().__init__(plan, folder, name)
        self.weights: list[str] = []
        self.people = PeopleLines(plan, folder, name) if plan.writes_people else None
        self.tar = tarfile.open(labels_file(folder, f'{name}.tar'), 'w', format=tarfile.PAX_FORMAT)  # noqa: SIM115

    @classmethod
    def check(cls, plan: Plan) -> None:
        if not plan.writes_people and plan.label_threshold != Saving.threshold:
            raise ValueError(
                f'--label-threshold {plan.label_threshold:g} is for the people of pose, not {" and ".join(plan.written())}'
            )

    def add(self, row: Row, results: Mapping[str, Result], content: bytes | None) -> None:
        facts = self.facts(row, results)
        for result in results.values():
            if isinstance(result, PoseResult):
                facts |= dict(meta_info=meta_info(result.skeleton))
        key = readable(row.key)
        image = f'{key}{image_suffix(row, content)}'
        begin = self.tar.offset
        self._write(image, content)
        if self.people is not None:
            end = self.tar.offset - (-len(content) % BLOCK)  # without the padding
            self.people.add(str(MemberPath(f'{LABELS}/{self.name}.tar', begin, end - begin, image)), results)
        self._write(f'{key}.json', json.dumps(facts, allow_nan=False).encode())
        for name, data in self.encoded(results).items():
            self._write(f'{key}.{name}', data)
        if 'score' in facts:
            self.weights.append(f'{csv_cell(image)},{facts["score"]}\n')

    def _write(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o644
        self.tar.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        self.tar.close()
        if self.people is not None:
            self.people.close()
        if self.weights:
            part_file(self.folder, f'{self.name}.weights.csv').write_text(''.join(self.weights), 'utf-8')


class ParquetForm(Form):
    """A table with a row for each image, those that cannot be read included.

    Columns: ``image`` (its name), ``width``, ``height``, ``error`` (null for a good one); of pose ``people``; of segmentation
    ``score``; and for each map the content of its file, under its name.
    """

    # Rows of a row group, and bytes of maps after which one ends before. Each row group takes a few kilobytes of memory until the
    # file is closed.
    rows_at_once, bytes_at_once = 1000, 64 << 20

    def __init__(self, plan: Plan, folder: Path, name: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(plan, folder, name)
        columns = dict(image=pa.string(), width=pa.int32(), height=pa.int32(), error=pa.string())
        if any(issubclass(get_result_class(task), PoseResult) for task in plan.written()):
            numbers = pa.list_(pa.float32())
            person = dict(bbox=numbers, bbox_score=pa.float32(), score=pa.float32(), keypoints=numbers,
                          keypoint_scores=numbers)  # fmt: skip
            columns['people'] = pa.list_(pa.struct(list(person.items())))
        if any(issubclass(get_result_class(task), SegResult) for task in plan.written()):
            columns['score'] = pa.float32()
        columns |= {part: pa.binary() for part in self.parts}
        self.schema, self.rows, self.bytes = pa.schema(list(columns.items())), [], 0
        self.writer = pq.ParquetWriter(labels_file(folder, f'{name}.parquet'), self.schema, compression='zstd')

    def add(self, row: Row, results: Mapping[str, Result], content: bytes | None) -> None:
        facts = self.facts(row, results)
        facts['image'] = readable(facts.pop('source'))
        for person in facts.get('people', ()):
            person['keypoints'] = [value for point in person['keypoints'] for value in point]
        self.append(facts | self.encoded(results))

    def add_failure(self, row: Row, error: str) -> None:
        self.append(dict(image=readable(row.name), error=error))

    def append(self, values: dict) -> None:
        """Write a row: {column: value}, without those that are null."""
        self.rows.append(values)
        self.bytes += sum(len(values.get(name) or b'') for name in self.parts)
        if len(self.rows) == self.rows_at_once or self.bytes >= self.bytes_at_once:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self.rows:
            self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows, self.bytes = [], 0

    def close(self) -> None:
        self._flush()
        self.writer.close()


class CocoForm(Form):
    """A part of a COCO data set of people."""

    def __init__(self, plan: Plan, folder: Path, name: str) -> None:
        super().__init__(plan, folder, name)
        self.people = PeopleLines(plan, folder, name)

    @classmethod
    def check(cls, plan: Plan) -> None:
        tasks = plan.written()
        if len(tasks) != 1 or not plan.writes_people:
            raise ValueError(
                f'--out-format coco holds the people of pose, not {" and ".join(tasks)}: take shards or parquet for maps'
            )

    def add(self, row: Row, results: Mapping[str, Result], content: bytes | None) -> None:
        self.people.add(readable(row.name), results)

    def close(self) -> None:
        self.people.close()


class PeopleLines:
    """The people of a unit for a COCO data set: one line of JSON for each image, with its annotations, without ids."""

    def __init__(self, plan: Plan, folder: Path, name: str) -> None:
        self.plan = plan
        self.file = open(part_file(folder, f'{name}.jsonl'), 'w', encoding='utf-8')  # noqa: SIM115

    def add(self, name: str, results: Mapping[str, Result]) -> None:
        result = next(results[task] for task in self.plan.written() if isinstance(results[task], PoseResult))
        height, width = result.image.shape[:2]
        image = dict(file_name=name, width=width, height=height)
        annotations = list(coco_annotations(result, self.plan.label_threshold))
        self.file.write(json.dumps(dict(image=image, annotations=annotations), allow_nan=False) + '\n')

    def close(self) -> None:
        self.file.close()


FORMS: dict[str, type[Form]] = dict(coco=CocoForm, parquet=ParquetForm, shards=ShardForm)


def labels_file(folder: Path, name: str) -> Path:
    (folder / LABELS).mkdir()
    return folder / LABELS / name


def part_file(folder: Path, name: str) -> Path:
    (folder / PARTS).mkdir(exist_ok=True)
    return folder / PARTS / name


def csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n\r') else text


def image_suffix(row: Row, content: bytes) -> str:
    """Suffix of an image file: that of its name, else by its content."""
    suffix = os.path.splitext(row.name)[1].lower()
    if suffix[1:].isalnum():
        return suffix
    return '.png' if content[:4] == b'\x89PNG' else '.jpg'
