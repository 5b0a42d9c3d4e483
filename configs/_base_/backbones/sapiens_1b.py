# 40 blocks of 1536, 24 heads; 1.169 B parameters with the MAE decoder (paper, table 1).
backbone = dict(type='SapiensViT', arch='1b', init_cfg=dict(type='Pretrained', checkpoint='sapiens-pretrain-1b'))
