"""Which images to pretrain on, at equal steps: none, rooms without people, rendered people, photographs of people.

``people-1`` and ``people-10`` take the first percent, and the first 10, of the rendered images, which are 10000 in
docs/ablations.md. The rooms are those of the rendered people:
``sapiens render --scene empty=True`` with the options and the seed of ``synthetic/train`` into ``rooms/train``.
Photographs of people are yours: ``humans300m/train``. Without them: ``--only '?[!h]*'``.
"""

_root, _part = 'pretrain:train_dataloader.dataset.data_root', 'pretrain:+train_dataloader.dataset.part'
_rendered = '{{$DATA_ROOT:data}}/synthetic/train/rgb'
variants = [
    dict(name='none', options={'pose:load_from': None, 'seg:load_from': None}),
    dict(name='rooms', options={_root: '{{$DATA_ROOT:data}}/rooms/train/rgb'}),
    dict(name='people-1', options={_root: _rendered, _part: (0.0, 0.01)}),
    dict(name='people-10', options={_root: _rendered, _part: (0.0, 0.1)}),
    dict(name='people-100', options={_root: _rendered}),
    dict(name='photographs', options={_root: '{{$DATA_ROOT:data}}/humans300m/train'}),
]
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower', 'seg:mIoU': 'higher'}
checks = [
    f'{better}.{metric} {sign} {worse}.{metric}'
    for better, worse in (('people-100', 'none'), ('people-100', 'rooms'), ('people-100', 'people-1'))
    for metric, sign in (('pose:AP', '>'), ('pose:val_loss', '<'), ('seg:mIoU', '>'))
]
