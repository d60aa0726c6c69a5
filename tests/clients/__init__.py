"""Stock clients, unchanged, against an edge whose providers are elsewhere; a package, so that all share a network."""
