"""Values on their way between a cell and its job: tables of SQL cells, and what ``--out`` brings back."""
