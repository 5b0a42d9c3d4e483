# 40 blocks of 1536, 24 heads; 1.169 B parameters with the MAE decoder (paper, table 1).
backbone = dict(
    type='SapiensViT',
    arch='1b',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='{{$SAPIENS_CHECKPOINT_ROOT:checkpoints}}/pretrain/checkpoints/sapiens_1b/sapiens_1b_epoch_173_clean.pth',
    ),
)
