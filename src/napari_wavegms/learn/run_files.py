"""Names of the files that a training run leaves in its folder; here, so that those who look for them need no torch."""

BEST, LAST, HISTORY = "best.safetensors", "last.safetensors", "history.jsonl"
