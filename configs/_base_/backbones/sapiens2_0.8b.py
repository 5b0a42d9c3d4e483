# 32 blocks of 1280, 16 heads; 0.814 B parameters.
backbone = dict(type='Sapiens2ViT', arch='0.8b', init_cfg=dict(type='Pretrained', checkpoint='sapiens2-pretrain-0.8b'))
layer_decay_rate = 0.85
max_norm = 4.0
