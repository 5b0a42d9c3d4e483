"""Losses of depth: SiLog, as published and corrected; invariant to scale and shift with gradients; the error after alignment."""

_losses = {
    'silog': [dict(type='SiLogLoss')],
    'published-silog': [dict(type='SiLogLoss', published=True)],
    'scale-shift-invariant': [
        dict(type='ScaleShiftInvariantLoss'),
        dict(type='DepthGradientLoss', invariant=True),
    ],
    'aligned': [dict(type='AlignedDepthLoss'), dict(type='SiLogLoss', loss_weight=0.03)],
}
variants = [dict(name=name, options={'depth:model.losses': losses}) for name, losses in _losses.items()]
metrics = {'depth:RMSE': 'lower', 'depth:delta1': 'higher'}
checks = ['aligned.depth:RMSE < silog.depth:RMSE', 'scale-shift-invariant.depth:RMSE < silog.depth:RMSE']
