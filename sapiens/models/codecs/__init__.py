"""Codecs of keypoints. :mod:`sapiens.models` exports them."""
