_base_ = ['../_base_/mini.py', '../_base_/losses_pose.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
variants = [
    dict(name='squared-error', options=_base_._mse),
    dict(name='cross-entropy'),
    dict(name='hard-keypoints', options=_base_._hard),
]
