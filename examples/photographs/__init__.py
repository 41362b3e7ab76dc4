"""An example: a data set of photographs."""
