# timm's ConvNeXt-Femto with 8 blocks in stage 3, about the parameters of sapiens_tiny in the three stages up to stride 16.
backbone = dict(type='TimmBackbone', name='convnext_femto', depths=(2, 2, 8, 2))
