# 24 blocks of 1024, 16 heads; 0.336 B parameters with the MAE decoder (paper, table 1).
backbone = dict(
    type='SapiensViT',
    arch='0.3b',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='{{$SAPIENS_CHECKPOINT_ROOT:checkpoints}}/pretrain/checkpoints/sapiens_0.3b/sapiens_0.3b_epoch_1600_clean.pth',
    ),
)
finetune = dict(layer_decay_rate=0.85, max_norm=1.0)
