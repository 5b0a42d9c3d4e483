"""Losses of depth: SiLog, as published and corrected; invariant to scale and shift with gradients; the error after alignment."""

_base_ = '../../_base_/losses/depth.py'

variants = [dict(name=name, options={'depth:model.losses': losses}) for name, losses in _base_._losses.items()]
metrics = {'depth:RMSE': 'lower', 'depth:delta1': 'higher'}
checks = ['aligned.depth:RMSE < silog.depth:RMSE', 'scale-shift-invariant.depth:RMSE < silog.depth:RMSE']
