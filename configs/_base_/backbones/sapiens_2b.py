# 48 blocks of 1920, 32 heads; 2.163 B parameters with the MAE decoder (paper, table 1).
backbone = dict(type='SapiensViT', arch='2b', init_cfg=dict(type='Pretrained', checkpoint='sapiens-pretrain-2b'))
