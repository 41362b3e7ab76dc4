"""Our kiosk boxes, for prunnet-export."""
