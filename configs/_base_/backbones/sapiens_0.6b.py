# 32 blocks of 1280, 16 heads; 0.664 B parameters with the MAE decoder (paper, table 1).
backbone = dict(type='SapiensViT', arch='0.6b', init_cfg=dict(type='Pretrained', checkpoint='sapiens-pretrain-0.6b'))
