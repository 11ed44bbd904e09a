"""The form that builds job specs: a pure core from job to fields and back, and plain ipywidgets around it."""
