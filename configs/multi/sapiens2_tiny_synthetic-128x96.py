_base_ = './_base_/multi-128x96.py'

from sapiens.utils.join_tasks import join_tasks  # noqa: E402  (MMEngine needs _base_ first)

_joined = join_tasks(
    pose='pose/sapiens2_tiny_synthetic308-128x96',
    seg='seg/sapiens2_tiny_synthetic-128x96',
    normal='normal/sapiens2_tiny_synthetic-128x96',
)
model = _joined['model']
train_dataloader = dict(dataset=_joined['train_dataset'])
val_dataloader = test_dataloader = dict(dataset=_joined['val_dataset'])
val_evaluator = test_evaluator = _joined['val_evaluator']
del _joined
