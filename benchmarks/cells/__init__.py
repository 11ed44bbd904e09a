"""What a person at a notebook waits for: cells, cards, the panel."""
