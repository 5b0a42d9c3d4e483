# Only the 8 keypoints of each person with the largest errors count (online hard keypoint mining).
_base_ = '../sapiens_1b_coco-1024x768.py'

model = dict(losses=dict(top_k=8))
