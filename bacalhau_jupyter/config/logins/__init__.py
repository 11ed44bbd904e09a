"""Tokens of logins: where they are kept, so that clients of ours and official ones share them."""
