"""The weights of the package: how they are trained, packed and checked. The files are in :mod:`sapiens.weights`."""
