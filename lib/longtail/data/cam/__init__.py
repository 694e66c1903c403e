"""CAM-based sampling (Zhang et al., AAAI 2021): new images of rare classes from class activation maps."""
