"""Bureau's version, where a server can read it without importing a framework."""

VERSION = "0.1.0"
