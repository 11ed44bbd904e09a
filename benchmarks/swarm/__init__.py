"""Many light compute nodes: what one orchestrator can carry."""
