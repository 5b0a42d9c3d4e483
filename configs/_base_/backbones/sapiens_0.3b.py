# 24 blocks of 1024, 16 heads; 0.336 B parameters with the MAE decoder (paper, table 1).
backbone = dict(type='SapiensViT', arch='0.3b', init_cfg=dict(type='Pretrained', checkpoint='sapiens-pretrain-0.3b'))
