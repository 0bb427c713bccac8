"""wavegms bench: speed, memory and adaptation on this machine."""
