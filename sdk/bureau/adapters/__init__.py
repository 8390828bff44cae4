"""Bureau behind the interfaces of other frameworks: each is an extra of its own."""
