"""Bureau behind the interfaces of Google's ADK. Needs google-adk."""
