"""Which fraction of the patches to remove in pretraining, singly or in blocks.

Judged by finetuned pose and segmentation, since the reconstruction losses of two ratios do not compare. The stage ``common``
gives the reconstruction error of all on one mask, 75 % in single patches.
"""

_ratio, _block = 'pretrain:model.mask_ratio', 'pretrain:model.mask_block_size'
_common = {'common:model.mask_ratio': 0.75, 'common:model.mask_block_size': 1}
_test = dict(name='common', command='test', after='pretrain')
variants = [
    *(dict(name=f'mask-{ratio}', options={_ratio: ratio, **_common}) for ratio in (0.5, 0.75, 0.9, 0.95)),
    *(dict(name=f'block-{ratio}', options={_ratio: ratio, _block: 2, **_common}) for ratio in (0.75, 0.95)),
]
reference = 'mask-0.75'
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower', 'seg:mIoU': 'higher', 'common:mae/loss': 'lower'}
# The paper pretrains with 95 %.
checks = [
    'mask-0.95.pose:AP > mask-0.75.pose:AP',
    'mask-0.95.pose:val_loss < mask-0.75.pose:val_loss',
    'mask-0.95.seg:mIoU > mask-0.75.seg:mIoU',
]
