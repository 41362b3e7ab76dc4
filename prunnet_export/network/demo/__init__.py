"""The demo network: a ResNet-18 of a quarter of the width, trained on the built-in glyphs; `make demo-network` reproduces it."""
