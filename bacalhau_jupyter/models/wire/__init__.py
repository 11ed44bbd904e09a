"""Envelopes and bodies: requests and answers of the API, messages of NCL."""
