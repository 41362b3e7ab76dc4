"""Hardware profiles: one module per target, found through the entry-point group ``prunnet_export.targets``."""
