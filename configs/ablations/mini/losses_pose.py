_base_ = ['../_base_/mini.py', '../_base_/losses_pose.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
variants = [
    dict(name='squared-error', options={'pose:model.losses': _base_._losses['squared-error']}),
    dict(name='cross-entropy'),
    dict(name='hard-keypoints', options={'pose:model.losses': _base_._losses['hard-keypoints']}),
]
