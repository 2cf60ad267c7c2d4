"""Everything that touches httpx or httpx2, except the two clients and the reader of signed URLs."""
