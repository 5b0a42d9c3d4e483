# Losses of depth, by name: SiLog, as published and corrected; invariant to scale and shift, with gradients; the aligned error.
_losses = {
    'silog': [dict(type='SiLogLoss')],
    'published-silog': [dict(type='SiLogLoss', published=True)],
    'scale-shift-invariant': [
        dict(type='ScaleShiftInvariantLoss'),
        dict(type='DepthGradientLoss', invariant=True),
    ],
    'aligned': [dict(type='AlignedDepthLoss'), dict(type='SiLogLoss', loss_weight=0.03)],
}
