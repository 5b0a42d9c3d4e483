_base_ = ['../_base_/mini.py', '../_base_/resolution.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
# Heatmaps keep a quarter of the size, and their targets the width in pixels of the crop.
_sizes = {
    name: {
        'pose:model.backbone.img_size': (int(128 * scale), int(96 * scale)),
        'pose:train_dataloader.dataset.pipeline.3.size': (int(96 * scale), int(128 * scale)),
        'pose:val_dataloader.dataset.pipeline.1.size': (int(96 * scale), int(128 * scale)),
        'pose:test_dataloader.dataset.pipeline.1.size': (int(96 * scale), int(128 * scale)),
        'pose:model.codec.sigma': 1.0 * scale,
    }
    for name, scale in (('half', 0.5), ('large', 1.5))
}
# 4 times the steps at half the size, 4 / 9 at 1.5 times.
_tokens = {
    name: {f'pose:{key}': steps for key in _base_._length}
    for name, steps in (('half', _base_._steps * 4), ('large', _base_._steps * 4 // 9))
}
variants = [
    dict(name='base'),
    *(dict(name=f'{name}-images', options=size) for name, size in _sizes.items()),
    *(dict(name=f'{name}-tokens', options={**size, **_tokens[name]}) for name, size in _sizes.items()),
]
