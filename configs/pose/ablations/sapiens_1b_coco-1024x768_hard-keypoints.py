# Only the 8 keypoints of each person with the largest errors count (online hard keypoint mining).
_base_ = ['../sapiens_1b_coco-1024x768.py', '../../_base_/losses/pose.py']

model = dict(losses=_base_._losses['hard-keypoints'])
