"""One run of a pipeline: its tasks in the order of the graph, each recorded in the journal."""
