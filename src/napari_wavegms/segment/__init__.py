"""Image in, mask out: preparation, prediction, stacks and clean-up."""
