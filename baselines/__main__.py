"""`python -m baselines restore`: as `python -m kgt restore`, with the networks of this package."""

import sys

from baselines.registry import create_model, list_models
from kgt.command import Networks, main

NETWORKS = Networks("baselines", "swinir-tiny", list_models, create_model)

if __name__ == "__main__":
    sys.exit(main(networks=NETWORKS))
