"""Bureau's services in the shape that other frameworks ask for. Each adapter is an extra of this package."""
