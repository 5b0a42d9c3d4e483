_base_ = ['../_base_/full.py', '../_base_/losses_pose.py']

chain = [dict(name='pose', config='pose/sapiens_1b_coco-1024x768')]
_ablations = 'pose/ablations/sapiens_1b_coco-1024x768'
variants = [
    dict(name='squared-error'),
    dict(name='cross-entropy', config=f'{_ablations}_cross-entropy'),
    dict(name='hard-keypoints', config=f'{_ablations}_hard-keypoints'),
]
