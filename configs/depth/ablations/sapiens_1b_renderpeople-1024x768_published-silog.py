# SiLog with the faults of the published one (docs/differences.md).
_base_ = ['../sapiens_1b_renderpeople-1024x768.py', '../../_base_/losses/depth.py']

model = dict(losses=_base_._losses['published-silog'])
