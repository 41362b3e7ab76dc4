"""``prunnet-bench report``: results and artifacts as one HTML page."""
