# 40 blocks of 1536, 24 heads; 1.455 B parameters.
backbone = dict(type='Sapiens2ViT', arch='1b', init_cfg=dict(type='Pretrained', checkpoint='sapiens2-pretrain-1b'))
layer_decay_rate = 0.9
max_norm = 4.0
