_base_ = ['../_base_/full.py', '../_base_/resolution.py']

chain = [_base_._stages['pose']]
_sizes = {
    name: {
        'pose:model.backbone.img_size': (int(1024 * scale), int(768 * scale)),
        'pose:train_dataloader.dataset.pipeline.4.size': (int(768 * scale), int(1024 * scale)),
        'pose:val_dataloader.dataset.pipeline.1.size': (int(768 * scale), int(1024 * scale)),
        'pose:test_dataloader.dataset.pipeline.1.size': (int(768 * scale), int(1024 * scale)),
        'pose:model.codec.sigma': 6.0 * scale,
    }
    for name, scale in (('half', 0.5), ('large', 1.5))
}
_tokens = {
    name: {
        'pose:train_cfg.max_epochs': epochs,
        'pose:param_scheduler.1.end': epochs,
        'pose:param_scheduler.1.milestones': [epochs * 170 // 210, epochs * 200 // 210],
    }
    for name, epochs in (('half', 210 * 4), ('large', 210 * 4 // 9))
}
variants = [
    dict(name='base'),
    *(dict(name=f'{name}-images', options=size) for name, size in _sizes.items()),
    *(dict(name=f'{name}-tokens', options={**size, **_tokens[name]}) for name, size in _sizes.items()),
]
