"""Hardware profiles: one module a target, found through the entry-point group ``prunnet_export.targets``."""
