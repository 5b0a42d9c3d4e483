"""Tiny models in the place of published ones, with data in the published layouts."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.runner import save_checkpoint

from sapiens.apis.loading.build import build_model
from sapiens.checkpoints import ZOO
from sapiens.known_data import find_data, prepare

from ..known_data import miniatures

ROOT = Path(__file__).parents[2]
TASKS = {
    'sapiens-pose-0.3b-17': ('pose', 'pose/sapiens_tiny_coco-128x96.py', None),
    'sapiens-seg-0.3b': ('seg', 'sapiens_tiny_goliath-128x96.py', 'goliath_seg'),
    'sapiens-depth-0.3b': ('depth', 'sapiens_tiny_renderpeople-128x96.py', 'hi4d_depth'),
    'sapiens-normal-0.3b': ('normal', 'sapiens_tiny_renderpeople-128x96.py', 'hi4d_normal'),
}
LEAF = """
_base_ = [{bases}]
model = dict(backbone=dict(arch=_base_.backbone.arch){classes})
test_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.{split}_dataset))
test_evaluator = [_base_.{metric}]
val_dataloader = val_evaluator = val_cfg = None
train_dataloader = train_cfg = optim_wrapper = param_scheduler = None
"""


def config_of(name, folder):
    """Write the config of a tiny model, as it is named after the training data, and those of its evaluations."""
    task, config, dataset = TASKS[name]
    if dataset is None:
        return config
    where = folder / 'configs' / task
    where.mkdir(parents=True, exist_ok=True)
    for word, base in ((None, dataset), ('hi4d', f'hi4d_{task}'), ('thuman2', f'thuman2_{task}')):
        if word and task == 'seg':
            continue
        files = (
            '_base_/schedules/tiny-finetune.py', f'_base_/datasets/{base}.py', f'{task}/_base_/{task}-128x96.py',
            '_base_/backbones/sapiens_tiny.py',
        )  # fmt: skip
        text = LEAF.format(
            bases=', '.join(repr(str(ROOT / 'configs' / file)) for file in files),
            classes=', task=dict(classes=_base_.classes)' if task == 'seg' else '',
            split='val' if task == 'seg' else 'test',
            metric='metric' if task == 'seg' else 'test_metric',
        )
        file = config if word is None else f'sapiens_tiny_{word}-128x96.py'
        (where / file).write_text(text)
    return str(where / config)


def write_weights(config, path, seed=0):
    """Random weights of a config, in a file."""
    torch.manual_seed(seed)
    model = build_model(str(config), device='cpu')
    for parameter in model.head.parameters():
        parameter.normal_(std=0.3)  # published initial values give nearly the same everywhere
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(path))


def stand_in(monkeypatch, name, folder, published=None):
    """Let a published name mean a tiny model, whose weights are where the published ones would be."""
    config = config_of(name, folder)
    scores = published or ZOO[name].published
    entry = replace(ZOO[name], config=config, published=scores)
    monkeypatch.setitem(ZOO, name, entry)
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(folder / 'checkpoints'))
    write_weights(entry.config, folder / 'checkpoints' / entry.names[0])
    return entry


def write_data(name, root, count=66):
    """Data of a model's evaluation, in the published layout."""
    task = TASKS[name][0]
    if task == 'pose':
        miniatures.coco(root / 'downloads', train=1, val=count)
        prepare(find_data('coco'), root, [root / 'downloads'], ('val',), report=lambda text: None)
        boxes = root / 'coco/person_detection_results/COCO_val2017_detections_AP_H_70_person.json'
        found = json.loads(boxes.read_text())
        # Detections are a little off, and some people are found twice.
        more = [dict(one, bbox=[x + 1 for x in one['bbox']], score=0.5) for one in found[::5]]
        boxes.unlink()
        boxes.write_text(json.dumps(found + more))
    elif task == 'seg':
        held_out = root / 'goliath/test_5000'
        miniatures.write_tree(held_out, {f'images/{n:04d}.jpg': miniatures.image(n) for n in range(count)})
        miniatures.write_tree(held_out, {f'segmentations/{n:04d}.png': miniatures.labels(34, n) for n in range(count)})
    else:
        miniatures.hi4d_rendered(root / 'hi4d', count // 3)
        miniatures.thuman2_rendered(root / 'thuman2', count // 3)
