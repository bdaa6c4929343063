"""Who gets which parameters, and why: pure, integer, without I/O."""
