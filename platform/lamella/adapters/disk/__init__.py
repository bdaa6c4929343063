"""What a process keeps on the disk of its own machine."""
