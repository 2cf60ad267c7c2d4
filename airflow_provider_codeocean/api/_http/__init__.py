"""Everything that touches httpx, except the two clients and the reader of signed URLs."""
