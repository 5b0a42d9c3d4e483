# 12 blocks of 768, 12 heads; 0.114 B parameters. Finetuning is published from 0.4b on: here with its rates.
backbone = dict(type='Sapiens2ViT', arch='0.1b', init_cfg=dict(type='Pretrained', checkpoint='sapiens2-pretrain-0.1b'))
layer_decay_rate = 0.8
max_norm = 2.0
