"""Masked-autoencoder pretraining at 1024x1024, patches of 16.

Reproduces: the pretraining recipe of the paper (section 3.2 and appendix) and of its released configs, with one difference: 95 %
of the patches are removed (this project's default), and 75 % in the training of the released weights
(ablations/*_mask-0.75.py).
Batch: 512 per GPU x 8 GPUs = 4096 images published; the learning rate scales with the total batch (1.5e-4 per 256 images).
Length: 1600 epochs, 40 of warm-up. The released weights of 0.3b and 0.6b stopped at 1600, 1b at 173, 2b at 660.
Command: bash tools/dist_train.sh configs/mae/sapiens_0.3b_humans300m-1024x1024.py 8
"""

model = dict(
    type='MAE',
    backbone=dict(
        type='SapiensViT',
        img_size=(1024, 1024),
        with_cls_token=True,
        pos_embed='sincos',
        patch_bias='uniform',
        drop_path_rate=0.0,
    ),
    decoder=dict(num_layers=8, embed_dims=512, num_heads=16),
    mask_ratio=0.95,
    mask_block_size=1,
    norm_pix=True,
    decode_share=1.0,
)

train_pipeline = [
    dict(type='LoadRandomResizedCrop', size=(1024, 1024), area=(0.2, 1.0), aspect=(3 / 4, 4 / 3), flip_prob=0.5),
    dict(type='PackImage'),
]
val_pipeline = [
    dict(type='LoadResize', size=(1024, 1024)),
    dict(type='PackImage'),
]

custom_hooks = [dict(type='ReconstructionHook', interval=100, num_images=8)]
