"""The pages of the emulator for a browser."""
