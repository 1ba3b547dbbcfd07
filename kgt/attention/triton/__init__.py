"""Key-graph attention on GPUs: Triton kernels, how they are launched, and their operators."""
