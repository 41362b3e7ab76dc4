"""The demo network: a quarter-width ResNet-18, trained on the built-in glyphs. `make demo-network` trains it again."""
