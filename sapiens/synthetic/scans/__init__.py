"""Scans of people, files of textured meshes, rendered with depth, normals, albedo and alpha (docs/scans.md)."""
