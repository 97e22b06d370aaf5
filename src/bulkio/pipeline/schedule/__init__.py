"""When pipelines run by themselves: which ticks are due, and who runs them."""
