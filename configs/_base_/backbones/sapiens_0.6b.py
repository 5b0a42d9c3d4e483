# 32 blocks of 1280, 16 heads; 0.664 B parameters with the MAE decoder (paper, table 1).
backbone = dict(
    type='SapiensViT',
    arch='0.6b',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='{{$SAPIENS_CHECKPOINT_ROOT:checkpoints}}/pretrain/checkpoints/sapiens_0.6b/sapiens_0.6b_epoch_1600_clean.pth',
    ),
)
