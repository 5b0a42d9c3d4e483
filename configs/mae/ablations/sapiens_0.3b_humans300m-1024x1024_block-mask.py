# Squares of 4x4 patches (64x64 pixels) are removed together.
_base_ = '../sapiens_0.3b_humans300m-1024x1024.py'

model = dict(mask_block_size=4)
