# 56 blocks of 2432, 32 heads; 5.067 B parameters.
backbone = dict(type='Sapiens2ViT', arch='5b', init_cfg=dict(type='Pretrained', checkpoint='sapiens2-pretrain-5b'))
layer_decay_rate = 0.94
max_norm = 4.0
