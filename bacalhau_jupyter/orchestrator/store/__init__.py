"""The orchestrator's database: schema, rows, and the transaction through which everything is written."""
