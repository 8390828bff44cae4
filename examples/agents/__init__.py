"""Three example agents over small bundled data: support tickets, cloud cost, learning courses."""
