"""The node's part in what it keeps for jobs and people: images, uploads, results that nodes elsewhere send."""
