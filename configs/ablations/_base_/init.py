"""What pretraining gives each task, and with how many labels.

The encoder begins with random weights, with pretrained ones, or with these and stays frozen, at 1 %, 10 % and 100 % of the
labels: the first images by name. The steps are the same.
"""

# All labels: without the option, as the equal runs of other studies.
_parts = {
    percent: {} if percent == 100 else {'+train_dataloader.dataset.part': (0.0, percent / 100)}
    for percent in (100, 10, 1)
}
_tasks = ('pose', 'seg', 'depth', 'normal')
_frozen = 'model.backbone.frozen_stages'
_kinds = {'random': {'load_from': None}, 'pretrained': {}, 'frozen': {_frozen: 6}}
variants = [
    dict(
        name=f'{kind}-{percent}',
        options={f'{task}:{key}': value for task in _tasks for key, value in {**options, **part}.items()},
    )
    for percent, part in _parts.items()
    for kind, options in _kinds.items()
]
metrics = {
    'pose:AP': 'higher',
    'pose:val_loss': 'lower',
    'seg:mIoU': 'higher',
    'depth:RMSE': 'lower',
    'normal:mean': 'lower',
}
checks = [
    f'pretrained-{percent}.{metric} {sign} random-{percent}.{metric}'
    for percent in _parts
    for metric, sign in (
        ('pose:AP', '>'),
        ('pose:val_loss', '<'),
        ('seg:mIoU', '>'),
        ('depth:RMSE', '<'),
        ('normal:mean', '<'),
    )
]
