"""Why a job waits: derived from what is stored when somebody asks, never stored itself."""
