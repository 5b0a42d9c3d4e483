"""Stages of studies at the scale of the paper: 0.3b at 1024, published lengths, for a cluster. Never run here.

``sapiens ablate full/NAME --on slurm`` estimates the cost. Data: docs/data.md.
"""

_stages = dict(
    pretrain=dict(name='pretrain', config='mae/sapiens_0.3b_humans300m-1024x1024'),
    # From the released encoder.
    pose=dict(name='pose', config='pose/sapiens_0.3b_coco-1024x768'),
    seg=dict(name='seg', config='seg/sapiens_0.3b_goliath-1024x768'),
    depth=dict(name='depth', config='depth/sapiens_0.3b_renderpeople-1024x768'),
    normal=dict(name='normal', config='normal/sapiens_0.3b_renderpeople-1024x768'),
)
# The same tasks from the encoder that the study pretrains.
_pretrained = {
    name: dict(stage, after='pretrain', options={'model.backbone.init_cfg': None})
    for name, stage in _stages.items()
    if name != 'pretrain'
}
# Lengths are counted in epochs. A part of the images is repeated, for as many steps as with all.
_repeat = '+train_dataloader.sampler.repeat'
seeds = [0]
