"""What waiting for many data assets costs: this provider beside other ways, in one run."""
