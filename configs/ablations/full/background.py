_base_ = ['../_base_/full.py', '../_base_/background.py']

_configs = dict(
    seg='sapiens_1b_goliath-1024x768',
    depth='sapiens_1b_renderpeople-1024x768',
    normal='sapiens_1b_renderpeople-1024x768',
)
chain = [*(dict(name=task, config=f'{task}/{config}') for task, config in _configs.items()), *_base_._unseen]
variants = [
    dict(
        name='plain',
        config={task: f'{task}/ablations/{config}_no-background' for task, config in _configs.items()},
    ),
    dict(name='background'),
]
