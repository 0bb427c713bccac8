"""The network, its codec, its checkpoints and the models we ship."""
