"""What the commands share: arguments, console, paths, exit codes."""
