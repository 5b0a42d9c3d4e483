_base_ = ['./_base_/sapiens2-1024x768.py', '../_base_/backbones/sapiens2_0.4b.py']

from sapiens.utils.join_tasks import join_tasks  # noqa: E402  (MMEngine needs _base_ first)

_people = dict(pose='pose/sapiens2_0.4b_goliath-1024x768', seg='seg/sapiens2_0.4b_goliath-1024x768')
_input = dict(type='LoadLetterbox', size=(768, 1024), interpolation='published')
_joined = join_tasks(_input, **_people, normal='normal/sapiens2_0.4b_renderpeople-1024x768')
model = _joined['model']
train_dataloader = dict(batch_size=6, sampler=dict(turns=dict(seg=2, normal=2)), dataset=_joined['train_dataset'])
val_dataloader = test_dataloader = dict(dataset=_joined['val_dataset'])
val_evaluator = test_evaluator = _joined['val_evaluator']
_groups, _norm = dict(layer_decay_rate=_base_.layer_decay_rate), dict(max_norm=_base_.max_norm)
optim_wrapper = dict(paramwise_cfg=_groups, clip_grad=_norm)
train_cfg = dict(max_iters=50000)
del _people, _input, _joined, _groups, _norm
