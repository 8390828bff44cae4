"""What Bureau's services say to each other: Pydantic models, one module per service. No behaviour, no I/O."""
