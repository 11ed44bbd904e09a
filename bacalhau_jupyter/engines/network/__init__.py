"""The network of type ``HTTP``: a job whose only way out is a proxy that knows its domains.

The job has a network of its own with nothing but a loopback interface. A socket that listens there, made inside by a
`holder`, is handed to the node over a Unix socket (`doors`): the node answers on it (`proxy`). So there is no address,
no route and no name server that a job could use instead, and no job reaches the proxy of another.
"""
