"""What writes files of the checkout from others."""
