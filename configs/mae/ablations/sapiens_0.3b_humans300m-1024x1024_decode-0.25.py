# A random quarter of the removed patches is decoded in each step.
_base_ = '../sapiens_0.3b_humans300m-1024x1024.py'

model = dict(decode_share=0.25)
