"""Many short deferrals on a busy machine."""
