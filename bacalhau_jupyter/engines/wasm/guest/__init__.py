"""What runs beside modules: in the process of one execution, and in the one that compiles. Only the standard library's
cheap modules.
"""
