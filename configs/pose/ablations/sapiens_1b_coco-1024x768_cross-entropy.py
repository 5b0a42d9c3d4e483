# Cross entropy over the cells of each heatmap with a narrow target, instead of squared errors.
_base_ = ['../sapiens_1b_coco-1024x768.py', '../../_base_/losses/pose.py']

model = dict(
    codec=dict(sigma=2.0, refine='expectation'), losses=dict(_delete_=True, **_base_._losses['cross-entropy'])
)
