# The loss weights of the second generation, with its gradient loss.
_base_ = ['../sapiens_1b_renderpeople-1024x768.py', '../../_base_/losses/normal.py']

model = dict(losses=_base_._losses['gradient'])
