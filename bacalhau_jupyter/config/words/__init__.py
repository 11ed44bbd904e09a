"""The words of older documents: what each does here, and the notices about them."""
