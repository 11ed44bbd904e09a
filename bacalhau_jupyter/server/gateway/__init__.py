"""What crosses the gateway: paths, headers, links and bodies, and the requests that carry them."""
