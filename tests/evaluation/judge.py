"""mmpose's COCO metrics on the real xtcocotools, in a process of its own: ``python judge.py SCENARIOS.pkl ANSWERS.json``.

The package lets ``xtcocotools`` resolve to faster-coco-eval where the real one does not load. Here it must be the real
one: its wheels are built for numpy 1, and with numpy 2 only the compiled module for masks fails, which keypoints do not
use. That of pycocotools takes its place.
"""

import json
import pickle
import sys

import pycocotools._mask

sys.modules['xtcocotools._mask'] = pycocotools._mask

# isort: off
import sapiens  # noqa: E402, F401  first: the adapters that mmpose's imports need
from mmpose.evaluation.metrics import CocoMetric, CocoWholeBodyMetric, coco_metric, coco_wholebody_metric  # noqa: E402
from xtcocotools import cocoeval  # noqa: E402
# isort: on

seen = []


class Recorder(cocoeval.COCOeval):
    """mmpose returns the numbers of the whole body only, and prints those of its parts."""

    def summarize(self):
        super().summarize()
        seen.append((self.params.iouType, [float(number) for number in self.stats]))


def judge(ann_file, samples, wholebody, metainfo, options):
    seen.clear()
    metric = (CocoWholeBodyMetric if wholebody else CocoMetric)(ann_file, **options)
    metric.dataset_meta = metainfo
    for sample in samples:
        metric.process({}, [sample])
    metric.evaluate(len(samples))
    return dict(seen)


def main(scenarios, answers):
    assert cocoeval.__file__.endswith('xtcocotools/cocoeval.py'), cocoeval
    for module in (coco_metric, coco_wholebody_metric):
        assert module.COCOeval is cocoeval.COCOeval
        module.COCOeval = Recorder
    with open(scenarios, 'rb') as file:
        inputs = pickle.load(file)
    with open(answers, 'w') as file:
        json.dump({name: judge(**scenario) for name, scenario in inputs.items()}, file)


if __name__ == '__main__':
    main(*sys.argv[1:])
