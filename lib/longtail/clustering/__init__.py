"""Clustering of large classes into subclasses (SBCL): plain, balanced and size-capped k-means with cosines."""

from longtail.clustering.rules import RULES
from longtail.clustering.single import balanced_kmeans, capped_kmeans, kmeans
from longtail.clustering.subclasses import cluster_classes, subclass_numbers
from longtail.clustering.temperatures import class_temperatures

__all__ = [
    "RULES",
    "balanced_kmeans",
    "capped_kmeans",
    "class_temperatures",
    "cluster_classes",
    "kmeans",
    "subclass_numbers",
]
