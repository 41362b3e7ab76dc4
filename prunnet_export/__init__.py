"""From one prunable network to a verified artifact inside a device's millisecond budget."""
