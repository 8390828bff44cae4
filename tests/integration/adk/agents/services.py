"""What `adk api_server` reads before it looks at its session service URI."""

from bureau.adapters.adk import register

register()
