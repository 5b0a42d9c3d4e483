# 24 blocks of 1024, 16 heads; 0.395 B parameters.
backbone = dict(type='Sapiens2ViT', arch='0.4b', init_cfg=dict(type='Pretrained', checkpoint='sapiens2-pretrain-0.4b'))
layer_decay_rate = 0.8
max_norm = 2.0
