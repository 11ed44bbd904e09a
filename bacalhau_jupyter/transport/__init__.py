"""How orchestrator and compute talk: the message contract and its carriers."""
