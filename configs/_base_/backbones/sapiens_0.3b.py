# 24 blocks of 1024, 16 heads; 0.336 B parameters with the MAE decoder (paper, table 1).
backbone = dict(
    type='SapiensViT',
    arch='0.3b',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='{{$SAPIENS_CHECKPOINT_ROOT:checkpoints}}/pretrain/checkpoints/sapiens_0.3b/sapiens_0.3b_epoch_1600_clean.pth',
    ),
)
