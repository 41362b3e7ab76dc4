"""The demo network's files; see the README for the command that reproduces them."""
