"""Runs the whole of Bureau on one machine, without containers: embedded stores and every service, as one command."""
