# 40 blocks of 1536, 24 heads; 1.169 B parameters with the MAE decoder (paper, table 1).
backbone = dict(
    type='SapiensViT',
    arch='1b',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='{{$SAPIENS_CHECKPOINT_ROOT:checkpoints}}/pretrain/checkpoints/sapiens_1b/sapiens_1b_epoch_173_clean.pth',
    ),
)
finetune = dict(layer_decay_rate=0.85, max_norm=1.0)
