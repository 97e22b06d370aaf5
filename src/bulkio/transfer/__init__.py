"""The use cases: carry out a plan over a session, and report."""
