# Only the 8 keypoints with the largest error of each person count (online hard keypoint mining).
_base_ = '../sapiens_1b_coco-1024x768.py'

model = dict(loss=dict(top_k=8))
