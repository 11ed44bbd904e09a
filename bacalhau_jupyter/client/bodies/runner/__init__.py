"""Runs the body of a Python cell inside its job; shipped with the job, standard library only.

The modules of this package travel as ``_bacalhau_job`` beside ``cell.py`` (the body) and ``cell.json`` (what goes in
and out). They run on any Python from 3.8 on and import nothing else of ours. The job compiles them each time, so what
only some cells need is a module of its own, imported where it is needed.
"""
