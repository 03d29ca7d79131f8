"""What can be built: skeletons, search spaces, architectures, published networks. No torch here."""

from evospace.space.architecture import Architecture
from evospace.space.published import PUBLISHED, published_architecture, published_skeleton
from evospace.space.search_space import Branches, SearchSpace
from evospace.space.skeleton import Skeleton, Stage, make_skeleton, skeleton_names

__all__ = [
    "PUBLISHED",
    "Architecture",
    "Branches",
    "SearchSpace",
    "Skeleton",
    "Stage",
    "make_skeleton",
    "published_architecture",
    "published_skeleton",
    "skeleton_names",
]
