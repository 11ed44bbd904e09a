"""HTTP as every route needs it: connections, checks, bodies, answers and websockets."""
