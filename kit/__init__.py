"""Plumbing that every server shares. Knows no business noun."""
