# timm's ViT-Tiny with 6 blocks, those of sapiens_tiny.
backbone = dict(type='TimmBackbone', name='vit_tiny_patch16_224', depth=6)
