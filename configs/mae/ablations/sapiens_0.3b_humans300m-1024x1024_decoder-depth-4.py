# Half the decoder: the published one has 8 blocks.
_base_ = '../sapiens_0.3b_humans300m-1024x1024.py'

model = dict(decoder=dict(num_layers=4))
